from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.media.key_merge import MAX_DURATION_MS, WINDOW_SECONDS, KeyMerge, Way

DIGITS = "0123456789*#ABCD"
Report = tuple[float, Way, str, int]


def merged(reports: list[Report], merge: KeyMerge | None = None) -> str:
    merge = merge or KeyMerge()
    return "".join(
        digit
        for at, way, digit, duration in sorted(reports, key=lambda report: report[0])
        if merge.report(way, digit, duration, at)
    )


def told(way: Way, digits: str, *, start: float = 0.0, every: float = 0.16) -> list[Report]:
    return [(start + n * every, way, digit, 80) for n, digit in enumerate(digits)]


@pytest.mark.requirement("media.dtmf-once")
@pytest.mark.parametrize("way", list(Way))
def test_each_way_alone_brings_every_key(way: Way) -> None:
    assert merged(told(way, "1123*#00")) == "1123*#00"


@pytest.mark.requirement("media.dtmf-once")
@pytest.mark.parametrize("skew", [0.0, 0.1, 0.25, 0.5, 0.99])
def test_quick_presses_of_one_key_that_come_in_three_ways_are_as_many_as_were_pressed(
    skew: float,
) -> None:
    reports = told(Way.EVENTS, "1112")
    reports += told(Way.INFO, "1112", start=skew)
    reports += told(Way.TONES, "1112", start=skew / 2)
    assert merged(reports) == "1112"


@pytest.mark.requirement("media.dtmf-once")
def test_a_long_press_is_one_key_although_one_way_told_it_at_its_start() -> None:
    reports = [(0.0, Way.INFO, "5", 250), (4.0, Way.EVENTS, "5", 4000)]
    assert merged(reports) == "5"


def test_a_key_that_one_way_lost_is_brought_by_the_other() -> None:
    reports = told(Way.EVENTS, "12", every=1.5) + told(Way.INFO, "132", start=0.3, every=0.75)
    assert merged(reports) == "132"


def test_a_key_that_a_slower_way_missed_does_not_swallow_the_next_one() -> None:
    reports = told(Way.EVENTS, "7", start=0.0) + told(Way.EVENTS, "7", start=3.0)
    reports += told(Way.INFO, "7", start=2.9)
    assert merged(reports) == "77"


def test_tones_are_heard_until_another_way_has_brought_a_key_and_not_after_it() -> None:
    merge = KeyMerge()
    wanted = [merge.tones_wanted]
    assert merged(told(Way.TONES, "12"), merge) == "12"
    wanted.append(merge.tones_wanted)
    assert merged(told(Way.EVENTS, "3", start=5.0), merge) == "3"
    wanted.append(merge.tones_wanted)
    assert wanted == [True, True, False]
    assert merged(told(Way.TONES, "9", start=10.0), merge) == ""


def test_a_duration_that_is_made_up_widens_the_window_no_further() -> None:
    late = MAX_DURATION_MS / 1000 + WINDOW_SECONDS + 0.1
    reports = [(0.0, Way.EVENTS, "1", 100), (late, Way.INFO, "1", 10**9)]
    assert merged(reports) == "11"
    assert merged([(0.0, Way.EVENTS, "1", 100), (0.1, Way.INFO, "1", -5)]) == "1"


@pytest.mark.requirement("media.dtmf-once")
@given(
    presses=st.lists(
        st.tuples(st.sampled_from(DIGITS), st.integers(40, 400), st.integers(40, 900)), max_size=12
    ),
    skews=st.dictionaries(st.sampled_from(list(Way)), st.floats(0, 0.45), min_size=1),
    seed=st.integers(0, 2**32),
    at_the_start=st.sets(st.sampled_from(list(Way))),
)
def test_whatever_ways_bring_them_the_keys_are_those_that_were_pressed(
    presses: list[tuple[str, int, int]],
    skews: dict[Way, float],
    seed: int,
    at_the_start: set[Way],
) -> None:
    """Each way has its own delay and some jitter but brings its keys in order; some tell a key
    when it goes down, with a made-up duration, the others when it comes up."""
    chance = random.Random(seed)
    reports: list[Report] = []
    for way, skew in skews.items():
        now = before = 0.0
        for digit, duration, gap in presses:
            early = way in at_the_start
            at = now + skew + chance.uniform(0, 0.1) + (0.0 if early else duration / 1000)
            before = at = max(at, before + 1e-6)
            reports.append((at, way, digit, 100 if early else duration))
            now += (duration + gap) / 1000
    assert merged(reports) == "".join(digit for digit, _, _ in presses)
