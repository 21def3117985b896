"""One UDP socket for SIP that also hears what ICMP says about its datagrams.

The socket is read and written directly rather than through an asyncio datagram transport: only
so can a send that fails, or a "port unreachable" that comes back, be told of the very
transmission that it concerns (RFC 3261 18.4).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ringback.sip.transport import Hop, Transmission

MAX_DATAGRAM = 65_535
READ_BATCH = 64
READ_SECONDS = 0.002
"""Datagrams taken per wake-up, and how long that may take: a flood on UDP must starve neither
media nor timers, which share the loop."""
BUFFER_BYTES = 4 * 1024 * 1024
"""Asked of the kernel for both directions; it gives what ``net.core.?mem_max`` allows."""
MAX_REMEMBERED = 1024
"""Transmissions that an ICMP error can still be matched with, and sources whose hop is known; the
oldest is forgotten first."""
MAX_ERRORS = 64
"""ICMP errors taken per wake-up."""

_IP_RECVERR = 11
_IPV6_RECVERR = 25
_EXTENDED_ERROR = struct.Struct("=IBBBB")
_QUOTED_BYTES = 2048
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})

Address = tuple[str, int]


@dataclass(slots=True)
class UdpCounters:
    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    send_failures: int = 0
    send_buffer_full: int = 0
    unreachable: int = 0
    """Transmissions that an ICMP error came back for."""
    reads_cut_short: int = 0
    """Wake-ups that left datagrams for the next one because of the time."""


class SipUdpSocket:
    """Bound to ``host`` (an IP literal) and ``port`` (0: any). ``on_datagram`` gets each datagram
    with the UDP hop that it came from, ``on_failure`` each transmission that failed after it was
    handed over. Raises ``OSError`` when it cannot be bound."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_datagram: Callable[[bytes, Hop], None],
        on_failure: Callable[[Transmission], None],
    ) -> None:
        self.counters = UdpCounters()
        self._on_datagram = on_datagram
        self._on_failure = on_failure
        self._socket = _bind(host, port)
        self._loop = asyncio.get_running_loop()
        self._error_taken = False
        self._buffer = bytearray(MAX_DATAGRAM)
        self._view = memoryview(self._buffer)
        self._remembered: deque[tuple[Address, Transmission]] = deque(maxlen=MAX_REMEMBERED)
        self._loop.add_reader(self._socket, self._on_readable)

    @property
    def ipv6(self) -> bool:
        return self._socket.family == socket.AF_INET6

    @property
    def address(self) -> Address:
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def send(self, transmission: Transmission) -> bool:
        """Send now; ``False`` if the system refuses. A full buffer loses the datagram, as a
        network may: it is counted and retransmission is left to SIP."""
        hop = transmission.destination.hop
        address = (hop.host, hop.port)
        for _ in range(MAX_ERRORS):
            try:
                self._socket.sendto(transmission.data, address)
            except (BlockingIOError, InterruptedError):
                self.counters.send_buffer_full += 1
                return True
            except OSError as error:
                if error.errno in _UNREACHABLE and self._take_errors():
                    continue  # it was about an earlier datagram
                self.counters.send_failures += 1
                return False
            except (OverflowError, UnicodeError, ValueError):
                self.counters.send_failures += 1
                return False
            break
        self.counters.sent += 1
        self.counters.sent_bytes += len(transmission.data)
        if transmission.key:
            self._remembered.append((address, transmission))
        return True

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _on_readable(self) -> None:
        until = time.monotonic() + READ_SECONDS
        perhaps_errors = True
        for _ in range(READ_BATCH):
            try:
                size, source = self._socket.recvfrom_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._error_taken = perhaps_errors = True
                continue
            # An error is told before any datagram. One that comes later wakes us up again.
            perhaps_errors = self._error_taken
            self.counters.received += 1
            self.counters.received_bytes += size
            self._on_datagram(bytes(self._view[:size]), _hop(source[0], source[1]))
            if self._socket.fileno() < 0:
                return
            if time.monotonic() >= until:
                self.counters.reads_cut_short += 1
                break
        if perhaps_errors:
            self._take_errors()
        if self._error_taken:
            # libuv stops watching a descriptor that was in error; watch it anew
            self._error_taken = False
            self._loop.remove_reader(self._socket)
            self._loop.add_reader(self._socket, self._on_readable)

    def _take_errors(self) -> int:
        """Read the error queue and report the transmissions concerned; returns how many errors
        there were."""
        taken = 0
        while taken < MAX_ERRORS and self._socket.fileno() >= 0:
            try:
                quoted, ancillary, _, source = self._socket.recvmsg(
                    _QUOTED_BYTES, 512, socket.MSG_ERRQUEUE
                )
            except OSError:
                break
            taken += 1
            self._error_taken = True
            if _is_unreachable(ancillary):
                self._report(quoted, (str(source[0]).partition("%")[0], int(source[1])))
        return taken

    def _report(self, quoted: bytes, destination: Address) -> None:
        """``quoted`` is the beginning of the datagram that did not arrive."""
        for entry in reversed(self._remembered):
            address, transmission = entry
            if address == destination and transmission.data.startswith(quoted):
                self._remembered.remove(entry)
                self.counters.unreachable += 1
                self._loop.call_soon(self._on_failure, transmission)
                return


@lru_cache(MAX_REMEMBERED)
def _hop(host: str, port: int) -> Hop:
    """The same peers send again and again."""
    return Hop("udp", host.partition("%")[0], port)


def _is_unreachable(ancillary: list[tuple[int, int, bytes]]) -> bool:
    for level, kind, data in ancillary:
        expected = (socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)
        if (level, kind) in expected and len(data) >= _EXTENDED_ERROR.size:
            return _EXTENDED_ERROR.unpack_from(data)[0] in _UNREACHABLE
    return False


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "linux":
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                bound.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
