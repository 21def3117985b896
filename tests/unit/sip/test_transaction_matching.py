"""Which transaction a message belongs to (RFC 3261 17.1.3, 17.2.3, 18, 8.2.2.2, 9.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import Cancelled, DropReason, IncomingInvite
from ringback.sip.transport import Flow, Hop
from unit.sip.call_lab import cancel_of
from unit.sip.sipkit import (
    OFFER,
    PEER,
    Node,
    answer_to,
    invite_request,
    request_from,
)

# ---- requests -----------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3261.17.2")
def test_a_retransmission_is_answered_by_its_transaction_and_not_delivered_again() -> None:
    node = Node()
    node.receive(request_from("OPTIONS"))
    node.receive(request_from("OPTIONS"))
    assert node.take_sent() == ["200 OPTIONS", "200 OPTIONS"]
    node.receive(request_from("INVITE", body=OFFER))
    node.receive(request_from("INVITE", body=OFFER))
    assert node.take_events() == ["IncomingInvite"]


def test_the_same_branch_from_another_sent_by_is_another_transaction() -> None:
    node = Node(EndpointConfig(interests=frozenset({"MESSAGE"})))
    node.receive(request_from("MESSAGE", branch="z9hG4bKsame", call_id="one"))
    node.receive(
        request_from("MESSAGE", via="SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKsame", call_id="two")
    )
    assert node.take_events() == ["OutOfDialogRequest", "OutOfDialogRequest"]


def test_sent_by_compares_without_case_and_with_the_default_port() -> None:
    node = Node(EndpointConfig(interests=frozenset({"MESSAGE"})))
    node.receive(request_from("MESSAGE", via="SIP/2.0/UDP pc.example.net;branch=z9hG4bK1"))
    node.receive(request_from("MESSAGE", via="SIP/2.0/UDP PC.example.net:5060;branch=z9hG4bK1"))
    assert node.take_events() == ["OutOfDialogRequest"]


def test_requests_without_the_magic_cookie_match_the_way_of_rfc_2543() -> None:
    node = Node()
    via = "SIP/2.0/UDP 192.0.2.2:5060;branch=1"
    node.receive(request_from("OPTIONS", via=via))
    node.receive(request_from("OPTIONS", via=via))
    node.receive(request_from("OPTIONS", via=via, cseq=2))
    assert node.take_sent() == ["200 OPTIONS"] * 3
    assert node.endpoint.counts.server_transactions == 2


def test_an_rfc_2543_ack_ends_a_refused_invite() -> None:
    node = Node()
    via = "SIP/2.0/UDP 192.0.2.2:5060"
    node.receive(request_from("INVITE", via=via, body=OFFER))
    session = node.event(IncomingInvite).session
    session.reject(486, now=node.now)
    node.drain()
    ack = request_from("ACK", via=via, to=str(node.last_response("486 INVITE").to))
    node.receive(ack)
    node.take_sent()
    node.advance(4.0)
    assert node.take_sent() == []


def test_an_rfc_2543_ack_confirms_an_answered_invite() -> None:
    node = Node()
    via = "SIP/2.0/UDP 192.0.2.2:5060"
    node.receive(request_from("INVITE", via=via, body=OFFER))
    session = node.event(IncomingInvite).session
    session.accept(b"v=0", now=node.now)
    node.drain()
    node.receive(request_from("ACK", via=via, to=str(node.last_response("200 INVITE").to)))
    assert "Acked" in node.take_events()


def test_the_same_request_on_two_paths_is_merged_into_one() -> None:
    node = Node()
    node.receive(request_from("INVITE", branch="z9hG4bKpath1", body=OFFER))
    node.receive(request_from("INVITE", branch="z9hG4bKpath2", body=OFFER))
    node.receive(request_from("INVITE", branch="z9hG4bKpath3", body=OFFER))
    assert node.take_sent() == ["482 INVITE", "482 INVITE"]
    assert node.take_events() == ["IncomingInvite"]


def test_a_later_request_of_the_same_call_id_is_not_merged() -> None:
    node = Node()
    node.receive(request_from("OPTIONS", cseq=1))
    node.receive(request_from("OPTIONS", cseq=2))
    assert node.take_sent() == ["200 OPTIONS", "200 OPTIONS"]


def test_the_first_of_merged_requests_may_come_again_once_it_is_forgotten() -> None:
    node = Node()
    node.receive(request_from("OPTIONS", branch="z9hG4bKone"))
    node.settle()
    node.receive(request_from("OPTIONS", branch="z9hG4bKtwo"))
    assert node.take_sent() == ["200 OPTIONS", "200 OPTIONS"]


def test_cancel_finds_its_invite_by_the_branch() -> None:
    node = Node()
    invite = request_from("INVITE", body=OFFER)
    node.receive(invite)
    node.receive(cancel_of(invite))
    assert node.take_sent() == ["200 CANCEL", "487 INVITE"]
    assert node.has_event(Cancelled)


def test_both_responses_after_a_cancel_carry_the_same_tag() -> None:
    node = Node()
    invite = request_from("INVITE", body=OFFER)
    node.receive(invite)
    node.receive(cancel_of(invite))
    tags = {node.last_response(what).to.tag for what in ("200 CANCEL", "487 INVITE")}
    assert len(tags) == 1


@pytest.mark.requirement("rfc3261.9")
def test_cancel_of_nothing_is_481() -> None:
    node = Node()
    node.receive(cancel_of(request_from("INVITE", body=OFFER)))
    assert node.take_sent() == ["481 CANCEL"]
    assert node.take_events() == []


def test_cancel_with_another_branch_does_not_touch_the_invite() -> None:
    node = Node()
    node.receive(request_from("INVITE", body=OFFER))
    node.receive(cancel_of(request_from("INVITE", branch="z9hG4bKother")))
    assert node.take_sent() == ["481 CANCEL"]
    assert not node.has_event(Cancelled)


def test_an_ack_for_no_dialog_is_counted_and_gets_no_answer() -> None:
    node = Node()
    node.receive(request_from("ACK", to="<sip:alice@192.0.2.1>;tag=unknown"))
    assert node.take_sent() == []
    assert node.endpoint.dropped[DropReason.STRAY_ACK] == 1


# ---- responses ----------------------------------------------------------------------------------


def test_a_response_without_transaction_is_dropped_even_if_it_is_a_2xx() -> None:
    node = Node()
    node.endpoint.invite(invite_request(), [PEER], now=node.now)
    node.drain()
    response = answer_to(node.last_request("INVITE"), 200)
    response.headers.set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKforged")
    node.receive(response)
    assert node.endpoint.dropped[DropReason.STRAY_RESPONSE] == 1
    assert node.take_sent() == ["INVITE"]


@pytest.mark.requirement("rfc3261.8.1.3")
def test_a_response_with_a_foreign_sent_by_is_dropped() -> None:
    node = Node()
    node.endpoint.invite(invite_request(), [PEER], now=node.now)
    node.drain()
    response = answer_to(node.last_request("INVITE"), 200)
    via = response.top_via
    response.headers.set("Via", replace(via, host="198.51.100.1"))
    node.receive(response)
    assert node.endpoint.dropped[DropReason.WRONG_SENT_BY] == 1
    assert node.take_events() == ["Dropped"]


@pytest.mark.requirement("rfc3261.8.1.3")
def test_a_response_with_two_vias_is_dropped() -> None:
    node = Node()
    node.endpoint.invite(invite_request(), [PEER], now=node.now)
    node.drain()
    response = answer_to(node.last_request("INVITE"), 200)
    response.headers.add("Via", "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKnext")
    node.receive(response)
    assert node.endpoint.dropped[DropReason.INVALID] == 1


def test_responses_to_cancel_and_invite_of_one_branch_are_told_apart() -> None:
    node = Node()
    session = node.endpoint.invite(invite_request(), [PEER], now=node.now)
    node.drain()
    invite = node.last_request("INVITE")
    node.receive(answer_to(invite, 180))
    session.cancel(now=node.now)
    node.drain()
    cancel = node.last_request("CANCEL")
    assert cancel.top_via.branch == invite.top_via.branch
    node.receive(answer_to(cancel, 200))
    node.receive(answer_to(invite, 487))
    assert node.take_sent() == ["INVITE", "CANCEL", "ACK"]
    node.settle()
    assert node.clean


# ---- where responses go -------------------------------------------------------------------------


@pytest.mark.requirement("trunk.rport", "rfc3261.18")
def test_a_udp_response_goes_to_the_source_port_when_rport_is_asked_for() -> None:
    node = Node()
    source = Hop("udp", "203.0.113.5", 31337)
    node.receive(
        request_from("OPTIONS", via="SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport"), source
    )
    sent = node.last("200 OPTIONS")
    assert sent.destination.hop == source
    via = node.last_response("200 OPTIONS").top_via
    assert (via.received, via.rport) == ("203.0.113.5", 31337)


@pytest.mark.requirement("trunk.rport", "rfc3261.18")
def test_without_rport_a_udp_response_goes_to_the_source_address_and_the_sent_by_port() -> None:
    node = Node()
    source = Hop("udp", "203.0.113.5", 31337)
    node.receive(request_from("OPTIONS", via="SIP/2.0/UDP 10.0.0.2:5070;branch=z9hG4bK1"), source)
    assert node.last("200 OPTIONS").destination.hop == Hop("udp", "203.0.113.5", 5070)
    via = node.last_response("200 OPTIONS").top_via
    assert (via.received, via.rport) == ("203.0.113.5", None)


def test_without_port_in_sent_by_the_default_one_counts() -> None:
    node = Node()
    node.receive(
        request_from("OPTIONS", via="SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1"),
        Hop("udp", "192.0.2.2", 31337),
    )
    assert node.last("200 OPTIONS").destination.hop == PEER


def test_maddr_does_not_aim_our_responses_elsewhere() -> None:
    node = Node()
    node.receive(
        request_from("OPTIONS", via="SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1;maddr=198.51.100.7")
    )
    assert node.last("200 OPTIONS").destination.hop.host == "192.0.2.2"


def test_a_tcp_response_goes_back_on_its_connection_with_the_listening_port_to_fall_back_to() -> (
    None
):
    node = Node()
    flow = Flow(Hop("tcp", "192.0.2.2", 40001), 12)
    node.receive(request_from("OPTIONS", via="SIP/2.0/TCP 192.0.2.2:5080;branch=z9hG4bK1"), flow)
    assert node.last("200 OPTIONS").destination == Flow(Hop("tcp", "192.0.2.2", 5080), 12)


# ---- bounds -------------------------------------------------------------------------------------


def test_beyond_the_bound_of_server_transactions_requests_get_503_without_one() -> None:
    node = Node(EndpointConfig(max_server_transactions=2))
    for number in range(4):
        node.receive(request_from("OPTIONS", cseq=number, call_id=f"c{number}"))
    assert node.take_sent() == ["200 OPTIONS", "200 OPTIONS", "503 OPTIONS", "503 OPTIONS"]
    assert node.endpoint.counts.server_transactions == 2
    assert node.endpoint.dropped[DropReason.OVERLOAD] == 2
    node.settle()
    node.receive(request_from("OPTIONS", cseq=9, call_id="c9"))
    assert node.take_sent() == ["200 OPTIONS"]


def test_the_503_of_overload_says_when_to_come_back() -> None:
    node = Node(EndpointConfig(max_server_transactions=0, overload_retry_after=17))
    node.receive(request_from("INVITE", body=OFFER))
    assert node.last_response("503 INVITE").headers.get("Retry-After") == "17"
    assert node.clean
