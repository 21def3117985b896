"""Our offers within a call, and glare (RFC 3261 section 14)."""

from __future__ import annotations

import pytest

from ringback.sip.events import (
    EndCause,
    Ended,
    EndedBy,
    OfferAnswered,
    OfferFailed,
    OfferReceived,
    ResolveNeeded,
)
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from unit.sip.call_lab import (
    Call,
    InboundCall,
    OutboundCall,
    established,
    hang_up,
    next_invite,
    offer,
    peer_says,
    reinvited,
)
from unit.sip.sipkit import (
    ANSWER,
    ANSWER_2,
    GIVE_UP,
    OFFER_2,
    PEER,
    answer_to,
    state,
)


@pytest.fixture(params=["inbound", "outbound"])
def call(request: pytest.FixtureRequest) -> Call:
    return established(str(request.param))


# ---- ours ---------------------------------------------------------------------------------------


def test_our_reinvite_is_answered_and_acknowledged(call: Call) -> None:
    invite = offer(call)
    assert invite.body == OFFER_2
    assert invite.to.tag == call.session.remote_tag
    assert invite.contact is not None
    call.node.receive(answer_to(invite, 200, sdp=ANSWER_2, contact="<sip:moved@192.0.2.44>"))
    assert call.node.take_sent() == ["INVITE", "ACK"]
    assert call.node.event(OfferAnswered).sdp == ANSWER_2
    ack = call.node.last_request("ACK")
    assert ack.cseq.number == invite.cseq.number
    assert str(ack.uri) == "sip:moved@192.0.2.44"
    call.node.receive(answer_to(invite, 200, sdp=ANSWER_2))
    assert call.node.take_sent() == ["ACK"]
    call.node.event(OfferAnswered)
    assert hang_up(call)


@pytest.mark.requirement("call.cseq", "rfc3261.12")
def test_cseq_counts_for_each_direction_by_itself(call: Call) -> None:
    first = offer(call)
    call.node.receive(answer_to(first, 200, sdp=ANSWER_2))
    peer_says(call, "INFO", 2)
    second = offer(call)
    assert second.cseq.number == first.cseq.number + 1
    call.node.receive(answer_to(second, 200, sdp=ANSWER_2))
    for _ in range(3):
        call.node.receive(answer_to(offer(call), 200, sdp=ANSWER_2))
    for number in (3, 4):  # less than ours by now
        peer_says(call, "INFO", number)
    assert [sent.what for sent in call.node.log].count("200 INFO") == 3


def test_a_refused_offer_of_ours_is_reported_and_the_call_goes_on(call: Call) -> None:
    call.node.receive(answer_to(offer(call), 488))
    failed = call.node.event(OfferFailed)
    assert failed.status == 488
    assert failed.response is not None
    assert call.node.take_sent() == ["INVITE", "ACK"]
    assert call.session.state is SessionState.CONFIRMED
    assert hang_up(call)


@pytest.mark.parametrize("status", [481, 408])
def test_a_peer_that_forgot_the_dialog_ends_the_call(call: Call, status: int) -> None:
    call.node.receive(answer_to(offer(call), status))
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.NEITHER, EndCause.DIALOG_LOST)
    assert not call.node.has_event(OfferFailed)
    assert call.node.last("BYE")
    assert call.is_over()


def test_a_reinvite_that_gets_no_response_ends_the_call(call: Call) -> None:
    offer(call)
    call.node.advance(GIVE_UP)
    assert call.node.event(Ended).cause is EndCause.DIALOG_LOST
    assert call.is_over()


def test_a_reinvite_that_gets_no_final_response_is_cancelled_and_the_call_goes_on(
    call: Call,
) -> None:
    invite = offer(call)
    call.node.receive(answer_to(invite, 100, tag=None))
    call.node.advance(GIVE_UP)
    assert call.node.event(OfferFailed).status == 408
    assert call.node.sent[-1].what == "CANCEL"
    assert call.session.state is SessionState.CONFIRMED
    call.node.receive(answer_to(invite, 200, sdp=ANSWER_2))
    assert call.node.sent[-1].what == "ACK"
    assert not call.node.has_event(OfferAnswered)
    assert hang_up(call)


def test_a_reinvite_that_cannot_be_sent_fails_and_the_call_goes_on(call: Call) -> None:
    offer(call)
    call.node.endpoint.transport_failed(call.node.last("INVITE").transmission, call.node.now)
    call.node.drain()
    assert call.node.event(OfferFailed).status == 503
    assert call.session.state is SessionState.CONFIRMED


def test_one_offer_at_a_time(call: Call) -> None:
    offer(call)
    assert not call.session.reinvite(OFFER_2, now=call.node.now)
    call.node.receive(answer_to(call.node.last_request("INVITE"), 200, sdp=ANSWER_2))
    reinvited(call)
    assert not call.session.reinvite(OFFER_2, now=call.node.now)


def test_no_offer_before_the_ack_of_theirs(call: Call) -> None:
    reinvited(call)
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    assert not call.session.reinvite(OFFER_2, now=call.node.now)
    peer_says(call, "ACK", 2, branch="z9hG4bKackof2")
    assert call.session.reinvite(OFFER_2, now=call.node.now)


def test_a_call_that_ends_while_our_offer_is_open_acknowledges_its_late_answer(
    call: Call,
) -> None:
    invite = offer(call)
    call.session.bye(now=call.node.now)
    call.node.drain()
    call.node.receive(answer_to(invite, 200, sdp=ANSWER_2))
    assert call.node.take_sent() == ["INVITE", "BYE", "ACK"]
    assert not call.node.has_event(OfferAnswered)
    assert call.is_over()


def test_our_offer_to_a_name_that_is_not_found_fails_and_the_call_goes_on() -> None:
    call = InboundCall(headers=[("Record-Route", "<sip:sbc.example;lr>")]).confirmed()
    assert call.session.reinvite(OFFER_2, headers=(("X-A", "b"),), now=call.node.now)
    call.node.drain()
    call.node.endpoint.resolved(call.node.event(ResolveNeeded).key, (), call.node.now)
    call.node.drain()
    assert call.node.event(OfferFailed).status == 503
    assert state(call.session) is SessionState.CONFIRMED


def test_our_offer_carries_its_extra_headers(call: Call) -> None:
    call.session.reinvite(OFFER_2, headers=(("X-A", "b"),), now=call.node.now)
    call.node.drain()
    assert call.node.last_request("INVITE").headers.get("X-A") == "b"


def test_a_call_that_ends_while_a_name_is_looked_up_offers_nothing() -> None:
    call = InboundCall(headers=[("Record-Route", "<sip:sbc.example;lr>")]).confirmed()
    call.session.reinvite(OFFER_2, now=call.node.now)
    call.node.drain()
    key = call.node.event(ResolveNeeded).key
    peer_says(call, "BYE")
    call.node.endpoint.resolved(key, (PEER,), call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["200 BYE"]
    assert call.is_over()


def test_an_answer_whose_contact_cannot_be_read_leaves_the_target_as_it_was(call: Call) -> None:
    target = call.session.remote_target
    call.node.receive(answer_to(offer(call), 200, sdp=ANSWER_2, contact="<<<"))
    call.node.event(OfferAnswered)
    assert call.session.remote_target == target
    assert call.node.last("ACK")


# ---- glare --------------------------------------------------------------------------------------


def test_theirs_that_meets_ours_gets_491(call: Call) -> None:
    offer(call)
    reinvited(call)
    assert call.node.take_sent() == ["INVITE", "491 INVITE"]
    assert not call.node.has_event(OfferReceived)


def test_ours_that_meets_theirs_is_made_again_after_the_random_time(call: Call) -> None:
    call.node.receive(answer_to(offer(call), 491))
    began = call.node.now
    again = next_invite(call)
    # 14.1: 2.1 to 4 s for who made the Call-ID, 0 to 2 s for the other; random() is 0.5 here.
    wanted = 3.05 if isinstance(call, OutboundCall) else 1.0
    assert again.at - began == pytest.approx(wanted)
    assert isinstance(again.message, Request)
    call.node.receive(answer_to(again.message, 200, sdp=ANSWER_2))
    call.node.event(OfferAnswered)
    assert not call.node.has_event(OfferFailed)


@pytest.mark.requirement("call.glare", "rfc3261.14", "rfc3311.5")
@pytest.mark.parametrize(("random", "low", "high"), [(0.0, 0.0, 2.1), (0.9999999, 2.0, 4.0)])
def test_the_glare_back_off_covers_the_intervals_of_the_rfc(
    random: float, low: float, high: float
) -> None:
    for made, wanted in ((InboundCall().confirmed(), low), (OutboundCall().answered(), high)):
        made.node.endpoint._core.random = lambda: random
        made.node.receive(answer_to(offer(made), 491))
        began = made.node.now
        assert next_invite(made).at - began == pytest.approx(wanted)


def test_glare_is_not_fought_for_ever(call: Call) -> None:
    invite = offer(call)
    for _ in range(5):
        call.node.receive(answer_to(invite, 491))
        call.node.advance(4.0)
        invite = call.node.last_request("INVITE")
    numbers = [s.message.cseq.number for s in call.node.sent if s.what == "INVITE"]
    assert len(set(numbers)) == 5
    assert call.node.event(OfferFailed).status == 491
    assert hang_up(call)


@pytest.mark.requirement("call.glare", "rfc3261.14")
def test_theirs_is_taken_while_ours_waits_and_ours_is_then_the_owners_to_make_anew(
    call: Call,
) -> None:
    call.node.receive(answer_to(offer(call), 491))
    reinvited(call)
    call.node.event(OfferReceived)
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.drain()
    peer_says(call, "ACK", 2, branch="z9hG4bKackof2")
    call.node.take_sent()
    call.node.advance(4.0)
    assert call.node.take_sent() == []
    assert call.node.event(OfferFailed).status == 491
    assert call.session.reinvite(OFFER_2, now=call.node.now)


def test_ours_is_made_again_if_theirs_was_refused_meanwhile(call: Call) -> None:
    call.node.receive(answer_to(offer(call), 491))
    reinvited(call)
    call.session.reject_offer(488, now=call.node.now)
    call.node.take_sent()
    call.node.advance(4.0)
    assert "INVITE" in call.node.take_sent()


def test_a_call_that_ends_during_the_back_off_offers_nothing_more(call: Call) -> None:
    call.node.receive(answer_to(offer(call), 491))
    peer_says(call, "BYE")
    call.node.take_sent()
    call.node.advance(10.0)
    assert "INVITE" not in call.node.take_sent()
    assert call.is_over()


def test_a_hold_and_a_resume_survive_a_busy_peer(call: Call) -> None:
    for _ in range(3):
        invite = offer(call)
        call.node.receive(answer_to(invite, 100, tag=None))
        call.node.receive(answer_to(invite, 200, sdp=ANSWER))
    answers = [event for event in call.node.events if isinstance(event, OfferAnswered)]
    assert len(answers) == 3
    assert call.node.last("ACK").destination.hop == PEER
    assert hang_up(call)
