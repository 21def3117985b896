"""Our 2xx to an INVITE, sent again until its ACK comes (RFC 3261 13.3.1.4)."""

from __future__ import annotations

from collections.abc import Callable

from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.message import Response
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction


class AckWait:
    """Sends the response at T1, 2*T1, … up to T2 apart, over reliable transports too, because
    the ACK may be lost beyond the next hop. ``gave_up`` is called after 64*T1.

    ``offered`` says that the response carries our offer and the ACK their answer.
    """

    def __init__(
        self,
        core: EndpointCore,
        transaction: ServerTransaction,
        response: Response,
        *,
        offered: bool,
        gave_up: Callable[[float], None],
    ) -> None:
        self.offered = offered
        self._core = core
        self._transaction = transaction
        self._response = response
        self._gave_up = gave_up
        self._interval = core.config.timers.t1
        self._deadline = 0.0
        self._timer: Timer | None = None

    def start(self, now: float) -> bool:
        """Send the response for the first time; ``False`` if it is too late for it."""
        if not self._transaction.respond(self._response, now):
            return False
        self._deadline = now + self._core.config.timers.give_up
        self._arm(now)
        return True

    def stop(self) -> None:
        self._core.queue.cancel(self._timer)
        self._timer = None

    def _arm(self, now: float) -> None:
        when = min(now + self._interval, self._deadline)
        self._timer = self._core.queue.start(when, self._again)

    def _again(self, now: float) -> None:
        self._timer = None
        if now >= self._deadline:
            self._gave_up(now)
            return
        self._transaction.respond(self._response, now)
        self._interval = min(self._interval * 2, self._core.config.timers.t2)
        self._arm(now)
