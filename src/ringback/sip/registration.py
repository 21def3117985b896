"""One binding of our Contact at one registrar (RFC 3261 section 10), kept alive.

Everything that decides a transition is in ``TRANSITIONS``. Sending is the business of a
:class:`Registrar`, so that the machine can be tested by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ringback.sip.authentication import Credentials
from ringback.sip.errors import ParseError
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import ExtraHeaders
from ringback.sip.message import Response
from ringback.sip.registration_outcome import (
    NEEDS_ATTENTION,
    RegisterResult,
    RegistrationFailure,
    explain,
    granted_expires,
    observed_address,
    retry_after,
)
from ringback.sip.timers import Timer, TimerQueue
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri

__all__ = [
    "Registrar",
    "Registration",
    "RegistrationChanged",
    "RegistrationFailure",
    "RegistrationRequest",
    "RegistrationState",
    "RegistrationStatus",
]

MAX_INTERVAL_RAISES = 2
"""How often one try follows 423 to a longer interval."""

LONGEST_EXPIRES = 86_400
"""Seconds; a registrar that wants more (423) is not followed."""

REFRESH_MARGIN = 40.0
"""Seconds before the expiry that a refresh begins: a full transaction timeout and some. Short
grants are refreshed at half time."""

SHORTEST_REFRESH = 1.0
"""Seconds between refreshes, however little was granted."""

LONGEST_RETRY_AFTER = 3600
"""Seconds; a longer Retry-After counts as this."""


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What to register. ``registrar`` is the Request-URI (``sip:domain``), ``aor`` the address of
    record (To and From). ``expires`` is what we ask for, in seconds, every time.
    ``contact_params`` are parameters of our Contact's URI: they come back in the Request-URI of
    calls, and tell our binding from those of other devices of the same user. ``server`` is where
    requests go, in the words of whoever set it up; empty: where ``registrar`` says."""

    registrar: Uri
    aor: Uri
    contact_user: str
    credentials: Credentials | None = None
    expires: int = 300
    display_name: str = ""
    contact_params: tuple[tuple[str, str | None], ...] = ()
    headers: ExtraHeaders = ()
    routes: tuple[NameAddr, ...] = ()
    server: str = ""


class RegistrationState(StrEnum):
    UNREGISTERED = "unregistered"
    REGISTERING = "registering"
    REGISTERED = "registered"
    REFRESHING = "refreshing"
    FAILED = "failed"
    """Waiting for the next try."""
    UNREGISTERING = "unregistering"


class RegistrationInput(StrEnum):
    START = "start"
    DUE = "due"
    """The refresh or the next try."""
    GRANTED = "granted"
    REFUSED = "refused"
    """Any result that is not a grant, or none."""
    STOP = "stop"


_S = RegistrationState
_I = RegistrationInput

TRANSITIONS: dict[tuple[RegistrationState, RegistrationInput], RegistrationState] = {
    (_S.UNREGISTERED, _I.START): _S.REGISTERING,
    (_S.REGISTERING, _I.GRANTED): _S.REGISTERED,
    (_S.REGISTERING, _I.REFUSED): _S.FAILED,
    (_S.REGISTERING, _I.STOP): _S.UNREGISTERING,
    (_S.REGISTERED, _I.DUE): _S.REFRESHING,
    (_S.REGISTERED, _I.STOP): _S.UNREGISTERING,
    (_S.REFRESHING, _I.GRANTED): _S.REGISTERED,
    (_S.REFRESHING, _I.REFUSED): _S.FAILED,
    (_S.REFRESHING, _I.STOP): _S.UNREGISTERING,
    (_S.FAILED, _I.DUE): _S.REGISTERING,
    (_S.FAILED, _I.STOP): _S.UNREGISTERING,
    (_S.UNREGISTERING, _I.GRANTED): _S.UNREGISTERED,
    (_S.UNREGISTERING, _I.REFUSED): _S.UNREGISTERED,
}


class RegistrationStatus(StrEnum):
    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    UNKNOWN = "unknown"
    """Not tried yet, or stopped by us."""


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """The status, its reason, or the address the registrar sees us at changed.

    ``reason`` is a sentence for people. ``expires`` is what was granted (seconds), ``retry_in``
    when the next try comes, ``observed`` received and rport of the response's Via: what a NAT
    made of our address.
    """

    registration: Registration
    status: RegistrationStatus
    failure: RegistrationFailure | None = None
    reason: str = ""
    sip_status: int | None = None
    expires: float | None = None
    retry_in: float | None = None
    observed: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds until the first try after a failure, doubled each time up to the longest."""

    first: float
    longest: float

    def delay(self, failures: int, random: float) -> float:
        """``failures`` counts from 1; the delay is 50 to 100 % of the nominal one."""
        nominal = min(self.first * 2.0 ** min(failures - 1, 30), self.longest)
        return nominal * (0.5 + 0.5 * random)


TRANSIENT = RetryPolicy(first=8.0, longest=300.0)
ATTENTION = RetryPolicy(first=60.0, longest=1800.0)
"""For what a person has to mend: hammering on gets addresses banned."""


class Registrar(Protocol):
    """How a registration reaches its registrar. The result of ``send`` goes to
    :meth:`Registration.completed`."""

    def send(self, expires: int, now: float) -> None: ...

    def abandon(self) -> None:
        """Forget a request that is under way."""
        ...

    def use_hops(self, hops: Sequence[Hop]) -> None: ...

    def report(self, event: RegistrationChanged) -> None: ...


class Registration:
    """A registration that keeps itself alive until :meth:`unregister`.

    ``id`` is unique in its endpoint and the key of its ``ResolveNeeded`` events.
    """

    def __init__(
        self,
        identifier: str,
        request: RegistrationRequest,
        registrar: Registrar,
        queue: TimerQueue,
        random: Callable[[], float],
    ) -> None:
        self.id = identifier
        self.request = request
        self.state = RegistrationState.UNREGISTERED
        self.status = RegistrationStatus.UNKNOWN
        self.failure: RegistrationFailure | None = None
        self.reason = ""
        self.observed: tuple[str, int] | None = None
        self._registrar = registrar
        self._queue = queue
        self._random = random
        self._asked = request.expires
        self._raises = 0
        self._failures = 0
        self._bound_until = float("-inf")
        self._timer: Timer | None = None
        self._reported = self._visible()

    @property
    def stopped(self) -> bool:
        """It was unregistered, or never started."""
        return self.state is RegistrationState.UNREGISTERED

    # ---- commands -----------------------------------------------------------------------------

    def start(self, now: float) -> None:
        if self._step(RegistrationInput.START):
            self._send(now)

    def refresh(self, *, now: float) -> bool:
        """Register now rather than when it is due (a connection was lost, an address changed)."""
        if not self._step(RegistrationInput.DUE):
            return False
        self._send(now)
        return True

    def unregister(self, *, now: float) -> bool:
        """Remove the binding (Expires: 0) and stop. The last ``RegistrationChanged`` has status
        ``unknown``; it comes with the response, or when there is none."""
        bound = self._bound_until > now or self.state is not RegistrationState.FAILED
        if not self._step(RegistrationInput.STOP):
            return False
        self._registrar.abandon()
        self._cancel_timer()
        if bound:
            self._registrar.send(0, now)
        else:
            self._step(RegistrationInput.REFUSED)
            self._stopped()
        return True

    def use_hops(self, hops: Sequence[Hop]) -> None:
        """Where to send from now on."""
        self._registrar.use_hops(hops)

    # ---- what became of a REGISTER ------------------------------------------------------------

    def completed(self, result: RegisterResult, now: float) -> None:
        response = result.response
        if response is not None:
            self.observed = observed_address(response) or self.observed
        if self.state is RegistrationState.UNREGISTERING:
            self._step(RegistrationInput.REFUSED)
            self._stopped()
        elif response is not None and response.is_success and result.contact is not None:
            self._succeeded(granted_expires(response, result.contact, self._asked), result, now)
        elif response is not None and response.status == 423 and self._raise(response):
            self._registrar.send(self._asked, now)
        else:
            self._failed(result, now)

    def _succeeded(self, granted: int, result: RegisterResult, now: float) -> None:
        if granted <= 0:
            self._failed(result, now)
            return
        self._step(RegistrationInput.GRANTED)
        self._failures = 0
        self._bound_until = now + granted
        self.status = RegistrationStatus.REGISTERED
        self.failure, self.reason = None, ""
        wait = max(granted / 2, granted - REFRESH_MARGIN) * (1 - 0.1 * self._random())
        self._wait(max(wait, SHORTEST_REFRESH), now)
        self._report(
            RegistrationChanged(
                self, self.status, sip_status=200, expires=granted, observed=self.observed
            )
        )

    def _raise(self, response: Response) -> bool:
        """423: ask for what the registrar wants, within bounds (10.2.8)."""
        try:
            wanted = response.min_expires
        except ParseError:
            return False
        if wanted is None or not self._asked < wanted <= LONGEST_EXPIRES:
            return False
        if self._raises >= MAX_INTERVAL_RAISES:
            return False
        self._raises += 1
        self._asked = wanted
        return True

    def _failed(self, result: RegisterResult, now: float) -> None:
        self._step(RegistrationInput.REFUSED)
        self._failures += 1
        credentials = self.request.credentials
        username = credentials.username if credentials is not None else None
        server = self.request.server or self.request.registrar.host
        self.failure, self.reason = explain(result, self.request.registrar, username, server)
        self.status = RegistrationStatus.UNREGISTERED
        policy = ATTENTION if self.failure in NEEDS_ATTENTION else TRANSIENT
        asked = min(retry_after(result.response), LONGEST_RETRY_AFTER)
        delay = max(policy.delay(self._failures, self._random()), asked)
        self._wait(delay, now)
        status = result.response.status if result.response is not None else None
        self._report(
            RegistrationChanged(
                self,
                self.status,
                self.failure,
                self.reason,
                status,
                retry_in=delay,
                observed=self.observed,
            )
        )

    # ---- inside -------------------------------------------------------------------------------

    def _step(self, what: RegistrationInput) -> bool:
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            return False
        self.state = state
        return True

    def _send(self, now: float) -> None:
        self._cancel_timer()
        self._raises = 0
        self._registrar.send(self._asked, now)

    def _wait(self, seconds: float, now: float) -> None:
        self._cancel_timer()
        self._timer = self._queue.start(now + seconds, self._due)

    def _due(self, now: float) -> None:
        self._timer = None
        self.refresh(now=now)

    def _cancel_timer(self) -> None:
        self._queue.cancel(self._timer)
        self._timer = None

    def _stopped(self) -> None:
        self.status = RegistrationStatus.UNKNOWN
        self.failure, self.reason = None, ""
        self._report(RegistrationChanged(self, self.status, observed=self.observed))

    def _visible(self) -> tuple[object, ...]:
        return self.status, self.failure, self.reason, self.observed

    def _report(self, event: RegistrationChanged) -> None:
        """Only what is news: a refresh that changes nothing is none."""
        if self._visible() != self._reported:
            self._reported = self._visible()
            self._registrar.report(event)
