"""Calls that come in: progress, answer, ACK (RFC 3261 13.3)."""

from __future__ import annotations

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.errors import UnsafeValue
from ringback.sip.events import Acked, EndCause, Ended, EndedBy, IncomingInvite
from ringback.sip.invite_session import Direction
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from unit.sip.call_lab import InboundCall
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OFFER,
    PEER,
    Node,
    answer_to,
    invite_request,
    state,
)

# ---- ringing ------------------------------------------------------------------------------------


def test_an_invite_is_reported_with_its_offer_and_where_it_came_from() -> None:
    call = InboundCall()
    event = call.node.event(IncomingInvite)
    assert (event.sdp, event.flow.hop) == (OFFER, PEER)
    assert event.request.call_id == call.session.call_id
    assert call.session.direction is Direction.INBOUND
    assert state(call.session) is SessionState.INCOMING
    assert call.session.remote_tag == "theirs"
    assert str(call.session.remote_target) == "sip:bob@192.0.2.2:5060"
    assert call.node.endpoint.sessions == (call.session,)


def test_the_offer_is_found_in_a_multipart_body() -> None:
    body = (
        b"--b1\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--b1\r\n"
        b"Content-Type: application/sdp\r\n\r\n" + OFFER + b"\r\n--b1--\r\n"
    )
    call = InboundCall(body, content_type='multipart/mixed; boundary="b1"')
    assert call.node.event(IncomingInvite).sdp == OFFER


def test_100_comes_by_itself_after_200_ms_and_not_before() -> None:
    call = InboundCall()
    call.node.advance(0.19)
    assert call.node.take_sent() == []
    call.node.advance(0.01)
    assert call.node.take_sent() == ["100 INVITE"]


def test_progress_carries_our_tag_contact_and_early_media() -> None:
    call = InboundCall()
    assert call.session.progress(183, sdp=ANSWER, now=call.node.now)
    call.node.drain()
    response = call.node.last_response("183 INVITE")
    assert response.to.tag == call.session.local_tag
    assert str(response.contact) == "<sip:alice@192.0.2.1:5060>"
    assert response.body == ANSWER
    assert response.content_type is not None
    assert response.content_type.essence == "application/sdp"


def test_record_route_comes_back_in_what_sets_up_the_dialog() -> None:
    call = InboundCall(headers=[("Record-Route", "<sip:p2;lr>"), ("Record-Route", "<sip:p1;lr>")])
    call.session.progress(180, now=call.node.now)
    call.accepted()
    for what in ("180 INVITE", "200 INVITE"):
        routes = call.node.last_response(what).record_routes
        assert [str(route.uri) for route in routes] == ["sip:p2;lr", "sip:p1;lr"]


def test_a_long_ringing_is_renewed_every_minute() -> None:
    call = InboundCall()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.advance(185.0)
    assert call.node.times("180 INVITE") == [0.0, 60.0, 120.0, 180.0]
    call.session.reject(480, now=call.node.now)
    call.hear("ACK", 1, branch="z9hG4bK-INVITE-1")
    assert call.is_over()


@pytest.mark.parametrize("status", [99, 200, 302])
def test_progress_sends_provisional_responses_only(status: int) -> None:
    call = InboundCall()
    assert not call.session.progress(status, now=call.node.now)


# ---- answering ----------------------------------------------------------------------------------


@pytest.mark.requirement("call.2xx-retransmission", "rfc3261.13")
def test_an_answer_is_sent_again_from_t1_to_t2_until_it_is_acknowledged() -> None:
    call = InboundCall().accepted()
    call.node.advance(12.0)
    assert call.node.times("200 INVITE") == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5]
    assert state(call.session) is SessionState.ANSWERED
    call.ack()
    acked = call.node.event(Acked)
    assert (acked.session, acked.sdp) == (call.session, None)
    call.node.take_sent()
    call.node.advance(GIVE_UP)
    assert call.node.take_sent() == []
    assert state(call.session) is SessionState.CONFIRMED


def test_an_answer_is_sent_again_over_tcp_too() -> None:
    flow = Flow(Hop("tcp", "192.0.2.2", 40001), 3)
    call = InboundCall(flow=flow, via="SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bKx").accepted()
    call.node.advance(1.0)
    assert call.node.times("200 INVITE") == [0.0, 0.5]
    assert call.node.last("200 INVITE").destination.connection == 3


@pytest.mark.requirement("rfc6026.7")
def test_a_retransmitted_invite_does_not_ring_again_after_the_answer() -> None:
    call = InboundCall().accepted()
    call.node.take_sent()
    call.node.receive(call.invite)
    assert call.node.take_sent() == []
    call.node.event(IncomingInvite)


def test_a_repeated_ack_changes_nothing() -> None:
    call = InboundCall().accepted()
    call.ack()
    call.ack()
    call.node.event(Acked)
    assert not call.node.endpoint.dropped


def test_an_ack_of_another_cseq_acknowledges_nothing() -> None:
    call = InboundCall().accepted()
    call.hear("ACK", 99)
    assert not call.node.has_event(Acked)


@pytest.mark.requirement("call.ack-lost")
def test_an_answer_without_ack_is_hung_up_after_64_t1() -> None:
    call = InboundCall().accepted()
    call.node.advance(GIVE_UP - 0.1)
    assert call.node.endings == []
    call.node.advance(0.1)
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.NEITHER, EndCause.ACK_TIMEOUT)
    assert call.node.sent[-1].what == "BYE"
    call.node.receive(answer_to(call.node.last_request("BYE"), 200))
    assert call.is_over()


@pytest.mark.requirement("call.late-offer")
def test_an_offerless_invite_gets_our_offer_and_brings_their_answer_in_the_ack() -> None:
    call = InboundCall(b"")
    assert call.node.event(IncomingInvite).sdp is None
    call.session.accept(OFFER, now=call.node.now)
    call.node.drain()
    assert call.node.last_response("200 INVITE").body == OFFER
    call.ack(body=ANSWER)
    assert call.node.event(Acked).sdp == ANSWER


def test_the_answer_says_what_we_can_do() -> None:
    call = InboundCall(
        config=EndpointConfig(interests=frozenset({"REFER"}), supported=("replaces",))
    )
    call.accepted()
    response = call.node.last_response("200 INVITE")
    assert response.allow is not None
    assert set(response.allow) == {
        *("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "PRACK", "UPDATE", "REFER")
    }
    assert response.supported == ["100rel", "timer", "replaces"]
    assert response.headers.get("Server") == "Ringback"


def test_headers_that_would_break_the_answer_are_refused_before_anything_happens() -> None:
    call = InboundCall()
    with pytest.raises(UnsafeValue):
        call.session.accept(ANSWER, headers=(("X-Evil", "a\r\nb"),), now=call.node.now)
    with pytest.raises(UnsafeValue):
        call.session.reject(486, headers=(("X-Evil", "a\r\nb"),), now=call.node.now)
    assert state(call.session) is SessionState.INCOMING
    assert call.session.accept(ANSWER, now=call.node.now)


@pytest.mark.requirement("rfc3261.12")
def test_requests_of_ours_go_to_their_contact_through_the_recorded_route() -> None:
    call = InboundCall(
        headers=[("Record-Route", "<sip:192.0.2.30;lr>"), ("Record-Route", "<sip:192.0.2.40;lr>")]
    ).confirmed()
    call.session.bye(now=call.node.now)
    call.node.drain()
    bye = call.node.last("BYE")
    assert isinstance(bye.message, Request)
    assert [str(route.uri) for route in bye.message.routes] == [
        "sip:192.0.2.30;lr",
        "sip:192.0.2.40;lr",
    ]
    assert str(bye.message.uri) == "sip:bob@192.0.2.2:5060"
    assert bye.destination.hop.host == "192.0.2.30"
    assert bye.message.from_.tag == call.session.local_tag
    assert bye.message.to.tag == "theirs"


@pytest.mark.requirement("rfc3261.12")
def test_a_strict_router_gets_itself_as_request_uri_and_the_target_as_last_route() -> None:
    call = InboundCall(
        headers=[("Record-Route", "<sip:192.0.2.30>"), ("Record-Route", "<sip:192.0.2.40;lr>")]
    ).confirmed()
    call.session.bye(now=call.node.now)
    call.node.drain()
    bye = call.node.last_request("BYE")
    assert str(bye.uri) == "sip:192.0.2.30"
    assert [str(route.uri) for route in bye.routes] == [
        "sip:192.0.2.40;lr",
        "sip:bob@192.0.2.2:5060",
    ]


# ---- where requests of ours go ------------------------------------------------------------------


def test_a_peer_behind_a_nat_is_reached_where_it_is_heard_with_its_contact_as_request_uri() -> None:
    flow = Flow(Hop("udp", "203.0.113.77", 33333))
    call = InboundCall(
        flow=flow,
        contact="<sip:bob@192.168.1.10:5062>",
        via="SIP/2.0/UDP 192.168.1.10:5062;branch=z9hG4bKn;rport",
    ).confirmed()
    call.session.bye(now=call.node.now)
    call.node.drain()
    bye = call.node.last("BYE")
    assert bye.destination == flow
    assert isinstance(bye.message, Request)
    assert str(bye.message.uri) == "sip:bob@192.168.1.10:5062"


def test_a_tcp_peer_is_reached_on_its_connection() -> None:
    flow = Flow(Hop("tcp", "192.0.2.2", 40001), 3)
    call = InboundCall(
        flow=flow,
        contact="<sip:bob@192.0.2.2:5060;transport=tcp>",
        via="SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bKx",
    ).confirmed()
    call.session.bye(now=call.node.now)
    call.node.drain()
    assert call.node.last("BYE").destination == Flow(Hop("tcp", "192.0.2.2", 5060), 3)
    bye = call.node.last_request("BYE")
    assert bye.top_via.transport == "TCP"


def test_a_tls_peer_we_dialled_is_dialled_again_by_the_same_name() -> None:
    hop = Hop("tls", "192.0.2.2", 5061, "sip.provider.example", verify=True)
    node = Node()
    session = node.endpoint.invite(invite_request(), [hop], now=node.now)
    node.drain()
    # What the driver reports of an accepted connection knows no name.
    heard = Flow(Hop("tls", "192.0.2.2", 5061), 4)
    contact = "<sip:bob@192.0.2.2:5061;transport=tls>"
    node.receive(answer_to(node.last_request("INVITE"), 200, sdp=ANSWER, contact=contact), heard)
    session.bye(now=node.now)
    node.drain()
    assert node.last("ACK").destination == Flow(hop, 4)
    assert node.last("BYE").destination == Flow(hop, 4)


def test_the_dialog_follows_the_peer_to_a_new_connection() -> None:
    contact = "<sip:bob@192.0.2.2:5060;transport=tcp>"
    via = "SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bK"
    old = Flow(Hop("tcp", "192.0.2.2", 40001), 3)
    call = InboundCall(flow=old, contact=contact, via=via + "1")
    call.accepted()
    call.ack(via=via + "2")
    call.flow = Flow(Hop("tcp", "192.0.2.2", 40002), 4)
    call.hear("INFO", via=via + "3")
    call.session.bye(now=call.node.now)
    call.node.drain()
    assert call.node.last("BYE").destination.connection == 4


def test_a_transport_error_does_not_end_a_ringing_call() -> None:
    call = InboundCall()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.endpoint.transport_failed(call.node.last("180 INVITE").transmission, call.node.now)
    call.node.drain()
    assert call.node.endings == []
    call.accepted()
    assert state(call.session) is SessionState.ANSWERED


def test_commands_of_the_other_role_have_no_effect() -> None:
    call = InboundCall()
    now = call.node.now
    assert not call.session.cancel(now=now)
    assert not call.session.follow_redirect(call.invite.uri, (PEER,), now=now)
    assert not call.session.refuse_redirect(now=now)
    assert not call.session.bye(now=now)
    assert not call.session.reinvite(OFFER, now=now)
    call.accepted()
    assert not call.session.accept(ANSWER, now=now)
    assert not call.session.reject(486, now=now)
    assert not call.session.ignore(now=now)
    assert call.session.state is SessionState.ANSWERED
