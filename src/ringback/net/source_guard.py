"""What strangers may cost us: new requests per source and in total, offences, bans.

A source is an IPv4 address or an IPv6 /64 network, because a /64 is what one customer has. Pure:
time comes in, nothing is logged, and every table has a bound. Messages of live calls and of
trunks never get here (:mod:`ringback.net.sip_gate` and ``exempt`` see to that).
"""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum

from ringback.net.public_address import is_private
from ringback.net.routes import Network
from ringback.net.token_bucket import TokenBucket

MAX_SOURCES = 20_000
"""Sources whose rate and offences are remembered; the longest quiet one is forgotten first."""
MAX_BANS = 10_000
"""Bans that are kept, over or not; the oldest is forgotten first."""
FORGIVEN_AFTER = 86_400.0
"""Seconds after the end of a ban during which the next one is longer."""
MAX_DOUBLINGS = 30
KNOWN_RATE = 200.0
KNOWN_BURST = 500
"""Messages of live calls that one source may send, per second and at once."""
BUSY_RATE = 1.0
BUSY_BURST = 3
"""How often one source is told that it asks too much, per second and at once; then silence."""


class Verdict(Enum):
    ACCEPT = "accept"
    BUSY = "busy"
    """Too much: say so, without remembering anything."""
    DROP = "drop"
    """Not a word."""


class Offence(StrEnum):
    """What brings a source nearer to a ban."""

    SCANNER = "scanner"
    """It says of itself that it is one; banned at once."""
    REFUSED = "refused"
    """A request that no stranger may make: a call, a registration, a subscription."""
    MALFORMED = "malformed"
    CREDENTIALS = "credentials"
    """A digest that is wrong."""
    FLOOD = "flood"
    """More requests than its rate allows."""
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class GuardRules:
    """``rate`` and ``burst`` bound the new requests of one stranger, ``total_rate`` and
    ``total_burst`` those of all strangers together. ``offences`` within ``window`` seconds bring
    a ban of ``first_ban`` seconds, twice as long each time, up to ``longest_ban``. A source on
    this machine or on a private network gets ``near_factor`` times the rate and the offences.
    Trunks have ``trunk_rate`` and ``trunk_burst``, and are never banned; what is in ``exempt``
    has no limit at all."""

    enabled: bool = True
    rate: float = 10.0
    burst: int = 30
    total_rate: float = 100.0
    total_burst: int = 300
    offences: int = 20
    window: float = 60.0
    first_ban: float = 600.0
    longest_ban: float = 86_400.0
    near_factor: int = 10
    trunk_rate: float = 300.0
    trunk_burst: int = 300
    exempt: tuple[Network, ...] = ()


@dataclass(slots=True)
class Ban:
    """``since`` and ``until`` in monotonic seconds; ``strikes`` counts the bans in a row."""

    source: str
    reason: Offence
    since: float
    until: float
    strikes: int
    near: bool = False
    dropped: int = 0
    """Requests that it has swallowed."""


@dataclass(slots=True)
class GuardCounters:
    accepted: int = 0
    busy: int = 0
    """Requests answered with 503 because of their rate."""
    dropped_rate: int = 0
    """Requests of a source beyond its rate."""
    dropped_trunk: int = 0
    """New requests of a trunk beyond what any trunk may send."""
    dropped_total: int = 0
    """Requests beyond what all strangers together may cost."""
    dropped_banned: int = 0
    dropped_known: int = 0
    """Messages of live calls beyond what one source may send."""
    bans: int = 0
    sources_forgotten: int = 0
    """Sources that fell out of the full table."""
    bans_forgotten: int = 0


@dataclass(slots=True)
class _Source:
    exempt: bool
    """A trunk, or named by the operator: never banned."""
    free: bool
    """Named by the operator, or the guard is off: not limited either."""
    near: bool
    generation: int
    trunk: TokenBucket
    requests: TokenBucket
    known: TokenBucket
    busy: TokenBucket
    offences: int = 0
    window_start: float = 0.0


class SourceGuard:
    """``exempt`` says whether an address is that of a trunk; its answers are remembered until
    :meth:`forget_exemptions`. ``on_ban`` is told of each new ban, once."""

    def __init__(
        self,
        rules: GuardRules,
        *,
        exempt: Callable[[str], bool] = lambda host: False,
        on_ban: Callable[[Ban], None] = lambda ban: None,
        max_sources: int = MAX_SOURCES,
        max_bans: int = MAX_BANS,
    ) -> None:
        self.rules = rules
        self.exempt = exempt
        self.on_ban = on_ban
        self.counters = GuardCounters()
        self.offences: Counter[Offence] = Counter()
        self._max_sources = max_sources
        self._max_bans = max_bans
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._bans: OrderedDict[str, Ban] = OrderedDict()
        self._total: TokenBucket | None = None
        self._generation = 0

    @property
    def known_sources(self) -> int:
        return len(self._sources)

    # ---- requests ---------------------------------------------------------------------------

    def judge(self, host: str, now: float) -> Verdict:
        """What a new request (or connection) of a source deserves; it is counted."""
        source = self._source(host, now)
        if source.exempt:
            return self._judge_trunk(source, now)
        if self.is_banned(host, now, count=True):
            return Verdict.DROP
        if not source.requests.take(now):
            self.counters.dropped_rate += 1
            self.offend(host, Offence.FLOOD, now)
            return self._busy(source, now)
        if self._total is None:
            self._total = TokenBucket(self.rules.total_rate, self.rules.total_burst, now)
        if not self._total.take(now):
            self.counters.dropped_total += 1
            return Verdict.DROP
        self.counters.accepted += 1
        return Verdict.ACCEPT

    def _judge_trunk(self, source: _Source, now: float) -> Verdict:
        if source.free or source.trunk.take(now):
            return Verdict.ACCEPT
        self.counters.dropped_trunk += 1
        return self._busy(source, now)

    def judge_known(self, host: str, now: float) -> bool:
        """Whether a message of a live call may come in: also from a banned source, as long as it
        is not a flood."""
        source = self._source(host, now)
        if source.exempt or source.known.take(now):
            return True
        self.counters.dropped_known += 1
        return False

    def _busy(self, source: _Source, now: float) -> Verdict:
        if not source.busy.take(now):
            return Verdict.DROP
        self.counters.busy += 1
        return Verdict.BUSY

    def is_exempt(self, host: str, now: float) -> bool:
        """Whether it is never banned: a trunk, or named by the operator."""
        return self._source(host, now).exempt

    def is_near(self, host: str, now: float) -> bool:
        """Whether it is on this machine or on a private network."""
        return self._source(host, now).near

    def is_banned(self, host: str, now: float, *, count: bool = False) -> bool:
        """``count``: a request was dropped because of it. Exemption is not looked at."""
        ban = self._bans.get(source_of(host)) if self._bans else None
        if ban is None or now >= ban.until:
            return False
        if count:
            ban.dropped += 1
            self.counters.dropped_banned += 1
        return True

    def offend(self, host: str, offence: Offence, now: float) -> None:
        """Note something that honest peers do rarely; enough of it brings a ban."""
        source = self._source(host, now)
        if source.exempt:
            return
        self.offences[offence] += 1
        if offence is Offence.SCANNER:
            self._ban(source_of(host), source.near, offence, now)
            return
        if now - source.window_start >= self.rules.window:
            source.offences, source.window_start = 0, now
        source.offences += 1
        if source.offences >= self.rules.offences * self._factor(source.near):
            source.offences = 0
            self._ban(source_of(host), source.near, offence, now)

    def forget_exemptions(self) -> None:
        """Trunks or their addresses have changed: ask again, for each source when it comes."""
        self._generation += 1

    # ---- bans -------------------------------------------------------------------------------

    def ban(self, host: str, now: float, seconds: float | None = None) -> Ban:
        """Ban a source by hand. ``seconds`` defaults to what its record calls for. Raises
        ``ValueError`` for what is no IP address."""
        return self._ban(source_of(host), is_near(host), Offence.BY_HAND, now, seconds)

    def lift(self, host: str, now: float) -> bool:
        """End a ban and forget all offences; ``False`` if there is none. Raises ``ValueError``
        for what is no IP address."""
        key = source_of(host)
        self._sources.pop(key, None)
        ban = self._bans.pop(key, None)
        return ban is not None and now < ban.until

    def bans(self, now: float) -> list[Ban]:
        """Those in force, newest first."""
        return [ban for ban in reversed(self._bans.values()) if now < ban.until]

    def _ban(
        self, key: str, near: bool, reason: Offence, now: float, seconds: float | None = None
    ) -> Ban:
        before = self._bans.pop(key, None)
        if before is not None and now < before.until and seconds is None:
            self._bans[key] = before
            return before
        strikes = 1
        if before is not None and now - before.until < FORGIVEN_AFTER:
            strikes += before.strikes
        if seconds is None:
            doubled = self.rules.first_ban * 2.0 ** min(strikes - 1, MAX_DOUBLINGS)
            seconds = min(doubled, self.rules.longest_ban)
        ban = Ban(key, reason, now, now + seconds, strikes, near)
        self._bans[key] = ban
        if len(self._bans) > self._max_bans:
            self._bans.popitem(last=False)
            self.counters.bans_forgotten += 1
        self.counters.bans += 1
        self.on_ban(ban)
        return ban

    # ---- sources ----------------------------------------------------------------------------

    def _source(self, host: str, now: float) -> _Source:
        key = source_of(host)
        source = self._sources.get(key)
        if source is None:
            return self._meet(key, host, now)
        self._sources.move_to_end(key)
        if source.generation != self._generation:
            source.exempt = source.free or self.exempt(host)
            source.generation = self._generation
        return source

    def _meet(self, key: str, host: str, now: float) -> _Source:
        near = is_near(host)
        factor = self._factor(near)
        free = self._is_free(host)
        source = _Source(
            free or self.exempt(host),
            free,
            near,
            self._generation,
            TokenBucket(self.rules.trunk_rate, self.rules.trunk_burst, now),
            TokenBucket(self.rules.rate * factor, self.rules.burst * factor, now),
            TokenBucket(KNOWN_RATE * factor, KNOWN_BURST * factor, now),
            TokenBucket(BUSY_RATE, BUSY_BURST, now),
            window_start=now,
        )
        self._sources[key] = source
        if len(self._sources) > self._max_sources:
            self._sources.popitem(last=False)
            self.counters.sources_forgotten += 1
        return source

    def _is_free(self, host: str) -> bool:
        if not self.rules.enabled:
            return True
        if not self.rules.exempt:
            return False
        address = ipaddress.ip_address(host)
        return any(address in network for network in self.rules.exempt)

    def _factor(self, near: bool) -> int:
        return self.rules.near_factor if near else 1


def source_of(host: str) -> str:
    """The source that an address belongs to: itself, or its /64 network; a source is its own.
    An IPv4 address is not checked, because it is asked for with every packet; for IPv6 raises
    ``ValueError``."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("/")[0].partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"


def is_near(host: str) -> bool:
    """On this machine or on a private network. Raises ``ValueError`` for what is no address."""
    address = ipaddress.ip_address(host.partition("/")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_private(address.ipv4_mapped)
    return is_private(address)
