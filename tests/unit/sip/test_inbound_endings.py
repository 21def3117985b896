"""How calls that come in end: refusal, CANCEL, BYE (RFC 3261 9.2, 13.3, 15)."""

from __future__ import annotations

import pytest

from ringback.sip.events import Acked, Cancelled, EndCause, Ended, EndedBy
from ringback.sip.headers import Reason
from ringback.sip.session_states import SessionState
from unit.sip.call_lab import InboundCall, cancel_of
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OFFER,
    answer_to,
    state,
)

# ---- refusing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 403, 404, 480, 486, 488, 503, 603])
def test_a_refusal_is_repeated_until_it_is_acknowledged(status: int) -> None:
    call = InboundCall()
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
    call = InboundCall()
    call.session.reject(
        488, "No common codec", headers=(("Warning", '304 x "no"'),), now=call.node.now
    )
    call.node.drain()
    response = call.node.last_response("488 INVITE")
    assert response.reason == "No common codec"
    assert response.headers.get("Warning") == '304 x "no"'


@pytest.mark.parametrize("status", [100, 180, 200, 299])
def test_only_a_refusal_refuses(status: int) -> None:
    call = InboundCall()
    assert not call.session.reject(status, now=call.node.now)
    assert state(call.session) is SessionState.INCOMING


def test_an_ignored_invite_gets_no_answer_whatsoever() -> None:
    call = InboundCall()
    assert call.session.ignore(now=call.node.now)
    call.node.drain()
    assert len(call.node.endings) == 1
    assert call.node.clean
    call.node.settle()
    assert call.node.take_sent() == []


def test_hang_up_refuses_a_ringing_call_with_the_given_status_and_reason() -> None:
    call = InboundCall()
    assert call.session.hang_up(status=486, reasons=(Reason("Q.850", 17),), now=call.node.now)
    call.node.drain()
    assert call.node.last_response("486 INVITE").headers.get("Reason") == "Q.850;cause=17"
    assert not call.session.hang_up(now=call.node.now)


# ---- CANCEL -------------------------------------------------------------------------------------


@pytest.mark.requirement("call.cancel", "rfc3326.2")
def test_a_cancelled_call_gets_487_and_is_reported_with_its_reason() -> None:
    call = InboundCall()
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


@pytest.mark.requirement("rfc3261.9")
def test_a_cancel_that_crosses_our_answer_changes_nothing() -> None:
    call = InboundCall().accepted()
    call.node.take_sent()
    call.node.receive(cancel_of(call.invite))
    assert call.node.take_sent() == ["200 CANCEL"]
    assert call.node.endings == []
    call.ack()
    call.hear("BYE")
    assert call.is_over()


def test_a_repeated_cancel_is_answered_by_its_transaction() -> None:
    call = InboundCall()
    call.node.receive(cancel_of(call.invite))
    call.node.receive(cancel_of(call.invite))
    assert call.node.take_sent() == ["200 CANCEL", "487 INVITE", "200 CANCEL"]
    call.node.event(Cancelled)


# ---- BYE ----------------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3261.15", "rfc3326.2")
def test_a_bye_is_answered_and_reported_with_its_reason() -> None:
    call = InboundCall().confirmed()
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
    call = InboundCall().confirmed()
    call.hear("BYE", 2)
    call.hear("BYE", 3)
    assert call.node.take_sent() == ["200 BYE", "481 BYE"]


def test_a_bye_while_ringing_ends_the_invite_too() -> None:
    call = InboundCall()
    call.session.progress(180, now=call.node.now)
    call.node.drain()
    call.node.take_sent()
    call.hear("BYE")
    assert sorted(call.node.take_sent()) == ["200 BYE", "487 INVITE"]
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.REMOTE, EndCause.BYE)
    assert call.is_over()


def test_a_bye_before_the_ack_stops_the_answer() -> None:
    call = InboundCall().accepted()
    call.hear("BYE")
    assert call.node.event(Ended).by is EndedBy.REMOTE
    call.node.take_sent()
    call.node.advance(GIVE_UP)
    assert call.node.take_sent() == []
    assert call.is_over()


@pytest.mark.requirement("rfc3261.15")
def test_our_bye_waits_for_the_ack() -> None:
    call = InboundCall().accepted()
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
    call = InboundCall().accepted()
    call.session.bye(now=call.node.now)
    call.node.advance(GIVE_UP)
    assert call.node.last("BYE")
    assert call.is_over()


def test_a_bye_of_theirs_while_ours_waits_for_the_ack_ends_it_all() -> None:
    call = InboundCall().accepted()
    call.session.bye(now=call.node.now)
    call.node.drain()
    call.hear("BYE")
    call.node.take_sent()
    call.node.settle()
    assert call.node.take_sent() == []
    assert call.is_over()


@pytest.mark.requirement("call.cseq", "rfc3261.12")
def test_a_request_that_is_older_than_the_last_one_is_out_of_order() -> None:
    call = InboundCall().confirmed()
    call.hear("INFO", 9)
    call.hear("INFO", 5)
    call.hear("BYE", 4)
    assert call.node.take_sent() == ["200 INFO", "500 INFO", "500 BYE"]
    assert state(call.session) is SessionState.CONFIRMED


def test_what_the_peer_sends_after_the_answer_shows_that_it_has_it() -> None:
    call = InboundCall().accepted()
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
    call = InboundCall(b"")
    call.session.accept(OFFER, now=call.node.now)
    call.node.drain()
    call.hear("INFO")
    assert not call.node.has_event(Acked)
    call.ack(body=ANSWER)
    assert call.node.event(Acked).sdp == ANSWER
