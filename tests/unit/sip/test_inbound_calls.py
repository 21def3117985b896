"""Calls that come in: progress, answer, ACK, CANCEL, refusal (RFC 3261 13.3, 9.2, 15)."""

from __future__ import annotations

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.errors import UnsafeValue
from ringback.sip.events import Acked, Cancelled, EndCause, Ended, EndedBy, IncomingInvite
from ringback.sip.headers import Reason
from ringback.sip.invite_session import Direction, InviteSession
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OFFER,
    PEER,
    Node,
    answer_to,
    invite_request,
    request_from,
    state,
)
from unit.sip.test_transaction_matching import cancel_of


class Call:
    """A node that was called."""

    def __init__(
        self,
        body: bytes = OFFER,
        config: EndpointConfig | None = None,
        flow: Flow | Hop = PEER,
        **how: object,
    ) -> None:
        self.node = Node(config)
        self.invite = request_from("INVITE", body=body, **how)  # type: ignore[arg-type]
        self.node.receive(self.invite, flow)
        self.flow = flow
        self.session: InviteSession = self.node.event(IncomingInvite).session

    def hear(self, method: str, cseq: int = 2, **how: object) -> None:
        to = f"<sip:alice@192.0.2.1>;tag={self.session.local_tag}"
        request = request_from(method, cseq=cseq, to=to, **how)  # type: ignore[arg-type]
        self.node.receive(request, self.flow)

    def ack(self, **how: object) -> None:
        self.hear("ACK", 1, **how)

    def accepted(self) -> Call:
        assert self.session.accept(ANSWER, now=self.node.now)
        self.node.drain()
        return self

    def confirmed(self) -> Call:
        self.accepted().ack()
        self.node.take_events()
        self.node.take_sent()
        return self

    def is_over(self) -> bool:
        """Nothing is left of the call after everything ran out, and it ended once."""
        self.node.settle()
        return self.node.clean and len(self.node.endings) == 1


# ---- ringing ------------------------------------------------------------------------------------


def test_an_invite_is_reported_with_its_offer_and_where_it_came_from() -> None:
    call = Call()
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
    call = Call(body, content_type='multipart/mixed; boundary="b1"')
    assert call.node.event(IncomingInvite).sdp == OFFER


def test_100_comes_by_itself_after_200_ms_and_not_before() -> None:
    call = Call()
    call.node.advance(0.19)
    assert call.node.take_sent() == []
    call.node.advance(0.01)
    assert call.node.take_sent() == ["100 INVITE"]


def test_progress_carries_our_tag_contact_and_early_media() -> None:
    call = Call()
    assert call.session.progress(183, sdp=ANSWER, now=call.node.now)
    call.node.drain()
    response = call.node.last_response("183 INVITE")
    assert response.to.tag == call.session.local_tag
    assert str(response.contact) == "<sip:alice@192.0.2.1:5060>"
    assert response.body == ANSWER
    assert response.content_type is not None
    assert response.content_type.essence == "application/sdp"


def test_record_route_comes_back_in_what_sets_up_the_dialog() -> None:
    call = Call(headers=[("Record-Route", "<sip:p2;lr>"), ("Record-Route", "<sip:p1;lr>")])
    call.session.progress(180, now=call.node.now)
    call.accepted()
    for what in ("180 INVITE", "200 INVITE"):
        routes = call.node.last_response(what).record_routes
        assert [str(route.uri) for route in routes] == ["sip:p2;lr", "sip:p1;lr"]


def test_a_long_ringing_is_renewed_every_minute() -> None:
    call = Call()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.advance(185.0)
    assert call.node.times("180 INVITE") == [0.0, 60.0, 120.0, 180.0]
    call.session.reject(480, now=call.node.now)
    call.hear("ACK", 1, branch="z9hG4bK-INVITE-1")
    assert call.is_over()


@pytest.mark.parametrize("status", [99, 200, 302])
def test_progress_sends_provisional_responses_only(status: int) -> None:
    call = Call()
    assert not call.session.progress(status, now=call.node.now)


# ---- answering ----------------------------------------------------------------------------------


def test_an_answer_is_sent_again_from_t1_to_t2_until_it_is_acknowledged() -> None:
    call = Call().accepted()
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
    call = Call(flow=flow, via="SIP/2.0/TCP 192.0.2.2:5060;branch=z9hG4bKx").accepted()
    call.node.advance(1.0)
    assert call.node.times("200 INVITE") == [0.0, 0.5]
    assert call.node.last("200 INVITE").destination.connection == 3


def test_a_retransmitted_invite_does_not_ring_again_after_the_answer() -> None:
    call = Call().accepted()
    call.node.take_sent()
    call.node.receive(call.invite)
    assert call.node.take_sent() == []
    call.node.event(IncomingInvite)


def test_a_repeated_ack_changes_nothing() -> None:
    call = Call().accepted()
    call.ack()
    call.ack()
    call.node.event(Acked)
    assert not call.node.endpoint.dropped


def test_an_ack_of_another_cseq_acknowledges_nothing() -> None:
    call = Call().accepted()
    call.hear("ACK", 99)
    assert not call.node.has_event(Acked)


def test_an_answer_without_ack_is_hung_up_after_64_t1() -> None:
    call = Call().accepted()
    call.node.advance(GIVE_UP - 0.1)
    assert call.node.endings == []
    call.node.advance(0.1)
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.NEITHER, EndCause.ACK_TIMEOUT)
    assert call.node.sent[-1].what == "BYE"
    call.node.receive(answer_to(call.node.last_request("BYE"), 200))
    assert call.is_over()


def test_an_offerless_invite_gets_our_offer_and_brings_their_answer_in_the_ack() -> None:
    call = Call(b"")
    assert call.node.event(IncomingInvite).sdp is None
    call.session.accept(OFFER, now=call.node.now)
    call.node.drain()
    assert call.node.last_response("200 INVITE").body == OFFER
    call.ack(body=ANSWER)
    assert call.node.event(Acked).sdp == ANSWER


def test_the_answer_says_what_we_can_do() -> None:
    call = Call(config=EndpointConfig(interests=frozenset({"REFER"}), supported=("replaces",)))
    call.accepted()
    response = call.node.last_response("200 INVITE")
    assert response.allow is not None
    assert {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "REFER"} == set(
        response.allow
    )
    assert response.supported == ["replaces"]
    assert response.headers.get("Server") == "Ringback"


def test_headers_that_would_break_the_answer_are_refused_before_anything_happens() -> None:
    call = Call()
    with pytest.raises(UnsafeValue):
        call.session.accept(ANSWER, headers=(("X-Evil", "a\r\nb"),), now=call.node.now)
    with pytest.raises(UnsafeValue):
        call.session.reject(486, headers=(("X-Evil", "a\r\nb"),), now=call.node.now)
    assert state(call.session) is SessionState.INCOMING
    assert call.session.accept(ANSWER, now=call.node.now)


def test_requests_of_ours_go_to_their_contact_through_the_recorded_route() -> None:
    call = Call(
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


def test_a_strict_router_gets_itself_as_request_uri_and_the_target_as_last_route() -> None:
    call = Call(
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


# ---- refusing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 403, 404, 480, 486, 488, 503, 603])
def test_a_refusal_is_repeated_until_it_is_acknowledged(status: int) -> None:
    call = Call()
    assert call.session.reject(status, now=call.node.now)
    call.node.advance(1.5)
    assert call.node.take_sent() == [f"{status} INVITE"] * 3
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.LOCAL, EndCause.REJECTED)
    call.hear("ACK", 1, branch="z9hG4bK-INVITE-1")
    call.node.advance(10.0)
    assert call.node.take_sent() == []
    assert call.is_over()


def test_a_refusal_carries_reason_phrase_and_headers() -> None:
    call = Call()
    call.session.reject(
        488, "No common codec", headers=(("Warning", '304 x "no"'),), now=call.node.now
    )
    call.node.drain()
    response = call.node.last_response("488 INVITE")
    assert response.reason == "No common codec"
    assert response.headers.get("Warning") == '304 x "no"'


@pytest.mark.parametrize("status", [100, 180, 200, 299])
def test_only_a_refusal_refuses(status: int) -> None:
    call = Call()
    assert not call.session.reject(status, now=call.node.now)
    assert state(call.session) is SessionState.INCOMING


def test_an_ignored_invite_gets_no_answer_whatsoever() -> None:
    call = Call()
    assert call.session.ignore(now=call.node.now)
    call.node.drain()
    assert len(call.node.endings) == 1
    assert call.node.clean
    call.node.settle()
    assert call.node.take_sent() == []


def test_hang_up_refuses_a_ringing_call_with_the_given_status_and_reason() -> None:
    call = Call()
    assert call.session.hang_up(status=486, reasons=(Reason("Q.850", 17),), now=call.node.now)
    call.node.drain()
    assert call.node.last_response("486 INVITE").headers.get("Reason") == "Q.850;cause=17"
    assert not call.session.hang_up(now=call.node.now)


# ---- CANCEL -------------------------------------------------------------------------------------


def test_a_cancelled_call_gets_487_and_is_reported_with_its_reason() -> None:
    call = Call()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.take_sent()
    cancel = cancel_of(call.invite, Reason='SIP;cause=200;text="Call completed elsewhere"')
    call.node.receive(cancel)
    assert call.node.take_sent() == ["200 CANCEL", "487 INVITE"]
    cancelled = call.node.event(Cancelled)
    assert cancelled.session is call.session
    assert cancelled.reasons[0].text == "Call completed elsewhere"
    assert not call.session.accept(ANSWER, now=call.node.now)
    assert not call.session.reject(486, now=call.node.now)
    assert not call.session.progress(180, now=call.node.now)
    assert call.is_over()


def test_a_cancel_that_crosses_our_answer_changes_nothing() -> None:
    call = Call().accepted()
    call.node.take_sent()
    call.node.receive(cancel_of(call.invite))
    assert call.node.take_sent() == ["200 CANCEL"]
    assert call.node.endings == []
    call.ack()
    call.hear("BYE")
    assert call.is_over()


def test_a_repeated_cancel_is_answered_by_its_transaction() -> None:
    call = Call()
    call.node.receive(cancel_of(call.invite))
    call.node.receive(cancel_of(call.invite))
    assert call.node.take_sent() == ["200 CANCEL", "487 INVITE", "200 CANCEL"]
    call.node.event(Cancelled)


# ---- BYE ----------------------------------------------------------------------------------------


def test_a_bye_is_answered_and_reported_with_its_reason() -> None:
    call = Call().confirmed()
    call.hear("BYE", headers=[("Reason", 'Q.850;cause=16;text="Normal"')])
    assert call.node.take_sent() == ["200 BYE"]
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.REMOTE, EndCause.BYE)
    assert ended.reasons == (Reason("Q.850", 16, "Normal"),)
    assert ended.request is not None
    assert ended.request.method == "BYE"
    assert not call.session.bye(now=call.node.now)
    assert call.is_over()


def test_a_second_bye_finds_no_call() -> None:
    call = Call().confirmed()
    call.hear("BYE", 2)
    call.hear("BYE", 3)
    assert call.node.take_sent() == ["200 BYE", "481 BYE"]


def test_a_bye_while_ringing_ends_the_invite_too() -> None:
    call = Call()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.take_sent()
    call.hear("BYE")
    assert sorted(call.node.take_sent()) == ["200 BYE", "487 INVITE"]
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.REMOTE, EndCause.BYE)
    assert call.is_over()


def test_a_bye_before_the_ack_stops_the_answer() -> None:
    call = Call().accepted()
    call.hear("BYE")
    assert call.node.event(Ended).by is EndedBy.REMOTE
    call.node.take_sent()
    call.node.advance(GIVE_UP)
    assert call.node.take_sent() == []
    assert call.is_over()


def test_our_bye_waits_for_the_ack() -> None:
    call = Call().accepted()
    assert call.session.bye(now=call.node.now)
    call.node.drain()
    assert call.node.event(Ended).by is EndedBy.LOCAL
    call.node.advance(1.0)
    assert "BYE" not in [sent.what for sent in call.node.sent]
    call.ack()
    assert call.node.sent[-1].what == "BYE"
    assert not call.node.has_event(Acked)
    call.node.receive(answer_to(call.node.last_request("BYE"), 200))
    assert call.is_over()


def test_our_bye_goes_out_when_no_ack_comes() -> None:
    call = Call().accepted()
    call.session.bye(now=call.node.now)
    call.node.advance(GIVE_UP)
    assert call.node.last("BYE")
    assert call.is_over()


def test_a_bye_of_theirs_while_ours_waits_for_the_ack_ends_it_all() -> None:
    call = Call().accepted()
    call.session.bye(now=call.node.now)
    call.node.drain()
    call.hear("BYE")
    call.node.take_sent()
    call.node.settle()
    assert call.node.take_sent() == []
    assert call.is_over()


def test_a_request_that_is_older_than_the_last_one_is_out_of_order() -> None:
    call = Call().confirmed()
    call.hear("INFO", 9)
    call.hear("INFO", 5)
    call.hear("BYE", 4)
    assert call.node.take_sent() == ["200 INFO", "500 INFO", "500 BYE"]
    assert state(call.session) is SessionState.CONFIRMED


def test_what_the_peer_sends_after_the_answer_shows_that_it_has_it() -> None:
    call = Call().accepted()
    call.hear("INFO")
    call.node.event(Acked)
    assert state(call.session) is SessionState.CONFIRMED
    call.node.take_sent()
    call.node.advance(1.5)
    assert call.node.take_sent() == ["200 INVITE", "200 INVITE"]
    call.ack()
    call.node.event(Acked)
    call.node.take_sent()
    call.node.advance(5.0)
    assert call.node.take_sent() == []


def test_our_answer_with_an_offer_waits_for_the_real_ack() -> None:
    call = Call(b"")
    call.session.accept(OFFER, now=call.node.now)
    call.node.drain()
    call.hear("INFO")
    assert not call.node.has_event(Acked)
    call.ack(body=ANSWER)
    assert call.node.event(Acked).sdp == ANSWER


# ---- where requests of ours go ------------------------------------------------------------------


def test_a_peer_behind_a_nat_is_reached_where_it_is_heard_with_its_contact_as_request_uri() -> None:
    flow = Flow(Hop("udp", "203.0.113.77", 33333))
    call = Call(
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
    call = Call(
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
    call = Call(flow=old, contact=contact, via=via + "1")
    call.accepted()
    call.ack(via=via + "2")
    call.flow = Flow(Hop("tcp", "192.0.2.2", 40002), 4)
    call.hear("INFO", via=via + "3")
    call.session.bye(now=call.node.now)
    call.node.drain()
    assert call.node.last("BYE").destination.connection == 4


def test_a_transport_error_does_not_end_a_ringing_call() -> None:
    call = Call()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.endpoint.transport_failed(call.node.last("180 INVITE").transmission, call.node.now)
    call.node.drain()
    assert call.node.endings == []
    call.accepted()
    assert state(call.session) is SessionState.ANSWERED


def test_commands_of_the_other_role_have_no_effect() -> None:
    call = Call()
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
