"""What the tests of the media plane share: a node whose time is moved by hand, and its callers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection

from ringback.core.clock import SystemClock
from ringback.core.errors import NotConfigured
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.pacer import Slot, Subscription, Tick
from ringback.media.plane import (
    MediaEvent,
    MediaPlane,
    NegotiatedAudio,
    OpenSession,
    RtpAddress,
    SessionOpened,
    SessionReport,
    VoiceSpec,
)
from ringback.media.port import VoiceHost
from ringback.media.recorder import RecorderThread
from ringback.media.stream_socket import duplicate_socket
from ringback.net.rtp_ports import RtpPorts

Run = Callable[[Coroutine[object, object, None]], None]
LOCALHOST = "127.0.0.1"


class HandClock:
    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_700_000_000 + self.time, UTC)


class HandTicker:
    """A clock for sessions that only moves when a test says so."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.slot = Slot()
        self._each_round: list[Callable[[float], None]] = []

    def add(self, tick: Tick) -> Subscription:
        return self.slot.add(tick)

    def remove(self, subscription: Subscription) -> None:
        self.slot.remove(subscription)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self._clock.time += 0.02
            self.slot.run(self._clock.time, 1, _broken)
            for work in self._each_round:
                work(self._clock.time)

    def each_round(self, work: Callable[[float], None]) -> None:
        self._each_round.append(work)


def _broken(subscription: Subscription) -> None:
    raise AssertionError("a tick failed")


def datagrams(sock: socket.socket) -> list[bytes]:
    """All that has come."""
    came = []
    with contextlib.suppress(BlockingIOError):
        while True:
            came.append(sock.recv(2048))
    return came


class FakeVoice:
    """A hosted pipeline that remembers what it was told."""

    def __init__(self, host: VoiceHost) -> None:
        self.host = host
        self.port = host.attach(self, 16000)
        self.log: list[str] = []
        self.frames = 0
        self.digits: list[str] = []
        self.hangs = False

    def start(self) -> None:
        self.log.append("start")

    def say(self, text: str) -> None:
        self.log.append(f"say {text}")

    def stop_speaking(self) -> None:
        self.log.append("stop speaking")

    async def close(self) -> None:
        self.log.append("close")
        if self.hangs:
            await asyncio.Event().wait()

    def on_audio(self, frame: bytes) -> None:
        self.frames += 1

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        self.digits.append(digit)

    def on_mark(self, name: str) -> None:
        self.log.append(f"mark {name}")

    def on_detached(self) -> None:
        self.log.append("detached")


class Node:
    """A plane with a clock that is moved by hand, and what it reported."""

    def __init__(self, observe: Callable[[SessionReport], None] | None = None) -> None:
        self.clock = HandClock()
        self.ticker = HandTicker(self.clock)
        self.events: list[MediaEvent] = []
        self.voices: list[FakeVoice] = []
        self.ports = RtpPorts(20000, 29999, clock=SystemClock(), quarantine=0.0)
        self.plane = LocalMediaPlane(
            self.ports,
            ticker=self.ticker,
            clock=self.clock,
            recorder=RecorderThread(),
            voices=self.make_voice,
            observe=observe,
        )
        self.plane.subscribe(self._note)
        self._noted = asyncio.Event()

    def _note(self, event: MediaEvent) -> None:
        self.events.append(event)
        self._noted.set()

    def make_voice(self, session_id: str, spec: VoiceSpec, host: VoiceHost) -> FakeVoice:
        if spec.agent_id == "mute":
            raise NotConfigured("no voice", code="voice_not_configured")
        self.voices.append(FakeVoice(host))
        return self.voices[-1]

    async def open(self, session_id: str = "c1", patience: float = 60.0) -> SessionOpened:
        return await self.plane.open(OpenSession(session_id, LOCALHOST, patience))

    async def reported(self) -> list[MediaEvent]:
        """Events so far; they are delivered by the event loop."""
        await asyncio.sleep(0)
        return self.events

    async def until(self, count: int) -> list[MediaEvent]:
        """The events, once there are ``count``."""
        async with asyncio.timeout(5):
            while len(self.events) < count:
                self._noted.clear()
                await self._noted.wait()
        return self.events


@contextlib.asynccontextmanager
async def node(observe: Callable[[SessionReport], None] | None = None) -> AsyncIterator[Node]:
    made = Node(observe)
    try:
        yield made
    finally:
        await made.plane.stop()


def audio(port: int, number: int = 0, codec: str = "PCMU", **changes: Any) -> NegotiatedAudio:
    return NegotiatedAudio(RtpAddress(LOCALHOST, port), codec, number, **changes)


@contextlib.contextmanager
def phone_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((LOCALHOST, 0))
        phone.setblocking(False)
        yield phone


def tone(samples: int, hz: float, rate: int = 8000) -> bytes:
    wave = (int(8000 * math.sin(2 * math.pi * hz * n / rate)) for n in range(samples))
    return struct.pack(f"<{samples}h", *wave)


@contextlib.asynccontextmanager
async def front_door(plane: MediaPlane, session_id: str = "c1") -> AsyncIterator[str]:
    """An HTTP server that hands every connection over to the plane; yields its URL."""
    readers: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        connection = duplicate_socket(writer.transport)
        writer.transport.abort()
        plane.attach_stream(session_id, connection, request)

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(accept(reader, writer))
        readers.add(task)
        task.add_done_callback(readers.discard)

    server = await asyncio.start_server(accepted, LOCALHOST, 0)
    try:
        yield f"ws://{LOCALHOST}:{server.sockets[0].getsockname()[1]}/api/call/{session_id}/stream"
    finally:
        server.close()


async def receive(ws: ClientConnection) -> dict[str, Any]:
    answer = json.loads(await asyncio.wait_for(ws.recv(), 5))
    assert isinstance(answer, dict)
    return answer
