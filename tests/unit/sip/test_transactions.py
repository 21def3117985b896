"""The four transaction machines, step by step in virtual time (RFC 3261 section 17, RFC 6026).

Each case of ``CASES`` is a scenario: what happens, then what was sent, what the user was told,
and the state at the end. Words: ``1xx``, ``2xx``, ``final`` arrive at a client; ``again``,
``ack`` arrive at a server, whose user says ``send 1xx`` and so on; ``error`` is a transport
error; a number lets so many seconds pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ringback.sip.message import Request, Response, parse_message
from ringback.sip.timers import TimerQueue, Timers
from ringback.sip.transaction import (
    ClientTransaction,
    ServerTransaction,
    Transaction,
    TransactionContext,
    TransactionFailure,
)
from ringback.sip.transaction_states import (
    MACHINES,
    Machine,
    TransactionInput,
    TransactionState,
)
from ringback.sip.transport import Flow, Hop, Transmission
from unit.sip.sipkit import answer_to, request_from

UDP = Flow(Hop("udp", "192.0.2.2", 5060))
TCP = Flow(Hop("tcp", "192.0.2.2", 5060), 7)
STATUS = {"1xx": 180, "2xx": 200, "final": 486}


class Lab:
    """One transaction with its user, its clock and a log of both."""

    def __init__(self, machine: Machine, flow: Flow) -> None:
        self.now = 0.0
        self.queue = TimerQueue()
        self.sent: list[str] = []
        self.sent_at: list[float] = []
        self.told: list[str] = []
        self.forgotten = 0
        self.local_tag = "ours"
        context = TransactionContext(Timers(), self.queue, self._send, self._forget)
        method = "INVITE" if machine.name.startswith("INVITE") else "OPTIONS"
        self.request = request_from(method)
        self.transaction: Transaction
        if machine.name.endswith("client"):
            client = ClientTransaction(
                "c|k", self.request, self.request.top_via, flow, self, context
            )
            self.transaction = client
            client.start(self.now)
        else:
            server = ServerTransaction("s|k", self.request, flow, flow, context)
            server.user = self
            self.transaction = server
            server.start(self.now)

    def play(self, *steps: str | float) -> None:
        for step in steps:
            if isinstance(step, str):
                self.do(step)
            else:
                self.advance(step)

    def do(self, step: str) -> None:
        transaction = self.transaction
        if step == "error":
            transaction.transport_failed(self.now)
        elif isinstance(transaction, ClientTransaction):
            transaction.receive(answer_to(self.request, STATUS[step]), UDP, self.now)
        elif isinstance(transaction, ServerTransaction):
            if step == "again":
                transaction.receive_retransmission(self.now)
            elif step == "ack":
                transaction.receive_ack(request_from("ACK"), self.now)
            else:
                status = STATUS[step.removeprefix("send ")]
                transaction.respond(Response.to_request(self.request, status), self.now)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.queue.next()) is not None and due <= end:
            self.now = due
            self.queue.fire(due)
        self.now = end

    def _send(self, transmission: Transmission) -> None:
        message = parse_message(transmission.data)
        self.sent.append(message.method if isinstance(message, Request) else str(message.status))
        self.sent_at.append(self.now)

    def _forget(self, transaction: Transaction) -> None:
        self.forgotten += 1

    # the users of both sides

    def on_response(self, response: Response, flow: Flow, now: float) -> None:
        self.told.append(str(response.status))

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        self.told.append(str(failure))

    def on_end(self, now: float) -> None:
        self.told.append("end")

    def on_ack(self, ack: Request, now: float) -> None:
        self.told.append("ack")

    def on_cancel(self, cancel: Request, now: float) -> None:
        self.told.append("cancel")


@dataclass(frozen=True)
class Case:
    name: str
    machine: int
    steps: tuple[str | float, ...]
    sent: str
    told: str
    state: str
    flow: Flow = UDP


IC, NC, IS, NS = range(4)

CASES = (
    # ---- INVITE client
    Case("sends at once", IC, (), "INVITE", "", "calling"),
    Case("timer A doubles", IC, (15.6,), "INVITE " * 6, "", "calling"),
    Case("no timer A over TCP", IC, (15.6,), "INVITE", "", "calling", TCP),
    Case("timer B gives up", IC, (32.0,), "INVITE " * 7, "timeout", "terminated"),
    Case("timer B over TCP", IC, (32.0,), "INVITE", "timeout", "terminated", TCP),
    Case("transport error while calling", IC, ("error",), "INVITE", "transport", "terminated"),
    Case("1xx stops A and B", IC, ("1xx", 400.0), "INVITE", "180", "proceeding"),
    Case("every 1xx goes up", IC, ("1xx", "1xx"), "INVITE", "180 180", "proceeding"),
    Case("transport error after 1xx", IC, ("1xx", "error"), "INVITE", "180", "proceeding"),
    Case("2xx while calling", IC, ("2xx",), "INVITE", "200", "accepted"),
    Case("2xx after 1xx", IC, ("1xx", "2xx"), "INVITE", "180 200", "accepted"),
    Case("every 2xx goes up", IC, ("2xx", "2xx"), "INVITE", "200 200", "accepted"),
    Case("a late 1xx is nothing", IC, ("2xx", "1xx"), "INVITE", "200", "accepted"),
    Case("a final after a 2xx is nothing", IC, ("2xx", "final"), "INVITE", "200", "accepted"),
    Case("timer M", IC, ("2xx", 31.9), "INVITE", "200", "accepted"),
    Case("timer M over", IC, ("2xx", 32.0), "INVITE", "200 end", "terminated"),
    Case("timer M over TCP, too", IC, ("2xx", 31.9), "INVITE", "200", "accepted", TCP),
    Case("final is ACKed", IC, ("final",), "INVITE ACK", "486", "completed"),
    Case("final after 1xx", IC, ("1xx", "final"), "INVITE ACK", "180 486", "completed"),
    Case("final again: ACK again", IC, ("final", "final"), "INVITE ACK ACK", "486", "completed"),
    Case("2xx after a final is nothing", IC, ("final", "2xx"), "INVITE ACK", "486", "completed"),
    Case("ACK fails", IC, ("final", "error"), "INVITE ACK", "486 transport", "terminated"),
    Case("timer D", IC, ("final", 31.9), "INVITE ACK", "486", "completed"),
    Case("timer D over", IC, ("final", 32.0), "INVITE ACK", "486", "terminated"),
    Case("no timer D over TCP", IC, ("final",), "INVITE ACK", "486", "terminated", TCP),
    # ---- non-INVITE client
    Case("asks at once", NC, (), "OPTIONS", "", "trying"),
    Case("timer E doubles up to T2", NC, (15.4,), "OPTIONS " * 6, "", "trying"),
    Case("no timer E over TCP", NC, (15.5,), "OPTIONS", "", "trying", TCP),
    Case("timer F gives up", NC, (32.0,), "OPTIONS " * 11, "timeout", "terminated"),
    Case("timer F over TCP", NC, (32.0,), "OPTIONS", "timeout", "terminated", TCP),
    Case("cannot be sent", NC, ("error",), "OPTIONS", "transport", "terminated"),
    Case("1xx slows E to T2", NC, ("1xx", 8.6), "OPTIONS " * 4, "180", "proceeding"),
    Case("every 1xx is told", NC, ("1xx", "1xx"), "OPTIONS", "180 180", "proceeding"),
    Case("F after 1xx", NC, ("1xx", 32.0), "OPTIONS " * 9, "180 timeout", "terminated"),
    Case("error after 1xx", NC, ("1xx", "error"), "OPTIONS", "180 transport", "terminated"),
    Case("2xx at once", NC, ("2xx",), "OPTIONS", "200", "completed"),
    Case("final at once", NC, ("final",), "OPTIONS", "486", "completed"),
    Case("then 2xx", NC, ("1xx", "2xx"), "OPTIONS", "180 200", "completed"),
    Case("then final", NC, ("1xx", "final"), "OPTIONS", "180 486", "completed"),
    Case("again is absorbed", NC, ("2xx", "2xx", "final"), "OPTIONS", "200", "completed"),
    Case("timer K", NC, ("2xx", 4.9), "OPTIONS", "200", "completed"),
    Case("timer K over", NC, ("2xx", 5.0), "OPTIONS", "200", "terminated"),
    Case("no timer K over TCP", NC, ("2xx",), "OPTIONS", "200", "terminated", TCP),
    # ---- INVITE server
    Case("100 after 200 ms", IS, (0.2,), "100", "", "proceeding"),
    Case("silent before", IS, (0.19, "again"), "", "", "proceeding"),
    Case("no 100 after a 180", IS, ("send 1xx", 1.0), "180", "", "proceeding"),
    Case("repeats the 1xx", IS, ("send 1xx", "again"), "180 180", "", "proceeding"),
    Case("repeats the 100", IS, (0.2, "again"), "100 100", "", "proceeding"),
    Case("rings forever", IS, ("send 1xx", 900.0), "180", "", "proceeding"),
    Case("1xx fails", IS, ("send 1xx", "error"), "180", "transport", "proceeding"),
    Case("ACK too early", IS, ("send 1xx", "ack"), "180", "", "proceeding"),
    Case("refuses", IS, ("send final",), "486", "", "completed"),
    Case("refuses again", IS, ("send final", "again"), "486 486", "", "completed"),
    Case("timer G doubles up to T2", IS, ("send final", 15.4), "486 " * 6, "", "completed"),
    Case("no timer G over TCP", IS, ("send final", 15.5), "486", "", "completed", TCP),
    Case("timer H", IS, ("send final", 32.0), "486 " * 11, "timeout", "terminated"),
    Case("timer H over TCP", IS, ("send final", 32.0), "486", "timeout", "terminated", TCP),
    Case("refusal fails", IS, ("send final", "error"), "486", "transport", "completed"),
    Case("ACKed", IS, ("send final", "ack"), "486", "", "confirmed"),
    Case("quiet", IS, ("send final", "ack", "again", "ack"), "486", "", "confirmed"),
    Case("timer I", IS, ("send final", "ack", 4.9), "486", "", "confirmed"),
    Case("timer I over", IS, ("send final", "ack", 5.0), "486", "", "terminated"),
    Case("no timer I over TCP", IS, ("send final", "ack"), "486", "", "terminated", TCP),
    Case("accepts", IS, ("send 2xx",), "200", "", "accepted"),
    Case("absorbs", IS, ("send 2xx", "again", 3.0), "200", "", "accepted"),
    Case("2xx is the user's to repeat", IS, ("send 2xx", "send 2xx"), "200 200", "", "accepted"),
    Case("its ACK goes up", IS, ("send 2xx", "ack", "ack"), "200", "ack ack", "accepted"),
    Case("2xx fails", IS, ("send 2xx", "error"), "200", "transport", "accepted"),
    Case("timer L", IS, ("send 2xx", 31.9), "200", "", "accepted"),
    Case("timer L over", IS, ("send 2xx", 32.0), "200", "", "terminated"),
    Case("timer L over TCP, too", IS, ("send 2xx", 31.9), "200", "", "accepted", TCP),
    Case("no 1xx after 2xx", IS, ("send 2xx", "send 1xx"), "200", "", "accepted"),
    Case("one final only", IS, ("send final", "send 2xx"), "486", "", "completed"),
    # ---- non-INVITE server
    Case("waits for its user", NS, (900.0, "again"), "", "", "trying"),
    Case("trying, then 1xx", NS, ("send 1xx", "again"), "180 180", "", "proceeding"),
    Case("another 1xx", NS, ("send 1xx", "send 1xx"), "180 180", "", "proceeding"),
    Case("answers", NS, ("send 2xx", "again"), "200 200", "", "completed"),
    Case("answers after 1xx", NS, ("send 1xx", "send 2xx"), "180 200", "", "completed"),
    Case("denies", NS, ("send final", "again"), "486 486", "", "completed"),
    Case("denies after 1xx", NS, ("send 1xx", "send final"), "180 486", "", "completed"),
    Case("a second answer is nothing", NS, ("send 2xx", "send final"), "200", "", "completed"),
    Case("1xx lost for good", NS, ("send 1xx", "error"), "180", "transport", "terminated"),
    Case("answer lost for good", NS, ("send 2xx", "error"), "200", "transport", "terminated"),
    Case("timer J", NS, ("send 2xx", 31.9), "200", "", "completed"),
    Case("timer J over", NS, ("send 2xx", 32.0), "200", "", "terminated"),
    Case("no timer J over TCP", NS, ("send 2xx",), "200", "", "terminated", TCP),
    Case("an ACK is nothing", NS, ("send 2xx", "ack"), "200", "", "completed"),
)


@pytest.mark.requirement("rfc3261.17.1", "rfc3261.17.2", "rfc6026.7")
@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{MACHINES[case.machine].name}: {case.name}"
)
def test_the_machine_does_what_the_rfc_says(case: Case) -> None:
    lab = Lab(MACHINES[case.machine], case.flow)
    lab.play(*case.steps)
    assert lab.sent == case.sent.split()
    assert lab.told == case.told.split()
    assert lab.transaction.state == case.state
    assert lab.forgotten == (1 if case.state == "terminated" else 0)
    if case.state == "terminated":
        assert len(lab.queue) == 0


WAY_TO: dict[tuple[str, TransactionState], tuple[str, ...]] = {
    ("INVITE client", TransactionState.CALLING): (),
    ("INVITE client", TransactionState.PROCEEDING): ("1xx",),
    ("INVITE client", TransactionState.COMPLETED): ("final",),
    ("INVITE client", TransactionState.ACCEPTED): ("2xx",),
    ("non-INVITE client", TransactionState.TRYING): (),
    ("non-INVITE client", TransactionState.PROCEEDING): ("1xx",),
    ("non-INVITE client", TransactionState.COMPLETED): ("2xx",),
    ("INVITE server", TransactionState.PROCEEDING): (),
    ("INVITE server", TransactionState.COMPLETED): ("send final",),
    ("INVITE server", TransactionState.ACCEPTED): ("send 2xx",),
    ("INVITE server", TransactionState.CONFIRMED): ("send final", "ack"),
    ("non-INVITE server", TransactionState.TRYING): (),
    ("non-INVITE server", TransactionState.PROCEEDING): ("send 1xx",),
    ("non-INVITE server", TransactionState.COMPLETED): ("send 2xx",),
}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_what_the_table_does_not_name_changes_nothing(machine: Machine) -> None:
    states = {state for state, _ in machine.steps}
    assert {(machine.name, state) for state in states} == {
        key for key in WAY_TO if key[0] == machine.name
    }
    for state in states:
        lab = Lab(machine, UDP)
        lab.play(*WAY_TO[machine.name, state])
        assert lab.transaction.state is state
        before = (list(lab.sent), list(lab.told), len(lab.queue))
        for what in TransactionInput:
            if (state, what) not in machine.steps:
                assert not lab.transaction._input(what, lab.now)
        assert (lab.sent, lab.told, len(lab.queue)) == before
        assert lab.transaction.state is state


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_timer_that_a_state_starts_has_a_step_there(machine: Machine) -> None:
    for state, timers in machine.timers.items():
        for timer in timers:
            assert (state, timer) in machine.steps


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_has_a_way_to_its_end_but_those_that_wait_for_their_user(
    machine: Machine,
) -> None:
    reached = {TransactionState.TERMINATED}
    while True:
        more = {state for (state, _), step in machine.steps.items() if step.state in reached}
        if more <= reached:
            break
        reached |= more
    assert {state for state, _ in machine.steps} <= reached


@pytest.mark.requirement("rfc3261.17.1")
def test_timer_a_intervals_double_without_bound() -> None:
    lab = Lab(MACHINES[IC], UDP)
    lab.advance(32.0)
    assert lab.sent_at == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


@pytest.mark.requirement("rfc3261.17.1")
def test_timer_e_intervals_double_up_to_t2() -> None:
    lab = Lab(MACHINES[NC], UDP)
    lab.advance(32.0)
    assert lab.sent_at == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


@pytest.mark.requirement("rfc3261.17.2")
def test_timer_g_intervals_double_up_to_t2() -> None:
    lab = Lab(MACHINES[IS], UDP)
    lab.play("send final", 32.0)
    assert lab.sent_at == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_the_ack_for_a_refusal_repeats_what_identifies_the_invite() -> None:
    sent: list[Transmission] = []
    context = TransactionContext(Timers(), TimerQueue(), sent.append, lambda transaction: None)
    invite = request_from(
        "INVITE", cseq=7, headers=[("Route", "<sip:p1;lr>"), ("Route", "<sip:p2;lr>")]
    )
    lab = Lab(MACHINES[IC], UDP)
    transaction = ClientTransaction("c|x", invite, invite.top_via, UDP, lab, context)
    transaction.start(0.0)
    transaction.receive(answer_to(invite, 486, tag="xyz"), UDP, 0.0)
    ack = parse_message(sent[-1].data)
    assert isinstance(ack, Request)
    assert ack.uri == invite.uri
    assert [str(via) for via in ack.vias] == [str(invite.top_via)]
    assert [str(route) for route in ack.routes] == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert (ack.cseq.number, ack.cseq.method) == (7, "ACK")
    assert ack.to.tag == "xyz"
    assert (ack.call_id, ack.from_) == (invite.call_id, invite.from_)
    assert sent[-1].destination == UDP
    assert ack.body == b""


def test_an_abandoned_transaction_is_forgotten_and_silent() -> None:
    lab = Lab(MACHINES[IC], UDP)
    lab.transaction.abandon()
    lab.transaction.abandon()
    lab.advance(100.0)
    assert (lab.sent, lab.told, lab.forgotten, len(lab.queue)) == (["INVITE"], [], 1, 0)
