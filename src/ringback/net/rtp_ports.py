"""UDP ports for media: an even port for RTP and the next one for RTCP (RFC 3550 11).

Both sockets are really bound, so a port that somebody else holds is skipped. Ports go round: a
closed pair rests before it is used again, so that no caller hears the end of another call. Only
when no other pair is left does the one that has rested longest go to work early.
"""

from __future__ import annotations

import errno
import itertools
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ringback.core.clock import Clock
from ringback.core.errors import Unavailable

QUARANTINE = 30.0
"""Seconds that a closed pair rests. A peer that missed the BYE sends on for about that long."""
MIN_REST = 2.0
"""Seconds that a pair rests at least, when calls come so fast that no rested one is left: what
was on its way to the old call has arrived by then, and was refused."""
MAX_BIND_ATTEMPTS = 256
"""Pairs tried for one call when others hold them; the next call tries the following ones."""
RECEIVE_BUFFER = 32 * 1024
"""SO_RCVBUF of both sockets, in bytes; Linux takes it twice, for about 80 packets of 20 ms. Nobody
wants to hear older ones, and a node that was stopped for seconds would have to work them off."""
EXPEDITED_FORWARDING = 0xB8
"""DSCP EF in the TOS byte: voice (RFC 4594 4.1)."""
FEW_PAIRS = 50
"""Below this many calls ``probe`` says that the range is small."""

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED_PORTS = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")


@dataclass(frozen=True, slots=True)
class RtpSockets:
    """Two bound, non-blocking UDP sockets. Give them back with ``RtpPorts.release``."""

    rtp: socket.socket
    rtcp: socket.socket
    port: int
    """The RTP port; RTCP is on ``port + 1``."""


@dataclass(slots=True)
class RtpPortCounters:
    in_use: int = 0
    skipped: int = 0
    """Pairs that somebody else held."""
    refused: int = 0
    """Calls that got no pair."""
    early: int = 0
    """Pairs used again before their quarantine was over, because no other was left."""


class RtpPorts:
    """The port pairs from ``first`` to ``last``, both included."""

    def __init__(
        self, first: int, last: int, *, clock: Clock, quarantine: float = QUARANTINE
    ) -> None:
        """Raises ``ValueError`` for a range without room for one pair."""
        even = range(first + first % 2, last, 2)
        if not even or first < 1 or last > 65535:
            raise ValueError(f"no pair of ports in {first}-{last}")
        self.counters = RtpPortCounters()
        self._first, self._last = first, last
        self._pairs = len(even)
        self._clock = clock
        self._quarantine = quarantine
        self._free = deque(even)
        self._resting: deque[tuple[float, int]] = deque()

    @property
    def pairs(self) -> int:
        """How many calls the range has room for."""
        return self._pairs

    def bind(self, host: str) -> RtpSockets:
        """Bind the next free pair on ``host`` (an IP literal).

        Raises ``Unavailable`` (code ``no_rtp_port``) when there is none.
        """
        self._wake()
        for port in itertools.islice(self._next_pairs(), MAX_BIND_ATTEMPTS):
            try:
                sockets = _bind_pair(host, port)
            except OSError as error:
                self._free.append(port)
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise self._none(f"{host}: {error.strerror}") from error
                self.counters.skipped += 1
                continue
            self.counters.in_use += 1
            return sockets
        raise self._none(f"all pairs of {self._first}-{self._last} are in use or resting")

    def release(self, sockets: RtpSockets) -> None:
        """Close both sockets; the pair rests for the quarantine. Once per pair."""
        sockets.rtp.close()
        sockets.rtcp.close()
        self.counters.in_use -= 1
        self._resting.append((self._clock.monotonic(), sockets.port))

    def probe(
        self, ephemeral_range: Path = EPHEMERAL_RANGE, reserved_ports: Path = RESERVED_PORTS
    ) -> list[str]:
        """What may go wrong with this range on this machine, in sentences; empty if nothing."""
        return [
            *self._probe_size(),
            *self._probe_ephemeral(_read(ephemeral_range), _read(reserved_ports)),
        ]

    def _wake(self) -> None:
        rested = self._clock.monotonic() - self._quarantine
        while self._resting and self._resting[0][0] <= rested:
            self._free.append(self._resting.popleft()[1])

    def _next_pairs(self) -> Iterator[int]:
        """Every free pair once, then the resting ones that have rested at least a little."""
        for _ in range(len(self._free)):
            yield self._free.popleft()
        rested = self._clock.monotonic() - MIN_REST
        while self._resting and self._resting[0][0] <= rested:
            self.counters.early += 1
            yield self._resting.popleft()[1]

    def _none(self, why: str) -> Unavailable:
        self.counters.refused += 1
        return Unavailable(
            f"No RTP port is free: {why}.",
            code="no_rtp_port",
            hint="Try again later, or give RINGBACK_RTP_PORTS a wider range.",
        )

    def _probe_size(self) -> Iterator[str]:
        if self._pairs < FEW_PAIRS:
            yield (
                f"RTP ports {self._first}-{self._last} have room for {self._pairs} calls at once, "
                f"and a closed pair rests {self._quarantine:g} s: widen RINGBACK_RTP_PORTS."
            )

    def _probe_ephemeral(self, ephemeral: str, reserved: str) -> Iterator[str]:
        words = ephemeral.split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return
        low, high = int(words[0]), int(words[1])
        overlap = set(range(self._first, self._last + 1)) & set(range(low, high + 1))
        overlap -= _reserved(reserved)
        if overlap:
            yield (
                f"RTP ports {self._first}-{self._last} overlap the kernel's ephemeral ports "
                f"{low}-{high}: another program's outgoing traffic may take one. Choose ports "
                f"below {low}, or reserve them: "
                f"sysctl net.ipv4.ip_local_reserved_ports={self._first}-{self._last}"
            )


def _bind_pair(host: str, port: int) -> RtpSockets:
    rtp = _bind(host, port)
    try:
        return RtpSockets(rtp, _bind(host, port + 1), port)
    except OSError:
        rtp.close()
        raise


def _bind(host: str, port: int) -> socket.socket:
    ipv6 = ":" in host
    bound = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _mark_as_voice(bound, ipv6)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _mark_as_voice(bound: socket.socket, ipv6: bool) -> None:
    """Best effort: some sandboxes refuse the option, and calls work without it."""
    try:
        if ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, EXPEDITED_FORWARDING)
        else:
            bound.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED_FORWARDING)
    except OSError:
        return


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, ValueError):
        return ""


def _reserved(text: str) -> set[int]:
    """The format of ``ip_local_reserved_ports``: ``8080,9148-9200``."""
    ports: set[int] = set()
    for piece in text.strip().split(","):
        low, dash, high = piece.partition("-")
        if low.isdigit() and (not dash or high.isdigit()):
            ports.update(range(int(low), int(high or low) + 1))
    return ports
