"""UPDATE in an answered call, both ways (RFC 3311), and the answers to bad times."""

from __future__ import annotations

import pytest

from ringback.sip.events import EndCause, Ended, OfferAnswered, OfferFailed, OfferReceived
from ringback.sip.session_states import SessionState
from unit.sip.call_lab import Call, InboundCall, OutboundCall, hang_up, peer_says, reinvited
from unit.sip.sipkit import ANSWER, ANSWER_2, GIVE_UP, OFFER_2, answer_to, state

ALLOW = ("Allow", "INVITE, ACK, BYE, UPDATE")


@pytest.fixture(params=["inbound", "outbound"])
def call(request: pytest.FixtureRequest) -> Call:
    made: Call
    if request.param == "inbound":
        made = InboundCall(headers=[ALLOW]).confirmed()
    else:
        made = OutboundCall().answered(headers=[ALLOW])
    made.node.take_sent()
    made.node.take_events()
    return made


def update(call: Call) -> None:
    assert call.session.update(OFFER_2, now=call.node.now)
    call.node.drain()


@pytest.mark.requirement("call.update", "rfc3311.5")
def test_our_update_is_answered_in_its_200(call: Call) -> None:
    update(call)
    sent = call.node.last_request("UPDATE")
    assert sent.body == OFFER_2
    assert sent.contact is not None
    call.node.receive(answer_to(sent, 200, sdp=ANSWER_2, contact="<sip:moved@192.0.2.44>"))
    assert call.node.event(OfferAnswered).sdp == ANSWER_2
    assert str(call.session.remote_target) == "sip:moved@192.0.2.44"
    assert call.node.take_sent() == ["UPDATE"]
    assert hang_up(call)


def test_a_peer_that_does_not_list_update_gets_none() -> None:
    call = InboundCall().confirmed()
    assert not call.session.update(OFFER_2, now=call.node.now)


@pytest.mark.requirement("call.glare", "rfc3311.5")
def test_an_update_that_meets_an_offer_is_made_again_after_a_random_time(call: Call) -> None:
    update(call)
    call.node.receive(answer_to(call.node.last_request("UPDATE"), 491))
    call.node.take_sent()
    call.node.advance(4.0)
    assert "UPDATE" in call.node.take_sent()


@pytest.mark.requirement("rfc3311.5")
def test_an_update_that_comes_at_a_bad_time_waits_as_it_is_told(call: Call) -> None:
    update(call)
    first = call.node.last_request("UPDATE")
    call.node.receive(answer_to(first, 500, headers=[("Retry-After", "7")]))
    call.node.take_sent()
    call.node.advance(6.9)
    assert call.node.take_sent() == []
    call.node.advance(0.1)
    assert call.node.take_sent() == ["UPDATE"]
    second = call.node.last_request("UPDATE")
    assert second.cseq.number == first.cseq.number + 1
    call.node.receive(answer_to(second, 500))
    assert call.node.event(OfferFailed).status == 500


@pytest.mark.requirement("rfc3311.5", "rfc3261.14")
def test_an_offer_during_ours_is_491_and_one_during_theirs_is_500(call: Call) -> None:
    update(call)
    peer_says(call, "UPDATE", 2, body=OFFER_2)
    assert call.node.last("491 UPDATE")
    call.node.receive(answer_to(call.node.last_request("UPDATE"), 200, sdp=ANSWER_2))
    peer_says(call, "UPDATE", 3, body=OFFER_2, branch="z9hG4bKthree")
    assert call.node.has_event(OfferReceived)
    peer_says(call, "UPDATE", 4, body=OFFER_2, branch="z9hG4bKfour")
    refused = call.node.last_response("500 UPDATE")
    assert refused.retry_after is not None
    assert 0 <= refused.retry_after.seconds <= 10
    assert not call.session.update(OFFER_2, now=call.node.now)
    assert call.session.respond_offer(ANSWER, now=call.node.now)


def test_an_update_that_is_not_known_is_not_sent_again(call: Call) -> None:
    update(call)
    call.node.receive(answer_to(call.node.last_request("UPDATE"), 405))
    assert call.node.event(OfferFailed).status == 405
    assert not call.session.update(OFFER_2, now=call.node.now)
    assert state(call.session) is SessionState.CONFIRMED


def test_an_update_without_any_answer_means_that_nobody_is_there(call: Call) -> None:
    update(call)
    call.node.advance(GIVE_UP)
    assert call.node.event(Ended).cause is EndCause.DIALOG_LOST
    assert call.is_over()


@pytest.mark.requirement("call.early-reinvite")
def test_a_reinvite_straight_after_the_answer_is_taken_before_our_ack_is_back() -> None:
    """IMS sends it at once: the caller has our 200, so the ACK may come later or never."""
    call = InboundCall().accepted()
    reinvited(call)
    assert call.node.event(OfferReceived).sdp == OFFER_2
    assert call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.drain()
    call.ack()
    call.hear("ACK", 2)
    assert state(call.session) is SessionState.CONFIRMED
    call.node.take_sent()
    call.node.advance(5.0)
    assert call.node.take_sent() == []
