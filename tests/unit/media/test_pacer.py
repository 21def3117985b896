from __future__ import annotations

import asyncio
import logging
import pickle
from collections import Counter

import pytest

from ringback.core.clock import SystemClock
from ringback.media.pacer import (
    DOZE_FRAMES,
    FRAME_SECONDS,
    LATE_SECONDS,
    MAX_CATCH_UP_FRAMES,
    MAX_LAG,
    ROOM,
    SLOTS,
    STEADY_SECONDS,
    TIMER_SLACK_SECONDS,
    Pacer,
    PacerCounters,
    PacerLoop,
    Slot,
    Subscription,
)


class Ticks:
    """Remembers when it was ticked and how many frames were given up before."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.skipped: list[int] = []

    def __call__(self, now: float, skipped: int) -> None:
        self.times.append(now)
        self.skipped.append(skipped)


def drive(pacer: Pacer, until: float) -> None:
    """Wake exactly when the pacer wants to be woken."""
    while (due := pacer.next_due()) is not None and due <= until:
        pacer.run_due(due)


def test_a_session_is_ticked_every_20_ms_on_an_absolute_schedule() -> None:
    pacer = Pacer(100.0)
    ticks = Ticks()
    pacer.add(ticks, 100.0)
    drive(pacer, 110.0)
    assert len(ticks.times) == 500
    assert ticks.times == pytest.approx([100.0 + 0.02 * (n + 1) for n in range(500)])


def test_sessions_are_spread_over_the_slots_of_a_frame() -> None:
    pacer = Pacer(0.0)
    subscriptions = [pacer.add(Ticks(), 0.0) for _ in range(SLOTS * 3)]
    assert sorted(Counter(each.slot for each in subscriptions).values()) == [3] * SLOTS


def test_the_least_loaded_slot_gets_the_next_session() -> None:
    pacer = Pacer(0.0)
    subscriptions = [pacer.add(Ticks(), 0.0) for _ in range(SLOTS)]
    slot = subscriptions[3].slot
    pacer.remove(subscriptions[3])
    assert pacer.add(Ticks(), 0.0).slot is slot


def test_waking_late_delays_one_frame_and_does_not_drift() -> None:
    pacer = Pacer(0.0)
    ticks = Ticks()
    pacer.add(ticks, 0.0)
    pacer.run_due(0.027)
    assert pacer.next_due() == pytest.approx(0.04)
    assert pacer.counters.overruns == 0


def test_a_short_stall_is_made_up_for_frame_by_frame() -> None:
    pacer = Pacer(0.0)
    ticks = Ticks()
    pacer.add(ticks, 0.0)
    pacer.run_due(0.061)
    assert ticks.times == [0.061] * 3
    assert ticks.skipped == [0, 0, 0]
    assert pacer.counters.overruns == 2
    assert pacer.counters.skipped == 0


def test_a_long_stall_gives_up_frames_beyond_the_bound_and_says_how_many() -> None:
    pacer = Pacer(0.0)
    ticks = Ticks()
    pacer.add(ticks, 0.0)
    pacer.run_due(0.5 + 0.001)
    played = MAX_CATCH_UP_FRAMES + 1
    assert len(ticks.times) == played
    assert ticks.skipped == [25 - played, 0, 0, 0]
    assert pacer.counters.skipped == 25 - played
    assert pacer.next_due() == pytest.approx(0.52)


def test_frames_played_and_given_up_always_add_up_to_the_time_that_passed() -> None:
    pacer = Pacer(0.0)
    ticks = Ticks()
    pacer.add(ticks, 0.0)
    for wake in (0.02, 0.1, 0.11, 0.9, 0.93, 3.0, 3.001, 10.0):
        pacer.run_due(wake + 1e-6)
    assert len(ticks.times) + sum(ticks.skipped) == 500


@pytest.mark.requirement("node.overload")
@pytest.mark.parametrize(
    ("after", "late"),
    [(0.0, 0), (LATE_SECONDS - 0.0001, 0), (LATE_SECONDS + 0.0001, 1), (FRAME_SECONDS - 0.002, 1)],
)
def test_a_slot_that_runs_5_ms_after_its_time_is_late(after: float, late: int) -> None:
    pacer = Pacer(0.0)
    pacer.add(Ticks(), 0.0)
    pacer.run_due(FRAME_SECONDS + after + TIMER_SLACK_SECONDS)
    assert (pacer.counters.slots, pacer.counters.late) == (1, late)


@pytest.mark.requirement("node.overload")
def test_a_clock_on_time_runs_many_slots_and_none_late() -> None:
    pacer = Pacer(0.0)
    for _ in range(2 * SLOTS):
        pacer.add(Ticks(), 0.0)
    while (due := pacer.next_due() or 0.0) < 1.0:
        pacer.run_due(due + TIMER_SLACK_SECONDS)
    assert pacer.counters.slots == pytest.approx(SLOTS / FRAME_SECONDS, abs=SLOTS)
    assert pacer.counters.frames == 2 * pacer.counters.slots
    assert pacer.counters.late == 0


@pytest.mark.requirement("node.overload")
def test_slots_that_are_made_up_for_after_a_stall_are_late_each_of_them() -> None:
    pacer = Pacer(0.0)
    pacer.add(Ticks(), 0.0)
    pacer.run_due(0.0799)
    assert (pacer.counters.slots, pacer.counters.late) == (3, 3)
    pacer.run_due(0.0805)
    assert (pacer.counters.slots, pacer.counters.late) == (4, 3)


def test_figures_of_several_clocks_add_up_and_travel() -> None:
    total = PacerCounters(1, 2, 3, 4, 5, 6)
    total.add(PacerCounters(10, 20, 30, 40, 50, 60))
    assert total == PacerCounters(11, 22, 33, 44, 55, 66)
    assert pickle.loads(pickle.dumps(total)) == total


def test_a_failing_session_stops_neither_the_others_nor_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pacer = Pacer(0.0)
    calls = 0

    def fail(now: float, skipped: int) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("broken call")

    pacer.add(fail, 0.0)
    others = [Ticks() for _ in range(SLOTS)]
    for other in others:
        pacer.add(other, 0.0)
    with caplog.at_level(logging.ERROR):
        drive(pacer, 1.0)
    assert calls >= 49
    assert all(len(other.times) >= 49 for other in others)
    assert pacer.counters.errors == calls
    assert len(caplog.records) == 1


def test_a_session_that_leaves_is_ticked_no_more_even_within_the_same_slot_run() -> None:
    pacer = Pacer(0.0)
    later = Ticks()
    subscriptions: list[Subscription] = []
    first = pacer.add(lambda now, skipped: pacer.remove(subscriptions[-1]), 0.0)
    for _ in range(SLOTS - 1):
        pacer.add(Ticks(), 0.0)
    subscriptions.append(pacer.add(later, 0.0))
    assert subscriptions[-1].slot is first.slot
    drive(pacer, 0.1)
    assert later.times == []


def test_without_sessions_there_is_nothing_to_wake_for() -> None:
    pacer = Pacer(0.0)
    subscription = pacer.add(Ticks(), 0.0)
    pacer.remove(subscription)
    pacer.remove(subscription)
    assert pacer.next_due() is None
    assert len(pacer) == 0


def test_a_slot_that_was_idle_starts_now_and_not_where_it_stopped() -> None:
    pacer = Pacer(0.0)
    pacer.remove(pacer.add(Ticks(), 0.0))
    ticks = Ticks()
    pacer.add(ticks, 60.0)
    pacer.run_due(60.0 + FRAME_SECONDS)
    assert len(ticks.times) == 1
    assert ticks.skipped == [0]


def test_the_loop_driver_ticks_and_leaves_no_timer_behind() -> None:
    async def run() -> None:
        ticked = asyncio.Event()
        pacer = PacerLoop(SystemClock())
        subscription = pacer.add(lambda now, skipped: ticked.set())
        await asyncio.wait_for(ticked.wait(), 5)
        pacer.remove(subscription)
        assert pacer._timer is None
        assert len(pacer) == 0

    asyncio.run(run())


def test_a_session_that_leaves_in_its_own_tick_leaves_no_timer_behind() -> None:
    async def run() -> None:
        pacer = PacerLoop(SystemClock())
        done = asyncio.Event()

        def leave(now: float, skipped: int) -> None:
            pacer.remove(subscription)
            done.set()

        subscription = pacer.add(leave)
        await asyncio.wait_for(done.wait(), 5)
        assert pacer._timer is None

    asyncio.run(run())


def test_work_of_a_round_that_fails_does_not_stop_the_clock() -> None:
    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        pacer = PacerLoop(SystemClock())
        ticks = 0
        done = asyncio.Event()

        def tick(now: float, unseen: int) -> None:
            nonlocal ticks
            ticks += 1
            if ticks == 3:
                done.set()

        def fail(now: float) -> None:
            raise RuntimeError("broken work")

        pacer.each_round(fail)
        subscription = pacer.add(tick)
        await asyncio.wait_for(done.wait(), 5)
        pacer.remove(subscription)

    asyncio.run(run())


def test_frames_that_were_caught_up_with_are_not_told_again() -> None:
    slot, told = Slot(), Ticks()
    subscription = slot.add(told)
    subscription.doze(True)
    slot.heard[subscription.index] = 1e9
    slot.run(0.02, 1, broken)
    for frame in range(2, 11):
        slot.run(frame * 0.02, 1, broken)
    unseen = subscription.unseen
    assert subscription.catch_up() == unseen
    assert subscription.unseen == 0
    subscription.doze(False)
    slot.owed[subscription.index] = 1
    slot.run(0.22, 1, broken)
    assert told.skipped[-1] == 0


def broken(subscription: Subscription) -> None:
    raise AssertionError("a tick failed")


def dozing(slot: Slot, ticks: Ticks) -> Subscription:
    subscription = slot.add(ticks)
    subscription.doze(True)
    return subscription


def run_on_time(slot: Slot, subscription: Subscription, frames: int) -> None:
    """Somebody is heard, and the person gets all that is owed."""
    for frame in range(frames):
        now = 100.0 + frame * FRAME_SECONDS
        slot.heard[subscription.index] = now
        slot.owed[subscription.index] = -1
        slot.run(now, 1, broken)


def test_a_dozing_session_on_time_is_looked_at_now_and_then() -> None:
    slot, ticks = Slot(), Ticks()
    run_on_time(slot, dozing(slot, ticks), 100)
    assert len(ticks.times) == 100 // DOZE_FRAMES
    assert sum(1 + unseen for unseen in ticks.skipped) >= 100 - DOZE_FRAMES


def test_a_dozing_session_is_ticked_when_something_is_owed_or_nothing_is_heard() -> None:
    slot, ticks = Slot(), Ticks()
    subscription = dozing(slot, ticks)
    run_on_time(slot, subscription, 10)
    before = len(ticks.times)
    slot.heard[subscription.index] = 101.0
    slot.owed[subscription.index] = 0
    slot.run(101.0, 1, broken)
    assert len(ticks.times) == before + 1
    slot.owed[subscription.index] = -5
    slot.run(101.0 + 2 * STEADY_SECONDS, 1, broken)
    assert len(ticks.times) == before + 2


def test_figures_follow_their_session_when_others_leave() -> None:
    slot = Slot()
    many = [slot.add(Ticks()) for _ in range(3 * ROOM)]
    for number, subscription in enumerate(many):
        slot.owed[subscription.index] = number
    for subscription in many[::2]:
        slot.remove(subscription)
        subscription.slot.owed[subscription.index] = 99
    assert [each.slot.owed[each.index] for each in many[1::2]] == list(range(1, 3 * ROOM, 2))
    assert len(slot.members) == len(many[1::2])


def late_pacer(late: float) -> tuple[Pacer, Ticks, Subscription]:
    """Its clock is ``late``; its one session dozes and was heard 50 ms ago."""
    pacer, ticks = Pacer(0.0), Ticks()
    subscription = pacer.add(ticks, 0.0)
    subscription.doze(True)
    now = FRAME_SECONDS + TIMER_SLACK_SECONDS + late
    subscription.slot.heard[subscription.index] = now - 0.05
    subscription.slot.owed[subscription.index] = -9
    pacer.run_due(now)
    return pacer, ticks, subscription


def test_while_the_process_is_late_it_waits_for_what_it_has_not_read() -> None:
    assert late_pacer(0.0)[1].times
    pacer, ticks, subscription = late_pacer(0.09)
    slot, due = subscription.slot, pacer.next_due()
    assert due is not None
    assert not ticks.times
    slot.owed[subscription.index] = 1
    pacer.run_due(due)
    assert not ticks.times
    slot.owed[subscription.index] = 10
    pacer.run_due(due + 1.5 * FRAME_SECONDS)
    assert ticks.times


def test_a_lag_has_a_bound_and_is_forgotten() -> None:
    pacer, ticks, subscription = late_pacer(0.5)
    slot = subscription.slot
    assert MAX_LAG * 0.9 < slot.lag <= MAX_LAG
    for _ in range(1000):
        due = pacer.next_due()
        assert due is not None
        slot.heard[subscription.index] = due
        slot.owed[subscription.index] = -1
        pacer.run_due(due)
    assert slot.lag == 0.0


def test_a_lag_is_forgotten_while_nobody_is_there() -> None:
    pacer, ticks, subscription = late_pacer(0.5)
    pacer.remove(subscription)
    joined = pacer.add(ticks, 3600.0)
    due = pacer.next_due()
    assert due is not None
    pacer.run_due(due)
    assert joined.slot.lag == 0.0


def test_what_a_late_process_has_already_is_sent_in_time() -> None:
    pacer, ticks, subscription = late_pacer(0.09)
    assert subscription.slot.lag > 0.05
    subscription.doze_for(2)
    for _ in range(2):
        due = pacer.next_due()
        assert due is not None
        subscription.slot.heard[subscription.index] = due
        pacer.run_due(due)
    assert len(ticks.times) == 1


def test_who_waits_for_its_agent_wakes_when_that_brings_nothing() -> None:
    slot, ticks = Slot(), Ticks()
    subscription = dozing(slot, ticks)
    for _ in range(5):
        subscription.doze_for(2)
        assert subscription.dozes
        run_on_time(slot, subscription, 1)
    assert not ticks.times
    run_on_time(slot, subscription, 2)
    assert len(ticks.times) == 2
