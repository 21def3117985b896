"""The session timer of one call (RFC 4028): who refreshes, how often, and when it is over.

``SessionTimer`` reads and writes Session-Expires and Min-SE and keeps the two clocks; sending a
refresh and hanging up are its owner's business. Which step may follow which is ``TRANSITIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.errors import ParseError
from ringback.sip.headers import SessionExpires
from ringback.sip.invite_session import ExtraHeaders
from ringback.sip.message import Message, Request, Response
from ringback.sip.peer_abilities import supports
from ringback.sip.timers import Timer, TimerQueue

OPTION_TAG = "timer"
DEFAULT_EXPIRES = 1800
"""Seconds (RFC 4028 section 4 recommends them)."""
DEFAULT_MINIMUM = 90
"""Seconds; what Min-SE means where it is absent (RFC 4028 section 5)."""
SHORTEST = 4
"""Seconds; a peer that grants less is refreshed and awaited as if it had granted this."""
LONGEST = 86_400
"""Seconds; a peer whose minimum is beyond this is not followed."""
MAX_LENGTHENINGS = 3
"""422 responses in a row after which a request is given up."""
FIRST_RETRY = 4.0
"""Seconds until a refresh that could not be made is tried again; doubled each time."""


class TimerState(StrEnum):
    OFF = "off"
    OURS = "ours"
    """We refresh, and the time for it has not come."""
    REFRESHING = "refreshing"
    THEIRS = "theirs"
    """The peer refreshes; without it the session expires."""


class TimerInput(StrEnum):
    AGREED_OURS = "agreed_ours"
    AGREED_THEIRS = "agreed_theirs"
    DUE = "due"
    PUT_OFF = "put_off"
    """The refresh could not be made now."""
    EXPIRED = "expired"
    STOP = "stop"


_S = TimerState
_I = TimerInput

TRANSITIONS: dict[tuple[TimerState, TimerInput], TimerState] = {
    (_S.OFF, _I.AGREED_OURS): _S.OURS,
    (_S.OFF, _I.AGREED_THEIRS): _S.THEIRS,
    (_S.OURS, _I.AGREED_OURS): _S.OURS,
    (_S.OURS, _I.AGREED_THEIRS): _S.THEIRS,
    (_S.OURS, _I.DUE): _S.REFRESHING,
    (_S.OURS, _I.EXPIRED): _S.OFF,
    (_S.OURS, _I.STOP): _S.OFF,
    (_S.REFRESHING, _I.AGREED_OURS): _S.OURS,
    (_S.REFRESHING, _I.AGREED_THEIRS): _S.THEIRS,
    (_S.REFRESHING, _I.PUT_OFF): _S.OURS,
    (_S.REFRESHING, _I.EXPIRED): _S.OFF,
    (_S.REFRESHING, _I.STOP): _S.OFF,
    (_S.THEIRS, _I.AGREED_OURS): _S.OURS,
    (_S.THEIRS, _I.AGREED_THEIRS): _S.THEIRS,
    (_S.THEIRS, _I.EXPIRED): _S.OFF,
    (_S.THEIRS, _I.STOP): _S.OFF,
}


@dataclass(frozen=True, slots=True)
class TimerPolicy:
    """What we want, in seconds. ``expires`` 0: no session timers at all."""

    expires: int = DEFAULT_EXPIRES
    minimum: int = DEFAULT_MINIMUM


@dataclass(frozen=True, slots=True)
class _Agreement:
    """``mutual``: the peer takes part, so that a missed refresh ends the session. Without it we
    refresh for ourselves, to find out whether the peer is still there."""

    seconds: int
    ours: bool
    mutual: bool = True


class SessionTimer:
    """``due`` is called when it is on us to refresh (and again after :meth:`put_off`);
    ``expired`` when nobody refreshed in time."""

    def __init__(
        self,
        policy: TimerPolicy,
        queue: TimerQueue,
        due: Callable[[float], None],
        expired: Callable[[float], None],
    ) -> None:
        self.state = TimerState.OFF
        self._policy = policy
        self._queue = queue
        self._due = due
        self._expired = expired
        self._wished = policy.expires
        self._minimum = policy.minimum
        self._lengthenings = 0
        self._retry = FIRST_RETRY
        self._refresh_timer: Timer | None = None
        self._expiry_timer: Timer | None = None

    @property
    def enabled(self) -> bool:
        return self._policy.expires > 0

    # ---- requests of ours ---------------------------------------------------------------------

    def request_headers(self) -> ExtraHeaders:
        """For INVITE and UPDATE. Within a session the roles and the interval stay as they are
        (7.4)."""
        if not self.enabled:
            return ()
        refresher = None
        if self.state is not TimerState.OFF:
            refresher = "uas" if self.state is TimerState.THEIRS else "uac"
        wish: ExtraHeaders = (("Session-Expires", str(SessionExpires(self._wished, refresher))),)
        if self._minimum != DEFAULT_MINIMUM:
            wish = (*wish, ("Min-SE", str(self._minimum)))
        return wish

    def lengthen(self, response: Response) -> bool:
        """Take the Min-SE of a 422; ``False`` if there is no point in asking again (7.3)."""
        minimum = _min_se(response)
        if not self.enabled or minimum is None or not self._wished < minimum <= LONGEST:
            return False
        self._lengthenings += 1
        if self._lengthenings > MAX_LENGTHENINGS:
            return False
        self._wished = self._minimum = minimum
        return True

    def answered(self, response: Response, now: float) -> None:
        """The 2xx to an INVITE or UPDATE of ours (7.2)."""
        if not self.enabled:
            return
        self._lengthenings = 0
        granted = _session_expires(response)
        if granted is None:
            self._agree(_Agreement(self._wished, ours=True, mutual=False), now)
        else:
            ours = granted.refresher != "uas"
            self._agree(_Agreement(min(granted.seconds, LONGEST), ours), now)

    # ---- requests of the peer -----------------------------------------------------------------

    def too_short(self, request: Request) -> ExtraHeaders | None:
        """The header of the 422 that ``request`` is owed, ``None`` where it is owed none."""
        return interval_too_small(self._policy, request)

    def response_headers(self, request: Request) -> ExtraHeaders:
        """For our 2xx to ``request``."""
        agreement = self._answer_to(request)
        if agreement is None or not agreement.mutual:
            return ()
        refresher = "uas" if agreement.ours else "uac"
        headers: ExtraHeaders = (
            ("Session-Expires", str(SessionExpires(agreement.seconds, refresher))),
        )
        if supports(request, OPTION_TAG):
            headers = (*headers, ("Require", OPTION_TAG))
        return headers

    def accepted(self, request: Request, now: float) -> None:
        """Our 2xx to ``request``, with ``response_headers``, was sent."""
        agreement = self._answer_to(request)
        if agreement is not None:
            self._agree(agreement, now)

    def _answer_to(self, request: Request) -> _Agreement | None:
        """Table 2 of section 9. Where the choice is ours the roles stay as they are, and at the
        beginning we refresh: then the peer's liveness is known from its answers."""
        if not self.enabled:
            return None
        wished = _session_expires(request)
        able = supports(request, OPTION_TAG)
        if wished is None and not able:
            return _Agreement(self._wished, ours=True, mutual=False)
        floor = max(_min_se(request) or 0, SHORTEST)
        seconds = max(self._policy.expires, floor)
        refresher = None
        if wished is not None:
            seconds = max(min(wished.seconds, seconds), SHORTEST)
            refresher = wished.refresher
        if not able:
            return _Agreement(seconds, ours=True)
        if refresher not in ("uac", "uas"):
            refresher = "uac" if self.state is TimerState.THEIRS else "uas"
        return _Agreement(seconds, ours=refresher == "uas")

    # ---- the clocks ---------------------------------------------------------------------------

    def put_off(self, now: float) -> None:
        """The refresh that was due cannot be made, or was refused for now: again shortly."""
        if self._step(TimerInput.PUT_OFF):
            self._refresh_timer = self._queue.start(now + self._retry, self._refresh_due)
            self._retry = min(self._retry * 2, self._wished / 2)

    def stop(self) -> None:
        self._step(TimerInput.STOP)
        self._cancel()

    def close(self) -> None:
        """Stop for good; nobody is held any more who would be called."""
        self.stop()
        self._due = self._expired = _nobody

    def _agree(self, agreement: _Agreement, now: float) -> None:
        """10: half of the time until our refresh; their absence is noticed before the end."""
        self._cancel()
        self._step(TimerInput.AGREED_OURS if agreement.ours else TimerInput.AGREED_THEIRS)
        seconds = max(agreement.seconds, SHORTEST)
        self._retry = FIRST_RETRY
        if agreement.mutual:
            self._wished = max(seconds, self._minimum)
            early = 0.0 if agreement.ours else min(32.0, seconds / 3)
            self._expiry_timer = self._queue.start(now + seconds - early, self._is_over)
        if agreement.ours:
            self._refresh_timer = self._queue.start(now + seconds / 2, self._refresh_due)

    def _refresh_due(self, now: float) -> None:
        self._refresh_timer = None
        if self._step(TimerInput.DUE):
            self._due(now)

    def _is_over(self, now: float) -> None:
        self._expiry_timer = None
        if self._step(TimerInput.EXPIRED):
            self._cancel()
            self._expired(now)

    def _cancel(self) -> None:
        self._queue.cancel(self._refresh_timer)
        self._queue.cancel(self._expiry_timer)
        self._refresh_timer = self._expiry_timer = None

    def _step(self, what: TimerInput) -> bool:
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            return False
        self.state = state
        return True


def interval_too_small(policy: TimerPolicy, request: Request) -> ExtraHeaders | None:
    """Min-SE for the 422 to a request whose session timer is shorter than we let a peer have;
    ``None`` where there is nothing to refuse (RFC 4028 section 9)."""
    wished = _session_expires(request)
    if not policy.expires or wished is None or wished.seconds >= policy.minimum:
        return None
    return (("Min-SE", str(policy.minimum)),) if supports(request, OPTION_TAG) else None


def _session_expires(message: Message) -> SessionExpires | None:
    """``None`` as well where the header cannot be read: the peer then does without."""
    try:
        return message.session_expires
    except ParseError:
        return None


def _min_se(message: Message) -> int | None:
    try:
        return message.min_se
    except ParseError:
        return None


def _nobody(now: float) -> None:
    pass
