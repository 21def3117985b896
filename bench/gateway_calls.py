"""N whole calls at once: SIP by sipp, RTP from here, an echo agent on every call's WebSocket.

    python bench/gateway_calls.py --calls 100 --seconds 20

`ringback serve` has one core, sipp and the load share another. A packet is *returned* when its
content comes back by RTP after the way caller, gateway, WebSocket agent, gateway, caller. Exit
code 1 when a packet is missing or more than 0.1 % of the gaps are longer than 30 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import picows
import uvloop
from media_calls import (
    ALLOWED_LONG_GAPS,
    LONG_GAP_MS,
    SETTLE_SECONDS,
    EchoAgent,
    Load,
    pin,
    say,
)
from node import LOCALHOST, Node, free_port
from websockets.asyncio.client import connect

SCENARIO = Path(__file__).parent / "scenarios" / "caller.xml"
SETUP_RATE = 20
ATTACH_SECONDS = 60.0
POLL_SECONDS = 0.005


def caller_number(call: int) -> str:
    return f"+1555{call:07d}"


async def attach_agents(node: Node, load: Load) -> None:
    """Open the call WebSocket of every call as soon as it is active."""
    phones = {caller_number(n): call for n, call in enumerate(load.calls)}
    callers: dict[str, str] = {}
    async with connect(node.url("/api/events"), proxy=None) as events:
        attached = 0
        while attached < len(load.calls):
            event = json.loads(await events.recv())
            if event["type"] == "call_invite":
                callers[event["call_id"]] = event["caller"]
            elif event["type"] == "call_state" and event["state"] == "active":
                if callers.get(event["call_id"]) in phones:
                    path = f"/api/call/{event['call_id']}/stream"
                    await picows.ws_connect(EchoAgent, node.url(path))
                    attached += 1


async def learn_addresses(load: Load) -> None:
    """The gateway sends from the moment it answers: that is where each phone sends to."""
    loop = asyncio.get_running_loop()
    for call in load.calls:
        while call.gateway[1] == 0:
            try:
                call.gateway = call.socket.recvfrom(2048)[1]
            except BlockingIOError:
                await asyncio.sleep(POLL_SECONDS)
        loop.add_reader(call.socket.fileno(), call.receive)


def start_sipp(
    node: Node, load: Load, folder: Path, port: int, seconds: float
) -> subprocess.Popen[bytes]:
    rows = [
        f"{caller_number(n)};{call.socket.getsockname()[1]}\n" for n, call in enumerate(load.calls)
    ]
    (folder / "phones.csv").write_text("SEQUENTIAL\n" + "".join(rows))
    count = str(len(load.calls))
    return subprocess.Popen(
        ["sipp", f"{LOCALHOST}:{node.sip_port}", "-sf", str(SCENARIO),
         "-inf", str(folder / "phones.csv"), "-m", count, "-l", count, "-r", str(SETUP_RATE),
         "-d", str(int(seconds * 1000)), "-i", LOCALHOST, "-p", str(port), "-nostdin"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def run(calls: int, seconds: float) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "node").mkdir()
        with Node(folder / "node", shutdown_grace="0") as node:
            load = Load(calls)
            port = free_port(socket.SOCK_DGRAM)
            node.answer_calls_from(LOCALHOST, port)
            whole = calls / SETUP_RATE + seconds + 3 * SETTLE_SECONDS + 5
            attaching = asyncio.create_task(attach_agents(node, load))
            await asyncio.sleep(0)
            sipp = start_sipp(node, load, folder, port, whole)
            try:
                await asyncio.wait_for(attaching, ATTACH_SECONDS)
                await asyncio.wait_for(learn_addresses(load), ATTACH_SECONDS)
                return await measure(node, load, seconds)
            finally:
                await asyncio.to_thread(sipp.wait, whole + 30)


async def measure(node: Node, load: Load, seconds: float) -> bool:
    sending = asyncio.create_task(load.send())
    await asyncio.sleep(SETTLE_SECONDS)
    cpu, waiting = node.cpu_seconds(), node.waiting_seconds()
    for call in load.calls:
        call.measuring = True
    await asyncio.sleep(seconds)
    cpu, waiting = node.cpu_seconds() - cpu, node.waiting_seconds() - waiting
    for call in load.calls:
        call.measuring = False
    await asyncio.sleep(SETTLE_SECONDS)
    load.stop()
    await sending
    return show(load, seconds, cpu / seconds, waiting / seconds)


def show(load: Load, seconds: float, cpu: float, waiting: float) -> bool:
    sent = sum(len(call.sent) for call in load.calls)
    returned = sum(len(call.returned) for call in load.calls)
    gaps = sorted(gap for call in load.calls for gap in call.gaps_ms())
    long_gaps = sum(gap > LONG_GAP_MS for gap in gaps)
    share = long_gaps / max(1, len(gaps))
    say(f"calls            {len(load.calls)} for {seconds:g} s")
    say(f"packets          {sent} sent, {returned} returned, {sent - returned} missing")
    say(f"gaps > {LONG_GAP_MS:g} ms     {long_gaps} of {len(gaps)} ({share:.4%})")
    say(f"gateway CPU      {cpu:.1%} of a core, {cpu / len(load.calls):.3%} a call")
    say(f"gateway waiting  {waiting:.1%} of the time for a processor that others had")
    good = sent > 0 and sent == returned and share < ALLOWED_LONG_GAPS
    say("every packet returned, gaps within bounds" if good else "NOT good enough")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    pin(1)
    return 0 if uvloop.run(run(options.calls, options.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
