"""What the tests of the call WebSocket share: a session that is ticked by hand, and clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from ringback.media.agent_port import BridgePort
from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.stream import CallStream
from ringback.media.stream_messages import Json
from ringback.media.stream_socket import duplicate_socket, serve
from unit.media.ticked_leg import TickedLeg

UPGRADE = (
    b"GET /api/call/c1/stream?api_key=k HTTP/1.1\r\n"
    b"Host: gateway\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Cookie: a=b\r\n\r\n"
)


def deaf_client(port: int, request: bytes = UPGRADE) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(request)
    return client


def level(value: int, samples: int = 160) -> bytes:
    return struct.pack(f"<{samples}h", *([value] * samples))


class Leg(TickedLeg):
    def __init__(self) -> None:
        self.says: bytes | None = None
        self.heard: list[bytes | None] = []

    def read(self, now: float) -> bytes | None:
        return self.says

    def write(self, frame: bytes | None, now: float) -> None:
        self.heard.append(frame)

    def skip(self, frames: int) -> None:
        raise AssertionError("no tick is left out here")

    def set_sample_rate(self, sample_rate: int) -> None:
        """Constant frames of any length do."""


class Host:
    """A session around a bridge that is ticked by hand."""

    def __init__(self, *, talking: bool = True) -> None:
        """Without ``talking`` all that agents say waits."""
        self.counters = MediaCounters()
        self.bridge = AudioBridge(8000, self.counters)
        self.bridge.talking = talking
        self.leg = Leg()
        self.bridge.set_leg(self.leg)
        self.streams: list[CallStream] = []
        self.commands: list[Json] = []
        self.closed: list[int] = []
        self.gone = asyncio.Event()
        self.full = False

    @property
    def elapsed_ms(self) -> int:
        return 1240

    def new_stream(self) -> CallStream | None:
        return None if self.full else CallStream("s1", self, self.counters)

    def stream_opened(self, stream: CallStream) -> BridgePort:
        self.streams.append(stream)
        return self.bridge.attach(stream, None, listening=False)

    def stream_closed(self, stream: CallStream, code: int) -> None:
        self.closed.append(code)
        self.gone.set()

    def stream_command(self, stream: CallStream, message: Json) -> None:
        self.commands.append(message)


@contextlib.asynccontextmanager
async def http_server(host: Host) -> AsyncIterator[int]:
    """Reads an upgrade request like an HTTP server does and hands the connection over."""
    handovers: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        connection = duplicate_socket(writer.transport)
        writer.transport.abort()
        await serve(connection, request, host.new_stream)

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(accept(reader, writer))
        handovers.add(task)
        task.add_done_callback(handovers.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for stream in host.streams:
            await asyncio.wait_for(stream.wait_closed(), 5)


@contextlib.asynccontextmanager
async def attached(host: Host) -> AsyncIterator[ClientConnection]:
    async with (
        http_server(host) as port,
        websockets.connect(f"ws://127.0.0.1:{port}/api/call/c1/stream", compression=None) as ws,
    ):
        yield ws


async def receive(ws: ClientConnection) -> dict[str, Any]:
    message = await asyncio.wait_for(ws.recv(), 5)
    answer = json.loads(message)
    assert isinstance(message, str)
    assert isinstance(answer, dict)
    return answer


async def ask(ws: ClientConnection, message: object) -> dict[str, Any]:
    await ws.send(json.dumps(message))
    return await receive(ws)


async def settle(ws: ClientConnection) -> None:
    """Until the server has read everything that was sent before."""
    pong = await ws.ping()
    await asyncio.wait_for(pong, 5)
