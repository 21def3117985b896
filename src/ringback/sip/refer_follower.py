"""A transfer that the far end asks us for: REFER in, NOTIFYs out (RFC 3515 2.4, RFC 4488)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.exchange import Outcome
from ringback.sip.invite_session import ExtraHeaders
from ringback.sip.refer import EVENT, SIPFRAG, EventType, ReferTo, SubscriptionState, sipfrag
from ringback.sip.refer_asker import wants_no_subscription
from ringback.sip.refer_states import FOLLOWER, FollowerInput, FollowerState
from ringback.sip.referral import Referral
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction

SUBSCRIPTION_SECONDS = 180
"""How long the implicit subscription lasts; longer than a phone rings."""

_J = FollowerInput


class FollowerHost(Protocol):
    def send_notify(
        self, headers: ExtraHeaders, body: bytes, done: Callable[[Outcome, float], None], now: float
    ) -> None: ...


class ReferFollower(Referral):
    def __init__(
        self,
        core: EndpointCore,
        host: FollowerHost,
        transaction: ServerTransaction,
        refer_to: ReferTo,
        now: float,
    ) -> None:
        self.state = FollowerState.REQUESTED
        self.refer_to = refer_to
        self.request = transaction.request
        self._core = core
        self._host = host
        self._transaction = transaction
        self._event = EventType(EVENT, str(transaction.request.cseq.number))
        self._expires_at = now
        self._timer: Timer | None = core.queue.start(
            now + core.config.timers.give_up, self._owner_is_silent
        )
        self._notifying = False
        self._next: tuple[int, str] | None = None

    @property
    def open(self) -> bool:
        return self.state is not FollowerState.OVER

    @property
    def followed(self) -> bool:
        """Its subscription is there."""
        return self.state is FollowerState.FOLLOWING

    def seconds_left(self, now: float) -> int:
        """Of the subscription."""
        return max(1, int(self._expires_at - now))

    # ---- the owner ----------------------------------------------------------------------------

    def accept(self, *, now: float) -> bool:
        silent = wants_no_subscription(self.request)
        if not self._step(_J.ACCEPT_SILENTLY if silent else _J.ACCEPT):
            return False
        self._cancel_timer()
        headers: ExtraHeaders = (("Refer-Sub", "false"),) if silent else ()
        self._core.reply(self._transaction, 202, headers=headers, now=now)
        if not silent:
            self._expires_at = now + SUBSCRIPTION_SECONDS
            self._timer = self._core.queue.start(self._expires_at, self._time_is_up)
            self._notify(100, "", now)
        return True

    def reject(self, status: int, reason: str | None = None, *, now: float) -> bool:
        if not self._step(_J.REFUSE):
            return False
        self._cancel_timer()
        self._core.reply(self._transaction, status, reason, now=now)
        return True

    def report(self, status: int, reason: str = "", *, now: float) -> bool:
        listened = self.followed
        if not self._step(_J.RESULT if status >= 200 else _J.PROGRESS):
            return False
        if not self.open:
            self._cancel_timer()
        if listened:
            self._notify(status, reason, now)
        return True

    # ---- the far end --------------------------------------------------------------------------

    def unsubscribed(self, now: float) -> None:
        """SUBSCRIBE with Expires 0: a last NOTIFY is due, and then silence."""
        if self._step(_J.UNSUBSCRIBED):
            self._cancel_timer()
            self._notify(100, "", now, SubscriptionState("terminated", reason="timeout"))

    def session_over(self, now: float) -> None:
        """The call that it came in is over: nobody listens any more."""
        self.reject(487, now=now)
        self._step(_J.SESSION_OVER)
        self._cancel_timer()
        self._next = None

    def _owner_is_silent(self, now: float) -> None:
        self._timer = None
        self.reject(500, now=now)

    def _time_is_up(self, now: float) -> None:
        self._timer = None
        self.unsubscribed(now)

    # ---- NOTIFY -------------------------------------------------------------------------------

    def _notify(
        self, status: int, reason: str, now: float, state: SubscriptionState | None = None
    ) -> None:
        """One at a time, so that they arrive in order; of those that wait only the last goes."""
        if self._notifying:
            self._next = (status, reason)
            return
        self._notifying = True
        if state is None:
            left = self.seconds_left(now)
            over = SubscriptionState("terminated", reason="noresource")
            state = SubscriptionState("active", expires=left) if status < 200 else over
        headers = (
            ("Event", str(self._event)),
            ("Subscription-State", str(state)),
            ("Content-Type", f"{SIPFRAG};version=2.0"),
        )
        self._host.send_notify(headers, sipfrag(status, reason), self._notified, now)

    def _notified(self, outcome: Outcome, now: float) -> None:
        self._notifying = False
        if outcome.status == 481 or outcome.response is None:
            self._step(_J.UNSUBSCRIBED)
            self._cancel_timer()
            self._next = None
        if self._next is not None:
            (status, reason), self._next = self._next, None
            self._notify(status, reason, now)

    def _cancel_timer(self) -> None:
        self._core.queue.cancel(self._timer)
        self._timer = None

    def _step(self, what: FollowerInput) -> bool:
        state = FOLLOWER.get((self.state, what))
        if state is None:
            return False
        self.state = state
        return True
