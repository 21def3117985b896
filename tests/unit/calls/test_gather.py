"""The pure core of gathering keys: time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.calls import gather as core
from ringback.calls.gather import (
    ALL_KEYS,
    MAX_SECONDS,
    TRANSITIONS,
    Gather,
    GatherReason,
    GatherWanted,
    Phase,
)


def press(gather: Gather, keys: str, now: float = 1.0) -> Gather:
    for digit in keys:
        gather = core.key(gather, digit, now)
    return gather


@pytest.mark.requirement("media.gather")
@pytest.mark.parametrize(
    ("wanted", "keys", "expected"),
    [
        (GatherWanted(max_digits=4), "1234", ("1234", GatherReason.COMPLETE)),
        (GatherWanted(max_digits=4), "123456", ("1234", GatherReason.COMPLETE)),
        (GatherWanted(), "12#34", ("12", GatherReason.TERMINATOR)),
        (GatherWanted(), "#", ("", GatherReason.TERMINATOR)),
        (GatherWanted(terminator="*"), "1#2*", ("1#2", GatherReason.TERMINATOR)),
        (GatherWanted(terminator=None, max_digits=3), "1#*", ("1#*", GatherReason.COMPLETE)),
        (GatherWanted(min_digits=2), "1#2#", ("12", GatherReason.TERMINATOR)),
        (GatherWanted(allowed="12"), "13421#", ("121", GatherReason.TERMINATOR)),
    ],
)
def test_keys_are_taken_until_enough_are_there_or_the_terminator_comes(
    wanted: GatherWanted, keys: str, expected: tuple[str, GatherReason]
) -> None:
    gather = press(core.begin(wanted, 0.0), keys)
    assert (gather.digits, gather.reason) == expected
    assert gather.phase is Phase.DONE


@pytest.mark.requirement("media.gather")
def test_the_first_key_may_take_longer_than_the_next_ones() -> None:
    gather = core.begin(GatherWanted(first_timeout=10, inter_digit_timeout=3), 100.0)
    assert gather.due == 110.0
    assert core.tick(gather, 109.9) is gather
    gather = core.key(gather, "7", 109.0)
    assert gather.due == 112.0
    over = core.tick(gather, 112.0)
    assert (over.digits, over.reason) == ("7", GatherReason.TIMEOUT)


@pytest.mark.requirement("media.gather")
def test_nothing_pressed_at_all_is_a_timeout_without_digits() -> None:
    over = core.tick(core.begin(GatherWanted(first_timeout=10), 0.0), 10.0)
    assert (over.digits, over.reason) == ("", GatherReason.TIMEOUT)


def test_time_counts_only_when_the_prompt_is_over() -> None:
    gather = core.begin(GatherWanted(first_timeout=2, prompt="Your PIN, please."), 0.0)
    assert gather.phase is Phase.PROMPT
    assert gather.due > 2
    gather = core.prompt_ended(gather, 5.0)
    assert (gather.phase, gather.due) == (Phase.FIRST, 7.0)
    assert core.prompt_ended(gather, 6.0) is gather


def test_a_prompt_that_is_never_heard_to_end_counts_as_over_in_the_end() -> None:
    gather = core.begin(GatherWanted(first_timeout=2, prompt="Hello"), 0.0)
    after = core.tick(gather, gather.due)
    assert (after.phase, after.reason) == (Phase.FIRST, None)


def test_keys_count_while_the_prompt_is_spoken() -> None:
    gather = press(core.begin(GatherWanted(max_digits=2, prompt="Hello"), 0.0), "1")
    assert gather.phase is Phase.MORE
    assert press(gather, "2").reason is GatherReason.COMPLETE


def test_what_is_over_stays_as_it_ended() -> None:
    over = core.stop(core.begin(GatherWanted(), 0.0), GatherReason.CANCELLED)
    assert press(over, "1#") is over
    assert core.tick(over, 1e9) is over
    assert core.stop(over, GatherReason.HANGUP) is over


def test_every_phase_but_the_last_can_be_stopped_and_times_out() -> None:
    for phase in Phase:
        events = {event for start, event in TRANSITIONS if start is phase}
        if phase is not Phase.DONE:
            assert {core.GatherEvent.STOPPED, core.GatherEvent.TIMEOUT} <= events
        else:
            assert not events


@pytest.mark.requirement("media.gather")
@given(
    wanted=st.builds(
        GatherWanted,
        max_digits=st.integers(1, 8),
        min_digits=st.integers(0, 8),
        terminator=st.none() | st.sampled_from(ALL_KEYS),
        first_timeout=st.floats(0.1, 120),
        inter_digit_timeout=st.floats(0.1, 60),
        allowed=st.text(ALL_KEYS, min_size=1, max_size=16),
        prompt=st.sampled_from(["", "Hello", "x" * 2000]),
    ),
    steps=st.lists(st.sampled_from([*ALL_KEYS, "tick", "prompt"]), max_size=40),
    pace=st.floats(0, 50),
)
def test_a_gathering_holds_only_wanted_keys_and_ends_in_bounded_time(
    wanted: GatherWanted, steps: list[str], pace: float
) -> None:
    now = 0.0
    gather = core.begin(wanted, now)
    for step in steps:
        now = min(now + pace, gather.due)
        match step:
            case "tick":
                gather = core.tick(gather, now)
            case "prompt":
                gather = core.prompt_ended(gather, now)
            case _:
                gather = core.key(gather, step, now)
        assert set(gather.digits) <= set(wanted.allowed) - {wanted.terminator}
        assert len(gather.digits) <= wanted.max_digits
        assert (gather.reason is None) == (gather.phase is not Phase.DONE)
        assert gather.due <= MAX_SECONDS
    for _ in range(3):
        gather = core.tick(gather, gather.due)
    assert gather.reason is not None
