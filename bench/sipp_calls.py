"""sipp's own scenarios at a rate, both ways, and what the gateway holds afterwards.

    python bench/sipp_calls.py --rate 50 --seconds 60

`uac`: sipp calls a number (or, with --demo, the demo agent) and hangs up at once. `uas`: the
gateway calls sipp over `POST /api/call` and hangs up when the call is active. Exit code 1 when a
call failed, or when a call, a port pair, a media session or a file is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from media_calls import pin, say
from node import DID, KEY, LOCALHOST, Node, free_port
from websockets.asyncio.client import connect

LEFT_OVER = ("ringback_calls_live", "ringback_media_sessions", "ringback_rtp_ports_in_use")
FILES_OF_SLACK = 20
"""A busy node opens 15 connections to the database and keeps the files of most."""
SETTLE_SECONDS = 10.0
CLIENTS = 8


@contextmanager
def sipp(folder: Path, port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    run = subprocess.Popen(
        ["sipp", *arguments, "-i", LOCALHOST, "-p", str(port), "-nostdin", "-mp", "40000",
         "-trace_stat", "-stf", str(folder / "statistics.csv"), "-fd", "1", "-trace_err",
         "-error_file", str(folder / "errors.log")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.terminate()
        run.wait(20)


def figures(folder: Path) -> dict[str, int]:
    with (folder / "statistics.csv").open(newline="") as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    names = ("SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)")
    return {name: int(last[name]) for name in names}


def called(node: Node, folder: Path, user: str, rate: int, seconds: float) -> bool:
    """sipp calls us."""
    port = free_port(socket.SOCK_DGRAM)
    node.answer_calls_from(LOCALHOST, port)
    count = int(rate * seconds)
    with sipp(
        folder, port, f"{LOCALHOST}:{node.sip_port}", "-sn", "uac", "-s", user,
        "-r", str(rate), "-m", str(count), "-d", "0",
    ) as run:  # fmt: skip
        run.wait(seconds + 60)
    result = figures(folder)
    say(f"sipp uac         {count} calls at {rate}/s: {result}")
    return result["SuccessfulCall(C)"] == count and result["FailedCall(C)"] == 0


async def calling(node: Node, folder: Path, rate: int, seconds: float) -> bool:
    """We call sipp, as a program does over the API."""
    port = free_port(socket.SOCK_DGRAM)
    trunk = {"name": "uas", "mode": "ip_allowlist", "host": LOCALHOST, "port": port}
    node.api("POST", "/api/trunks", dict(trunk))
    count = int(rate * seconds)
    reasons: dict[str, int] = {}
    with sipp(folder, port, "-sn", "uas"):
        took = await calls_out(node, count, rate, port, reasons)
    say(f"sipp uas         {count} calls in {took:.1f} s: {reasons}")
    return reasons == {"agent_hangup": count}


async def calls_out(node: Node, count: int, rate: int, port: int, reasons: dict[str, int]) -> float:
    """Dial ``count`` calls, hang up on each once it is answered, and wait for all to be over."""
    hang_ups: set[asyncio.Task[None]] = set()
    headers = {"X-API-Key": KEY}
    base = f"http://{LOCALHOST}:{node.http_port}"
    async with (
        httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=30) as api,
        connect(node.url("/api/events"), proxy=None, max_queue=None) as events,
    ):

        async def dial(number: int) -> None:
            target = f"sip:+1555{number:07d}@{LOCALHOST}:{port}"
            answer = await api.post("/api/call", json={"platform": "sip", "meeting_url": target})
            answer.raise_for_status()

        async def hang_up(call_id: str) -> None:
            await api.delete(f"/api/call/{call_id}")

        async def watch() -> None:
            while sum(reasons.values()) < count:
                event = json.loads(await events.recv())
                if event["type"] != "call_state":
                    continue
                if event["state"] == "active":
                    task = asyncio.create_task(hang_up(event["call_id"]))
                    hang_ups.add(task)
                    task.add_done_callback(hang_ups.discard)
                elif event["state"] in ("ended", "failed"):
                    reason = event["end_reason"]
                    reasons[reason] = reasons.get(reason, 0) + 1

        watching = asyncio.create_task(watch())
        start = time.monotonic()
        dials = []
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            dials.append(asyncio.create_task(dial(number)))
        await asyncio.gather(*dials)
        took = time.monotonic() - start
        await asyncio.wait_for(watching, 60)
    return took


def nothing_left(node: Node, files: int) -> bool:
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        metrics = node.metrics()
        left = {name: metrics[name] for name in LEFT_OVER if metrics.get(name)}
        more = node.open_files() - files
        if (not left and more <= FILES_OF_SLACK) or time.monotonic() > deadline:
            say(f"left over        {left or 'nothing'}, {max(0, more)} files more than before")
            return not left and more <= FILES_OF_SLACK
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--demo", action="store_true", help="call the demo agent, not a number")
    options = parser.parse_args()
    pin(1)
    good = True
    for direction in ("uac", "uas"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "node").mkdir()
            # Twice the rate: what is measured is not the guard of the phone bill.
            limit = str(2 * options.rate)
            with Node(folder / "node", shutdown_grace="0", outbound_calls_per_second=limit) as node:
                files, cpu = node.open_files(), node.cpu_seconds()
                if direction == "uac":
                    user = "demo" if options.demo else DID
                    good &= called(node, folder, user, options.rate, options.seconds)
                else:
                    good &= asyncio.run(calling(node, folder, options.rate, options.seconds))
                spent = node.cpu_seconds() - cpu
                calls = options.rate * options.seconds
                say(f"gateway CPU      {spent / calls * 1000:.1f} ms a call")
                say(f"gateway memory   {node.memory_bytes() / 1e6:.0f} MB")
                good &= nothing_left(node, files)
    say("no failed call, nothing left" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
