"""Whose packets a phone leg believes: symmetric RTP with a latch that strangers cannot move.

The SDP says where the far end claims to be; behind a NAT it really is somewhere else. So the
first source that proves itself is latched, once. The address from the SDP needs no proof; any
other one shows ``PROBATION`` packets in a row. Later on only a re-negotiation opens the latch.
Within a source one SSRC is followed; another one takes over when the first has fallen silent
(a PBX that connects somebody else without telling us does that), never beside it.
"""

from __future__ import annotations

import ipaddress
from enum import Enum, auto

Address = tuple[str, int] | tuple[str, int, int, int]
"""Host and port; of an IPv6 source also flow and scope, which belong to sending there."""

PROBATION = 3
"""Packets in sequence from one source and SSRC until it is believed."""
SSRC_SILENCE_SECONDS = 0.1
"""How long the present SSRC must be silent before another one is considered."""
SIGNALLED_WINS_SECONDS = 5.0
"""How long after latching elsewhere the address from the SDP may still claim the stream."""


class Verdict(Enum):
    ACCEPTED = auto()
    NEW_SOURCE = auto()
    """Accepted, and the first packet of another address or SSRC than before."""
    WRONG_SOURCE = auto()
    WRONG_SSRC = auto()


class _Candidate:
    """A source on probation."""

    __slots__ = ("count", "key", "next_sequence")

    def __init__(self) -> None:
        self.key: tuple[Address | None, int] = (None, 0)
        self.next_sequence = 0
        self.count = 0

    def proved(self, address: Address | None, ssrc: int, sequence: int) -> bool:
        """Count a packet; whether this source has shown enough of them in a row."""
        if self.key == (address, ssrc) and sequence == self.next_sequence:
            self.count += 1
        else:
            self.key = (address, ssrc)
            self.count = 1
        self.next_sequence = (sequence + 1) & 0xFFFF
        if self.count < PROBATION:
            return False
        self.count = 0
        self.key = (None, 0)
        return True


class SourceLatch:
    """The state of one leg. ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._signalled: Address | None = None
        self._previous: Address | None = None
        self._source: Address | None = None
        self._latched_at = 0.0
        self._ssrc: int | None = None
        self._ssrc_open = True
        self._heard_at = 0.0
        self._candidate = _Candidate()

    @property
    def source(self) -> Address | None:
        """The latched address, ``None`` while the latch is open."""
        return self._source

    @property
    def ssrc(self) -> int | None:
        return self._ssrc

    @property
    def send_to(self) -> Address | None:
        """Where to send: the latched source, else what the SDP said, if that can be sent to."""
        return self._source or self._signalled

    def negotiate(self, signalled: Address, *, reopen: bool) -> None:
        """A new SDP. The latch opens when its address changed, or when the caller says that the
        stream starts anew (``reopen``); otherwise a known source stays latched."""
        usable = _normal(signalled) if is_usable(signalled) else None
        if reopen or usable != self._signalled:
            self._previous = self._source
            self._source = None
            self._candidate = _Candidate()
        self._signalled = usable
        self._ssrc_open = True

    def judge(self, address: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Whether a well-formed RTP packet is one of ours. Moves the latch if it proves to be."""
        if address != self._source:
            if not self._may_latch(address, ssrc, sequence, now):
                return Verdict.WRONG_SOURCE
            self._source = address
            self._latched_at = now
            self._follow(ssrc, now)
            return Verdict.NEW_SOURCE
        if ssrc == self._ssrc:
            self._heard_at = now
            return Verdict.ACCEPTED
        if not self._may_follow(ssrc, sequence, now):
            return Verdict.WRONG_SSRC
        self._follow(ssrc, now)
        return Verdict.NEW_SOURCE

    def _may_latch(self, address: Address, ssrc: int, sequence: int, now: float) -> bool:
        named = address[:2]
        if self._source is None:
            if named == self._signalled or address == self._previous:
                return True
            return is_usable(address) and self._candidate.proved(address, ssrc, sequence)
        return (
            named == self._signalled
            and self._source[:2] != self._signalled
            and now - self._latched_at <= SIGNALLED_WINS_SECONDS
        )

    def _may_follow(self, ssrc: int, sequence: int, now: float) -> bool:
        if self._ssrc_open:
            return True
        if now - self._heard_at < SSRC_SILENCE_SECONDS:
            return False
        return self._candidate.proved(None, ssrc, sequence)

    def _follow(self, ssrc: int, now: float) -> None:
        self._ssrc = ssrc
        self._ssrc_open = False
        self._heard_at = now


def is_usable(address: Address) -> bool:
    """Whether RTP can be sent there: a unicast address and a port (``0.0.0.0`` is hold)."""
    host, port = address[0], address[1]
    try:
        ip = ipaddress.ip_address(host)  # whole: what is no literal, a socket would ask DNS for
    except ValueError:
        return False
    return (
        0 < port < 65536
        and host.isascii()
        and not ip.is_multicast
        and not ip.is_unspecified
        and ip != _BROADCAST
        and (ip.version == 6 or not ip.is_reserved)
    )


def _normal(address: Address) -> Address:
    """With the host spelled as the socket spells it."""
    return str(ipaddress.ip_address(address[0])), address[1]


_BROADCAST = ipaddress.ip_address("255.255.255.255")
