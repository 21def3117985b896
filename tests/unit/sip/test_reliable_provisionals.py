"""Reliable provisional responses that we send (RFC 3262 sections 3 and 5)."""

from __future__ import annotations

import pytest

from ringback.sip.events import (
    Acked,
    Cancelled,
    EndCause,
    Ended,
    EndedBy,
    OfferAnswered,
    OfferReceived,
)
from ringback.sip.message import Response
from ringback.sip.reliable_provisionals import (
    MAX_WAITING_PROVISIONALS,
    TRANSITIONS,
    ReliableInput,
    ReliableState,
)
from ringback.sip.session_states import SessionState
from unit.sip.call_lab import InboundCall, cancel_of
from unit.sip.sipkit import ANSWER, ANSWER_2, GIVE_UP, OFFER, OFFER_2, PEER_TCP, state

REQUIRED = [("Require", "100rel")]
SUPPORTED = [("Supported", "100rel")]


def early(body: bytes = OFFER, headers: list[tuple[str, str]] = REQUIRED) -> InboundCall:
    return InboundCall(body, headers=headers)


def progress(call: InboundCall, status: int = 183, sdp: bytes | None = ANSWER) -> Response:
    assert call.session.progress(status, sdp=sdp, now=call.node.now)
    call.node.drain()
    return call.node.last_response(f"{status} INVITE")


def prack(call: InboundCall, rack: str, cseq: int = 2, **how: object) -> None:
    headers = [("RAck", rack)] if rack else []
    call.hear("PRACK", cseq, headers=headers, **how)


def prack_of(call: InboundCall, response: Response, cseq: int = 2, **how: object) -> None:
    prack(call, f"{response.rseq} 1 INVITE", cseq, **how)


@pytest.mark.requirement("call.100rel", "rfc3262.3")
@pytest.mark.parametrize("flow", [None, PEER_TCP])
def test_a_reliable_response_is_repeated_at_growing_intervals_until_its_prack(
    flow: object,
) -> None:
    call = InboundCall(headers=REQUIRED, **({} if flow is None else {"flow": flow}))  # type: ignore[arg-type]
    ringing = progress(call, 180, None)
    assert ringing.require == ["100rel"]
    assert ringing.rseq is not None
    assert 1 <= ringing.rseq < 2**31
    assert ringing.contact is not None
    call.node.advance(8.0)
    assert call.node.times("180 INVITE") == [0.0, 0.5, 1.5, 3.5, 7.5]
    prack_of(call, ringing)
    assert call.node.last("200 PRACK")
    call.node.take_sent()
    call.node.advance(20.0)
    assert call.node.take_sent() == []


@pytest.mark.requirement("call.100rel", "rfc3262.3")
def test_the_caller_decides_whether_a_response_is_reliable() -> None:
    for headers, described, reliable in [
        ([], True, False),
        (SUPPORTED, True, True),
        (SUPPORTED, False, False),
        (REQUIRED, False, True),
        (REQUIRED, True, True),
    ]:
        call = early(headers=headers)
        response = progress(call, 183, ANSWER if described else None)
        assert (response.rseq is not None) == reliable
        assert ("100rel" in response.require) == reliable


def test_trying_is_never_reliable() -> None:
    assert progress(early(), 100, None).rseq is None


@pytest.mark.requirement("rfc3262.3")
def test_the_next_reliable_response_waits_for_the_prack_of_the_one_before() -> None:
    call = early()
    first = progress(call, 180, None)
    assert call.session.progress(183, sdp=ANSWER, now=call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["180 INVITE"]
    prack_of(call, first)
    assert call.node.take_sent() == ["183 INVITE", "200 PRACK"]
    second = call.node.last_response("183 INVITE")
    assert first.rseq is not None
    assert second.rseq == first.rseq + 1


def test_responses_that_wait_for_a_prack_are_bounded() -> None:
    call = early()
    progress(call, 180, None)
    sent = [call.session.progress(183, now=call.node.now) for _ in range(12)]
    assert sent.count(True) == MAX_WAITING_PROVISIONALS


@pytest.mark.requirement("rfc3262.3")
@pytest.mark.parametrize("wrong", ["{other} 1 INVITE", "{rseq} 2 INVITE", "{rseq} 1 OPTIONS", ""])
def test_a_prack_that_matches_nothing_is_481_and_acknowledges_nothing(wrong: str) -> None:
    call = early()
    ringing = progress(call, 180, None)
    assert ringing.rseq is not None
    prack(call, wrong.format(rseq=ringing.rseq, other=ringing.rseq + 1))
    assert call.node.last("481 PRACK")
    call.node.take_sent()
    call.node.advance(0.5)
    assert call.node.take_sent() == ["180 INVITE"]


def test_a_prack_that_comes_twice_is_481_the_second_time() -> None:
    call = early()
    ringing = progress(call, 180, None)
    prack_of(call, ringing)
    prack_of(call, ringing, cseq=3)
    assert call.node.take_sent() == ["180 INVITE", "200 PRACK", "481 PRACK"]


def test_a_prack_that_cannot_be_read_is_400() -> None:
    call = early()
    progress(call, 180, None)
    prack(call, "one two INVITE")
    assert call.node.last("400 PRACK")


@pytest.mark.requirement("call.100rel", "rfc3262.5")
def test_an_answer_waits_until_the_description_before_it_is_acknowledged() -> None:
    call = early()
    described = progress(call)
    assert call.session.accept(ANSWER, now=call.node.now)
    assert not call.session.accept(ANSWER, now=call.node.now)
    assert not call.session.progress(180, now=call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["183 INVITE"]
    assert state(call.session) is SessionState.INCOMING
    prack_of(call, described)
    assert call.node.take_sent() == ["200 PRACK", "200 INVITE"]
    assert call.node.last_response("200 INVITE").body == b""
    call.ack()
    assert call.node.event(Acked).sdp is None
    assert state(call.session) is SessionState.CONFIRMED
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_an_answer_does_not_wait_for_a_response_without_description() -> None:
    call = early()
    ringing = progress(call, 180, None)
    call.accepted()
    assert call.node.take_sent() == ["180 INVITE", "200 INVITE"]
    assert call.node.last_response("200 INVITE").body == ANSWER
    prack_of(call, ringing)
    assert call.node.take_sent() == ["200 PRACK"]
    call.node.advance(0.4)
    assert call.node.take_sent() == []  # the 180 is not repeated any more
    call.ack()
    call.session.bye(now=call.node.now)
    assert call.is_over()


@pytest.mark.requirement("rfc3262.5")
def test_our_offer_in_a_reliable_response_is_answered_in_its_prack() -> None:
    call = early(b"")
    described = progress(call, sdp=OFFER)
    prack_of(call, described, body=ANSWER)
    assert call.node.event(OfferAnswered).sdp == ANSWER
    call.accepted()
    assert call.node.last_response("200 INVITE").body == b""
    call.ack()
    assert call.node.event(Acked).sdp is None


@pytest.mark.requirement("rfc3262.5", "rfc3311.5")
def test_an_offer_in_a_prack_is_answered_in_its_200_and_the_call_answered_after_it() -> None:
    call = early()
    described = progress(call)
    call.session.accept(ANSWER, now=call.node.now)
    prack_of(call, described, body=OFFER_2)
    assert call.node.take_sent() == ["183 INVITE"]
    offered = call.node.event(OfferReceived)
    assert (offered.method, offered.sdp) == ("PRACK", OFFER_2)
    assert call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["200 PRACK", "200 INVITE"]
    assert call.node.last_response("200 PRACK").body == ANSWER_2


@pytest.mark.requirement("rfc3311.5", "call.update")
def test_an_update_before_the_answer_needs_offer_and_answer_to_be_exchanged() -> None:
    call = early(headers=[*REQUIRED, ("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE")])
    described = progress(call)
    call.hear("UPDATE", 2, body=OFFER_2)
    assert call.node.last("500 UPDATE")
    assert not call.session.update(OFFER_2, now=call.node.now)
    prack_of(call, described, cseq=3)
    call.hear("UPDATE", 4, body=OFFER_2, branch="z9hG4bKsecond")
    assert call.node.event(OfferReceived).sdp == OFFER_2
    assert call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.drain()
    assert call.node.last_response("200 UPDATE").body == ANSWER_2
    call.accepted()
    assert call.node.last("200 INVITE")


@pytest.mark.requirement("rfc3262.3")
def test_a_caller_who_never_acknowledges_is_refused() -> None:
    call = early()
    progress(call)
    call.session.accept(ANSWER, now=call.node.now)
    call.node.advance(GIVE_UP)
    assert call.node.last("504 INVITE")
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.NEITHER, EndCause.PRACK_TIMEOUT)
    assert call.is_over()


def test_a_cancel_ends_it_all_and_its_late_prack_is_481() -> None:
    call = early()
    described = progress(call)
    call.session.accept(ANSWER, now=call.node.now)
    call.node.receive(cancel_of(call.invite))
    assert call.node.has_event(Cancelled)
    prack_of(call, described)
    assert call.node.take_sent() == ["183 INVITE", "200 CANCEL", "487 INVITE", "481 PRACK"]
    call.node.advance(GIVE_UP)
    assert "183 INVITE" not in call.node.take_sent()
    assert call.is_over()


def test_a_bye_before_the_answer_ends_it_all() -> None:
    call = early()
    progress(call)
    call.session.accept(ANSWER, now=call.node.now)
    call.hear("BYE", 2)
    assert call.node.take_sent() == ["183 INVITE", "487 INVITE", "200 BYE"]
    assert call.is_over()


def test_an_answer_that_waits_may_be_taken_back() -> None:
    call = early()
    described = progress(call)
    call.session.accept(ANSWER, now=call.node.now)
    assert call.session.reject(486, now=call.node.now)
    prack_of(call, described)
    call.node.take_sent()
    assert not any(sent.what == "200 INVITE" for sent in call.node.log)
    assert call.is_over()


def test_a_long_ringing_is_told_anew_with_a_new_number() -> None:
    call = early()
    first = progress(call, 180, None)
    prack_of(call, first)
    call.node.advance(60.0)
    second = call.node.last_response("180 INVITE")
    assert first.rseq is not None
    assert second.rseq == first.rseq + 1


def test_a_closed_invite_takes_no_further_step_but_a_prack() -> None:
    after = {what for (state, what) in TRANSITIONS if state is ReliableState.CLOSED}
    assert after == {ReliableInput.PRACK}
    reached = {ReliableState.QUIET, *TRANSITIONS.values()}
    assert reached == set(ReliableState)
