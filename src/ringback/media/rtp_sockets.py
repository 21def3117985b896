"""The UDP sockets of a phone leg on the event loop.

Packets are sent straight on the socket: UDP either takes a datagram now or drops it, and a voice
packet that had to wait is worth nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from ringback.core.clock import Clock
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.net.rtp_ports import RtpSockets

logger = logging.getLogger(__name__)

Receive = Callable[[bytes, Address, float], None]


class _Port(asyncio.DatagramProtocol):
    def __init__(self, receive: Receive, clock: Clock, counters: MediaCounters) -> None:
        self._receive = receive
        self._now = clock.monotonic
        self._counters = counters
        self._failed = False
        self.closed = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            self._receive(data, addr, self._now())
        except Exception:
            self._counters.receive_errors += 1
            if not self._failed:
                self._failed = True
                logger.exception("a datagram broke a media port; further ones are counted only")

    def error_received(self, exc: Exception) -> None:
        self._counters.socket_errors += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


class RtpEndpoint:
    """Both ports of one leg, open from ``open`` to ``close``."""

    def __init__(self, sockets: RtpSockets, clock: Clock, counters: MediaCounters) -> None:
        self._sockets = sockets
        self._clock = clock
        self._counters = counters
        self._open: list[tuple[asyncio.DatagramTransport, _Port]] = []
        self._closed = False

    async def open(self, on_rtp: Receive, on_rtcp: Receive) -> None:
        """Start receiving. Raises ``OSError``; ``close`` cleans up then too."""
        loop = asyncio.get_running_loop()
        for sock, receive in ((self._sockets.rtp, on_rtp), (self._sockets.rtcp, on_rtcp)):
            port = _Port(receive, self._clock, self._counters)
            transport, _ = await loop.create_datagram_endpoint(_given(port), sock=sock)
            self._open.append((transport, port))
            if self._closed:
                transport.abort()
                await port.closed.wait()
                raise OSError(errno.ECANCELED, "closed while it was opened")

    def send_rtp(self, data: bytes, address: Address) -> None:
        self._send(self._sockets.rtp, data, address)

    def send_rtcp(self, data: bytes, address: Address) -> None:
        self._send(self._sockets.rtcp, data, address)

    def _send(self, sock: socket.socket, data: bytes, address: Address) -> None:
        if self._closed:
            return
        try:
            sock.sendto(data, address)
        except OSError:
            self._counters.send_failed += 1

    async def close(self) -> None:
        """Stop; returns when the event loop has let go of both sockets. Twice is once."""
        self._closed = True
        open_ports, self._open = self._open, []
        for transport, _ in open_ports:
            with contextlib.suppress(OSError):
                transport.abort()
        for _, port in open_ports:
            await port.closed.wait()


def _given(port: _Port) -> Callable[[], _Port]:
    return lambda: port
