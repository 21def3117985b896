"""Timers in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringback.sip.timers import TimerQueue, Timers


def test_a_timer_fires_once_and_not_before_its_time() -> None:
    queue = TimerQueue()
    fired: list[float] = []
    queue.start(1.0, fired.append)
    queue.fire(0.999)
    assert fired == []
    queue.fire(1.5)
    queue.fire(2.0)
    assert fired == [1.5]
    assert queue.next() is None


def test_timers_fire_in_order_of_time_then_of_setting() -> None:
    queue = TimerQueue()
    fired: list[str] = []
    queue.start(2.0, lambda now: fired.append("late"))
    queue.start(1.0, lambda now: fired.append("first"))
    queue.start(1.0, lambda now: fired.append("second"))
    queue.fire(3.0)
    assert fired == ["first", "second", "late"]


def test_a_cancelled_timer_neither_fires_nor_wakes_anybody() -> None:
    queue = TimerQueue()
    fired: list[float] = []
    early = queue.start(1.0, fired.append)
    queue.start(2.0, fired.append)
    queue.cancel(early)
    queue.cancel(early)
    queue.cancel(None)
    assert queue.next() == 2.0
    assert len(queue) == 1
    queue.fire(1.0)
    assert fired == []


def test_cancelling_a_timer_that_fired_does_nothing() -> None:
    queue = TimerQueue()
    timer = queue.start(1.0, lambda now: None)
    queue.fire(1.0)
    queue.cancel(timer)
    assert len(queue) == 0


def test_a_timer_started_for_now_by_another_one_fires_in_the_same_round() -> None:
    queue = TimerQueue()
    fired: list[float] = []
    queue.start(1.0, lambda now: (queue.start(now, fired.append), None)[1])
    queue.fire(1.0)
    assert fired == [1.0]


def test_cancelled_timers_do_not_pile_up() -> None:
    queue = TimerQueue()
    for _ in range(10):
        for timer in [queue.start(1000.0, lambda now: None) for _ in range(1000)]:
            queue.cancel(timer)
    assert len(queue) == 0
    assert len(queue._heap) <= TimerQueue.COMPACT_ABOVE + 1


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=400))
def test_what_is_not_cancelled_fires_in_order(plan: list[tuple[float, bool]]) -> None:
    queue = TimerQueue()
    fired: list[tuple[float, int]] = []
    timers = []
    for index, (when, _) in enumerate(plan):
        timers.append(
            queue.start(when, lambda now, entry=(when, index): fired.append(entry))  # type: ignore[misc]
        )
    for timer, (_, cancel) in zip(timers, plan, strict=True):
        if cancel:
            queue.cancel(timer)
    queue.fire(100)
    kept = [(when, index) for index, (when, cancel) in enumerate(plan) if not cancel]
    assert fired == sorted(kept)
    assert len(queue) == 0


def test_derived_values_follow_t1() -> None:
    assert Timers().give_up == 32.0
    assert Timers(t1=0.1).give_up == 6.4
    assert Timers(t1=0.1).invite_response_wait == 32.0
    assert Timers(t1=1.0).invite_response_wait == 64.0
