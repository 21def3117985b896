"""Session timers (RFC 4028) in both roles and both directions."""

from __future__ import annotations

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import (
    EndCause,
    Ended,
    EndedBy,
    InviteFailed,
    OfferAnswered,
    RefreshDue,
)
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.session_timer import LONGEST, TRANSITIONS, TimerState
from unit.sip.call_lab import Call, InboundCall, OutboundCall, peer_says, reinvited
from unit.sip.sipkit import ANSWER, ANSWER_2, GIVE_UP, OFFER_2, Node, answer_to, request_from, state
from unit.sip.virtual_network import Network, Weather

ALLOW = ("Allow", "INVITE, ACK, BYE, UPDATE")
TIMER = ("Supported", "timer")


def outbound(*headers: tuple[str, str]) -> OutboundCall:
    call = OutboundCall().answered(headers=headers)
    call.node.take_sent()
    return call


def inbound(*headers: tuple[str, str], config: EndpointConfig | None = None) -> InboundCall:
    return InboundCall(headers=headers, config=config).confirmed()


def updates(node: Node) -> list[Request]:
    return [
        sent.message
        for sent in node.log
        if isinstance(sent.message, Request) and sent.message.method == "UPDATE"
    ]


def answer_updates(call: Call, seconds: float, *headers: tuple[str, str]) -> None:
    """Let time pass with a peer that answers each UPDATE."""
    answered = len(updates(call.node))
    for _ in range(round(seconds)):
        call.node.advance(1.0)
        for update in updates(call.node)[answered:]:
            call.node.receive(answer_to(update, 200, headers=headers))
            answered += 1


# ---- we call ------------------------------------------------------------------------------------


@pytest.mark.requirement("call.session-timer", "rfc4028.7")
def test_our_invite_asks_for_a_session_timer() -> None:
    invite = OutboundCall().invite
    assert invite.headers.get("Session-Expires") == "1800"
    assert "Min-SE" not in invite.headers
    assert "timer" in invite.supported


@pytest.mark.requirement("call.session-timer", "rfc4028.9")
def test_as_the_refresher_we_refresh_at_half_of_the_time_without_an_offer() -> None:
    call = outbound(ALLOW, ("Require", "timer"), ("Session-Expires", "600;refresher=uac"))
    call.node.advance(299.0)
    assert call.node.take_sent() == []
    call.node.advance(1.0)
    assert call.node.take_sent() == ["UPDATE"]
    update = call.node.last_request("UPDATE")
    assert update.body == b""
    assert update.headers.get("Session-Expires") == "600;refresher=uac"
    assert "timer" in update.supported
    again = ("Session-Expires", "500;refresher=uac")
    call.node.receive(answer_to(update, 200, headers=[again]))
    call.node.take_sent()
    call.node.advance(249.0)
    assert call.node.take_sent() == []
    call.node.advance(1.0)
    assert call.node.take_sent() == ["UPDATE"]


@pytest.mark.requirement("call.session-timer")
def test_a_peer_without_update_is_refreshed_by_a_reinvite_of_its_owners() -> None:
    call = outbound(("Session-Expires", "600;refresher=uac"))
    call.node.advance(300.0)
    assert call.node.take_sent() == []
    assert call.node.event(RefreshDue).session is call.session
    assert call.session.reinvite(OFFER_2, now=call.node.now)
    call.node.drain()
    invite = call.node.last_request("INVITE")
    assert invite.headers.get("Session-Expires") == "600;refresher=uac"
    refreshed = ("Session-Expires", "600;refresher=uac")
    call.node.receive(answer_to(invite, 200, sdp=ANSWER_2, headers=[refreshed]))
    assert call.node.has_event(OfferAnswered)
    call.node.events.clear()
    call.node.advance(299.0)
    assert not call.node.has_event(RefreshDue)
    call.node.advance(1.0)
    assert call.node.has_event(RefreshDue)


def test_a_peer_that_says_it_takes_update_and_does_not_is_refreshed_by_reinvite() -> None:
    call = outbound(ALLOW, ("Session-Expires", "600;refresher=uac"))
    call.node.advance(300.0)
    call.node.receive(answer_to(call.node.last_request("UPDATE"), 405))
    call.node.advance(5.0)
    assert call.node.has_event(RefreshDue)


@pytest.mark.requirement("call.session-timer-long", "rfc4028.10")
def test_a_peer_that_does_not_refresh_is_hung_up_before_the_session_expires() -> None:
    call = outbound(ALLOW, ("Require", "timer"), ("Session-Expires", "600;refresher=uas"))
    call.node.advance(567.0)
    assert state(call.session) is SessionState.CONFIRMED
    call.node.advance(1.0)
    ended = call.node.event(Ended)
    assert (ended.by, ended.cause) == (EndedBy.NEITHER, EndCause.SESSION_EXPIRED)
    assert call.node.last("BYE")
    assert call.is_over()


@pytest.mark.requirement("rfc4028.10")
def test_of_a_short_session_a_third_is_left_when_it_is_hung_up() -> None:
    call = outbound(("Session-Expires", "60;refresher=uas"))
    call.node.advance(39.0)
    assert not call.node.has_event(Ended)
    call.node.advance(1.0)
    assert call.node.has_event(Ended)


@pytest.mark.requirement("call.session-timer-long", "rfc4028.9", "call.session-timer")
def test_a_peer_that_refreshes_keeps_the_call() -> None:
    call = outbound(ALLOW, ("Require", "timer"), ("Session-Expires", "90;refresher=uas"))
    refresh = ("Session-Expires", "90;refresher=uac")
    for n in range(30):  # half of an hour and more
        call.node.advance(45.0)
        peer_says(call, "UPDATE", n + 1, headers=[TIMER, refresh], branch=f"z9hG4bKr{n}")
        response = call.node.last_response("200 UPDATE")
        assert response.headers.get("Session-Expires") == "90;refresher=uac"
        assert "timer" in response.require
    assert state(call.session) is SessionState.CONFIRMED
    call.node.advance(60.0)
    assert call.node.has_event(Ended)


@pytest.mark.requirement("rfc4028.9")
def test_a_reinvite_is_a_refresh_too() -> None:
    call = outbound(("Session-Expires", "90;refresher=uas"))
    call.node.advance(45.0)
    reinvited(call, cseq=1, headers=[TIMER, ("Session-Expires", "90;refresher=uac")])
    assert call.session.respond_offer(ANSWER, now=call.node.now)
    call.node.drain()
    response = call.node.last_response("200 INVITE")
    assert response.headers.get("Session-Expires") == "90;refresher=uac"
    peer_says(call, "ACK", 1)
    call.node.advance(59.0)
    assert state(call.session) is SessionState.CONFIRMED


@pytest.mark.requirement("call.session-timer-long")
@pytest.mark.parametrize("headers", [(), (("Session-Expires", "600;refresher=uac"),)])
def test_a_peer_that_is_gone_is_found_by_our_refresh(headers: tuple[tuple[str, str], ...]) -> None:
    """The peer need not support session timers for that."""
    call = outbound(ALLOW, *headers)
    call.node.advance(900.0 + GIVE_UP)
    assert call.node.event(Ended).cause is EndCause.SESSION_EXPIRED
    assert call.node.last("BYE")
    assert call.is_over()


def test_a_peer_that_forgot_the_call_ends_it_at_our_refresh() -> None:
    call = outbound(ALLOW)
    call.node.advance(900.0)
    call.node.receive(answer_to(call.node.last_request("UPDATE"), 481))
    assert call.node.event(Ended).cause is EndCause.SESSION_EXPIRED


def test_a_peer_without_timers_is_never_cut_off_as_long_as_it_answers() -> None:
    call = outbound(ALLOW)
    answer_updates(call, 4000)
    assert len(updates(call.node)) == 4
    assert state(call.session) is SessionState.CONFIRMED


def test_a_refresh_that_is_refused_for_now_is_made_again() -> None:
    call = outbound(ALLOW, ("Session-Expires", "600;refresher=uac"))
    call.node.advance(300.0)
    call.node.receive(answer_to(updates(call.node)[0], 491))
    call.node.advance(4.0)
    assert len(updates(call.node)) == 2
    assert state(call.session) is SessionState.CONFIRMED


def test_a_refresh_that_is_refused_again_and_again_ends_with_the_session() -> None:
    call = outbound(ALLOW, ("Session-Expires", "600;refresher=uac"))
    answered = 0
    while not call.node.has_event(Ended):
        call.node.advance(1.0)
        for update in updates(call.node)[answered:]:
            call.node.receive(answer_to(update, 500))
            answered += 1
    assert call.node.now - 1000.0 == pytest.approx(600.0, abs=1.0)
    assert 3 <= answered <= 10


@pytest.mark.requirement("call.session-timer", "rfc4028.7")
def test_422_makes_our_next_invite_longer() -> None:
    call = OutboundCall()
    first = call.invite
    call.hear(422, headers=[("Min-SE", "3600")])
    again = call.invite
    assert again.cseq.number == first.cseq.number + 1
    assert again.call_id == first.call_id
    assert again.from_ == first.from_
    assert again.headers.get("Session-Expires") == "3600"
    assert again.headers.get("Min-SE") == "3600"
    call.hear(200, sdp=ANSWER)
    assert state(call.session) is SessionState.CONFIRMED


@pytest.mark.parametrize("min_se", [None, "90", "soon", str(LONGEST + 1)])
def test_a_422_that_gives_no_way_out_is_a_failure(min_se: str | None) -> None:
    call = OutboundCall()
    call.hear(422, headers=[("Min-SE", min_se)] if min_se else [])
    assert call.node.event(InviteFailed).status == 422
    assert call.is_over()


def test_422_is_not_followed_for_ever() -> None:
    call = OutboundCall()
    for n in range(10):
        if call.node.has_event(InviteFailed):
            break
        call.hear(422, headers=[("Min-SE", str(2000 + n))])
    assert call.node.event(InviteFailed).status == 422


def test_422_to_a_refresh_makes_the_next_one_longer() -> None:
    call = outbound(ALLOW, ("Session-Expires", "600;refresher=uac"))
    call.node.advance(300.0)
    call.node.receive(answer_to(updates(call.node)[0], 422, headers=[("Min-SE", "7200")]))
    call.node.advance(5.0)
    assert updates(call.node)[1].headers.get("Session-Expires") == "7200;refresher=uac"


def test_422_to_a_reinvite_makes_the_next_one_longer() -> None:
    call = outbound()
    call.session.reinvite(OFFER_2, now=call.node.now)
    call.node.drain()
    call.node.receive(
        answer_to(call.node.last_request("INVITE"), 422, headers=[("Min-SE", "7200")])
    )
    call.node.advance(0.1)
    again = call.node.last_request("INVITE")
    assert again.body == OFFER_2
    assert (again.headers.get("Session-Expires") or "").startswith("7200")


# ---- we are called ------------------------------------------------------------------------------


@pytest.mark.requirement("call.session-timer", "rfc4028.9")
@pytest.mark.parametrize(
    ("asked", "granted", "required"),
    [
        ([TIMER, ("Session-Expires", "600;refresher=uac")], "600;refresher=uac", True),
        ([TIMER, ("Session-Expires", "600;refresher=uas")], "600;refresher=uas", True),
        ([TIMER, ("Session-Expires", "600")], "600;refresher=uas", True),
        ([TIMER, ("Session-Expires", "7200")], "1800;refresher=uas", True),
        ([TIMER, ("Session-Expires", "7200"), ("Min-SE", "3600")], "3600;refresher=uas", True),
        ([TIMER], "1800;refresher=uas", True),
        ([("Session-Expires", "600")], "600;refresher=uas", False),
        ([("Session-Expires", "60")], "60;refresher=uas", False),
        ([("k", "timer"), ("x", "600")], "600;refresher=uas", True),
        ([], None, False),
        ([TIMER, ("Session-Expires", "soon")], "1800;refresher=uas", True),
    ],
)
def test_the_answer_says_who_refreshes_and_how_often(
    asked: list[tuple[str, str]], granted: str | None, required: bool
) -> None:
    call = InboundCall(headers=asked).accepted()
    response = call.node.last_response("200 INVITE")
    assert response.headers.get("Session-Expires") == granted
    assert ("timer" in response.require) == required


@pytest.mark.requirement("call.session-timer", "rfc4028.9", "rfc4028.7")
def test_too_short_a_session_is_refused_with_the_shortest_that_is_not() -> None:
    peer = Node()
    peer.receive(request_from("INVITE", headers=[TIMER, ("Session-Expires", "60")]))
    response = peer.last_response("422 INVITE")
    assert response.headers.get("Min-SE") == "90"
    assert peer.events == []


def test_too_short_a_refresh_is_refused_and_the_call_goes_on() -> None:
    call = inbound(TIMER, ("Session-Expires", "600;refresher=uac"))
    peer_says(call, "UPDATE", headers=[TIMER, ("Session-Expires", "10")])
    assert call.node.last_response("422 UPDATE").headers.get("Min-SE") == "90"
    assert state(call.session) is SessionState.CONFIRMED


@pytest.mark.requirement("call.session-timer-long", "rfc4028.10")
def test_a_caller_who_was_to_refresh_and_does_not_is_hung_up() -> None:
    call = inbound(TIMER, ("Session-Expires", "90;refresher=uac"))
    call.node.advance(59.0)
    assert state(call.session) is SessionState.CONFIRMED
    call.node.advance(1.0)
    assert call.node.event(Ended).cause is EndCause.SESSION_EXPIRED
    assert call.is_over()


@pytest.mark.requirement("call.session-timer-long")
def test_a_call_of_twenty_minutes_through_refresher_uas_survives() -> None:
    call = inbound(TIMER, ALLOW, ("Session-Expires", "90;refresher=uas"))
    answer_updates(call, 1200, ("Session-Expires", "90;refresher=uac"))
    assert state(call.session) is SessionState.CONFIRMED
    assert len(updates(call.node)) == 26
    asked = {update.headers.get("Session-Expires") for update in updates(call.node)}
    assert asked == {"90;refresher=uac"}
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_without_session_timers_in_the_settings_there_are_none() -> None:
    config = EndpointConfig(session_expires=0)
    call = inbound(TIMER, ("Session-Expires", "600"), config=config)
    assert "Session-Expires" not in call.node.last_response("200 INVITE").headers
    call.node.advance(7200.0)
    assert call.node.take_sent() == []
    required = Node(config)
    required.receive(request_from("INVITE", headers=[("Require", "timer")]))
    assert required.last_response("420 INVITE").headers.get("Unsupported") == "timer"


def test_a_grant_of_nothing_is_not_refreshed_all_the_time() -> None:
    call = outbound(ALLOW, ("Session-Expires", "0;refresher=uac"))
    answer_updates(call, 20, ("Session-Expires", "0;refresher=uac"))
    assert 5 <= len(updates(call.node)) <= 11


# ---- both ends ----------------------------------------------------------------------------------


@pytest.mark.requirement("call.session-timer-long")
def test_an_hour_between_two_of_us_over_a_bad_network_stays_up() -> None:
    network = Network(3, Weather(lost=0.02, doubled=0.02, fastest=0.01, slowest=0.3))
    network.call()
    network.advance(1.0)
    answerer = network.callee.session
    assert answerer is not None
    answerer.accept(ANSWER, now=network.now)
    network.settle_down()
    network.advance(3600.0)
    assert network.caller.state is SessionState.CONFIRMED
    assert network.callee.state is SessionState.CONFIRMED
    network.cut = True
    network.advance(1800.0)
    for party in network.parties:
        (ended,) = party.endings
        assert isinstance(ended, Ended)
        assert ended.cause is EndCause.SESSION_EXPIRED


def test_every_state_of_the_timer_is_reached_and_can_be_left() -> None:
    assert set(TRANSITIONS.values()) == set(TimerState)
    assert {before for before, _ in TRANSITIONS} == set(TimerState)
