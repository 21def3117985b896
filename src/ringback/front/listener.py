"""The listening sockets and uvicorn, started and stopped by us and not by its signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ringback.core.errors import StartupError
from ringback.front.http_protocol import http_protocol
from ringback.front.stream_door import StreamDoor

BACKLOG = 1024
MAX_CONNECTIONS = 5000
"""HTTP connections and requests at once; call streams do not count, they are handed over."""
KEEP_ALIVE_SECONDS = 30
MAX_EVENT_MESSAGE = 64 * 1024
"""The most a client may send in one message of ``/api/events``."""
STOP_SECONDS = 5
"""How long requests that are under way may take when the listener closes."""


class _Server(uvicorn.Server):
    """Signals are the program's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _WebSockets(WebSocketsSansIOProtocol):
    """uvicorn takes a refusal of the upgrade for a handshake that was never answered, and logs an
    error for each. It has been answered."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True


class HttpListener:
    def __init__(self, host: str, port: int, app: ASGIApp, door: StreamDoor) -> None:
        self._host = host
        self._port = port
        self._config = uvicorn.Config(
            app,
            http=http_protocol(door),
            ws=_WebSockets,
            ws_max_size=MAX_EVENT_MESSAGE,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = _Server(self._config)
        self._sockets: list[socket.socket] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else self._port

    async def bind(self) -> None:
        """Take the port. Raises ``StartupError`` when it cannot be had."""
        self._sockets = await _bind(self._host, self._port)

    async def start(self) -> None:
        """Serve. :meth:`bind` came before."""
        self._task = asyncio.create_task(
            self._server.serve(sockets=self._sockets), name="http-listener"
        )
        while not self._server.started:
            if self._task.done():
                await self._task
                raise StartupError("The HTTP listener did not start.")
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Take no more connections, let requests finish, close the WebSockets (1012)."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for listening in self._sockets:
            listening.close()
        self._sockets = []


async def _bind(host: str, port: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise StartupError(
            f"RINGBACK_HTTP_HOST is {host}, which is no address of this machine: {error}."
        ) from error
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            same_port = port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)
            listening.bind((address[0], same_port, *address[2:]))
            listening.listen(BACKLOG)
            listening.setblocking(False)
    except OSError as error:
        for listening in sockets:
            listening.close()
        raise _explain(host, port, error) from error
    return sockets


def _explain(host: str, port: int, error: OSError) -> StartupError:
    match error.errno:
        case errno.EADDRINUSE:
            return StartupError(
                f"Port {port} (RINGBACK_HTTP_PORT) is in use by another program.",
                hint="Stop that program, or choose another port, such as --http-port 8081.",
            )
        case errno.EACCES:
            return StartupError(
                f"Port {port} (RINGBACK_HTTP_PORT) may not be used by this user.",
                hint="Ports below 1024 need privileges: choose a higher one.",
            )
        case errno.EADDRNOTAVAIL:
            return StartupError(f"RINGBACK_HTTP_HOST is {host}, no address of this machine.")
        case _:
            return StartupError(
                f"The HTTP listener cannot use {host}:{port} "
                f"(RINGBACK_HTTP_HOST, RINGBACK_HTTP_PORT): {error.strerror}."
            )
