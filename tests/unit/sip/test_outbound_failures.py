"""Calls that we place and that fail: refusals, failover, redirects (RFC 3261 8.1.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.events import (
    Failure,
    InviteFailed,
    ProvisionalReceived,
    Redirected,
)
from ringback.sip.headers import Reason
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.uri import Uri
from unit.sip.call_lab import OutboundCall
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OTHER,
    PEER,
    THIRD,
    answer_to,
    state,
)

# ---- failures -----------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3326.2")
@pytest.mark.parametrize("status", [400, 404, 480, 486, 488, 500, 503, 600, 603])
def test_a_refusal_is_acknowledged_and_reported_with_its_reason(status: int) -> None:
    call = OutboundCall()
    call.hear(180)
    call.hear(status, headers=[("Reason", 'Q.850;cause=17;text="User busy"')])
    assert call.node.take_sent() == ["INVITE", "ACK"]
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status) == (Failure.REJECTED, status)
    assert failed.reasons == (Reason("Q.850", 17, "User busy"),)
    assert failed.response is not None
    assert call.is_over()


def test_an_unreadable_reason_header_is_no_reason() -> None:
    call = OutboundCall()
    call.hear(486, headers=[("Reason", ";;;")])
    assert call.node.event(InviteFailed).reasons == ()


@pytest.mark.requirement("rfc3261.8.1.3")
def test_no_response_at_all_is_a_timeout() -> None:
    call = OutboundCall()
    call.node.advance(GIVE_UP)
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status, failed.response) == (Failure.TIMEOUT, 408, None)
    assert call.is_over()


@pytest.mark.requirement("rfc3261.8.1.3")
def test_a_transport_error_is_unreachable() -> None:
    call = OutboundCall()
    unsent = replace(call.node.last("INVITE").transmission, failure="connection refused")
    call.node.endpoint.transport_failed(unsent, call.node.now)
    call.node.drain()
    failed = call.node.event(InviteFailed)
    assert (failed.failure, failed.status) == (Failure.UNREACHABLE, 503)
    assert failed.detail == "connection refused"
    assert call.is_over()


# ---- failover -----------------------------------------------------------------------------------


@pytest.mark.requirement("trunk.dns-failover", "rfc3263.4.3")
def test_a_timeout_tries_the_next_hop_with_a_new_branch_and_the_same_call_id() -> None:
    call = OutboundCall(PEER, OTHER)
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


@pytest.mark.requirement("trunk.dns-failover", "rfc3263.4.3")
def test_a_transport_error_tries_the_next_hop_at_once() -> None:
    call = OutboundCall(PEER, OTHER)
    call.node.endpoint.transport_failed(call.node.last("INVITE").transmission, call.node.now)
    call.node.drain()
    assert call.node.last("INVITE").destination.hop == OTHER


@pytest.mark.requirement("rfc3263.4.3")
def test_a_503_tries_the_next_hop() -> None:
    call = OutboundCall(PEER, OTHER)
    call.hear(100, tag=None)
    call.hear(503)
    assert call.node.last("INVITE").destination.hop == OTHER
    assert call.node.endings == []


def test_a_503_after_ringing_is_final() -> None:
    call = OutboundCall(PEER, OTHER)
    call.hear(180)
    call.hear(503)
    assert call.node.event(InviteFailed).status == 503


def test_a_refusal_other_than_503_is_final() -> None:
    call = OutboundCall(PEER, OTHER)
    call.hear(404)
    assert call.node.event(InviteFailed).status == 404


def test_when_the_last_hop_fails_the_call_does() -> None:
    call = OutboundCall(PEER, OTHER)
    call.hear(503)
    call.hear(503)
    assert call.node.event(InviteFailed).status == 503
    assert call.is_over()


@pytest.mark.requirement("trunk.dns-failover", "rfc3263.4.3")
def test_a_silent_hop_is_left_after_the_hop_timeout() -> None:
    call = OutboundCall(PEER, OTHER, hop_timeout=4.0)
    call.node.advance(3.9)
    assert call.node.last("INVITE").destination.hop == PEER
    call.node.advance(0.1)
    assert call.node.last("INVITE").destination.hop == OTHER


def test_the_hop_timeout_does_not_apply_to_the_last_hop_nor_to_one_that_answered() -> None:
    call = OutboundCall(PEER, hop_timeout=4.0)
    call.node.advance(10.0)
    assert call.node.endings == []
    call = OutboundCall(PEER, OTHER, hop_timeout=4.0)
    call.hear(100, tag=None)
    call.node.advance(60.0)
    assert {sent.destination.hop for sent in call.node.sent} == {PEER}


def test_a_hop_that_wakes_up_after_we_left_it_is_cancelled() -> None:
    call = OutboundCall(PEER, OTHER, hop_timeout=4.0)
    first = call.invite
    call.node.advance(4.0)
    call.node.take_sent()
    call.node.receive(answer_to(first, 180, tag="late"))
    assert [sent.what for sent in call.node.sent] == ["CANCEL"]
    assert call.node.last("CANCEL").destination.hop == PEER
    assert not call.node.has_event(ProvisionalReceived)


def test_a_hop_that_answers_after_we_left_it_is_hung_up() -> None:
    call = OutboundCall(PEER, OTHER, hop_timeout=4.0)
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


# ---- redirects ----------------------------------------------------------------------------------


@pytest.mark.requirement("call.redirect")
def test_a_redirect_is_offered_in_order_of_preference_and_followed_on_demand() -> None:
    call = OutboundCall()
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
    call = OutboundCall()
    call.hear(
        302,
        headers=[("Contact", "<sip:a@x.example>;q=0.9, <sip:b@x.example>;q=7")],
    )
    targets = call.node.event(Redirected).targets
    assert [target.user for target in targets] == ["b", "a"]


def test_headers_and_method_of_a_redirect_contact_do_not_get_into_the_request_uri() -> None:
    call = OutboundCall()
    call.hear(302, headers=[("Contact", "<sip:a@x.example?Replaces=1>")])
    (target,) = call.node.event(Redirected).targets
    assert str(target) == "sip:a@x.example"


def test_a_redirect_that_the_owner_refuses_fails_with_its_status() -> None:
    call = OutboundCall()
    call.hear(302, headers=[("Contact", "<sip:c@192.0.2.7>")])
    assert call.session.refuse_redirect(now=call.node.now)
    call.node.drain()
    assert call.node.event(InviteFailed).status == 302
    assert not call.session.refuse_redirect(now=call.node.now)
    assert call.is_over()


@pytest.mark.requirement("call.redirect")
def test_redirects_are_followed_up_to_the_limit() -> None:
    call = OutboundCall(max_redirects=2)
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
    call = OutboundCall()
    call.hear(302, headers=[("Contact", contact)])
    assert call.node.event(InviteFailed).status == 302


def test_with_no_redirects_allowed_a_302_fails() -> None:
    call = OutboundCall(max_redirects=0)
    call.hear(302, headers=[("Contact", "<sip:c@192.0.2.7>")])
    assert call.node.event(InviteFailed).status == 302


def test_a_call_can_be_cancelled_while_a_redirect_is_considered() -> None:
    call = OutboundCall()
    call.hear(302, headers=[("Contact", "<sip:c@192.0.2.7>")])
    assert call.session.cancel(now=call.node.now)
    assert not call.session.follow_redirect(Uri.parse("sip:c@x"), (PEER,), now=call.node.now)
    assert call.is_over()


def test_an_answer_that_cannot_be_used_leaves_no_early_dialog_behind() -> None:
    call = OutboundCall()
    call.hear(180)
    call.hear(183, tag="other")
    call.hear(200, sdp=ANSWER, headers=[("Record-Route", "<<<")])
    assert call.session.state is SessionState.PROCEEDING
    assert call.is_over()
