"""Calls that we place: answers, forks, CANCEL, redirects, failover (RFC 3261 13.2, 9.1, 8.1.3)."""

from __future__ import annotations

import pytest

from ringback.sip.errors import UnsafeValue
from ringback.sip.events import (
    Answered,
    EndCause,
    Ended,
    EndedBy,
    Failure,
    InviteFailed,
    ProvisionalReceived,
    Redirected,
)
from ringback.sip.headers import Reason
from ringback.sip.invite_session import InviteSession
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OFFER,
    OTHER,
    PEER,
    PEER_TCP,
    THIRD,
    Node,
    answer_to,
    invite_request,
    nameaddr,
    request_from,
    state,
)


class Call:
    """A node with one outbound call."""

    def __init__(self, *hops: Hop, **changes: object) -> None:
        self.node = Node()
        self.session: InviteSession = self.node.endpoint.invite(
            invite_request(**changes), hops or (PEER,), now=self.node.now
        )
        self.node.drain()

    @property
    def invite(self) -> Request:
        return self.node.last_request("INVITE")

    def hear(self, status: int, **how: object) -> None:
        self.node.receive(answer_to(self.invite, status, **how))  # type: ignore[arg-type]

    def answered(self, **how: object) -> Call:
        self.hear(180)
        self.hear(200, sdp=ANSWER, **how)
        return self

    @property
    def ending(self) -> object:
        (event,) = self.node.endings
        return event

    def is_over(self) -> bool:
        """Nothing is left of the call after everything ran out, and it ended once."""
        self.node.settle()
        return self.node.clean and len(self.node.endings) == 1


# ---- the INVITE itself --------------------------------------------------------------------------


def test_the_invite_has_what_a_dialog_needs() -> None:
    call = Call(headers=(("X-Token", "42"),))
    invite = call.invite
    assert str(invite.uri) == "sip:bob@192.0.2.2"
    assert invite.from_.display == "Alice"
    assert invite.from_.tag == call.session.local_tag
    assert invite.to.tag is None
    assert str(invite.contact) == "<sip:alice@192.0.2.1:5060>"
    assert invite.headers.get("X-Token") == "42"
    assert invite.body == OFFER
    assert invite.max_forwards == 70
    via = invite.top_via
    assert (via.branch or "").startswith("z9hG4bK")
    assert via.wants_rport
    assert (via.host, via.port, via.transport) == ("192.0.2.1", 5060, "UDP")
    assert invite.call_id == call.session.call_id
    assert invite.allow is not None


def test_over_tcp_via_and_contact_say_so() -> None:
    invite = Call(PEER_TCP).invite
    assert invite.top_via.transport == "TCP"
    assert invite.contact is not None
    assert invite.contact.uri.params.get("transport") == "tcp"


def test_a_call_to_a_sips_uri_has_a_sips_contact() -> None:
    call = Call(Hop("tls", "192.0.2.2", 5061), target=Uri.parse("sips:bob@example.com"))
    assert call.invite.contact is not None
    assert call.invite.contact.uri.scheme == "sips"


def test_an_outbound_proxy_is_a_loose_route() -> None:
    call = Call(OTHER, routes=(nameaddr("<sip:192.0.2.3;lr>"),))
    assert [str(route) for route in call.invite.routes] == ["<sip:192.0.2.3;lr>"]
    assert str(call.invite.uri) == "sip:bob@192.0.2.2"
    assert call.node.sent[-1].destination == Flow(OTHER)


def test_headers_that_would_break_the_message_are_refused_and_leave_nothing_behind() -> None:
    node = Node()
    with pytest.raises(UnsafeValue):
        node.endpoint.invite(
            invite_request(headers=(("X-Evil", "a\r\nVia: b"),)), [PEER], now=node.now
        )
    assert node.clean
    assert node.endpoint.sessions == ()


def test_without_a_hop_the_call_fails_at_once() -> None:
    node = Node()
    session = node.endpoint.invite(invite_request(), [], now=node.now)
    node.drain()
    failed = node.event(InviteFailed)
    assert (failed.session, failed.failure, failed.status) == (session, Failure.UNREACHABLE, 503)
    assert session.ended
    assert node.clean


# ---- answered -----------------------------------------------------------------------------------


def test_a_2xx_is_acknowledged_at_its_contact_and_reported_with_its_sdp() -> None:
    call = Call()
    call.hear(200, sdp=ANSWER, contact="<sip:bob@192.0.2.9:5099>")
    ack = call.node.last("ACK")
    assert isinstance(ack.message, Request)
    assert str(ack.message.uri) == "sip:bob@192.0.2.9:5099"
    assert ack.destination.hop == Hop("udp", "192.0.2.9", 5099)
    assert ack.message.cseq.number == call.invite.cseq.number
    assert ack.message.top_via.branch != call.invite.top_via.branch
    assert ack.message.to.tag == "peer"
    answered = call.node.event(Answered)
    assert (answered.session, answered.sdp, answered.fork) == (call.session, ANSWER, "peer")
    assert state(call.session) is SessionState.CONFIRMED
    assert call.session.remote_tag == "peer"


def test_the_ack_follows_the_recorded_route_and_not_the_contact_alone() -> None:
    call = Call()
    call.hear(
        200,
        sdp=ANSWER,
        contact="<sip:bob@10.9.9.9>",
        headers=[
            ("Record-Route", "<sip:192.0.2.50;lr>"),
            ("Record-Route", "<sip:192.0.2.40;lr>, <sip:192.0.2.30:5070;lr>"),
        ],
    )
    ack = call.node.last("ACK")
    assert isinstance(ack.message, Request)
    assert str(ack.message.uri) == "sip:bob@10.9.9.9"
    assert [str(route.uri) for route in ack.message.routes] == [
        "sip:192.0.2.30:5070;lr",
        "sip:192.0.2.40;lr",
        "sip:192.0.2.50;lr",
    ]
    assert ack.destination.hop == Hop("udp", "192.0.2.30", 5070)


def test_a_retransmitted_2xx_gets_the_same_ack_and_no_second_event() -> None:
    call = Call().answered()
    first = call.node.last("ACK").transmission
    call.hear(200, sdp=ANSWER)
    call.hear(200, sdp=ANSWER)
    assert [sent.transmission for sent in call.node.sent if sent.what == "ACK"] == [first] * 3
    call.node.event(Answered)


def test_the_ack_repeats_the_credentials_of_its_invite() -> None:
    call = Call(headers=(("Proxy-Authorization", 'Digest username="a", realm="r"'),)).answered()
    ack = call.node.last_request("ACK")
    assert ack.headers.get("Proxy-Authorization") == 'Digest username="a", realm="r"'


def test_a_2xx_without_contact_is_acknowledged_at_the_request_uri() -> None:
    call = Call()
    call.hear(200, sdp=ANSWER, contact=None)
    assert str(call.node.last_request("ACK").uri) == "sip:bob@192.0.2.2"


def test_an_answer_that_cannot_be_read_ends_the_call_when_no_other_can_come() -> None:
    call = Call()
    call.hear(200, headers=[("Record-Route", "<<<")])
    assert call.node.endings == []
    call.node.advance(GIVE_UP)
    assert isinstance(call.ending, InviteFailed)
    assert call.is_over()


def test_a_provisional_response_whose_route_cannot_be_read_still_rings() -> None:
    call = Call()
    call.hear(180, headers=[("Record-Route", "<<<")])
    assert call.node.event(ProvisionalReceived).fork is None
    assert call.session.state is SessionState.PROCEEDING


def test_a_contact_with_headers_makes_a_clean_request_uri() -> None:
    call = Call()
    call.hear(200, sdp=ANSWER, contact="<sip:bob@192.0.2.2;method=BYE?X=y>")
    assert str(call.node.last_request("ACK").uri) == "sip:bob@192.0.2.2"


def test_a_contact_that_is_no_sip_address_leaves_nowhere_to_send_to() -> None:
    call = Call()
    call.hear(200, sdp=ANSWER, contact="<tel:+49301234>")
    assert call.node.take_sent() == ["INVITE"]
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_requests_that_cross_our_bye_find_the_call_gone() -> None:
    call = Call().answered()
    call.session.bye(now=call.node.now)
    call.node.receive(
        request_from(
            "INFO",
            call_id=call.session.call_id,
            from_="<sip:bob@192.0.2.2>;tag=peer",
            to=str(call.invite.from_),
        )
    )
    assert call.node.sent[-1].what == "481 INFO"


def test_bye_ends_the_session_at_once_and_the_dialog_when_it_is_answered() -> None:
    call = Call().answered()
    assert call.session.bye(reasons=(Reason("Q.850", 16, "Bye"),), now=call.node.now)
    call.node.drain()
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.LOCAL, EndCause.BYE)
    bye = call.node.last_request("BYE")
    assert bye.cseq.number == call.invite.cseq.number + 1
    assert bye.headers.get("Reason") == 'Q.850;cause=16;text="Bye"'
    assert not call.node.endpoint.is_idle
    call.node.receive(answer_to(bye, 200))
    assert not call.session.bye(now=call.node.now)
    assert call.is_over()


def test_a_bye_that_is_never_answered_is_given_up() -> None:
    call = Call().answered()
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_byes_that_cross_are_both_answered_and_end_the_call_once() -> None:
    call = Call().answered()
    call.session.bye(now=call.node.now)
    call.node.drain()
    theirs = request_from(
        "BYE",
        call_id=call.session.call_id,
        from_="<sip:bob@192.0.2.2>;tag=peer",
        to=str(call.invite.from_),
    )
    call.node.receive(theirs)
    assert call.node.last("200 BYE")
    call.node.receive(answer_to(call.node.last_request("BYE"), 481))
    assert call.is_over()


# ---- provisional responses and forks ------------------------------------------------------------


def test_each_provisional_response_is_reported_with_its_fork_and_its_early_media() -> None:
    call = Call()
    call.hear(100, tag=None)
    call.hear(180, tag="one")
    call.hear(183, tag="two", sdp=ANSWER)
    heard = [event for event in call.node.events if isinstance(event, ProvisionalReceived)]
    assert [(event.response.status, event.fork, event.sdp) for event in heard] == [
        (100, None, None),
        (180, "one", None),
        (183, "two", ANSWER),
    ]
    assert state(call.session) is SessionState.PROCEEDING


def test_early_media_is_no_answer() -> None:
    call = Call()
    call.hear(183, sdp=ANSWER)
    call.node.advance(300.0)
    assert not call.node.has_event(Answered)
    assert state(call.session) is SessionState.PROCEEDING


def test_a_second_fork_that_answers_is_acknowledged_and_hung_up() -> None:
    call = Call()
    call.hear(180, tag="one")
    call.hear(180, tag="two")
    call.hear(200, tag="one", sdp=ANSWER)
    call.node.take_sent()
    call.hear(200, tag="two", sdp=ANSWER, contact="<sip:second@192.0.2.8>")
    assert [sent.what for sent in call.node.sent] == ["ACK", "BYE"]
    bye = call.node.last_request("BYE")
    assert bye.to.tag == "two"
    assert str(bye.uri) == "sip:second@192.0.2.8"
    call.node.event(Answered)
    assert call.session.remote_tag == "one"
    call.node.receive(answer_to(bye, 200))
    assert state(call.session) is SessionState.CONFIRMED
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_a_fork_that_answers_again_gets_its_ack_again_but_one_bye_only() -> None:
    call = Call()
    call.hear(200, tag="one", sdp=ANSWER)
    call.hear(200, tag="two", sdp=ANSWER)
    call.hear(200, tag="two", sdp=ANSWER)
    assert call.node.take_sent() == ["INVITE", "ACK", "ACK", "BYE", "ACK"]


def test_a_flood_of_forks_is_bounded() -> None:
    call = Call()
    for number in range(100):
        call.hear(180, tag=f"early{number}")
    for number in range(100):
        call.hear(200, tag=f"fork{number}", sdp=ANSWER)
    assert call.node.take_sent().count("ACK") == 32
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_requests_in_a_losing_early_dialog_are_told_that_it_is_gone() -> None:
    call = Call()
    call.hear(183, tag="one")
    call.hear(200, tag="two", sdp=ANSWER)
    call.node.receive(
        request_from(
            "INFO",
            call_id=call.session.call_id,
            from_="<sip:bob@192.0.2.2>;tag=one",
            to=str(call.invite.from_),
        )
    )
    assert call.node.sent[-1].what == "481 INFO"


def test_a_199_ends_an_early_dialog() -> None:
    call = Call()
    call.hear(183, tag="one")
    call.hear(199, tag="one")
    call.node.receive(
        request_from(
            "INFO",
            call_id=call.session.call_id,
            from_="<sip:bob@192.0.2.2>;tag=one",
            to=str(call.invite.from_),
        )
    )
    assert call.node.sent[-1].what == "481 INFO"
    assert state(call.session) is SessionState.PROCEEDING


def test_a_bye_in_the_only_early_dialog_ends_the_call_and_cancels_the_invite() -> None:
    call = Call()
    call.hear(180)
    call.node.receive(
        request_from(
            "BYE",
            call_id=call.session.call_id,
            from_="<sip:bob@192.0.2.2>;tag=peer",
            to=str(call.invite.from_),
        )
    )
    assert call.node.take_sent() == ["INVITE", "200 BYE", "CANCEL"]
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.REMOTE, EndCause.BYE)
    assert call.is_over()


def test_a_bye_in_one_of_two_early_dialogs_leaves_the_other_ringing() -> None:
    call = Call()
    call.hear(180, tag="one")
    call.hear(180, tag="two")
    call.node.receive(
        request_from(
            "BYE",
            call_id=call.session.call_id,
            from_="<sip:bob@192.0.2.2>;tag=one",
            to=str(call.invite.from_),
        )
    )
    assert state(call.session) is SessionState.PROCEEDING
    call.hear(200, tag="two", sdp=ANSWER)
    assert state(call.session) is SessionState.CONFIRMED


# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 480, 486, 488, 500, 503, 600, 603])
def test_a_refusal_is_acknowledged_and_reported_with_its_reason(status: int) -> None:
    call = Call()
    call.hear(180)
    call.hear(status, headers=[("Reason", 'Q.850;cause=17;text="User busy"')])
    assert call.node.take_sent() == ["INVITE", "ACK"]
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status) == (Failure.REJECTED, status)
    assert failed.reasons == (Reason("Q.850", 17, "User busy"),)
    assert failed.response is not None
    assert call.is_over()


def test_an_unreadable_reason_header_is_no_reason() -> None:
    call = Call()
    call.hear(486, headers=[("Reason", ";;;")])
    assert call.node.event(InviteFailed).reasons == ()


def test_no_response_at_all_is_a_timeout() -> None:
    call = Call()
    call.node.advance(GIVE_UP)
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status, failed.response) == (Failure.TIMEOUT, 408, None)
    assert call.is_over()


def test_a_transport_error_is_unreachable() -> None:
    call = Call()
    call.node.endpoint.transport_failed(call.node.last("INVITE").transmission, call.node.now)
    call.node.drain()
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status) == (Failure.UNREACHABLE, 503)
    assert call.is_over()


# ---- failover -----------------------------------------------------------------------------------


def test_a_timeout_tries_the_next_hop_with_a_new_branch_and_the_same_call_id() -> None:
    call = Call(PEER, OTHER)
    first = call.invite
    call.node.advance(GIVE_UP)
    second = call.node.last("INVITE")
    assert second.destination.hop == OTHER
    assert isinstance(second.message, Request)
    assert second.message.top_via.branch != first.top_via.branch
    assert second.message.call_id == first.call_id
    assert second.message.cseq == first.cseq
    call.hear(200, sdp=ANSWER)
    assert state(call.session) is SessionState.CONFIRMED


def test_a_transport_error_tries_the_next_hop_at_once() -> None:
    call = Call(PEER, OTHER)
    call.node.endpoint.transport_failed(call.node.last("INVITE").transmission, call.node.now)
    call.node.drain()
    assert call.node.last("INVITE").destination.hop == OTHER


def test_a_503_tries_the_next_hop() -> None:
    call = Call(PEER, OTHER)
    call.hear(100, tag=None)
    call.hear(503)
    assert call.node.last("INVITE").destination.hop == OTHER
    assert call.node.endings == []


def test_a_503_after_ringing_is_final() -> None:
    call = Call(PEER, OTHER)
    call.hear(180)
    call.hear(503)
    assert call.node.event(InviteFailed).status == 503


def test_a_refusal_other_than_503_is_final() -> None:
    call = Call(PEER, OTHER)
    call.hear(404)
    assert call.node.event(InviteFailed).status == 404


def test_when_the_last_hop_fails_the_call_does() -> None:
    call = Call(PEER, OTHER)
    call.hear(503)
    call.hear(503)
    assert call.node.event(InviteFailed).status == 503
    assert call.is_over()


def test_a_silent_hop_is_left_after_the_hop_timeout() -> None:
    call = Call(PEER, OTHER, hop_timeout=4.0)
    call.node.advance(3.9)
    assert call.node.last("INVITE").destination.hop == PEER
    call.node.advance(0.1)
    assert call.node.last("INVITE").destination.hop == OTHER


def test_the_hop_timeout_does_not_apply_to_the_last_hop_nor_to_one_that_answered() -> None:
    call = Call(PEER, hop_timeout=4.0)
    call.node.advance(10.0)
    assert call.node.endings == []
    call = Call(PEER, OTHER, hop_timeout=4.0)
    call.hear(100, tag=None)
    call.node.advance(60.0)
    assert {sent.destination.hop for sent in call.node.sent} == {PEER}


def test_a_hop_that_wakes_up_after_we_left_it_is_cancelled() -> None:
    call = Call(PEER, OTHER, hop_timeout=4.0)
    first = call.invite
    call.node.advance(4.0)
    call.node.take_sent()
    call.node.receive(answer_to(first, 180, tag="late"))
    assert [sent.what for sent in call.node.sent] == ["CANCEL"]
    assert call.node.last("CANCEL").destination.hop == PEER
    assert not call.node.has_event(ProvisionalReceived)


def test_a_hop_that_answers_after_we_left_it_is_hung_up() -> None:
    call = Call(PEER, OTHER, hop_timeout=4.0)
    first = call.invite
    call.node.advance(4.0)
    second = call.invite
    call.node.take_sent()
    call.node.receive(answer_to(first, 200, tag="late", sdp=ANSWER))
    assert call.node.take_sent() == ["ACK", "BYE"]
    call.node.receive(answer_to(second, 200, tag="right", sdp=ANSWER))
    assert call.session.remote_tag == "right"
    call.session.bye(now=call.node.now)
    assert call.is_over()


# ---- CANCEL -------------------------------------------------------------------------------------


def test_cancel_waits_for_a_provisional_response() -> None:
    call = Call()
    assert call.session.cancel(now=call.node.now)
    call.node.advance(2.0)
    assert "CANCEL" not in [sent.what for sent in call.node.sent]
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.LOCAL, EndCause.CANCELLED)
    call.hear(180)
    assert call.node.sent[-1].what == "CANCEL"
    call.hear(180)
    call.hear(487)
    assert [sent.what for sent in call.node.sent].count("CANCEL") == 1
    assert call.is_over()


def test_cancel_repeats_what_identifies_the_invite() -> None:
    call = Call(OTHER, routes=(nameaddr("<sip:192.0.2.3;lr>"),))
    call.hear(180)
    call.session.cancel(
        reasons=(Reason("SIP", 200, "Call completed elsewhere"),), now=call.node.now
    )
    call.node.drain()
    cancel, invite = call.node.last_request("CANCEL"), call.invite
    assert cancel.uri == invite.uri
    assert cancel.vias == invite.vias
    assert cancel.routes == invite.routes
    assert (cancel.from_, cancel.to, cancel.call_id) == (invite.from_, invite.to, invite.call_id)
    assert (cancel.cseq.number, cancel.cseq.method) == (invite.cseq.number, "CANCEL")
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert call.node.last("CANCEL").destination == call.node.last("INVITE").destination


def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_hung_up() -> None:
    call = Call()
    call.hear(180)
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.hear(200, sdp=ANSWER)
    assert call.node.take_sent() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert not call.node.has_event(Answered)
    assert call.is_over()


def test_an_answer_after_a_cancel_that_could_not_be_sent_is_hung_up_too() -> None:
    call = Call()
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.hear(200, sdp=ANSWER)
    assert call.node.take_sent() == ["INVITE", "ACK", "BYE"]
    assert call.is_over()


def test_a_cancelled_invite_that_gets_no_final_response_is_given_up() -> None:
    call = Call()
    call.hear(180)
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.node.receive(answer_to(call.node.last_request("CANCEL"), 200))
    assert call.is_over()


def test_a_cancelled_invite_that_gets_no_response_at_all_is_given_up() -> None:
    call = Call()
    call.session.cancel(now=call.node.now)
    assert call.is_over()


def test_cancel_after_the_answer_does_nothing_and_hang_up_says_bye() -> None:
    call = Call().answered()
    assert not call.session.cancel(now=call.node.now)
    assert call.session.hang_up(now=call.node.now)
    call.node.drain()
    assert call.node.sent[-1].what == "BYE"
    assert not call.session.hang_up(now=call.node.now)


def test_hang_up_before_the_answer_cancels() -> None:
    call = Call()
    call.hear(180)
    assert call.session.hang_up(now=call.node.now)
    call.node.drain()
    assert call.node.sent[-1].what == "CANCEL"


def test_a_refusal_that_crosses_our_cancel_is_not_reported() -> None:
    call = Call()
    call.hear(180)
    call.session.cancel(now=call.node.now)
    call.hear(486)
    assert isinstance(call.ending, Ended)
    assert call.is_over()


# ---- redirects ----------------------------------------------------------------------------------


def test_a_redirect_is_offered_in_order_of_preference_and_followed_on_demand() -> None:
    call = Call()
    first = call.invite
    call.hear(
        302,
        headers=[
            ("Contact", "<sip:c@192.0.2.7>;q=0.2, <mailto:x@y>, <sip:d@192.0.2.8>;q=0.9"),
            ("Contact", "<tel:+4930123>;q=0.5, <sip:bob@192.0.2.2>"),
        ],
    )
    redirected = call.node.event(Redirected)
    assert [str(uri) for uri in redirected.targets] == [
        "sip:d@192.0.2.8",
        "tel:+4930123",
        "sip:c@192.0.2.7",
    ]
    assert state(call.session) is SessionState.REDIRECTED
    assert call.session.follow_redirect(redirected.targets[0], (THIRD,), now=call.node.now)
    call.node.drain()
    second = call.node.last("INVITE")
    assert second.destination.hop == THIRD
    assert isinstance(second.message, Request)
    assert str(second.message.uri) == "sip:d@192.0.2.8"
    assert second.message.cseq.number == first.cseq.number + 1
    assert (second.message.call_id, second.message.from_, second.message.to) == (
        first.call_id,
        first.from_,
        first.to,
    )
    call.hear(200, sdp=ANSWER)
    assert state(call.session) is SessionState.CONFIRMED


def test_weights_that_make_no_sense_count_as_the_highest() -> None:
    call = Call()
    call.hear(
        302,
        headers=[("Contact", "<sip:a@x.example>;q=0.9, <sip:b@x.example>;q=7")],
    )
    targets = call.node.event(Redirected).targets
    assert [target.user for target in targets] == ["b", "a"]


def test_headers_and_method_of_a_redirect_contact_do_not_get_into_the_request_uri() -> None:
    call = Call()
    call.hear(302, headers=[("Contact", "<sip:a@x.example?Replaces=1>")])
    (target,) = call.node.event(Redirected).targets
    assert str(target) == "sip:a@x.example"


def test_a_redirect_that_the_owner_refuses_fails_with_its_status() -> None:
    call = Call()
    call.hear(302, headers=[("Contact", "<sip:c@192.0.2.7>")])
    assert call.session.refuse_redirect(now=call.node.now)
    call.node.drain()
    assert call.node.event(InviteFailed).status == 302
    assert not call.session.refuse_redirect(now=call.node.now)
    assert call.is_over()


def test_redirects_are_followed_up_to_the_limit() -> None:
    call = Call(max_redirects=2)
    for number in range(3):
        call.hear(302, headers=[("Contact", f"<sip:c{number}@192.0.2.7>")])
        target = Uri.parse(f"sip:c{number}@192.0.2.7")
        call.session.follow_redirect(target, (PEER,), now=call.node.now)
        call.node.drain()
    assert call.node.event(InviteFailed).status == 302
    assert call.node.take_sent().count("INVITE") == 3


@pytest.mark.parametrize(
    "contact", ["<sip:bob@192.0.2.2>", "<mailto:bob@example.com>", "*", "<<", ""]
)
def test_a_redirect_to_nowhere_new_fails(contact: str) -> None:
    call = Call()
    call.hear(302, headers=[("Contact", contact)])
    assert call.node.event(InviteFailed).status == 302


def test_with_no_redirects_allowed_a_302_fails() -> None:
    call = Call(max_redirects=0)
    call.hear(302, headers=[("Contact", "<sip:c@192.0.2.7>")])
    assert call.node.event(InviteFailed).status == 302


def test_a_call_can_be_cancelled_while_a_redirect_is_considered() -> None:
    call = Call()
    call.hear(302, headers=[("Contact", "<sip:c@192.0.2.7>")])
    assert call.session.cancel(now=call.node.now)
    assert not call.session.follow_redirect(Uri.parse("sip:c@x"), (PEER,), now=call.node.now)
    assert call.is_over()


# ---- commands in the wrong state ----------------------------------------------------------------


def test_commands_of_the_other_role_have_no_effect() -> None:
    call = Call()
    now = call.node.now
    assert not call.session.progress(180, now=now)
    assert not call.session.accept(ANSWER, now=now)
    assert not call.session.reject(486, now=now)
    assert not call.session.ignore(now=now)
    assert not call.session.bye(now=now)
    assert not call.session.reinvite(OFFER, now=now)
    assert not call.session.info("application/dtmf", b"1", now=now)
    assert not call.session.respond_offer(ANSWER, now=now)
    assert not call.session.reject_offer(now=now)
    assert not call.session.refuse_redirect(now=now)
    call.node.drain()
    assert call.node.take_sent() == ["INVITE"]
