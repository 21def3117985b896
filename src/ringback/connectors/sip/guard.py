"""Who is a stranger to the SIP connector, what it may do, and what counts against it.

The rates and bans are those of :class:`~ringback.net.source_guard.SourceGuard`; here is what only
the connector knows: trunks, the line that is open to all, and the meaning of a refusal.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from ringback.connectors.sip.directory import InboundQuery
from ringback.connectors.sip.terms import CONTACT_TOKEN, inbound_query, user_of
from ringback.core.clock import Clock
from ringback.core.errors import Conflict, InvalidRequest, NotFound
from ringback.net.sip_gate import SipGate
from ringback.net.sip_peek import ScannerNames
from ringback.net.source_guard import Ban, Offence, SourceGuard, source_of
from ringback.net.token_bucket import TokenBucket
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.errors import SipError
from ringback.sip.events import Dropped, DropReason
from ringback.sip.message import Request
from ringback.sip.transport import Flow

OPEN_LINE_RATE = 1.0
OPEN_LINE_BURST = 10
"""Calls to the open line that one stranger may begin, per second and at once."""
LOG_RATE = 5.0
LOG_BURST = 50
"""Lines about calls to numbers of nobody's, per second and at once; more are only counted."""
FORBIDDEN, NOT_FOUND = 403, 404
MAX_CALLERS = 4096
"""Sources whose calls to the open line are counted; the longest quiet one is forgotten first."""

OFFENCES: Mapping[DropReason, Offence] = {
    DropReason.UNPARSABLE: Offence.MALFORMED,
    DropReason.INVALID: Offence.MALFORMED,
    DropReason.STRANGER: Offence.REFUSED,
}

log = structlog.get_logger(__name__)


class Doorlist(Protocol):
    """Who may come in (implemented by telephony). Answers at once, from memory."""

    def is_trunk(self, host: str) -> bool:
        """Whether an enabled trunk calls from this IP address."""
        ...

    def knows_token(self, token: str) -> bool:
        """Whether it is that of a contact which an enabled trunk has registered."""
        ...

    def has_number(self, query: InboundQuery) -> bool:
        """Whether a call of a trunk is for somebody. ``True`` where it is not a trunk's, and would
        be refused for another reason."""
        ...

    def is_open_to_all(self, user: str) -> bool:
        """Whether everybody may call this user."""
        ...


@dataclass(frozen=True, slots=True)
class BanView:
    """A ban in wall-clock time."""

    source: str
    reason: str
    since: datetime
    until: datetime
    strikes: int
    dropped: int


class SipGuard:
    """Implements :class:`ringback.sip.strangers.Gatekeeper`. ``calls_per_source`` bounds the calls
    that one stranger has on the open line at once; sources on this machine or on a private
    network have only the line's own bound."""

    def __init__(
        self,
        guard: SourceGuard,
        doorlist: Doorlist,
        clock: Clock,
        *,
        calls_per_source: int = 20,
        scanners: tuple[str, ...] = (),
    ) -> None:
        guard.exempt = doorlist.is_trunk
        guard.on_ban = self._tell
        self.refused_open_line = 0
        self.refused_numbers = 0
        self._log_bucket: TokenBucket | None = None
        self._guard = guard
        self._doorlist = doorlist
        self._clock = clock
        self._calls_per_source = calls_per_source
        self._scanners = ScannerNames(scanners)
        self._callers: OrderedDict[str, TokenBucket] = OrderedDict()
        self._gate: SipGate | None = None
        self._calls_from: Callable[[str], int] = lambda source: 0

    @property
    def enabled(self) -> bool:
        return self._guard.rules.enabled

    # ---- the connector's side ---------------------------------------------------------------

    def attach(self, endpoint: SipEndpoint, calls_from: Callable[[str], int]) -> SipGate | None:
        """Stand before ``endpoint``. ``calls_from`` says how many calls a source has that no trunk
        vouches for. Returns the gate for the transport; ``None`` when the guard is off."""
        if not self.enabled:
            return None
        self._calls_from = calls_from
        endpoint.gatekeeper = self
        self._gate = SipGate(
            self._guard,
            endpoint,
            knows_token=self._doorlist.knows_token,
            scanners=self._scanners,
        )
        return self._gate

    def trunks_changed(self) -> None:
        """Trunks or their addresses are others now: ask again who is exempt."""
        self._guard.forget_exemptions()

    def dropped(self, event: Dropped) -> None:
        """The core wanted nothing of a message: that may count against its sender."""
        offence = OFFENCES.get(event.why)
        if offence is not None:
            self._guard.offend(event.flow.hop.host, offence, self._clock.monotonic())

    def wrong_credentials(self, host: str) -> None:
        """A digest of this source was wrong."""
        self._guard.offend(host, Offence.CREDENTIALS, self._clock.monotonic())

    def refusal(self, request: Request, flow: Flow, now: float) -> int:
        """0 for a trunk, by its address or by the token of our contact, and for a call to the
        open line; 403 for strangers, 404 for a trunk that asks for a number of nobody's."""
        host, invite = flow.hop.host, request.method == "INVITE"
        token = request.uri.params.get(CONTACT_TOKEN) or ""
        if self._guard.is_exempt(host, now) or self._doorlist.knows_token(token):
            return NOT_FOUND if invite and self._asks_for_nobody(request, flow, now) else 0
        if not invite or not self._doorlist.is_open_to_all(user_of(request.uri)):
            return FORBIDDEN
        return 0 if self._may_call(host, now) else FORBIDDEN

    def _asks_for_nobody(self, request: Request, flow: Flow, now: float) -> bool:
        """A call that could replace another one, or cannot be read, is looked at more closely
        elsewhere."""
        if "Replaces" in request.headers:
            return False
        try:
            query = inbound_query(request, flow)
        except SipError:
            return False
        if self._doorlist.has_number(query):
            return False
        self.refused_numbers += 1
        if self._log_bucket is None:
            self._log_bucket = TokenBucket(LOG_RATE, LOG_BURST, now)
        if self._log_bucket.take(now):
            log.info(
                "inbound call not routed",
                source=query.source_host,
                called=query.request_user,
                status=NOT_FOUND,
                why="no number of the trunk",
            )
        return True

    def _may_call(self, host: str, now: float) -> bool:
        if self._guard.is_near(host, now):
            return True
        source = source_of(host)
        bucket = self._callers.get(source)
        if bucket is None:
            bucket = self._callers[source] = TokenBucket(OPEN_LINE_RATE, OPEN_LINE_BURST, now)
        self._callers.move_to_end(source)
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)
        if self._calls_from(source) < self._calls_per_source and bucket.take(now):
            return True
        self.refused_open_line += 1
        return False

    # ---- the operator's side ----------------------------------------------------------------

    def bans(self) -> list[BanView]:
        """Those in force, newest first."""
        return [self._view(ban) for ban in self._guard.bans(self._clock.monotonic())]

    def ban(self, source: str, seconds: float | None = None) -> BanView:
        """Ban by hand, for ``seconds`` or as long as its record calls for. Raises
        ``InvalidRequest`` for what is no address, ``Conflict`` for one that is exempt."""
        host, now = _address(source), self._clock.monotonic()
        if self._guard.is_exempt(host, now):
            raise Conflict(
                f"{source} is exempt: it is a trunk's, or in RINGBACK_GUARD_EXEMPT, or the guard "
                "is off.",
                code="source_exempt",
                hint="Disable the trunk instead: PATCH /api/trunks/{id} with enabled false.",
            )
        return self._view(self._guard.ban(host, now, seconds))

    def lift(self, source: str) -> None:
        """End a ban. Raises ``NotFound`` when there is none."""
        host = _address(source)
        if not self._guard.lift(host, self._clock.monotonic()):
            raise NotFound(
                f"{source_of(host)} is not banned.",
                code="ban_not_found",
                hint="List the bans with GET /api/guards/bans.",
            )
        log.info("ban_lifted", source=source_of(host))

    def counters(self) -> dict[str, int]:
        """What the guard has done, by name, for metrics."""
        gate = asdict(self._gate.counters) if self._gate is not None else {}
        ours = {
            "refused_open_line": self.refused_open_line,
            "refused_numbers": self.refused_numbers,
        }
        return asdict(self._guard.counters) | gate | ours

    def offences(self) -> dict[str, int]:
        return {offence.value: self._guard.offences[offence] for offence in Offence}

    @property
    def banned_now(self) -> int:
        return len(self._guard.bans(self._clock.monotonic()))

    def _view(self, ban: Ban) -> BanView:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        return BanView(
            ban.source,
            ban.reason.value,
            now - timedelta(seconds=monotonic - ban.since),
            now + timedelta(seconds=ban.until - monotonic),
            ban.strikes,
            ban.dropped,
        )

    def _tell(self, ban: Ban) -> None:
        """One line for each ban; a louder one where it may be the operator's own machine."""
        facts = {
            "source": ban.source,
            "reason": ban.reason.value,
            "seconds": round(ban.until - ban.since),
            "strikes": ban.strikes,
        }
        if not ban.near:
            log.info("source_banned", **facts)
            return
        log.warning(
            "source_banned",
            **facts,
            hint="This address is on this machine or a private network. Lift the ban with "
            f"`ringback guard lift {ban.source}`, or exempt it: RINGBACK_GUARD_EXEMPT.",
        )


def _address(source: str) -> str:
    """The address of a source as people write it, a /64 by any address in it."""
    text = source.strip().strip("[]")
    host, _, width = text.partition("/")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or width not in ("", "32" if address.version == 4 else "64", "128"):
        raise InvalidRequest(
            f"`source` must be an IP address, not {source[:60]!r}.",
            hint="Write 203.0.113.7, or any address of an IPv6 /64 network.",
            field="source",
        )
    return str(address)
