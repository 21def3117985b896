"""sipp's own scenarios at a rate, both ways, and what the gateway holds afterwards.

    python bench/sipp_calls.py --rate 50 --seconds 60
    python bench/sipp_calls.py --only uac --rate 300 --seconds 20 --json setup.json
    python bench/sipp_calls.py --only uac --rate 100 --seconds 10 --audio 200

`uac`: sipp calls a number (or, with --demo, the demo agent) and hangs up after --duration. `uas`:
the gateway calls sipp over `POST /api/call` and hangs up when the call is active. With --audio so
many calls carry audio meanwhile. Times are from INVITE to 200, as sipp saw them. Exit code 1 when a
call failed or came too late and was repeated, or when a call, a port pair, a media session or a
file is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from callers import Callers
from live_calls import live_load
from media_calls import pin, say
from node import DID, KEY, LOCALHOST, Node, free_port
from websockets.asyncio.client import connect

LEFT_OVER = ("ringback_calls_live", "ringback_media_sessions", "ringback_rtp_ports_in_use")
FILES_OF_SLACK = 20
"""A busy node opens 15 connections to the database and keeps the files of most."""
SETTLE_SECONDS = 10.0
IDLE_SECONDS = 2.0
"""How long what the calls with audio cost is measured alone."""


@dataclass
class Figures:
    """What one direction came to; milliseconds."""

    direction: str
    rate: float
    calls: int
    good: bool = False
    failed: int = 0
    retransmitted: int = 0
    reached_rate: float = 0.0
    """Calls per second that were answered and over."""
    cpu_ms_per_call: float = 0.0
    """Of the gateway, what calls with audio beside it cost left out."""
    waiting_share: float = 0.0
    """Of the time the gateway wanted its processor and somebody else had it."""
    answer_p50_ms: float | None = None
    answer_p99_ms: float | None = None
    audio_core_share: float = 0.0
    """What the calls with audio cost before the others came."""
    audio: dict[str, Any] | None = None


@contextmanager
def sipp(folder: Path, port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    run = subprocess.Popen(
        ["sipp", *arguments, "-i", LOCALHOST, "-p", str(port), "-nostdin", "-mp", "40000",
         "-trace_rtt", "-rtt_freq", "1",
         "-trace_stat", "-stf", str(folder / "statistics.csv"), "-fd", "1", "-trace_err",
         "-error_file", str(folder / "errors.log")],
        cwd=folder,
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


def answer_times(folder: Path) -> list[float]:
    """Milliseconds from INVITE to 200, sorted."""
    lines = "".join(path.read_text() for path in folder.glob("*_rtt.csv")).splitlines()
    rows = (line.split(";") for line in lines if line[:1].isdigit())
    return sorted(float(row[1]) for row in rows)


def called(node: Node, folder: Path, options: argparse.Namespace) -> Figures:
    """sipp calls us."""
    port = free_port(socket.SOCK_DGRAM)
    node.answer_calls_from(LOCALHOST, port)
    result = Figures("uac", options.rate, int(options.rate * options.seconds))
    user = "demo" if options.demo else DID
    with contextlib.ExitStack() as stack:
        audio, idle = None, 0.0
        if options.audio:
            seconds = options.seconds + IDLE_SECONDS + 1
            callers = Callers(node)
            stack.callback(callers.close)
            audio = stack.enter_context(live_load(node, callers, options.audio, seconds))
            audio.start()
            idle = node.cpu_seconds()
            time.sleep(IDLE_SECONDS)
            idle = (node.cpu_seconds() - idle) / IDLE_SECONDS
        start, cpu, waiting = time.monotonic(), node.cpu_seconds(), node.waiting_seconds()
        with sipp(
            folder, port, f"{LOCALHOST}:{node.sip_port}", "-sn", "uac", "-s", user, "-r",
            str(options.rate), "-m", str(result.calls), "-d", str(options.duration),
        ) as run:  # fmt: skip
            run.wait(options.seconds + 60)
        took = time.monotonic() - start
        spent = node.cpu_seconds() - cpu - idle * took
        result.audio_core_share = idle
        result.waiting_share = (node.waiting_seconds() - waiting) / took
        if audio is not None:
            result.audio = audio.figures().seen
    seen = figures(folder)
    result.failed, result.retransmitted = seen["FailedCall(C)"], seen["Retransmissions(C)"]
    result.reached_rate = seen["SuccessfulCall(C)"] / took
    result.cpu_ms_per_call = spent / result.calls * 1000
    if times := answer_times(folder):
        result.answer_p50_ms, result.answer_p99_ms = (
            times[int(len(times) * share)] for share in (0.5, 0.99)
        )
    all_there = seen["SuccessfulCall(C)"] == result.calls
    result.good = all_there and not result.failed and not result.retransmitted
    return result


async def calling(node: Node, folder: Path, options: argparse.Namespace) -> Figures:
    """We call sipp, as a program does over the API."""
    rate = options.rate
    port = free_port(socket.SOCK_DGRAM)
    trunk = {"name": "uas", "mode": "ip_allowlist", "host": LOCALHOST, "port": port}
    node.api("POST", "/api/trunks", dict(trunk))
    count = int(rate * options.seconds)
    reasons: dict[str, int] = {}
    cpu = node.cpu_seconds()
    with sipp(folder, port, "-sn", "uas"):
        took = await calls_out(node, count, rate, port, reasons)
    say(f"sipp uas         {count} calls in {took:.1f} s: {reasons}")
    done = reasons.get("agent_hangup", 0)
    return Figures(
        "uas",
        rate,
        count,
        good=reasons == {"agent_hangup": count},
        failed=count - done,
        reached_rate=done / took,
        cpu_ms_per_call=(node.cpu_seconds() - cpu) / count * 1000,
    )


def show(result: Figures) -> None:
    reached = f"{result.rate:g}/s ({result.reached_rate:.0f}/s reached)"
    say(
        f"{result.direction:16} {result.calls} calls at {reached}, {result.failed} failed, "
        f"{result.retransmitted} retransmissions"
    )
    say(
        f"gateway CPU      {result.cpu_ms_per_call:.2f} ms a call, "
        f"{result.waiting_share:.0%} of the time without a processor"
    )
    if result.answer_p50_ms is not None:
        say(f"INVITE to 200    p50 {result.answer_p50_ms:g}, p99 {result.answer_p99_ms:g} ms")
    if result.audio is not None:
        gaps = result.audio["gaps"]
        say(
            f"audio beside it  {result.audio_core_share:.0%} of the core by itself, "
            f"{result.audio['sent']} packets sent, {result.audio['returned']} returned"
        )
        say(f"                 gaps p99 {gaps['p99']:.1f}, longest {gaps['longest']:.1f} ms")


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


def measure(direction: str, options: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "node").mkdir()
        # Twice the rate: what is measured is not the guard of the phone bill.
        limit = str(2 * options.rate)
        with Node(folder / "node", shutdown_grace="0", outbound_calls_per_second=limit) as node:
            files = node.open_files()
            if direction == "uac":
                result = called(node, folder, options)
            else:
                result = asyncio.run(calling(node, folder, options))
            show(result)
            say(f"gateway memory   {node.memory_bytes() / 1e6:.0f} MB")
            result.good &= nothing_left(node, files)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--duration", type=int, default=0, help="milliseconds of each uac call")
    parser.add_argument("--audio", type=int, default=0, help="calls that carry audio meanwhile")
    parser.add_argument("--only", choices=("uac", "uas"), help="one direction alone")
    parser.add_argument("--demo", action="store_true", help="call the demo agent, not a number")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    pin(1)
    directions = (options.only,) if options.only else ("uac", "uas")
    results = [measure(direction, options) for direction in directions]
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    good = all(result.good for result in results)
    say("no failed call, nothing left" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
