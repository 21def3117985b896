"""Reliable provisional responses that we receive (RFC 3262 sections 4 and 5)."""

from __future__ import annotations

import pytest

from ringback.sip.events import Answered, OfferAnswered, OfferReceived, ProvisionalReceived
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from unit.sip.call_lab import OutboundCall, peer_says
from unit.sip.sipkit import ANSWER, ANSWER_2, OFFER, OFFER_2, answer_to, state

ALLOW = ("Allow", "INVITE, ACK, BYE, PRACK, UPDATE")


def reliable(call: OutboundCall, rseq: int, status: int = 183, **how: object) -> None:
    headers = [("Require", "100rel"), ("RSeq", str(rseq)), ALLOW]
    call.hear(status, headers=headers, **how)


def pracks(call: OutboundCall) -> list[Request]:
    return [
        sent.message
        for sent in call.node.log
        if isinstance(sent.message, Request) and sent.message.method == "PRACK"
    ]


@pytest.mark.requirement("call.100rel", "rfc3262.4")
def test_a_reliable_response_is_acknowledged_in_its_early_dialog() -> None:
    call = OutboundCall()
    assert "100rel" in call.invite.supported
    reliable(
        call, 17, sdp=ANSWER, contact="<sip:gw@192.0.2.2>",
        )  # fmt: skip
    (prack,) = pracks(call)
    assert str(prack.rack) == f"17 {call.invite.cseq.number} INVITE"
    assert prack.cseq.number == call.invite.cseq.number + 1
    assert str(prack.uri) == "sip:gw@192.0.2.2"
    assert prack.to.tag == "peer"
    assert prack.body == b""
    assert call.node.event(ProvisionalReceived).sdp == ANSWER


@pytest.mark.requirement("rfc3262.4")
def test_a_prack_follows_the_route_of_the_response() -> None:
    call = OutboundCall()
    route = ("Record-Route", "<sip:192.0.2.9;lr>")
    call.hear(180, headers=[("Require", "100rel"), ("RSeq", "1"), route])
    sent = call.node.last("PRACK")
    assert sent.destination.hop.host == "192.0.2.9"
    assert [str(r.uri) for r in pracks(call)[0].routes] == ["sip:192.0.2.9;lr"]


@pytest.mark.requirement("rfc3262.4", "call.100rel")
def test_a_repeated_response_and_one_before_its_turn_are_ignored() -> None:
    call = OutboundCall()
    reliable(call, 5, 180)
    reliable(call, 5, 180)
    reliable(call, 7, 183, sdp=ANSWER)
    assert len(pracks(call)) == 1
    assert call.node.event(ProvisionalReceived).response.status == 180
    reliable(call, 6, 183, sdp=ANSWER_2)
    assert [str(p.rack) for p in pracks(call)] == ["5 1 INVITE", "6 1 INVITE"]


@pytest.mark.requirement("rfc3262.4", "call.provisional-forks")
def test_each_fork_counts_by_itself() -> None:
    call = OutboundCall()
    reliable(call, 5, tag="one")
    reliable(call, 90, tag="two")
    reliable(call, 6, tag="one")
    assert [(p.to.tag, str(p.rack)) for p in pracks(call)] == [
        ("one", "5 1 INVITE"),
        ("two", "90 1 INVITE"),
        ("one", "6 1 INVITE"),
    ]


def test_a_prack_is_retransmitted_until_it_is_answered() -> None:
    call = OutboundCall()
    reliable(call, 5)
    call.node.advance(2.0)
    assert call.node.times("PRACK") == [0.0, 0.5, 1.5]
    call.node.receive(answer_to(pracks(call)[0], 200))
    call.node.take_sent()
    call.node.advance(10.0)
    assert "PRACK" not in call.node.take_sent()


def test_a_response_with_a_number_that_does_not_require_reliability_is_a_plain_one() -> None:
    call = OutboundCall()
    call.hear(180, headers=[("RSeq", "1")])
    call.hear(180, headers=[("Require", "100rel")])
    assert pracks(call) == []
    assert call.session.state is SessionState.PROCEEDING


@pytest.mark.requirement("call.100rel", "call.early-media", "rfc3262.5")
def test_the_answer_of_a_reliable_response_is_the_answer_of_the_call() -> None:
    call = OutboundCall()
    reliable(call, 1, sdp=ANSWER)
    assert state(call.session) is SessionState.PROCEEDING
    call.hear(183, sdp=ANSWER_2)
    call.hear(200, sdp=ANSWER_2)
    assert call.node.event(Answered).sdp == ANSWER


@pytest.mark.requirement("rfc3262.5", "call.provisional-forks")
def test_the_fork_that_answers_brings_its_own_description() -> None:
    call = OutboundCall()
    reliable(call, 1, tag="one", sdp=ANSWER)
    reliable(call, 1, tag="two", sdp=ANSWER_2)
    call.hear(200, tag="one")
    assert call.node.event(Answered).sdp == ANSWER


@pytest.mark.requirement("rfc3262.5")
def test_an_offer_in_a_reliable_response_is_answered_in_the_prack() -> None:
    asked: list[tuple[str | None, bytes]] = []

    def answer(fork: str | None, offer: bytes) -> bytes:
        asked.append((fork, offer))
        return ANSWER

    call = OutboundCall(sdp=b"", answer=answer)
    assert call.invite.content_type is None
    reliable(call, 3, sdp=OFFER)
    (prack,) = pracks(call)
    assert (prack.body, str(prack.content_type)) == (ANSWER, "application/sdp")
    call.hear(200)
    assert asked == [("peer", OFFER)]
    assert call.node.last_request("ACK").body == b""
    assert call.node.event(Answered).sdp is None


@pytest.mark.requirement("rfc3261.13")
def test_an_offer_in_the_200_is_answered_in_its_ack() -> None:
    call = OutboundCall(sdp=b"", answer=lambda fork, offer: ANSWER)
    call.hear(200, sdp=OFFER)
    ack = call.node.last_request("ACK")
    assert (ack.body, str(ack.content_type)) == (ANSWER, "application/sdp")
    call.hear(200, sdp=OFFER)
    assert call.node.last_request("ACK").body == ANSWER


# ---- UPDATE before the answer -------------------------------------------------------------------


@pytest.mark.requirement("call.update", "rfc3311.5")
def test_the_peer_may_update_the_session_before_it_answers() -> None:
    call = OutboundCall()
    call.hear(180)
    peer_says(call, "UPDATE", 1, body=OFFER_2)
    assert call.node.last("491 UPDATE")  # our offer has no answer yet
    reliable(call, 1, sdp=ANSWER)
    peer_says(call, "UPDATE", 2, body=OFFER_2)
    assert call.node.event(OfferReceived).sdp == OFFER_2
    call.session.respond_offer(ANSWER_2, now=call.node.now)
    call.node.drain()
    assert call.node.last_response("200 UPDATE").body == ANSWER_2
    call.hear(200)
    assert state(call.session) is SessionState.CONFIRMED


@pytest.mark.requirement("call.update", "rfc3311.5")
def test_we_may_update_the_session_before_the_answer() -> None:
    call = OutboundCall()
    assert not call.session.update(OFFER_2, fork="peer", now=call.node.now)
    reliable(call, 1, sdp=ANSWER)
    assert call.session.update(OFFER_2, fork="peer", now=call.node.now)
    call.node.drain()
    update = call.node.last_request("UPDATE")
    assert (update.body, update.to.tag) == (OFFER_2, "peer")
    assert update.contact is not None
    call.node.receive(answer_to(update, 200, sdp=ANSWER_2))
    assert call.node.event(OfferAnswered).sdp == ANSWER_2
    call.hear(200)
    assert state(call.session) is SessionState.CONFIRMED


@pytest.mark.requirement("call.cancel-crossing", "call.no-ghosts")
def test_an_answer_that_crosses_our_cancel_is_hung_up_with_the_next_number_of_its_dialog() -> None:
    call = OutboundCall()
    reliable(call, 1)
    reliable(call, 2)
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.hear(200, sdp=ANSWER)
    assert call.node.last_request("BYE").cseq.number > pracks(call)[-1].cseq.number


@pytest.mark.requirement("call.forked-answers", "call.no-ghosts")
def test_a_second_fork_that_answers_is_hung_up_with_the_next_number_of_its_dialog() -> None:
    call = OutboundCall()
    reliable(call, 1, tag="one")
    reliable(call, 1, tag="two")
    call.hear(200, tag="one", sdp=ANSWER)
    call.hear(200, tag="two", sdp=ANSWER)
    bye = call.node.last_request("BYE")
    assert (bye.to.tag, bye.cseq.number) == ("two", pracks(call)[-1].cseq.number + 1)
