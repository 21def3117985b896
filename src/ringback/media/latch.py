"""Whose packets a phone leg believes: symmetric RTP with a latch that strangers cannot move.

The SDP says where the far end claims to be; behind a NAT it really is somewhere else. So the
source that proves itself is latched, once. The address from the SDP needs no proof, and neither
does a packet that SRTP has authenticated; any other source shows ``PROBATION`` packets in a row.
For a short time afterwards a better claim takes the stream back: the address from the SDP from
anybody, another port of its host from a foreign host. Then only a re-negotiation opens the latch.
Within a source one SSRC is followed; another one takes over when the first has fallen silent
(a PBX that connects somebody else without telling us does that), never beside it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from enum import Enum, IntEnum, auto

from ringback.net.public_address import is_private

Address = tuple[str, int] | tuple[str, int, int, int]
"""Host and port; of an IPv6 source also flow and scope, which belong to sending there."""

PROBATION = 3
"""Packets in sequence from one source and SSRC until it is believed."""
PROBATION_SECONDS = 0.5
"""How long a source on probation may be silent before it starts again."""
MAX_CANDIDATES = 64
"""Sources on probation at once; of the least proved ones the oldest gives way."""
SSRC_SILENCE_SECONDS = 0.1
"""How long the present SSRC must be silent before another one is considered."""
SSRC_OPEN_SECONDS = 2.0
"""How long after the first packet behind a new SDP another SSRC is followed at once."""
BETTER_WINS_SECONDS = 5.0
"""How long after latching a better claim may still take the stream over."""


class Verdict(Enum):
    ACCEPTED = auto()
    NEW_SOURCE = auto()
    """Accepted, and the first packet of another address or SSRC than before."""
    WRONG_SOURCE = auto()
    WRONG_SSRC = auto()


class Claim(IntEnum):
    """How good a source's claim to the stream is; lower is better."""

    SIGNALLED = 0
    """The address of the SDP, or where the same person was latched before."""
    SAME_HOST = 1
    """Another port of the SDP's host: a NAT in front of it."""
    ELSEWHERE = 2
    IMPOSSIBLE = 3
    """Not an address that media of this call can come from."""


class AddressPolicy:
    """Which sources make sense for one leg.

    ``own_ports`` are those of the leg's sockets, and ``is_here`` tells whether a host is this
    machine: nobody may have us talk to ourselves. ``private_here``: this node has a private
    address, so that private sources can reach it; without one, they are taken only where the SDP
    names a private address, too.
    """

    def __init__(
        self,
        *,
        own_ports: Collection[int] = (),
        is_here: Callable[[str], bool] = lambda host: False,
        private_here: bool = True,
    ) -> None:
        self._own_ports = frozenset(own_ports)
        self._is_here = is_here
        self._private_here = private_here

    def usable(self, address: Address) -> bool:
        """Whether media can be sent there at all."""
        if not is_usable(address):
            return False
        return address[1] not in self._own_ports or not self._is_here(address[0])

    def claim(self, address: Address, signalled: Address | None) -> Claim:
        """Rank a source against the address of the SDP (as ``normal`` spells it)."""
        if signalled is not None and address[:2] == signalled[:2]:
            return Claim.SIGNALLED
        if not self.usable(address):
            return Claim.IMPOSSIBLE
        if signalled is not None and address[0] == signalled[0]:
            return Claim.SAME_HOST
        if self._private_here or not _is_private(address[0]):
            return Claim.ELSEWHERE
        if signalled is not None and _is_private(signalled[0]):
            return Claim.ELSEWHERE
        return Claim.IMPOSSIBLE


class _Probation:
    """The sources that have not proved themselves yet, a bounded number of them."""

    def __init__(self) -> None:
        self._candidates: dict[tuple[Address | None, int], tuple[int, int, float]] = {}

    def proved(self, address: Address | None, ssrc: int, sequence: int, now: float) -> bool:
        """Count a packet; whether this source has shown enough of them in a row."""
        key = (address, ssrc)
        expected, count, heard_at = self._candidates.pop(key, (-1, 0, now))
        if sequence != expected or now - heard_at > PROBATION_SECONDS:
            count = 0
        if count + 1 >= PROBATION:
            self._candidates.clear()
            return True
        if len(self._candidates) >= MAX_CANDIDATES:
            del self._candidates[min(self._candidates, key=lambda other: self._worth(other, now))]
        self._candidates[key] = ((sequence + 1) & 0xFFFF, count + 1, now)
        return False

    def _worth(self, key: tuple[Address | None, int], now: float) -> int:
        _, count, heard_at = self._candidates[key]
        return count if now - heard_at <= PROBATION_SECONDS else 0

    def clear(self) -> None:
        self._candidates.clear()

    def __len__(self) -> int:
        return len(self._candidates)


class SourceLatch:
    """The state of one leg. ``now`` is monotonic seconds."""

    def __init__(self, policy: AddressPolicy | None = None) -> None:
        self.policy = policy or AddressPolicy()
        self._signalled: Address | None = None
        self._previous: Address | None = None
        self._source: Address | None = None
        self._latched_at = 0.0
        self._authenticated = False
        self._ssrc: int | None = None
        self._ssrc_open = True
        self._ssrc_open_until: float | None = None
        self._heard_at = 0.0
        self._probation = _Probation()

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

    def negotiate(
        self, signalled: Address, *, reopen: bool = False, authenticated: bool = False
    ) -> None:
        """A new SDP. The latch opens when its address changed, or when the caller says that the
        stream starts anew (``reopen``); otherwise a known source stays latched.
        ``authenticated``: SRTP vouches for every packet that ``judge`` is asked about."""
        usable = normal(signalled) if self.policy.usable(signalled) else None
        newly_authenticated = authenticated and not self._authenticated
        if reopen or newly_authenticated or usable != self._signalled:
            self._previous = self._source
            self._source = None
            self._probation.clear()
        self._signalled = usable
        self._authenticated = authenticated
        self._ssrc_open = True
        self._ssrc_open_until = None

    def verified(self, address: Address, now: float) -> None:
        """The far end has proved by a handshake that it is there: an open latch shuts on it."""
        if self._source is None and self._claim(address) is not Claim.IMPOSSIBLE:
            self._latch(address, now)

    def judge(self, address: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Whether a well-formed RTP packet is one of ours. Moves the latch if it proves to be."""
        if address != self._source:
            if not self._may_latch(address, ssrc, sequence, now):
                return Verdict.WRONG_SOURCE
            self._latch(address, now)
            self._follow(ssrc, now)
            return Verdict.NEW_SOURCE
        if ssrc == self._ssrc:
            self._heard_at = now
            if self._ssrc_open:
                self._stay_open_for_a_while(now)
            return Verdict.ACCEPTED
        if not self._may_follow(ssrc, sequence, now):
            return Verdict.WRONG_SSRC
        self._follow(ssrc, now)
        return Verdict.NEW_SOURCE

    def heard(self, address: Address, ssrc: int, now: float) -> bool:
        """As ``judge`` for the usual packet, of the settled source; ``False``: ask ``judge``."""
        if ssrc != self._ssrc or self._ssrc_open or address != self._source:
            return False
        self._heard_at = now
        return True

    def _claim(self, address: Address) -> Claim:
        if address == self._previous and self._previous is not None:
            return Claim.SIGNALLED
        return self.policy.claim(address, self._signalled)

    def _may_latch(self, address: Address, ssrc: int, sequence: int, now: float) -> bool:
        if self._source is not None and now - self._latched_at > BETTER_WINS_SECONDS:
            return False
        claim = self._claim(address)
        if claim is Claim.IMPOSSIBLE:
            return False
        if self._source is not None and (self._authenticated or claim >= self._claim(self._source)):
            return False
        if claim is Claim.SIGNALLED or self._authenticated:
            return True
        return self._probation.proved(address, ssrc, sequence, now)

    def _latch(self, address: Address, now: float) -> None:
        self._source = address
        self._latched_at = now

    def _may_follow(self, ssrc: int, sequence: int, now: float) -> bool:
        if self._ssrc_open:
            return True
        if now - self._heard_at < SSRC_SILENCE_SECONDS:
            return False
        return self._probation.proved(None, ssrc, sequence, now)

    def _stay_open_for_a_while(self, now: float) -> None:
        """The old SSRC may be heard once more before the one that the new SDP brings."""
        if self._ssrc_open_until is None:
            self._ssrc_open_until = now + SSRC_OPEN_SECONDS
        elif now > self._ssrc_open_until:
            self._ssrc_open = False

    def _follow(self, ssrc: int, now: float) -> None:
        self._ssrc = ssrc
        self._ssrc_open = False
        self._heard_at = now


class RtcpLatch:
    """Where RTCP comes from: the host that RTP goes to, and there the first port that speaks, or
    the one that the SDP names, which takes over from any other."""

    def __init__(self) -> None:
        self._signalled: Address | None = None
        self._source: Address | None = None

    @property
    def source(self) -> Address | None:
        return self._source

    def open(self, signalled: Address | None) -> None:
        """Forget the source. ``signalled`` is what the SDP says about RTCP, if anything."""
        self._source = None
        self._signalled = None
        if signalled is not None and is_usable(signalled):
            self._signalled = normal(signalled)

    def accepts(self, address: Address, rtp: Address | None) -> bool:
        """Whether RTCP from ``address`` is the far end's, whose RTP goes to ``rtp``."""
        if address == self._source:
            return True
        if rtp is None or not is_usable(address):
            return False
        signalled = self._signalled is not None and address[:2] == self._signalled[:2]
        return signalled or (self._source is None and address[0] == rtp[0])

    def follow(self, address: Address) -> None:
        """A packet from there made sense."""
        self._source = address


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


def normal(address: Address) -> Address:
    """With the host spelled as the socket spells it."""
    return str(ipaddress.ip_address(address[0])), address[1]


def _is_private(host: str) -> bool:
    return is_private(ipaddress.ip_address(host.partition("%")[0]))


_BROADCAST = ipaddress.ip_address("255.255.255.255")
