"""Calls that carry audio beside what is measured: sipp sets them up, ``load.c`` is their ends."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError

from density import SETTLE_SECONDS, Child, compiled, running
from node import KEY, LOCALHOST, Node

SCENARIO = Path(__file__).parent / "scenarios" / "caller.xml"
SETUP_RATE = 40
SETUP_SECONDS = 60.0
_AUDIO_PORT = re.compile(r"(?m)^m=audio (\d+) ")


@contextmanager
def calls_with_audio(
    node: Node, count: int, seconds: float, port: int, folder: Path
) -> Iterator[Child]:
    """``count`` calls from ``port``, each with 50 packets a second both ways for ``seconds``, which
    begin with the block. What the yielded child says at the end of them is to be read there."""
    load: list[str | Path] = [compiled(folder), str(count), str(seconds), str(SETTLE_SECONDS)]
    with running(load, 1) as ends:
        phones = ends.hear().split()
        rows = "".join(f"+1555{n:07d};{phone}\n" for n, phone in enumerate(phones))
        (folder / "phones.csv").write_text("SEQUENTIAL\n" + rows)
        milliseconds = int((count / SETUP_RATE + SETTLE_SECONDS + seconds + 20) * 1000)
        sipp = subprocess.Popen(
            ["sipp", f"{LOCALHOST}:{node.sip_port}", "-sf", str(SCENARIO), "-inf",
             str(folder / "phones.csv"), "-m", str(count), "-l", str(count),
             "-r", str(SETUP_RATE), "-d", str(milliseconds), "-i", LOCALHOST, "-p", str(port),
             "-nostdin"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        live: list[str] = []
        try:
            live = _active(node, count)
            for call_id in live:
                path = f"/api/call/{call_id}/stream?api_key={KEY}"
                ends.say(f"{_audio_port(node, call_id)} {node.http_port} {path}")
            ends.hear()
            yield ends
        finally:
            for call_id in live:
                with suppress(HTTPError):  # it is over
                    node.api("DELETE", f"/api/call/{call_id}")
            sipp.kill()
            sipp.wait(20)


def _active(node: Node, count: int) -> list[str]:
    """The calls in the order of their phones. Raises ``SystemExit`` when they do not come."""
    live: dict[str, str] = {}
    until = time.monotonic() + SETUP_SECONDS
    while time.monotonic() < until:
        time.sleep(1)
        items = node.api("GET", "/api/calls")["items"]
        live = {call["caller"]: call["call_id"] for call in items if call["state"] == "active"}
        if len(live) == count:
            return [live[caller] for caller in sorted(live)]
    raise SystemExit(f"{len(live)} of {count} calls with audio were answered")


def _audio_port(node: Node, call_id: str) -> int:
    """Where the gateway takes the call's audio, as it said in its answer."""
    for message in node.api("GET", f"/api/call/{call_id}/sip")["messages"]:
        found = _AUDIO_PORT.search(message["text"])
        if found is not None and message["direction"] == "sent":
            return int(found[1])
    raise SystemExit(f"{call_id} has no audio")
