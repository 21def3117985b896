"""A transfer that we ask the far end for: REFER out, NOTIFYs in (RFC 3515 2.4.4)."""

from __future__ import annotations

from collections.abc import Callable

from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.exchange import Outcome
from ringback.sip.message import Request, Response
from ringback.sip.refer import SubscriptionState, sipfrag_status
from ringback.sip.refer_states import ASKER, AskerInput, AskerState, ReferStage
from ringback.sip.status import default_reason
from ringback.sip.timers import Timer

MAX_SUBSCRIPTION = 180.0
"""Seconds without a NOTIFY after which a transfer that was accepted is no longer waited for."""

_I = AskerInput


Report = Callable[[ReferStage, int, str], None]


class ReferAsker:
    """One REFER of ours. ``report`` gets ACCEPTED and PROGRESS any number of times, and then
    REFUSED or DONE once."""

    def __init__(self, core: EndpointCore, report: Report) -> None:
        self.state = AskerState.ASKED
        self._core = core
        self._report = report
        self._last = (202, default_reason(202))
        self._timer: Timer | None = None

    @property
    def waiting(self) -> bool:
        """It is not decided."""
        return self.state in (AskerState.ASKED, AskerState.SUBSCRIBED)

    def stop(self) -> None:
        """The call is over; nothing more is reported."""
        self._cancel_timer()
        self.state = AskerState.OVER

    # ---- the response -------------------------------------------------------------------------

    def answered(self, outcome: Outcome, now: float) -> None:
        response = outcome.response
        if response is None or not response.is_success:
            if self._step(_I.REFUSED):
                self._cancel_timer()
                self._report(ReferStage.REFUSED, outcome.status, outcome.reason)
            return
        silent = _is_false(response.headers.get("Refer-Sub"))
        was_asked = self.state is AskerState.ASKED
        if not self._step(_I.ACCEPTED_SILENTLY if silent else _I.ACCEPTED) or not was_asked:
            return
        self._report(ReferStage.ACCEPTED, response.status, response.reason)
        if silent:
            self._report(ReferStage.DONE, *self._last)
        else:
            self._wait(now)

    # ---- NOTIFY -------------------------------------------------------------------------------

    def notified(self, notify: Request, now: float) -> bool:
        """Take one NOTIFY; ``False`` (481) where the subscription is gone."""
        if self.state is AskerState.OVER:
            return False
        told = sipfrag_status(notify.body)
        if told is not None:
            self._last = told
            self._told(*told)
        if _is_over(notify):
            self._finish(_I.TERMINATED)
        else:
            self._wait(now)
        return True

    def _told(self, status: int, reason: str) -> None:
        undecided = self.waiting
        self._step(_I.RESULT if status >= 200 else _I.PROGRESS)
        if undecided:
            stage = ReferStage.DONE if status >= 200 else ReferStage.PROGRESS
            self._report(stage, status, reason)

    def _wait(self, now: float) -> None:
        self._cancel_timer()
        self._timer = self._core.queue.start(now + MAX_SUBSCRIPTION, self._timed_out)

    def _timed_out(self, now: float) -> None:
        self._timer = None
        self._finish(_I.TIMEOUT)

    def _finish(self, what: AskerInput) -> None:
        undecided = self.waiting
        if self._step(what):
            self._cancel_timer()
            if undecided:
                self._report(ReferStage.DONE, *self._last)

    def _cancel_timer(self) -> None:
        self._core.queue.cancel(self._timer)
        self._timer = None

    def _step(self, what: AskerInput) -> bool:
        state = ASKER.get((self.state, what))
        if state is None:
            return False
        self.state = state
        return True


def _is_over(notify: Request) -> bool:
    """A NOTIFY without a readable Subscription-State does not end anything."""
    try:
        return SubscriptionState.parse(notify.headers.get("Subscription-State") or "").is_over
    except ParseError:
        return False


def _is_false(value: str | None) -> bool:
    return value is not None and value.partition(";")[0].strip().lower() == "false"


def wants_no_subscription(message: Request | Response) -> bool:
    """``Refer-Sub: false`` (RFC 4488)."""
    return _is_false(message.headers.get("Refer-Sub"))
