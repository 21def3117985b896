from __future__ import annotations

from random import Random

import pytest

from ringback.rtp.jitter_estimate import BASE_SECONDS, WINDOW, DelayEstimator


def estimator(*delays: float, max_frames: int = 25) -> DelayEstimator:
    """After packets 20 ms apart that came so many seconds late."""
    result = DelayEstimator(0.020, 2, max_frames)
    for index, delay in enumerate(delays):
        result.observe(7.0 + delay, index * 0.020)
    return result


def test_the_base_is_the_smallest_transit() -> None:
    assert estimator(0.03, 0.01, 0.05).base == pytest.approx(7.01)


@pytest.mark.requirement("media.clock-drift")
def test_the_base_outlives_one_period_and_not_two() -> None:
    packets = round(BASE_SECONDS / 0.020)
    fast_once = [0.0] + [0.1] * (packets - 1)
    assert estimator(*fast_once, *[0.1] * (packets // 2)).base == pytest.approx(7.0)
    assert estimator(*fast_once, *[0.1] * (packets + 5)).base == pytest.approx(7.1)


@pytest.mark.parametrize(
    ("delay", "frames"), [(0.0, 2), (0.019, 2), (0.021, 2), (0.023, 3), (0.041, 3), (0.095, 6)]
)
def test_wanted_is_one_frame_and_one_for_each_frame_of_delay(delay: float, frames: int) -> None:
    assert estimator(*[0.0, delay] * 20).target_frames == frames


def test_a_few_late_packets_in_a_hundred_are_given_up() -> None:
    rare = [0.1 if index % 50 == 0 else 0.0 for index in range(WINDOW)]
    often = [0.1 if index % 25 == 0 else 0.0 for index in range(WINDOW)]
    assert estimator(*rare).target_frames == 2
    assert estimator(*often).target_frames == 6


def test_early_in_a_call_a_single_late_packet_counts() -> None:
    assert estimator(0.0, 0.0, 0.1).target_frames == 6


@pytest.mark.requirement("media.jitter-buffer")
def test_what_is_out_of_the_window_is_forgotten() -> None:
    late = [0.0, 0.1] * 50
    assert estimator(*late, *[0.0] * (WINDOW - 30)).target_frames == 6
    assert estimator(*late, *[0.0] * (WINDOW + 10)).target_frames == 2


@pytest.mark.requirement("media.jitter-buffer")
@pytest.mark.parametrize("max_frames", [5, 25, 300])
def test_wanted_is_never_more_than_may_be_held(max_frames: int) -> None:
    wild = estimator(*[0.0, 60.0] * 20, max_frames=max_frames)
    assert wild.target_frames == max_frames
    assert wild.target_delay == pytest.approx((max_frames - 1) * 0.020)


@pytest.mark.parametrize("spread", [0.001, 0.03, 0.2, 2.0])
@pytest.mark.parametrize("run", [1, 7, 25, 90])
def test_packets_told_together_ask_for_what_they_ask_for_one_by_one(
    spread: float, run: int
) -> None:
    numbers = Random(f"{spread} {run}")
    # The first is the fastest of all, so that both know the base at once.
    delays = [0.0] + [numbers.random() ** 4 * spread for _ in range(3 * WINDOW - 1)]
    single, together = DelayEstimator(0.020, 2, 25), DelayEstimator(0.020, 2, 25)
    for start in range(0, len(delays), run):
        part = delays[start : start + run]
        for index, delay in enumerate(part, start):
            single.observe(7.0 + delay, index * 1e-4)
        together.observe_run([7.0 + delay for delay in part], (start + len(part) - 1) * 1e-4)
        single._recompute()
        assert together.base == single.base
        if start >= WINDOW:
            assert together.target_frames == single.target_frames
