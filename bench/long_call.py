"""One long call on a bad line: a clock that drifts, lost packets, and session timers.

    python bench/long_call.py --seconds 3600 --ppm 200 --loss 2

A caller by hand (SIP with ``Session-Expires: 90``, which the gateway has to refresh; RTP by a clock
that is ``ppm`` too slow, ``loss`` per cent of the packets thrown away) talks with a real gateway
and an echo agent on the call's WebSocket. Each packet carries its number, so that the echo tells
how long it was under way. A minute at the start is compared with the last one. Exit code 1 when the
call is over early, was never refreshed, or got out of sync by more than 60 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import picows
import uvloop
from media_calls import FILLER, MARKER_BYTES, EchoAgent, _marker
from node import DID, LOCALHOST, Node
from raw_sip import SDP, audio_port, header, in_dialog, invite, ok, udp

FRAME = 0.02
TIMER = (
    "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n"
)
SILENT_EVERY, SILENT_FRAMES = 250, 50
"""Packets from one pause of speech to the next, and how many of them are the pause."""
MOST_SHIFT_MS = 60.0
TOUR = 1 << 16


class Caller:
    def __init__(self, gateway: int, ppm: float, loss: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._gateway = (LOCALHOST, gateway)
        self._sip, self._audio = udp(LOCALHOST), udp(LOCALHOST)
        self._port = int(self._sip.getsockname()[1])
        self._frame = FRAME * (1 + ppm / 1e6)
        self._loss = loss / 100
        self._chance = random.Random(1)
        self._answer = ""
        self._to = (LOCALHOST, 0)
        self._left: dict[bytes, float] = {}
        self.refreshes = self.sent = self.lost = self.returned = 0
        self.over = False
        self.answered = asyncio.Event()
        self.delays: list[tuple[float, float]] = []
        """When a packet came back, and how many ms it was under way."""
        self._loop.add_reader(self._sip, self._on_sip)
        self._loop.add_reader(self._audio, self._on_audio)

    @property
    def sip_port(self) -> int:
        return self._port

    async def call(self) -> None:
        body = SDP.format(host=LOCALHOST, port=self._audio.getsockname()[1])
        request = invite(LOCALHOST, self._port, 1, DID, "Phone", body, TIMER)
        self._sip.sendto(request, self._gateway)
        async with asyncio.timeout(10):
            await self.answered.wait()

    def hang_up(self) -> None:
        self._sip.sendto(in_dialog("BYE", self._answer, LOCALHOST, self._port, 2), self._gateway)

    def _on_sip(self) -> None:
        text = self._sip.recv(65_535).decode()
        if text.startswith("SIP/2.0 200") and header(text, "CSeq") == "1 INVITE":
            self._answer = text
            self._to = (LOCALHOST, audio_port(text))
            ack = in_dialog("ACK", text, LOCALHOST, self._port, 1)
            self._sip.sendto(ack, self._gateway)
            self.answered.set()
        elif text.startswith("UPDATE "):
            self.refreshes += 1
            expires = f"Session-Expires: {header(text, 'Session-Expires')}\r\n"
            self._sip.sendto(ok(text, LOCALHOST, self._port, expires), self._gateway)
        elif text.startswith("BYE "):
            self.over = True
            self._sip.sendto(ok(text, LOCALHOST, self._port), self._gateway)

    def _on_audio(self) -> None:
        data, now = self._audio.recv(2048), time.monotonic()
        left = self._left.pop(data[12 : 12 + MARKER_BYTES], None)
        if left is not None:
            self.returned += 1
            self.delays.append((now, (now - left) * 1000))

    async def talk(self, seconds: float) -> None:
        begun = time.monotonic()
        number = 0
        while not self.over and (due := begun + number * self._frame) < begun + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._send(number)
            number += 1

    def _send(self, number: int) -> None:
        if number % SILENT_EVERY < SILENT_FRAMES:
            payload = b"\xff" * (MARKER_BYTES + len(FILLER))
        else:
            marker = _marker(number % TOUR)
            payload = marker + FILLER
            self._left[marker] = time.monotonic()
            self.sent += 1
        if self._chance.random() < self._loss:
            self.lost += 1
            return
        head = bytes([0x80, 0]) + (number % TOUR).to_bytes(2, "big")
        head += (number * 160 % (1 << 32)).to_bytes(4, "big") + b"call"
        self._audio.sendto(head + payload, self._to)

    def minute(self, start: float) -> float:
        return statistics.median(ms for at, ms in self.delays if start <= at < start + 60)


async def drive(node: Node, seconds: float, ppm: float, loss: float) -> bool:
    caller = Caller(node.sip_port, ppm, loss)
    node.answer_calls_from(LOCALHOST, caller.sip_port)
    await caller.call()
    (call,) = [one for one in node.api("GET", "/api/calls")["items"] if one["state"] == "active"]
    path = f"/api/call/{call['call_id']}"
    await picows.ws_connect(EchoAgent, node.url(f"{path}/stream"))
    await caller.talk(seconds)
    first, last = caller.minute(caller.delays[0][0] + 5), caller.minute(time.monotonic() - 60)
    record = node.api("GET", path)
    caller.hang_up()
    shift = last - first
    print(f"call             {record['state']} after {seconds:g} s, {caller.refreshes} refreshes")
    print(f"packets          {caller.sent} with sound, {caller.lost} of all lost on purpose")
    print(f"came back        {caller.returned} untouched ({caller.returned / caller.sent:.1%})")
    print(f"under way        {first:.0f} ms at first, {last:.0f} ms at the end")
    print(
        f"drift            {seconds * ppm / 1000:.0f} ms, of which the call feels {shift:+.0f} ms"
    )
    print(f"quality          {json.dumps(record['quality'])}")
    wanted = int(seconds // 90)
    return record["state"] == "active" and caller.refreshes >= wanted and abs(shift) < MOST_SHIFT_MS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=900.0, help="200 at least")
    parser.add_argument("--ppm", type=float, default=200.0, help="how much slower the caller is")
    parser.add_argument("--loss", type=float, default=2.0, help="per cent")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Node(Path(folder)) as node:
        good = uvloop.run(drive(node, options.seconds, options.ppm, options.loss))
    print("up and in sync" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
