"""Calls that take the place of another (RFC 3891)."""

from __future__ import annotations

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import (
    DropReason,
    IncomingInvite,
    OfferReceived,
)
from unit.sip.call_lab import InboundCall
from unit.sip.sipkit import (
    ANSWER,
    OFFER,
    PEER,
    Node,
    answer_to,
    invite_request,
    request_from,
)

TRANSFERS = EndpointConfig(transfers=True)


def call() -> InboundCall:
    made = InboundCall(config=TRANSFERS).confirmed()
    made.node.take_sent()
    return made


def replacing(node: Node, value: str, *more: tuple[str, str]) -> None:
    node.receive(
        request_from(
            "INVITE",
            call_id="new-call",
            body=OFFER,
            headers=[("Require", "replaces"), ("Replaces", value), *more],
        )
    )


@pytest.mark.requirement("call.replaces-in", "rfc3891.3")
def test_an_invite_that_replaces_a_call_names_it() -> None:
    made = call()
    made.node.events.clear()
    replacing(made.node, f"their-call;to-tag={made.session.local_tag};from-tag=theirs")
    replaced = made.node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.session is made.session


@pytest.mark.requirement("rfc3891.3")
@pytest.mark.parametrize(
    "value",
    [
        "other-call;to-tag={tag};from-tag=theirs",
        "their-call;to-tag=other;from-tag=theirs",
        "their-call;to-tag={tag};from-tag=other",
        "their-call;to-tag=theirs;from-tag={tag}",
        "their-call;to-tag={tag};from-tag=0",
    ],
)
def test_every_tag_counts(value: str) -> None:
    made = call()
    made.node.events.clear()
    replacing(made.node, value.format(tag=made.session.local_tag))
    replaced = made.node.event(IncomingInvite).replaced
    assert replaced is not None
    assert (replaced.session, replaced.status) == (None, 481)


@pytest.mark.requirement("rfc3891.3")
def test_an_answered_call_is_busy_for_whom_wants_an_early_one_only() -> None:
    made = call()
    made.node.events.clear()
    replacing(made.node, f"their-call;to-tag={made.session.local_tag};from-tag=theirs;early-only")
    replaced = made.node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.status == 486


@pytest.mark.requirement("rfc3891.3")
def test_a_call_that_rings_here_cannot_be_replaced() -> None:
    made = InboundCall(config=TRANSFERS)
    made.node.events.clear()
    replacing(made.node, f"their-call;to-tag={made.session.local_tag};from-tag=theirs")
    replaced = made.node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.status == 481


@pytest.mark.requirement("rfc3891.3")
def test_a_call_that_is_being_hung_up_is_declined() -> None:
    made = call()
    made.session.bye(now=made.node.now)
    made.node.drain()
    made.node.events.clear()
    replacing(made.node, f"their-call;to-tag={made.session.local_tag};from-tag=theirs")
    replaced = made.node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.status == 603


def test_a_call_that_rings_there_may_be_replaced() -> None:
    node = Node(TRANSFERS)
    session = node.endpoint.invite(invite_request(call_id="ours"), [PEER], now=node.now)
    node.drain()
    node.receive(answer_to(node.last_request("INVITE"), 180))
    node.events.clear()
    replacing(node, f"ours;to-tag={session.local_tag};from-tag=peer")
    replaced = node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.session is session


def test_a_peer_without_a_tag_is_named_with_a_zero() -> None:
    made = InboundCall(config=TRANSFERS, from_="<sip:bob@example.net>")
    assert made.session.accept(ANSWER, now=made.node.now)
    made.node.drain()
    made.node.events.clear()
    replacing(made.node, f"their-call;to-tag={made.session.local_tag};from-tag=0")
    replaced = made.node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.session is made.session


@pytest.mark.parametrize("value", ["x", "x;to-tag=1", ";to-tag=1;from-tag=2"])
def test_a_replaces_that_cannot_be_read_is_400(value: str) -> None:
    node = Node(TRANSFERS)
    replacing(node, value)
    assert node.last("400 INVITE")


def test_two_replaces_are_400() -> None:
    node = Node(TRANSFERS)
    value = "x;to-tag=1;from-tag=2"
    replacing(node, value, ("Replaces", value))
    assert node.last("400 INVITE")


def test_without_transfers_replaces_is_an_extension_that_we_do_not_have() -> None:
    node = Node()
    replacing(node, "x;to-tag=1;from-tag=2")
    assert node.last("420 INVITE")


@pytest.mark.requirement("node.overload")
def test_a_busy_node_refuses_new_calls_without_a_trace_and_nothing_else() -> None:
    made = call()
    node, tag = made.node, made.session.local_tag
    node.endpoint.takes_calls = lambda: False
    before = node.endpoint.counts
    for _ in range(2):
        node.receive(request_from("INVITE", call_id="second", body=OFFER))
        assert node.take_sent() == ["503 INVITE"]
        assert node.last_response("503 INVITE").headers.get("Retry-After") == "10"
    assert node.endpoint.counts == before
    assert node.endpoint.dropped[DropReason.OVERLOAD] == 2
    node.receive(request_from("OPTIONS", call_id="third"))
    assert node.take_sent() == ["200 OPTIONS"]
    node.events.clear()
    replacing(node, f"their-call;to-tag={tag};from-tag=theirs")
    replaced = node.event(IncomingInvite).replaced
    assert replaced is not None
    assert replaced.session is made.session
    again = f"<sip:alice@192.0.2.1>;tag={tag}"
    node.receive(request_from("INVITE", cseq=2, to=again, body=OFFER))
    assert any(isinstance(event, OfferReceived) for event in node.events)
    node.receive(request_from("BYE", cseq=3, to=again))
    assert "200 BYE" in node.take_sent()
