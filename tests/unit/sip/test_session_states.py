"""The table of a call's life."""

from __future__ import annotations

from ringback.sip.session_states import TRANSITIONS, SessionInput, SessionState, next_state

BEGINNINGS = {SessionState.CALLING, SessionState.INCOMING}


def test_nothing_follows_the_end() -> None:
    for happened in SessionInput:
        assert next_state(SessionState.ENDED, happened) is None


def test_every_state_can_be_reached_and_left_to_the_end() -> None:
    reached = set(BEGINNINGS)
    for _ in SessionState:
        reached |= {to for (state, _), to in TRANSITIONS.items() if state in reached}
    assert reached == set(SessionState)
    for state in SessionState:
        if not state.ended:
            assert (state, SessionInput.HANG_UP) in TRANSITIONS


def test_every_input_means_something_somewhere() -> None:
    assert {happened for _, happened in TRANSITIONS} == set(SessionInput)


def test_an_answered_call_is_never_unanswered_again() -> None:
    after = {SessionState.CONFIRMED, SessionState.ANSWERED, SessionState.ENDED}
    for (state, _), to in TRANSITIONS.items():
        if state in after:
            assert to in after
