from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.calls.live_call import CallFacts, LiveCall, advance, end, inbound, outbound
from ringback.calls.states import FINAL_STATES, TRANSITIONS, CallEvent, CallState, Direction
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason

START = datetime(2026, 3, 13, 10, 0, tzinfo=UTC)
LIVE_STATES = [state for state in CallState if not state.final]


def facts(direction: Direction) -> CallFacts:
    return CallFacts("call_1", "acct_1", "sip", direction, "+331", "+332", START)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def call_in(state: CallState, direction: Direction = Direction.OUTBOUND) -> LiveCall:
    return LiveCall(facts(direction), state)


def test_an_inbound_call_rings_from_its_first_moment() -> None:
    call = inbound(facts(Direction.INBOUND))
    assert (call.state, call.ringing_at) == (CallState.RINGING, START)


def test_an_outbound_call_keeps_the_time_of_each_step() -> None:
    call = outbound(facts(Direction.OUTBOUND))
    call = advance(call, CallEvent.REMOTE_RINGING, at(1))
    call = advance(call, CallEvent.REMOTE_RINGING, at(2))
    call = advance(call, CallEvent.ANSWERED, at(3))
    call = advance(call, CallEvent.HELD, at(4))
    call = advance(call, CallEvent.RESUMED, at(5))
    call = end(call, Cause(EndReason.CALLER_HANGUP), at(6))
    assert call.ringing_at == at(1)
    assert call.answered_at == at(3)
    assert call.ended_at == at(6)
    assert call.state is CallState.ENDED


def test_an_event_that_means_nothing_changes_nothing() -> None:
    call = call_in(CallState.ACTIVE)
    assert advance(call, CallEvent.REMOTE_RINGING, at(1)) is call
    assert advance(call, CallEvent.ANSWERED, at(1)) is call


@pytest.mark.parametrize("event", [CallEvent.HUNG_UP, CallEvent.BROKEN])
def test_an_ending_event_needs_a_cause(event: CallEvent) -> None:
    with pytest.raises(ValueError, match="cause"):
        advance(call_in(CallState.ACTIVE), event, at(1))


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("state", LIVE_STATES)
@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_ends_every_live_call(
    state: CallState, direction: Direction, reason: EndReason
) -> None:
    ended = end(call_in(state, direction), Cause(reason), at(1))
    assert ended.final
    assert ended.cause == Cause(reason)
    assert ended.ended_at == at(1)


@pytest.mark.parametrize(
    ("direction", "state", "reason", "expected"),
    [
        (Direction.INBOUND, CallState.RINGING, EndReason.UNANSWERED, CallState.MISSED),
        (Direction.INBOUND, CallState.RINGING, EndReason.CALLER_CANCELLED, CallState.MISSED),
        (Direction.INBOUND, CallState.RINGING, EndReason.REFUSED, CallState.REFUSED),
        (Direction.INBOUND, CallState.RINGING, EndReason.SHUTDOWN, CallState.ENDED),
        (Direction.OUTBOUND, CallState.CONNECTING, EndReason.NETWORK_ERROR, CallState.ENDED),
        (Direction.OUTBOUND, CallState.RINGING, EndReason.NO_ANSWER, CallState.ENDED),
        (Direction.OUTBOUND, CallState.RINGING, EndReason.UNANSWERED, CallState.ENDED),
        (Direction.OUTBOUND, CallState.RINGING, EndReason.BUSY, CallState.ENDED),
        (Direction.OUTBOUND, CallState.CONNECTING, EndReason.INTERNAL_ERROR, CallState.FAILED),
        (Direction.OUTBOUND, CallState.RINGING, EndReason.BRIDGE_DISCONNECTED, CallState.FAILED),
        (Direction.INBOUND, CallState.ACTIVE, EndReason.CALLER_HANGUP, CallState.ENDED),
        (Direction.INBOUND, CallState.ACTIVE, EndReason.BUSY, CallState.ENDED),
        (Direction.INBOUND, CallState.ON_HOLD, EndReason.MEDIA_TIMEOUT, CallState.ENDED),
        (
            Direction.INBOUND,
            CallState.ACTIVE,
            EndReason.BRIDGE_DISCONNECTED,
            CallState.DISCONNECTED,
        ),
    ],
)
def test_the_final_state_follows_from_the_reason(
    direction: Direction, state: CallState, reason: EndReason, expected: CallState
) -> None:
    assert end(call_in(state, direction), Cause(reason), at(1)).state is expected


def test_a_call_that_is_over_stays_as_it_ended() -> None:
    ended = end(call_in(CallState.ACTIVE), Cause(EndReason.AGENT_HANGUP), at(1))
    assert end(ended, Cause(EndReason.CALLER_HANGUP, 200), at(2)) is ended
    for event in CallEvent:
        assert advance(ended, event, at(2)) is ended


def test_only_missing_codes_are_completed_by_the_leg() -> None:
    ended = end(call_in(CallState.RINGING), Cause(EndReason.CANCELLED), at(1))
    report = Cause(EndReason.CANCELLED, 487, 16, "Request Terminated")
    completed = end(ended, report, at(2))
    assert completed == replace(ended, cause=report)
    assert end(completed, Cause(EndReason.CANCELLED, 200, 1), at(3)) is completed


EVENTS = st.lists(st.one_of(st.sampled_from(CallEvent), st.sampled_from(EndReason)), max_size=30)


@given(direction=st.sampled_from(Direction), steps=EVENTS)
def test_whatever_happens_a_call_ends_at_most_once(
    direction: Direction, steps: list[CallEvent | EndReason]
) -> None:
    call = (inbound if direction is Direction.INBOUND else outbound)(facts(direction))
    ends = 0
    for number, step in enumerate(steps):
        before = call
        if isinstance(step, EndReason):
            call = end(call, Cause(step), at(number))
        else:
            ending = TRANSITIONS.get((call.state, step)) in FINAL_STATES
            call = call if ending else advance(call, step, at(number))
        assert not (before.final and call.state is not before.state)
        assert call.final == (call.cause is not None) == (call.ended_at is not None)
        ends += call.final and not before.final
    assert ends <= 1
