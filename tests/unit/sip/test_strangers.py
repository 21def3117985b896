"""Whom the gatekeeper turns away gets an answer, and no memory is spent on him."""

from __future__ import annotations

import pytest

from ringback.sip.events import Dropped, DropReason, IncomingInvite
from ringback.sip.message import Request
from ringback.sip.transport import Flow
from unit.sip.sipkit import OFFER, PEER, Node, request_from


class Nobody:
    """Welcomes nobody, or whoever calls ``demo``."""

    def __init__(self) -> None:
        self.asked = 0

    def refusal(self, request: Request, flow: Flow, now: float) -> int:
        self.asked += 1
        return 0 if request.uri.user == "demo" else 403


def guarded() -> tuple[Node, Nobody]:
    node, gatekeeper = Node(), Nobody()
    node.endpoint.gatekeeper = gatekeeper
    return node, gatekeeper


def invite(user: str, number: int = 1) -> Request:
    uri = f"sip:{user}@192.0.2.1"
    return request_from(
        "INVITE", call_id=f"stranger-{number}@x", uri=uri, to=f"<{uri}>", body=OFFER
    )


@pytest.mark.requirement("guard.source-rate")
def test_a_thousand_strangers_leave_no_transaction_and_no_timer() -> None:
    node, _ = guarded()
    for number in range(1000):
        node.receive(invite("100", number))
    assert node.endpoint.counts.server_transactions == 0
    assert node.endpoint.counts.timers == 0
    assert node.endpoint.is_idle
    assert len(node.take_events()) == 1000
    before = len(node.log)
    node.settle()
    assert len(node.log) == before  # nothing is said twice


@pytest.mark.requirement("guard.no-enumeration")
def test_the_refusal_is_the_same_whoever_is_called() -> None:
    answers = []
    for user in ("100", "+33612345678", "admin"):
        node, _ = guarded()
        node.receive(invite(user))
        answers.append(bytes(node.last_response("403 INVITE")).replace(user.encode(), b"USER"))
        assert node.event(Dropped).why is DropReason.STRANGER
    assert len(set(answers)) == 1


def test_a_repeated_request_gets_the_same_tag_again() -> None:
    node, _ = guarded()
    tags = set()
    for _ in range(3):
        node.receive(invite("100"))
        tags.add(node.last_response("403 INVITE").to.tag)
    node.receive(invite("100", 2))
    assert len(tags) == 1
    assert node.last_response("403 INVITE").to.tag not in tags


@pytest.mark.parametrize(
    ("method", "status"),
    [("REGISTER", 405), ("SUBSCRIBE", 489), ("MESSAGE", 405), ("BYE", 481), ("FROB", 501)],
)
def test_other_methods_get_what_they_are_owed_without_a_transaction(
    method: str, status: int
) -> None:
    node, _ = guarded()
    node.receive(request_from(method))
    assert node.last_response(f"{status} {method}")
    assert node.endpoint.counts.server_transactions == 0


def test_options_is_answered_for_everybody_alike_and_is_no_offence() -> None:
    node, _ = guarded()
    node.receive(request_from("OPTIONS"))
    assert node.last_response("200 OPTIONS").headers.get("Allow")
    assert node.endpoint.counts.server_transactions == 0
    assert node.take_events() == []


def test_whom_the_gatekeeper_welcomes_has_a_call_and_is_not_asked_again() -> None:
    node, gatekeeper = guarded()
    request = invite("demo")
    node.receive(request)
    assert node.event(IncomingInvite)
    assert node.endpoint.serves("stranger-1@x")
    node.receive(invite("demo"))  # sent again
    assert gatekeeper.asked == 1


def test_the_core_knows_which_messages_belong_to_it() -> None:
    node = Node()
    assert not node.endpoint.serves("stranger-1@x")
    node.receive(invite("demo"))
    session = node.event(IncomingInvite).session
    assert node.endpoint.serves("stranger-1@x")
    session.reject(486, now=node.now)
    node.settle()
    assert not node.endpoint.serves("stranger-1@x")
    assert node.endpoint.is_idle


def test_a_busy_answer_asks_to_come_again_and_is_not_remembered() -> None:
    node, _ = guarded()
    node.endpoint.refuse_busy(bytes(invite("100")), Flow(PEER))
    node.endpoint.refuse_busy(b"nonsense", Flow(PEER))
    (transmission,) = node.endpoint.transmissions()
    assert transmission.data.startswith(b"SIP/2.0 503 ")
    assert b"Retry-After: " in transmission.data
    assert node.endpoint.is_idle
