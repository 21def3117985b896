"""One transaction: a machine of ``transaction_states.py`` with its messages and timers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

from ringback.sip.headers import CSeq, Headers, Via
from ringback.sip.message import Request, Response
from ringback.sip.timers import Timer, TimerQueue, Timers
from ringback.sip.transaction_states import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Machine,
    TransactionInput,
    TransactionState,
    first_interval,
    next_interval,
)
from ringback.sip.transport import Flow, Transmission
from ringback.sip.uri import Uri


class TransactionFailure(StrEnum):
    TIMEOUT = "timeout"
    TRANSPORT = "transport"


class ClientUser(Protocol):
    """Who sent the request."""

    def on_response(self, response: Response, flow: Flow, now: float) -> None: ...

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        """No final response will come."""
        ...

    def on_end(self, now: float) -> None:
        """An INVITE that was accepted: no more 2xx, of any fork, will come."""
        ...


class ServerUser(Protocol):
    """Who answers an INVITE. ``local_tag`` is what it puts into To."""

    @property
    def local_tag(self) -> str: ...

    def on_cancel(self, cancel: Request, now: float) -> None: ...

    def on_ack(self, ack: Request, now: float) -> None:
        """The ACK for a 2xx that a peer sent inside of the transaction (RFC 2543)."""
        ...

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        """A response could not be sent, or a final response other than 2xx got no ACK."""
        ...


@dataclass(frozen=True, slots=True)
class TransactionContext:
    """What every transaction of one layer shares."""

    timers: Timers
    queue: TimerQueue
    send: Callable[[Transmission], None]
    forget: Callable[[Transaction], None]


class Transaction:
    """The part that interprets a table."""

    __slots__ = (
        "_context", "_machine", "_reliable", "_running", "key", "state", "transport_error",
    )  # fmt: skip

    def __init__(
        self, machine: Machine, key: str, reliable: bool, context: TransactionContext
    ) -> None:
        self.key = key
        self.state = machine.initial
        self.transport_error = ""
        """Why the last transmission failed, where there are words for it."""
        self._machine = machine
        self._reliable = reliable
        self._context = context
        self._running: dict[TransactionInput, Timer] = {}

    @property
    def terminated(self) -> bool:
        return self.state is TransactionState.TERMINATED

    def transport_failed(self, now: float, why: str = "") -> None:
        self.transport_error = why
        self._input(TransactionInput.TRANSPORT_ERROR, now)

    def abandon(self) -> None:
        """Stop at once and tell nobody."""
        if not self.terminated:
            self._enter(TransactionState.TERMINATED, 0.0)

    def _input(
        self, what: TransactionInput, now: float, message: Request | Response | None = None
    ) -> bool:
        """Take the step for ``what``; ``False`` if it means nothing in this state."""
        step = self._machine.steps.get((self.state, what))
        if step is None:
            return False
        over = self._enter(step.state, now)
        for action in step.actions:
            self._act(action, message, now)
        if over is not None and self.state is step.state:
            self._input(over, now)
        return True

    def _enter(self, state: TransactionState, now: float) -> TransactionInput | None:
        """Change the state and its timers. Returns a timer that is over at once, if any."""
        if state is self.state:
            return None
        self.state = state
        wanted = self._machine.timers.get(state, ())
        for timer in [timer for timer in self._running if timer not in wanted]:
            self._context.queue.cancel(self._running.pop(timer))
        if state is TransactionState.TERMINATED:
            self._context.forget(self)
        return self._start_timers(now)

    def _start_timers(self, now: float) -> TransactionInput | None:
        over = None
        for timer in self._machine.timers.get(self.state, ()):
            if timer in self._running:
                continue
            interval = first_interval(timer, self._context.timers, self._reliable)
            if interval == 0.0:
                over = timer
            elif interval is not None:
                self._run(timer, interval, now)
        return over

    def _run(self, timer: TransactionInput, interval: float, now: float) -> None:
        self._running[timer] = self._context.queue.start(
            now + interval, partial(self._on_timer, timer, interval)
        )

    def _on_timer(self, timer: TransactionInput, interval: float, now: float) -> None:
        self._running.pop(timer, None)
        again = next_interval(timer, self.state, interval, self._context.timers)
        if again is not None:
            self._run(timer, again, now)
        self._input(timer, now)

    def _act(self, action: Action, message: Request | Response | None, now: float) -> None:
        raise NotImplementedError


def _received(status: int) -> TransactionInput:
    if status < 200:
        return TransactionInput.RECEIVED_1XX
    if status < 300:
        return TransactionInput.RECEIVED_2XX
    return TransactionInput.RECEIVED_300_699


def _sent(status: int) -> TransactionInput:
    if status < 200:
        return TransactionInput.SENT_1XX
    if status < 300:
        return TransactionInput.SENT_2XX
    return TransactionInput.SENT_300_699


class ClientTransaction(Transaction):
    """A request of ours. ``request`` is as sent, Via included."""

    __slots__ = ("_data", "_flow_in", "_user", "destination", "request", "via")

    def __init__(
        self,
        key: str,
        request: Request,
        via: Via,
        destination: Flow,
        user: ClientUser,
        context: TransactionContext,
    ) -> None:
        machine = INVITE_CLIENT if request.method == "INVITE" else NON_INVITE_CLIENT
        super().__init__(machine, key, destination.hop.reliable, context)
        self.request = request
        self.via = via
        self.destination = destination
        self._user = user
        self._data = bytes(request)
        self._flow_in = destination

    def start(self, now: float) -> None:
        self._transmit(self._data)
        self._start_timers(now)

    def receive(self, response: Response, flow: Flow, now: float) -> bool:
        self._flow_in = flow
        return self._input(_received(response.status), now, response)

    def _transmit(self, data: bytes) -> None:
        self._context.send(Transmission(self.destination, data, self.key))

    def _act(self, action: Action, message: Request | Response | None, now: float) -> None:
        match action:
            case Action.SEND:
                self._transmit(self._data)
            case Action.SEND_ACK if isinstance(message, Response):
                self._transmit(bytes(make_ack(self.request, message)))
            case Action.DELIVER if isinstance(message, Response):
                self._user.on_response(message, self._flow_in, now)
            case Action.REPORT_TIMEOUT:
                self._user.on_failure(TransactionFailure.TIMEOUT, now)
            case Action.REPORT_ERROR:
                self._user.on_failure(TransactionFailure.TRANSPORT, now)
            case Action.REPORT_END:
                self._user.on_end(now)


def make_ack(invite: Request, response: Response) -> Request:
    """The ACK for a final response other than 2xx; part of the transaction (17.1.1.3)."""
    headers = Headers([("Via", invite.top_via)])
    for value in invite.headers.get_all("Route"):
        headers.add("Route", value)
    headers.add("Max-Forwards", 70)
    for name, source in (("From", invite), ("To", response), ("Call-ID", invite)):
        headers.add(name, source.headers.get(name) or "")
    headers.add("CSeq", CSeq(invite.cseq.number, "ACK"))
    return Request("ACK", invite.uri, headers, b"")


class ServerTransaction(Transaction):
    """A request of the peer's. ``request`` is as received, source stamped into its Via."""

    __slots__ = (
        "_last", "call_id", "destination", "flow", "last_status", "merge_key", "request", "user",
    )  # fmt: skip

    def __init__(
        self, key: str, request: Request, flow: Flow, destination: Flow, context: TransactionContext
    ) -> None:
        machine = INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER
        super().__init__(machine, key, flow.hop.reliable, context)
        self.request = request
        self.flow = flow
        self.destination = destination
        self.user: ServerUser | None = None
        self.call_id = ""
        """What the layer counts it under."""
        self.merge_key: tuple[str, str | None, int, str] | None = None
        self.last_status = 0
        self._last = b""

    def start(self, now: float) -> None:
        self._start_timers(now)

    @property
    def answered(self) -> bool:
        """A final response was sent."""
        return self.last_status >= 200 or self.terminated

    def respond(self, response: Response, now: float) -> bool:
        """Send ``response``; ``False`` if it is too late for it."""
        what = _sent(response.status)
        if (self.state, what) not in self._machine.steps:
            return False
        self.last_status = response.status
        return self._input(what, now, response)

    def let_go(self) -> None:
        """It was answered and its user is done: for the rest of its life, which is half a minute
        over UDP, only the answer is needed."""
        self.request = _FORGOTTEN
        if self.user is not None:
            self.user = _Done(self.user.local_tag)

    def receive_retransmission(self, now: float) -> None:
        self._input(TransactionInput.RECEIVED_REQUEST, now)

    def receive_ack(self, ack: Request, now: float) -> bool:
        return self._input(TransactionInput.RECEIVED_ACK, now, ack)

    def _act(self, action: Action, message: Request | Response | None, now: float) -> None:
        match action:
            case Action.SEND:
                if isinstance(message, Response):
                    self._last = bytes(message)
                self._transmit()
            case Action.SEND_100:
                if not self._last:
                    self._last = bytes(Response.to_request(self.request, 100))
                    self.last_status = 100
                    self._transmit()
            case Action.DELIVER if isinstance(message, Request) and self.user is not None:
                self.user.on_ack(message, now)
            case Action.REPORT_TIMEOUT if self.user is not None:
                self.user.on_failure(TransactionFailure.TIMEOUT, now)
            case Action.REPORT_ERROR if self.user is not None:
                self.user.on_failure(TransactionFailure.TRANSPORT, now)
            case _:
                pass

    def _transmit(self) -> None:
        if self._last:
            self._context.send(Transmission(self.destination, self._last, self.key))


_FORGOTTEN = Request("ACK", Uri("sip", host="invalid"))


@dataclass(frozen=True, slots=True)
class _Done:
    """The user of an INVITE whose call is over."""

    local_tag: str

    def on_cancel(self, cancel: Request, now: float) -> None: ...

    def on_ack(self, ack: Request, now: float) -> None: ...

    def on_failure(self, failure: TransactionFailure, now: float) -> None: ...
