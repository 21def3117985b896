"""Calls that we place: INVITE, answers, forks (RFC 3261 13.2)."""

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
)
from ringback.sip.headers import Reason
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.sip.call_lab import OutboundCall
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OFFER,
    OTHER,
    PEER,
    PEER_TCP,
    Node,
    answer_to,
    invite_request,
    nameaddr,
    request_from,
    state,
)

# ---- the INVITE itself --------------------------------------------------------------------------


@pytest.mark.requirement("rfc3261.8.1.1", "trunk.rport", "trunk.public-address")
def test_the_invite_has_what_a_dialog_needs() -> None:
    call = OutboundCall(headers=(("X-Token", "42"),))
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


@pytest.mark.requirement("rfc3261.8.1.1")
def test_no_two_calls_share_a_call_id_a_tag_or_a_branch() -> None:
    node = Node()
    for _ in range(2):
        node.endpoint.invite(invite_request(), [PEER], now=node.now)
        node.drain()
    first, second = (sent.message for sent in node.log)
    assert first.call_id != second.call_id
    assert first.from_.tag != second.from_.tag
    assert first.top_via.branch != second.top_via.branch


def test_over_tcp_via_and_contact_say_so() -> None:
    invite = OutboundCall(PEER_TCP).invite
    assert invite.top_via.transport == "TCP"
    assert invite.contact is not None
    assert invite.contact.uri.params.get("transport") == "tcp"


def test_a_call_to_a_sips_uri_has_a_sips_contact() -> None:
    call = OutboundCall(Hop("tls", "192.0.2.2", 5061), target=Uri.parse("sips:bob@example.com"))
    assert call.invite.contact is not None
    assert call.invite.contact.uri.scheme == "sips"


@pytest.mark.requirement("trunk.outbound-proxy")
def test_an_outbound_proxy_is_a_loose_route() -> None:
    call = OutboundCall(OTHER, routes=(nameaddr("<sip:192.0.2.3;lr>"),))
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


@pytest.mark.requirement("rfc3261.13")
def test_a_2xx_is_acknowledged_at_its_contact_and_reported_with_its_sdp() -> None:
    call = OutboundCall()
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


@pytest.mark.requirement("call.ack-route", "rfc3261.12")
def test_the_ack_follows_the_recorded_route_and_not_the_contact_alone() -> None:
    call = OutboundCall()
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
    call = OutboundCall().answered()
    first = call.node.last("ACK").transmission
    call.hear(200, sdp=ANSWER)
    call.hear(200, sdp=ANSWER)
    assert [sent.transmission for sent in call.node.sent if sent.what == "ACK"] == [first] * 3
    call.node.event(Answered)


def test_the_ack_repeats_the_credentials_of_its_invite() -> None:
    call = OutboundCall(
        headers=(("Proxy-Authorization", 'Digest username="a", realm="r"'),)
    ).answered()
    ack = call.node.last_request("ACK")
    assert ack.headers.get("Proxy-Authorization") == 'Digest username="a", realm="r"'


def test_a_2xx_without_contact_is_acknowledged_at_the_request_uri() -> None:
    call = OutboundCall()
    call.hear(200, sdp=ANSWER, contact=None)
    assert str(call.node.last_request("ACK").uri) == "sip:bob@192.0.2.2"


@pytest.mark.requirement("rfc3261.13")
@pytest.mark.parametrize("rings", [False, True])
def test_a_2xx_whose_contact_cannot_be_read_is_acknowledged_all_the_same(rings: bool) -> None:
    call = OutboundCall()
    if rings:
        call.hear(180, contact="<sip:bob@192.0.2.2:5070>")
    call.hear(200, sdp=ANSWER, contact="not an address")
    wanted = "sip:bob@192.0.2.2:5070" if rings else "sip:bob@192.0.2.2"
    assert str(call.node.last_request("ACK").uri) == wanted


def test_an_answer_that_cannot_be_read_ends_the_call_when_no_other_can_come() -> None:
    call = OutboundCall()
    call.hear(200, headers=[("Record-Route", "<<<")])
    assert call.node.endings == []
    call.node.advance(GIVE_UP)
    assert isinstance(call.ending, InviteFailed)
    assert call.is_over()


def test_a_provisional_response_whose_route_cannot_be_read_still_rings() -> None:
    call = OutboundCall()
    call.hear(180, headers=[("Record-Route", "<<<")])
    assert call.node.event(ProvisionalReceived).fork == "peer"
    assert call.session.state is SessionState.PROCEEDING


def test_a_contact_with_headers_makes_a_clean_request_uri() -> None:
    call = OutboundCall()
    call.hear(200, sdp=ANSWER, contact="<sip:bob@192.0.2.2;method=BYE?X=y>")
    assert str(call.node.last_request("ACK").uri) == "sip:bob@192.0.2.2"


def test_a_contact_that_is_no_sip_address_is_reached_where_the_peer_is_heard() -> None:
    call = OutboundCall()
    call.hear(200, sdp=ANSWER, contact="<tel:+49301234>")
    assert call.node.last("ACK").destination == Flow(PEER)
    assert str(call.node.last_request("ACK").uri) == "tel:+49301234"


def test_requests_that_cross_our_bye_find_the_call_gone() -> None:
    call = OutboundCall().answered()
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
    call = OutboundCall().answered()
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
    call = OutboundCall().answered()
    call.session.bye(now=call.node.now)
    assert call.is_over()


@pytest.mark.requirement("rfc3261.15")
def test_byes_that_cross_are_both_answered_and_end_the_call_once() -> None:
    call = OutboundCall().answered()
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


@pytest.mark.requirement("call.provisional-forks")
def test_each_provisional_response_is_reported_with_its_fork_and_its_early_media() -> None:
    call = OutboundCall()
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


@pytest.mark.requirement("call.early-media")
def test_early_media_is_no_answer() -> None:
    call = OutboundCall()
    call.hear(183, sdp=ANSWER)
    call.node.advance(300.0)
    assert not call.node.has_event(Answered)
    assert state(call.session) is SessionState.PROCEEDING


@pytest.mark.requirement("call.forked-answers", "rfc3261.13")
def test_a_second_fork_that_answers_is_acknowledged_and_hung_up() -> None:
    call = OutboundCall()
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
    call = OutboundCall()
    call.hear(200, tag="one", sdp=ANSWER)
    call.hear(200, tag="two", sdp=ANSWER)
    call.hear(200, tag="two", sdp=ANSWER)
    assert call.node.take_sent() == ["INVITE", "ACK", "ACK", "BYE", "ACK"]


def test_a_flood_of_forks_is_bounded() -> None:
    call = OutboundCall()
    for number in range(100):
        call.hear(180, tag=f"early{number}")
    for number in range(100):
        call.hear(200, tag=f"fork{number}", sdp=ANSWER)
    assert call.node.take_sent().count("ACK") == 32
    call.session.bye(now=call.node.now)
    assert call.is_over()


def ask(call: OutboundCall, tag: str) -> None:
    """An INFO from the fork ``tag``."""
    call.node.receive(
        request_from(
            "INFO",
            call_id=call.session.call_id,
            from_=f"<sip:bob@192.0.2.2>;tag={tag}",
            to=str(call.invite.from_),
        )
    )


@pytest.mark.parametrize(("forks", "answer"), [(31, "200 INFO"), (32, "481 INFO")])
def test_forks_that_end_themselves_count_among_those_that_may_come(forks: int, answer: str) -> None:
    call = OutboundCall()
    for number in range(forks):
        call.hear(183, tag=f"early{number}")
        call.hear(199, tag=f"early{number}")
    call.hear(183, tag="late")
    ask(call, "late")
    assert call.node.sent[-1].what == answer


def test_requests_in_a_losing_early_dialog_are_told_that_it_is_gone() -> None:
    call = OutboundCall()
    call.hear(183, tag="one")
    call.hear(200, tag="two", sdp=ANSWER)
    ask(call, "one")
    assert call.node.sent[-1].what == "481 INFO"


def test_a_199_ends_an_early_dialog() -> None:
    call = OutboundCall()
    call.hear(183, tag="one")
    call.hear(199, tag="one")
    ask(call, "one")
    assert call.node.sent[-1].what == "481 INFO"
    assert state(call.session) is SessionState.PROCEEDING


def test_a_bye_in_the_only_early_dialog_ends_the_call_and_cancels_the_invite() -> None:
    call = OutboundCall()
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
    call = OutboundCall()
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
