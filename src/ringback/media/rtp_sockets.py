"""The UDP sockets of the phone legs on the event loop.

All of them share one epoll set, which the event loop watches as a single file: a wake-up of the
loop serves every socket that is ready, one datagram each or a few, so that no flood on one port
delays the others. Packets are sent straight on the socket: UDP either takes a datagram now or drops
it, and a voice packet that had to wait is worth nothing.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import Callable
from time import monotonic, sleep
from typing import ClassVar, Self
from weakref import WeakKeyDictionary

from ringback.core.clock import Clock
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.outbox import Outbox, running_outbox
from ringback.net.rtp_ports import RtpSockets

logger = logging.getLogger(__name__)

Receive = Callable[[bytes, Address, float], None]

MAX_DATAGRAM = 4096
GATHER_SECONDS = 0.0005
GATHER_SECONDS_PER_SOCKET = 2e-6
"""How long datagrams may gather before a wake-up, at most and by the number of sockets. A wake-up
for each would cost more than what it brings: 25,000 a second are 12 in half a millisecond."""
MAX_BATCH = 256
"""Datagrams of one wake-up: what else the event loop has to do comes in between. Where that takes
long, a small batch could not keep up with what comes in."""
MAX_MORE = 16
"""Datagrams more of a socket that had one in the round before, too: one that is flooded must not
lose the call's own among them."""


class _Port:
    """One socket: whom its datagrams go to, and the last round in which there was one."""

    __slots__ = ("counters", "failed", "now", "receive", "recvfrom", "round", "socket")

    def __init__(
        self, sock: socket.socket, receive: Receive, clock: Clock, counters: MediaCounters
    ) -> None:
        self.socket = sock
        self.recvfrom = sock.recvfrom
        self.receive = receive
        self.now = clock.monotonic
        self.counters = counters
        self.failed = False
        self.round = -1

    def failed_on(self) -> None:
        self.counters.receive_errors += 1
        if not self.failed:
            self.failed = True
            logger.exception("a datagram broke a media port; further ones are counted only")


class DatagramPoller:
    """The epoll set of one event loop; it is there while it has sockets."""

    _running: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, DatagramPoller]] = (
        WeakKeyDictionary()
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._ports: dict[int, _Port] = {}
        self._last = 0.0
        self._round = 0
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    @classmethod
    def of_running_loop(cls) -> Self:
        loop = asyncio.get_running_loop()
        poller = cls._running.get(loop)
        if poller is None:
            poller = cls._running[loop] = cls(loop)
        return poller  # type: ignore[return-value]  # there are no subclasses

    def add(self, port: _Port) -> None:
        """Raises ``OSError``."""
        number = port.socket.fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._ports[number] = port

    def remove(self, port: _Port) -> None:
        number = port.socket.fileno()
        if self._ports.get(number) is not port:
            return
        del self._ports[number]
        self._epoll.unregister(number)
        if not self._ports:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            del self._running[self._loop]

    def _on_ready(self) -> None:
        ports = self._ports
        gather = min(GATHER_SECONDS, len(ports) * GATHER_SECONDS_PER_SOCKET)
        wait = self._last + gather - monotonic()
        if wait > 0:
            # All of the loop waits: what else comes in meanwhile is gathered, too.
            sleep(wait)
        self._last = monotonic()
        self._round += 1
        for number, _ in self._epoll.poll(0, MAX_BATCH):
            port = ports.get(number)
            if port is None:
                continue
            more = MAX_MORE if port.round == self._round - 1 else 0
            port.round = self._round
            while self._receive(port) and more and ports.get(number) is port:
                more -= 1

    def _receive(self, port: _Port) -> bool:
        """Take one datagram; whether there was one."""
        try:
            data, address = port.recvfrom(MAX_DATAGRAM)
        except BlockingIOError:
            return False
        except OSError:
            port.counters.socket_errors += 1
            return False
        try:
            port.receive(data, address, port.now())
        except Exception:
            port.failed_on()
        return True


class RtpEndpoint:
    """Both ports of one leg, open from ``open`` to ``close``."""

    def __init__(self, sockets: RtpSockets, clock: Clock, counters: MediaCounters) -> None:
        self._sockets = sockets
        self._sendto = sockets.rtp.sendto
        self._clock = clock
        self._counters = counters
        self._poller: DatagramPoller | None = None
        self._ports: tuple[_Port, ...] = ()
        self._outbox: Outbox | None = None
        self._closed = False

    def open(self, on_rtp: Receive, on_rtcp: Receive) -> None:
        """Start receiving. Raises ``OSError``; ``close`` cleans up then too."""
        poller = self._poller = DatagramPoller.of_running_loop()
        self._outbox = running_outbox()
        for sock, receive in ((self._sockets.rtp, on_rtp), (self._sockets.rtcp, on_rtcp)):
            port = _Port(sock, receive, self._clock, self._counters)
            poller.add(port)
            self._ports = (*self._ports, port)

    def receive_rtp(self, receive: Receive) -> None:
        """Give what comes on the RTP port to ``receive`` from now on."""
        if self._ports:
            self._ports[0].receive = receive

    def send_rtp(self, data: bytes, address: Address) -> None:
        if self._closed:
            return
        if self._outbox is not None:
            self._outbox.flush()
        try:
            self._sendto(data, address)
        except OSError:
            self._refused()

    def post_rtp(self, data: bytes, address: Address) -> None:
        """``send_rtp`` at the end of this round of the event loop."""
        if self._outbox is not None and not self._closed:
            self._outbox.post(self._sendto, data, address, self._refused)

    def _refused(self) -> None:
        self._counters.send_failed += 1

    def send_rtcp(self, data: bytes, address: Address) -> None:
        if self._closed:
            return
        try:
            self._sockets.rtcp.sendto(data, address)
        except OSError:
            self._refused()

    def close(self) -> None:
        """Nothing is received or sent after that. Twice is once."""
        if self._outbox is not None:
            self._outbox.flush()
        self._closed = True
        ports, self._ports = self._ports, ()
        if self._poller is not None:
            for port in ports:
                self._poller.remove(port)
