"""Giving up a call that we place (RFC 3261 section 9.1)."""

from __future__ import annotations

import pytest

from ringback.sip.events import (
    Answered,
    EndCause,
    Ended,
    EndedBy,
)
from ringback.sip.headers import Reason
from unit.sip.call_lab import OutboundCall
from unit.sip.sipkit import (
    ANSWER,
    OFFER,
    OTHER,
    answer_to,
    nameaddr,
)

# ---- CANCEL -------------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3261.9")
def test_cancel_waits_for_a_provisional_response() -> None:
    call = OutboundCall()
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


@pytest.mark.requirement("rfc3261.9")
def test_cancel_repeats_what_identifies_the_invite() -> None:
    call = OutboundCall(OTHER, routes=(nameaddr("<sip:192.0.2.3;lr>"),))
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


@pytest.mark.requirement("call.cancel-crossing")
def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_hung_up() -> None:
    call = OutboundCall()
    call.hear(180)
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.hear(200, sdp=ANSWER)
    assert call.node.take_sent() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert not call.node.has_event(Answered)
    assert call.is_over()


def test_an_answer_after_a_cancel_that_could_not_be_sent_is_hung_up_too() -> None:
    call = OutboundCall()
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.hear(200, sdp=ANSWER)
    assert call.node.take_sent() == ["INVITE", "ACK", "BYE"]
    assert call.is_over()


def test_a_cancelled_invite_that_gets_no_final_response_is_given_up() -> None:
    call = OutboundCall()
    call.hear(180)
    call.session.cancel(now=call.node.now)
    call.node.drain()
    call.node.receive(answer_to(call.node.last_request("CANCEL"), 200))
    assert call.is_over()


def test_a_cancelled_invite_that_gets_no_response_at_all_is_given_up() -> None:
    call = OutboundCall()
    call.session.cancel(now=call.node.now)
    assert call.is_over()


def test_cancel_after_the_answer_does_nothing_and_hang_up_says_bye() -> None:
    call = OutboundCall().answered()
    assert not call.session.cancel(now=call.node.now)
    assert call.session.hang_up(now=call.node.now)
    call.node.drain()
    assert call.node.sent[-1].what == "BYE"
    assert not call.session.hang_up(now=call.node.now)


def test_hang_up_before_the_answer_cancels() -> None:
    call = OutboundCall()
    call.hear(180)
    assert call.session.hang_up(now=call.node.now)
    call.node.drain()
    assert call.node.sent[-1].what == "CANCEL"


def test_a_refusal_that_crosses_our_cancel_is_not_reported() -> None:
    call = OutboundCall()
    call.hear(180)
    call.session.cancel(now=call.node.now)
    call.hear(486)
    assert isinstance(call.ending, Ended)
    assert call.is_over()


# ---- commands in the wrong state ----------------------------------------------------------------


def test_commands_of_the_other_role_have_no_effect() -> None:
    call = OutboundCall()
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
