"""The peer's offers within a call (RFC 3261 section 14, RFC 3311)."""

from __future__ import annotations

import pytest

from ringback.sip.errors import UnsafeValue
from ringback.sip.events import (
    Acked,
    EndCause,
    Ended,
    EndedBy,
    OfferAnswered,
    OfferReceived,
    OfferWithdrawn,
)
from ringback.sip.session_states import SessionState
from unit.sip.call_lab import (
    Call,
    InboundCall,
    OutboundCall,
    cancel_of,
    established,
    hang_up,
    offer,
    peer_says,
    reinvited,
)
from unit.sip.sipkit import (
    ANSWER_2,
    GIVE_UP,
    OFFER_2,
)


@pytest.fixture(params=["inbound", "outbound"])
def call(request: pytest.FixtureRequest) -> Call:
    return established(str(request.param))


# ---- theirs -------------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3261.14")
def test_a_reinvite_is_offered_to_the_owner_and_its_answer_repeated_until_acked(
    call: Call,
) -> None:
    reinvited(call)
    event = call.node.event(OfferReceived)
    assert (event.method, event.sdp) == ("INVITE", OFFER_2)
    assert call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.advance(1.5)
    assert call.node.take_sent() == ["200 INVITE"] * 3
    assert call.node.last_response("200 INVITE").body == ANSWER_2
    assert call.node.last_response("200 INVITE").contact is not None
    peer_says(call, "ACK", 2, branch="z9hG4bKackof2")
    call.node.advance(5.0)
    assert call.node.take_sent() == []
    assert not call.node.has_event(Acked)
    assert not call.node.has_event(OfferAnswered)
    assert hang_up(call)


def test_a_reinvite_without_offer_gets_ours_and_its_ack_brings_their_answer(call: Call) -> None:
    reinvited(call, b"")
    assert call.node.event(OfferReceived).sdp is None
    call.session.respond_offer(OFFER_2, now=call.node.now)
    call.node.drain()
    peer_says(call, "ACK", 2, branch="z9hG4bKackof2", body=ANSWER_2)
    assert call.node.event(OfferAnswered).sdp == ANSWER_2
    assert hang_up(call)


@pytest.mark.requirement("rfc3261.14")
def test_a_refused_reinvite_leaves_the_call_as_it_was(call: Call) -> None:
    reinvited(call, contact="<sip:elsewhere@192.0.2.99>")
    target = call.session.remote_target
    assert call.session.reject_offer(488, now=call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["488 INVITE"]
    assert call.session.remote_target == target
    assert call.session.state is SessionState.CONFIRMED
    assert not call.session.reject_offer(488, now=call.node.now)
    assert not call.session.respond_offer(ANSWER_2, now=call.node.now)


@pytest.mark.requirement("rfc3261.12")
def test_an_accepted_reinvite_moves_the_remote_target(call: Call) -> None:
    reinvited(call, contact="<sip:elsewhere@192.0.2.99>")
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.drain()
    peer_says(call, "ACK", 2, branch="z9hG4bKackof2")
    call.session.bye(now=call.node.now)
    call.node.drain()
    bye = call.node.last("BYE")
    assert bye.destination.hop.host == "192.0.2.99"


@pytest.mark.requirement("rfc3261.14")
def test_a_reinvite_while_another_one_is_open_is_sent_away_for_a_while(call: Call) -> None:
    reinvited(call)
    reinvited(call, cseq=3)
    assert call.node.take_sent() == ["500 INVITE"]
    assert call.node.last_response("500 INVITE").headers.get("Retry-After") == "5"
    call.node.event(OfferReceived)


def test_a_cancelled_reinvite_is_withdrawn_and_the_call_goes_on(call: Call) -> None:
    invite = reinvited(call)
    call.node.receive(cancel_of(invite))
    assert call.node.take_sent() == ["200 CANCEL", "487 INVITE"]
    call.node.event(OfferWithdrawn)
    assert not call.session.respond_offer(ANSWER_2, now=call.node.now)
    assert call.session.state is SessionState.CONFIRMED
    assert hang_up(call)


def test_a_reinvite_answer_that_is_never_acked_ends_the_call(call: Call) -> None:
    reinvited(call)
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.advance(GIVE_UP)
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.NEITHER, EndCause.ACK_TIMEOUT)
    assert call.node.last("BYE")
    assert call.is_over()


def test_a_reinvite_that_the_owner_never_answers_is_refused_in_the_end(call: Call) -> None:
    reinvited(call)
    call.node.advance(GIVE_UP)
    assert "500 INVITE" in call.node.take_sent()
    assert call.session.state is SessionState.CONFIRMED
    assert hang_up(call)


def test_a_bye_answers_the_open_reinvite_with_487(call: Call) -> None:
    reinvited(call)
    peer_says(call, "BYE", 3)
    assert sorted(call.node.take_sent()) == ["200 BYE", "487 INVITE"]
    assert call.is_over()


def test_our_bye_answers_the_open_reinvite_with_487(call: Call) -> None:
    reinvited(call)
    call.session.bye(now=call.node.now)
    call.node.drain()
    assert sorted(call.node.take_sent()) == ["487 INVITE", "BYE"]
    assert call.is_over()


def test_headers_that_would_break_the_answer_leave_the_offer_open(call: Call) -> None:
    reinvited(call)
    with pytest.raises(UnsafeValue):
        call.session.respond_offer(ANSWER_2, headers=(("X", "a\r\nb"),), now=call.node.now)
    assert call.session.respond_offer(ANSWER_2, now=call.node.now)


# ---- UPDATE -------------------------------------------------------------------------------------


@pytest.mark.requirement("call.update", "rfc3311.5")
def test_an_update_with_offer_is_answered_once_and_needs_no_ack(call: Call) -> None:
    peer_says(call, "UPDATE", body=OFFER_2)
    assert call.node.event(OfferReceived).method == "UPDATE"
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.advance(GIVE_UP + 1.0)
    assert call.node.take_sent() == ["200 UPDATE"]
    assert call.node.last_response("200 UPDATE").body == ANSWER_2
    assert hang_up(call)


def test_an_update_without_offer_is_answered_by_itself_and_moves_the_target(call: Call) -> None:
    peer_says(call, "UPDATE", contact="<sip:new@192.0.2.66>")
    assert call.node.take_sent() == ["200 UPDATE"]
    assert not call.node.has_event(OfferReceived)
    assert str(call.session.remote_target) == "sip:new@192.0.2.66"


@pytest.mark.requirement("rfc3311.5", "call.glare")
def test_an_update_with_offer_while_ours_is_open_is_glare(call: Call) -> None:
    offer(call)
    peer_says(call, "UPDATE", body=OFFER_2)
    assert call.node.take_sent() == ["INVITE", "491 UPDATE"]


@pytest.mark.requirement("rfc3311.5")
def test_an_update_with_offer_while_theirs_is_open_is_sent_away(call: Call) -> None:
    reinvited(call)
    peer_says(call, "UPDATE", 3, body=OFFER_2)
    response = call.node.last_response("500 UPDATE")
    assert response.headers.get("Retry-After") is not None


# ---- before the call is answered ----------------------------------------------------------------


def test_a_reinvite_before_our_answer_is_sent_away() -> None:
    call = InboundCall()
    call.session.progress(180, now=call.node.now)
    reinvited(call)
    assert "500 INVITE" in call.node.take_sent()
    assert not call.node.has_event(OfferReceived)


def test_an_update_with_offer_before_our_answer_is_sent_away_and_one_without_is_fine() -> None:
    call = InboundCall()
    call.session.progress(180, now=call.node.now)
    peer_says(call, "UPDATE", 2, body=OFFER_2)
    peer_says(call, "UPDATE", 3)
    assert call.node.take_sent() == ["180 INVITE", "500 UPDATE", "200 UPDATE"]


def test_offers_from_a_callee_that_has_not_answered_are_glare() -> None:
    call = OutboundCall()
    call.hear(183)
    reinvited(call)
    peer_says(call, "UPDATE", 3, body=OFFER_2)
    peer_says(call, "UPDATE", 4)
    assert call.node.take_sent() == ["INVITE", "491 INVITE", "491 UPDATE", "200 UPDATE"]


@pytest.mark.requirement("call.early-reinvite")
def test_a_reinvite_that_overtakes_the_ack_is_taken() -> None:
    call = InboundCall().accepted()
    reinvited(call)
    assert [type(event).__name__ for event in call.node.events][-2:] == ["Acked", "OfferReceived"]
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.ack()
    peer_says(call, "ACK", 2, branch="z9hG4bKackof2")
    call.node.take_sent()
    call.node.advance(GIVE_UP)
    assert call.node.take_sent() == []
    assert call.session.state is SessionState.CONFIRMED


def test_a_reinvite_before_the_ack_that_owes_us_an_answer_is_glare() -> None:
    call = InboundCall(b"")
    call.session.accept(OFFER_2, now=call.node.now)
    call.node.drain()
    reinvited(call)
    assert call.node.sent[-1].what == "491 INVITE"
