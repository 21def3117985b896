"""Turning a handed-over TCP connection and its upgrade request into a call stream (RFC 6455).

The connection was accepted, and the request read and authenticated, by the HTTP server; from
``serve`` on the socket belongs to the media side.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from http import HTTPStatus

from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import (  # type: ignore[attr-defined]  # its stub leaves WSProtocol out
    WSAutoPingStrategy,
    WSProtocol,
)

from ringback.media.stream import MAX_FRAME_BYTES, PING_SECONDS

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
MAX_REQUEST_BYTES = 16 * 1024
_READ_BUFFER = 4 * 1024

ListenerFactory = Callable[[], WSListener | None]
"""The listener of an accepted stream, ``None`` when the session takes no more."""


class _HandedOver(WSProtocol):  # type: ignore[misc]  # an untyped extension class
    """picows's protocol, with the request fed to it before the socket is read for the first
    time: on uvloop a read may come before the code that awaited the connection goes on."""

    def __init__(self, factory: Callable[[WSUpgradeRequest], object], request: bytes) -> None:
        super().__init__(
            None,  # host_port: client side only
            None,  # ws_path: client side only
            False,  # is_client_side
            factory,
            logger,
            True,  # disconnect_on_exception
            HANDSHAKE_SECONDS,
            True,  # enable_auto_ping
            PING_SECONDS,
            PING_SECONDS,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            True,  # enable_auto_pong
            MAX_FRAME_BYTES,
            None,  # extra_headers
            _READ_BUFFER,
        )
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        request, self._request = memoryview(self._request), b""
        while request:
            buffer = self.get_buffer(len(request))
            size = min(len(buffer), len(request))
            buffer[:size] = request[:size]
            request = request[size:]
            self.buffer_updated(size)


async def serve(connection: socket.socket, request: bytes, listener: ListenerFactory) -> None:
    """Answer the upgrade request on ``connection``, which is owned from here on.

    A malformed request gets 400, and 503 when ``listener`` returns ``None``. Never raises for
    what the peer does.
    """

    def choose(upgrade: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        accepted = listener()
        if accepted is not None:
            return accepted
        return refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too_many_streams",
            "This call has as many streams as it may have.",
        )

    await _connect(connection, request, choose)


async def refuse_ended(connection: socket.socket, request: bytes) -> None:
    """Answer the upgrade request of a call that has no media (any more) with 404."""

    def choose(upgrade: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        return refusal(HTTPStatus.NOT_FOUND, "call_not_found", "This call is over.")

    await _connect(connection, request, choose)


def refusal(status: HTTPStatus, code: str, message: str) -> WSUpgradeResponseWithListener:
    error = {"code": code, "message": message, "hint": "", "retryable": status >= 500}
    body = json.dumps({"error": error}).encode()
    response = WSUpgradeResponse.create_error_response(
        status, body, {"Content-Type": "application/json"}
    )
    return WSUpgradeResponseWithListener(response, None)


async def _connect(
    connection: socket.socket,
    request: bytes,
    choose: Callable[[WSUpgradeRequest], object],
) -> None:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    upgrade = canonical_request(request)
    try:
        await loop.connect_accepted_socket(lambda: _HandedOver(choose, upgrade), connection)
    except OSError:
        # The peer was gone before the handover was done.
        connection.close()


def canonical_request(request: bytes) -> bytes:
    """The upgrade request, reduced to what the handshake needs.

    ``Connection`` is a list (browsers send ``keep-alive, Upgrade``), which picows compares as a
    whole. Bytes after the header block, if any, stay. A request that is too long or has no end
    is replaced by one that gets the 400 it deserves.
    """
    head, end, tail = request.partition(b"\r\n\r\n")
    if not end or len(head) > MAX_REQUEST_BYTES:
        return b"GET / HTTP/1.1\r\nHost: invalid\r\n\r\n"
    request_line, *lines = head.split(b"\r\n")
    kept = [request_line]
    for line in lines:
        name, _, value = line.partition(b":")
        lowered = name.strip().lower()
        if lowered == b"connection":
            tokens = [token.strip().lower() for token in value.split(b",")]
            if b"upgrade" in tokens:
                kept.append(b"Connection: Upgrade")
        elif lowered in _HANDSHAKE_HEADERS:
            kept.append(line)
    return b"\r\n".join(kept) + end + tail


_HANDSHAKE_HEADERS = {b"host", b"upgrade", b"sec-websocket-key", b"sec-websocket-version"}


def duplicate_socket(transport: asyncio.BaseTransport) -> socket.socket:
    """A socket of one's own for the connection behind an HTTP server's ``transport``.

    Close the transport afterwards, before the copy is served: it must not read any more. Raises
    ``OSError`` when the connection is gone already.
    """
    original = transport.get_extra_info("socket")
    return socket.socket(fileno=os.dup(original.fileno()))
