"""One request of ours other than INVITE, until it has its final response.

Challenges are answered and, where there are several places to send to, the next one is tried
after a timeout, a transport error and a 503 (RFC 3263 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ringback.sip.authentication import AuthRound
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.message import Request, Response
from ringback.sip.transaction import ClientTransaction, TransactionFailure
from ringback.sip.transport import Flow, heard_on


class Verdict(StrEnum):
    ANSWERED = "answered"
    """A final response came, of whatever status."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` and ``reason`` stand for the missing response of RFC 3261 8.1.3.1 where
    ``response`` is ``None``; ``detail`` says in words why it is missing, if that is known."""

    verdict: Verdict
    status: int
    reason: str
    response: Response | None
    flow: Flow | None
    detail: str = ""


TIMED_OUT = Outcome(Verdict.TIMEOUT, 408, "Request Timeout", None, None)
UNREACHABLE = Outcome(Verdict.UNREACHABLE, 503, "Service Unavailable", None, None)


class Exchange:
    """``build`` makes the request for a destination, with a new CSeq each time and no Via."""

    def __init__(
        self,
        core: EndpointCore,
        build: Callable[[Flow], Request],
        credentials: AuthRound,
        done: Callable[[Outcome, float], None],
    ) -> None:
        self._core = core
        self._build = build
        self._credentials = credentials
        self._done = done
        self._destinations: list[Flow] = []
        self._transaction: ClientTransaction | None = None
        self._last = UNREACHABLE

    def start(self, destinations: Sequence[Flow], now: float) -> None:
        self._destinations = list(destinations)
        self._next(now)

    def stop(self) -> None:
        """Forget the request; ``done`` is not called."""
        if self._transaction is not None:
            self._transaction.abandon()

    def _next(self, now: float) -> None:
        if self._destinations:
            self._send(self._destinations.pop(0), now)
        else:
            self._done(self._last, now)

    def _send(self, destination: Flow, now: float) -> None:
        request = self._build(destination)
        self._credentials.authorize(request)
        self._transaction = self._core.send_request(request, destination, self, now)

    def on_response(self, response: Response, flow: Flow, now: float) -> None:
        if response.is_provisional or self._transaction is None:
            return
        flow = heard_on(self._transaction.destination.hop, flow)
        self._last = Outcome(Verdict.ANSWERED, response.status, response.reason, response, flow)
        if self._credentials.answer(response):
            # To the same server, over the connection it answered on (RFC 3261 22.2).
            self._send(Flow(self._transaction.destination.hop, flow.connection), now)
        elif response.status == 503 and self._destinations:
            self._next(now)
        else:
            self._done(self._last, now)

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        if failure is TransactionFailure.TIMEOUT:
            self._last = TIMED_OUT
        else:
            why = self._transaction.transport_error if self._transaction is not None else ""
            self._last = replace(UNREACHABLE, detail=why)
        self._next(now)

    def on_end(self, now: float) -> None:
        """Only INVITE has an Accepted state."""
