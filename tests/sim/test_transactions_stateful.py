"""A client and a server transaction over a wire that loses, doubles and reorders.

hypothesis decides what happens next: which of the messages under way arrives, is lost or arrives
twice, how much time passes, what the server's user says. Whatever it decides, the promises of
RFC 3261 section 17 and RFC 6026 hold.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ringback.sip.message import Request, Response, parse_message
from ringback.sip.timers import TimerQueue, Timers
from ringback.sip.transaction import (
    ClientTransaction,
    ServerTransaction,
    Transaction,
    TransactionContext,
    TransactionFailure,
)
from ringback.sip.transport import Flow, Hop, Transmission
from unit.sip.sipkit import answer_to, request_from

UDP = Flow(Hop("udp", "192.0.2.2", 5060))
TCP = Flow(Hop("tcp", "192.0.2.2", 5060), 7)
TIMERS = Timers()
LONGEST = 2 * TIMERS.give_up + TIMERS.invite_response_wait
"""Seconds after which every timer of both machines has fired."""


class _Side:
    """One end: its transaction, its timers, and what its user was told."""

    def __init__(self, wire: list[bytes], method: str) -> None:
        self.queue = TimerQueue()
        self.wire = wire
        self.method = method
        self.sent = 0
        self.forgotten = 0
        self.local_tag = "peer"
        self.responses: list[int] = []
        self.failures: list[TransactionFailure] = []
        self.acks = 0
        self.ends = 0
        self.context = TransactionContext(TIMERS, self.queue, self._send, self._forget)

    def _send(self, transmission: Transmission) -> None:
        self.sent += 1
        self.wire.append(transmission.data)

    def _forget(self, transaction: Transaction) -> None:
        self.forgotten += 1

    def on_response(self, response: Response, flow: Flow, now: float) -> None:
        self.responses.append(response.status)

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        self.failures.append(failure)

    def on_end(self, now: float) -> None:
        self.ends += 1

    def on_cancel(self, cancel: Request, now: float) -> None: ...

    def on_ack(self, ack: Request, now: float) -> None:
        self.acks += 1


class TransactionsOverAWire(RuleBasedStateMachine):
    @initialize(method=st.sampled_from(["INVITE", "OPTIONS"]), flow=st.sampled_from([UDP, TCP]))
    def begin(self, method: str, flow: Flow) -> None:
        self.now = 0.0
        self.flow = flow
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.request = request_from(method)
        self.client = _Side(self.to_server, method)
        self.server = _Side(self.to_client, method)
        self.said: list[int] = []
        self.server_transaction: ServerTransaction | None = None
        self.client_transaction = ClientTransaction(
            "c", self.request, self.request.top_via, flow, self.client, self.client.context
        )
        self.client_transaction.start(self.now)

    # ---- the wire -----------------------------------------------------------------------------

    def _carry(
        self, wire: list[bytes], deliver: Callable[[bytes], None], data: st.DataObject
    ) -> None:
        first = self.flow is TCP
        index = 0 if first else data.draw(st.integers(0, len(wire) - 1), "which")
        fate = "arrives" if first else data.draw(st.sampled_from(["arrives", "doubled", "lost"]))
        message = wire[index] if fate == "doubled" else wire.pop(index)
        if fate != "lost":
            deliver(message)

    @precondition(lambda self: self.to_server)
    @rule(data=st.data())
    def toward_server(self, data: st.DataObject) -> None:
        self._carry(self.to_server, self._at_server, data)

    @precondition(lambda self: self.to_client)
    @rule(data=st.data())
    def toward_client(self, data: st.DataObject) -> None:
        self._carry(self.to_client, self._at_client, data)

    def _at_server(self, message: bytes) -> None:
        request = parse_message(message)
        assert isinstance(request, Request)
        server = self.server_transaction
        if request.method == "ACK":
            if server is not None and not server.terminated:
                server.receive_ack(request, self.now)
        elif server is None:
            server = ServerTransaction("s", request, self.flow, self.flow, self.server.context)
            server.user = self.server
            self.server_transaction = server
            server.start(self.now)
        elif not server.terminated:
            server.receive_retransmission(self.now)

    def _at_client(self, message: bytes) -> None:
        response = parse_message(message)
        assert isinstance(response, Response)
        if not self.client_transaction.terminated:
            self.client_transaction.receive(response, self.flow, self.now)

    # ---- time and the users -------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 0.25, 0.5, 1.0, 4.0, 33.0]))
    def wait(self, seconds: float) -> None:
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            due = [t for t in (side.queue.next() for side in self._sides()) if t is not None]
            if not due or min(due) > end:
                break
            self.now = min(due)
            for side in self._sides():
                side.queue.fire(self.now)
        self.now = end

    def _sides(self) -> tuple[_Side, _Side]:
        return self.client, self.server

    @precondition(lambda self: self.server_transaction is not None)
    @rule(status=st.sampled_from([180, 183, 200, 200, 302, 486, 603]))
    def answer(self, status: int) -> None:
        server = self.server_transaction
        assert server is not None
        may = not any(said >= 200 for said in self.said) or (
            self.request.method == "INVITE" and self.said[-1] < 300 and 200 <= status < 300
        )
        over = server.terminated
        taken = server.respond(answer_to(self.request, status), self.now)
        assert taken is (may and not over), f"{status} after {self.said}"
        if taken:
            self.said.append(status)

    @rule()
    def the_network_fails_at_the_client(self) -> None:
        before = list(self.client.failures)
        self.client_transaction.transport_failed(self.now)
        assert len(self.client.failures) - len(before) <= 1

    # ---- what always holds --------------------------------------------------------------------

    @invariant()
    def what_was_said_is_what_was_heard(self) -> None:
        assert set(self.client.responses) <= {*self.said, 100}
        finals = [status for status in self.client.responses if status >= 200]
        accepted = [status for status in finals if status < 300]
        if self.request.method != "INVITE" or len(accepted) != len(finals):
            assert len(finals) <= 1
        assert not (finals and self.client.failures and self.request.method != "INVITE")

    @invariant()
    def nobody_is_told_twice(self) -> None:
        for side in self._sides():
            assert side.ends <= 1
            assert side.forgotten <= 1
        assert len(self.client.failures) <= 1
        assert self.client.forgotten == self.client_transaction.terminated

    @invariant()
    def no_more_is_sent_than_the_timers_allow(self) -> None:
        """Timer A doubles from T1 to 64*T1: seven requests. Timer E goes on at T2: eleven."""
        requests = 7 if self.request.method == "INVITE" else 11
        answers = len([status for status in self.client.responses if status >= 300])
        if self.request.method != "INVITE":
            assert self.client.sent <= requests
        elif not answers:
            assert self.client.sent <= requests
        if self.flow is TCP and self.request.method != "INVITE":
            assert self.client.sent == 1

    def teardown(self) -> None:
        if not hasattr(self, "client_transaction"):
            return
        self._pass(LONGEST)
        server = self.server_transaction
        finished = self.client_transaction.terminated
        provisional = self.client.responses and not self.client.failures
        waits = self.request.method == "INVITE" and provisional
        assert finished or waits, "a client without an answer gives up"
        if finished:
            assert self.client.queue.next() is None
        final = any(status >= 200 for status in self.said)
        if server is not None and final:
            assert server.terminated
            assert self.server.queue.next() is None


TestTransactionsOverAWire = TransactionsOverAWire.TestCase
TestTransactionsOverAWire.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None
)
