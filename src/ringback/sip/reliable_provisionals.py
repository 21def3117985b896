"""Reliable provisional responses, the side that sends them (RFC 3262 section 3).

One at a time: the next waits until the PRACK of the one before it has come. Which step may follow
which is ``TRANSITIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.headers import RAck
from ringback.sip.message import Response
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction

OPTION_TAG = "100rel"
MAX_WAITING_PROVISIONALS = 8
"""Reliable responses that wait for the PRACK of the one before them; more are not sent."""

_FIRST_RSEQ_RANGE = 2**31 - 1


class ReliableState(StrEnum):
    QUIET = "quiet"
    """Nothing is unacknowledged."""
    UNACKNOWLEDGED = "unacknowledged"
    CLOSED = "closed"
    """The INVITE has its final response: nothing is sent any more, a PRACK that was on its way
    still counts."""


class ReliableInput(StrEnum):
    SEND = "send"
    PRACK = "prack"
    FINAL = "final"
    """A final response to the INVITE was sent, or it was given up."""
    TIMEOUT = "timeout"
    """No PRACK within 64*T1."""


_S = ReliableState
_I = ReliableInput

TRANSITIONS: dict[tuple[ReliableState, ReliableInput], ReliableState] = {
    (_S.QUIET, _I.SEND): _S.UNACKNOWLEDGED,
    (_S.QUIET, _I.FINAL): _S.CLOSED,
    (_S.UNACKNOWLEDGED, _I.PRACK): _S.QUIET,
    (_S.UNACKNOWLEDGED, _I.FINAL): _S.CLOSED,
    (_S.UNACKNOWLEDGED, _I.TIMEOUT): _S.CLOSED,
    (_S.CLOSED, _I.PRACK): _S.CLOSED,
}


class ReliableProvisionals:
    """The reliable responses to one INVITE. ``gave_up`` is called when one got no PRACK."""

    def __init__(
        self,
        core: EndpointCore,
        transaction: ServerTransaction,
        gave_up: Callable[[float], None],
    ) -> None:
        self.state = ReliableState.QUIET
        self._core = core
        self._transaction = transaction
        self._gave_up = gave_up
        self._cseq = transaction.request.cseq
        self._rseq = int(core.random() * _FIRST_RSEQ_RANGE)
        self._sent: Response | None = None
        self._waiting: list[Response] = []
        self._timer: Timer | None = None
        self._interval = 0.0
        self._deadline = 0.0

    @property
    def holds_description(self) -> bool:
        """A session description is out, or about to go out, without its PRACK: no 2xx may
        follow yet."""
        if self.state is ReliableState.CLOSED:
            return False
        return any(response.body for response in (*self._waiting, self._sent) if response)

    def send(self, response: Response, now: float) -> bool:
        """Send ``response`` as soon as its turn comes; ``False`` when it never will."""
        if self.state is ReliableState.CLOSED or self._transaction.answered:
            return False
        if self.state is ReliableState.UNACKNOWLEDGED:
            if len(self._waiting) >= MAX_WAITING_PROVISIONALS:
                return False
            self._waiting.append(response)
            return True
        return self._begin(response, now)

    def prack(self, rack: RAck, now: float) -> Response | None:
        """The response that ``rack`` acknowledges, ``None`` (answer 481) where there is none."""
        sent = self._sent
        if sent is None or rack.rseq != self._rseq or rack.cseq != self._cseq:
            return None
        self._stop_timer()
        self._step(ReliableInput.PRACK)
        self._sent = None
        if self.state is ReliableState.QUIET and self._waiting:
            self._begin(self._waiting.pop(0), now)
        return sent

    def close(self) -> None:
        """The INVITE has its final response."""
        self._stop_timer()
        self._waiting.clear()
        self._step(ReliableInput.FINAL)
        self._gave_up = _nobody

    def _begin(self, response: Response, now: float) -> bool:
        self._rseq += 1
        response.headers.set("Require", OPTION_TAG)
        response.headers.set("RSeq", self._rseq)
        if not self._transaction.respond(response, now):
            return False
        self._step(ReliableInput.SEND)
        self._sent = response
        self._interval = self._core.config.timers.t1
        self._deadline = now + self._core.config.timers.give_up
        self._arm(now)
        return True

    def _arm(self, now: float) -> None:
        when = min(now + self._interval, self._deadline)
        self._timer = self._core.queue.start(when, self._again)

    def _again(self, now: float) -> None:
        """T1, 2*T1, 4*T1 … apart, over reliable transports too, without the bound of T2."""
        self._timer = None
        if now >= self._deadline:
            self._step(ReliableInput.TIMEOUT)
            self._waiting.clear()
            self._gave_up(now)
        elif self._sent is not None:
            self._transaction.respond(self._sent, now)
            self._interval *= 2
            self._arm(now)

    def _stop_timer(self) -> None:
        self._core.queue.cancel(self._timer)
        self._timer = None

    def _step(self, what: ReliableInput) -> None:
        self.state = TRANSITIONS.get((self.state, what), self.state)


def _nobody(now: float) -> None:
    pass
