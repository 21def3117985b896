"""How soon a phone falls silent when its agent says `clear`.

    python bench/barge_in.py --clears 200 --calls 100

An agent queues seconds of a tone, waits until the phone hears it, and sends `{"type": "clear"}`;
timed is from there to the last packet with sound as the kernel of the phone's machine received it
(0: none came any more). ``--calls`` other calls are echoed meanwhile by ``load.c``. Exit code 1
when the 99th percentile is above 20 ms, which is one frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import picows
import uvloop
from callers import Answered
from live_calls import Figures, callers_of, live_load, load_core, whole_node
from media_calls import SO_TIMESTAMPNS, pin
from node import LOCALHOST, Node, bounded
from raw_sip import udp

from ringback.audio import g711, tones

ALLOWED_MS = 20.0
MEASURED_CALLS = 8
FRAME_SECONDS = 0.02
SPEECH_MS = 3000
SILENCE = b"\xff" * 160
LOUD = 500
"""Samples beyond this are sound."""
TAIL_SECONDS = 0.1
"""After the answer to `clear`: what still comes was not cleared."""
ANSWER_SECONDS = 5.0
ROUND_SECONDS = 0.6
_TIMESPEC = struct.Struct("@qq")


class Phone:
    """Sends silence, and notes when the last packet with sound came (nanoseconds since 1970)."""

    def __init__(self) -> None:
        self.socket = udp(LOCALHOST)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.last_sound = 0
        self.sound = asyncio.Event()
        self._gateway = (LOCALHOST, 0)
        self._sent = 0
        asyncio.get_running_loop().add_reader(self.socket, self._hear)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def _hear(self) -> None:
        data, ancillary, _, _ = self.socket.recvmsg(2048, 64)
        if max(map(abs, memoryview(g711.decode_ulaw(data[12:])).cast("h")), default=0) > LOUD:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            self.last_sound = seconds * 1_000_000_000 + nanoseconds
            self.sound.set()

    async def talk(self, gateway: int) -> None:
        while True:
            head = bytes([0x80, 0]) + (self._sent & 0xFFFF).to_bytes(2, "big")
            head += (self._sent * 160).to_bytes(4, "big") + b"mute"
            self.socket.sendto(head + SILENCE, (LOCALHOST, gateway))
            self._sent += 1
            await asyncio.sleep(FRAME_SECONDS)


class Agent(picows.WSListener):
    def __init__(self) -> None:
        self.cleared = asyncio.Event()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            if json.loads(frame.get_payload_as_bytes())["type"] == "cleared":
                self.cleared.set()

    def say(self, pcm: bytes) -> None:
        self.transport.send(picows.WSMsgType.BINARY, pcm)

    def clear(self) -> None:
        self.transport.send(picows.WSMsgType.TEXT, '{"type":"clear"}')


async def clears(phone: Phone, agent: Agent, count: int, chance: random.Random) -> list[float]:
    """In milliseconds, of ``count`` interruptions."""
    speech = tones.sine(440, SPEECH_MS, 8000)
    took = []
    for _ in range(count):
        phone.sound.clear()
        agent.cleared.clear()
        agent.say(speech)
        async with asyncio.timeout(ANSWER_SECONDS):
            await phone.sound.wait()
        await asyncio.sleep(chance.uniform(0.1, 0.4))
        left = time.time_ns()
        agent.clear()
        async with asyncio.timeout(ANSWER_SECONDS):
            await agent.cleared.wait()
        await asyncio.sleep(TAIL_SECONDS)
        took.append(max(0.0, (phone.last_sound - left) / 1e6))
    return took


async def one(node: Node, phone: Phone, call: Answered, count: int, seed: int) -> list[float]:
    path = f"/api/call/{call.call_id}/stream"
    _, agent = await picows.ws_connect(Agent, node.url(path))
    talking = asyncio.create_task(phone.talk(call.rtp_port))
    try:
        return await clears(phone, agent, count, random.Random(seed))
    finally:
        talking.cancel()


async def measure(
    node: Node, count: int, calls: int, core: int
) -> tuple[list[float], Figures | None]:
    each = -(-count // MEASURED_CALLS)
    with callers_of(node) as callers:
        phones = [Phone() for _ in range(MEASURED_CALLS)]
        answered = await asyncio.to_thread(callers.call, [phone.port for phone in phones])
        jobs = [
            one(node, phone, call, each, seed)
            for seed, (phone, call) in enumerate(zip(phones, answered, strict=True))
        ]
        if not calls:
            return sum(await asyncio.gather(*jobs), []), None
        seconds = each * ROUND_SECONDS + 1.0
        with live_load(node, callers, calls, seconds, core) as load:
            await asyncio.to_thread(load.start)
            took = sum(await asyncio.gather(*jobs), [])
            return took, await asyncio.to_thread(load.figures)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clears", type=int, default=200)
    parser.add_argument("--calls", type=int, default=100, help="others, echoed meanwhile")
    parser.add_argument("--cores", type=int, default=1, help="of the node")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    pin(load_core(options.cores))
    with bounded(90 + options.clears / MEASURED_CALLS), whole_node(options.cores) as node:
        core = load_core(options.cores)
        took, beside = uvloop.run(measure(node, options.clears, options.calls, core))
    points = {name: percentile(took, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    points["longest"] = max(took)
    told = ", ".join(f"{name} {value:.1f}" for name, value in points.items())
    print(f"{len(took)} clears in {MEASURED_CALLS} calls beside {options.calls} others:", end=" ")
    print(f"{told} ms to the last sound")
    if beside is not None:
        print(f"node {beside.node_cpu:.0%} of a core, gaps of the others over 25 ms: ", end="")
        print(f"{beside.seen['gaps']['above_25']:.2%}, {beside.lost} of their packets lost")
    if options.json is not None:
        others = None if beside is None else beside.as_json()
        figures = {"clears": len(took), "calls": options.calls, **points, "beside": others}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    good = points["p99"] <= ALLOWED_MS
    print("silent within a frame" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
