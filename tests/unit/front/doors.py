"""What stands behind the listener in these tests: keys, calls, and an echoing media side."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import ASGIApp
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ringback.core.errors import Conflict, LimitReached, NotFound, Unauthenticated
from ringback.core.http import Principal
from ringback.front.listener import HttpListener
from ringback.front.stream_door import StreamDoor

KEY = "rb_live_test_secret"
CALL = "call_1"


class FakeAuthenticator:
    def __init__(self) -> None:
        self.sources: list[str] = []
        self.asked = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def authenticate(self, key: str, source: str) -> Principal:
        self.sources.append(source)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if key == "too-many":
            raise LimitReached("Too many wrong API keys came from this address.")
        if key == "broken":
            raise RuntimeError("the database is gone")
        if key != KEY:
            raise Unauthenticated("This API key is not valid.")
        return Principal("acct_1", "key_1")


class EchoCalls:
    """``call_1`` is live; its media answers the upgrade and echoes every message."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def stream_target(self, account_id: str, call_id: str) -> str:
        if call_id == "call_early":
            raise Conflict("No active WebSocket connection", code="media_not_ready")
        if call_id != CALL:
            raise NotFound("Call not found", code="call_not_found")
        return call_id

    def attach_stream(self, call_id: str, connection: socket.socket, request: bytes) -> None:
        self.requests.append(request)
        task = asyncio.get_running_loop().create_task(echo(connection, request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def echo(connection: socket.socket, request: bytes) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    protocol = ServerProtocol()
    data = request
    try:
        while data:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    protocol.send_text(event.data)
            for output in protocol.data_to_send():
                writer.write(output)
            if protocol.close_expected():
                break
            data = await reader.read(65536)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


class Node:
    """A listener and what is behind it."""

    def __init__(self, listener: HttpListener, calls: EchoCalls, keys: FakeAuthenticator) -> None:
        self.listener = listener
        self.calls = calls
        self.keys = keys

    @property
    def port(self) -> int:
        return self.listener.port

    def stream(self, call_id: str = CALL, query: str = f"?api_key={KEY}") -> str:
        return f"ws://127.0.0.1:{self.port}/api/call/{call_id}/stream{query}"

    async def raw(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        await writer.drain()
        return reader, writer

    async def settle(self) -> None:
        """Until every check and every stream is over."""
        for tasks in (self.listener._server.server_state.tasks, self.calls.tasks):
            if tasks:
                await asyncio.wait(tasks, timeout=10)


def upgrade(path: str, *headers: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[Node]:
    calls, keys = EchoCalls(), FakeAuthenticator()
    listener = HttpListener("127.0.0.1", 0, app, StreamDoor(keys, calls))
    await listener.bind()
    await listener.start()
    try:
        yield Node(listener, calls, keys)
    finally:
        await listener.stop()
        if calls.tasks:
            await asyncio.wait(calls.tasks, timeout=10)
