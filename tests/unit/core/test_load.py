"""Whether there is room for another call, over nodes that exist only in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.load import (
    LATE_SECONDS,
    REOPEN,
    SILENT_SECONDS,
    LoadMeter,
    Mark,
    Sample,
    Shortage,
)

LIMIT = 0.85
STEP = 0.25
pytestmark = pytest.mark.requirement("node.overload")


@dataclass
class VirtualNode:
    """One processor. A call costs ``setup`` seconds of it once and ``carry`` of it all the time;
    what is not done is left for later. ``others`` is what other processes take of it."""

    setup: float = 0.012
    carry: float = 0.0025
    idle: float = 0.02
    others: float = 0.0
    limit: float = LIMIT
    lag: float = 0.0
    now: float = 0.0
    live: int = 0
    begun: int = 0
    cpu: float = 0.0
    waited: float = 0.0
    backlog: float = 0.0
    meter: LoadMeter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = LoadMeter(self.limit)
        self.measure()

    def measure(self) -> None:
        loop = self.cpu + self.waited
        self.meter.sample(Sample(self.now, self.cpu, loop, self.lag, self.live, self.begun))

    def step(self, seconds: float = STEP) -> None:
        wanted = self.backlog + (self.idle + self.carry * self.live) * seconds
        done = min(wanted, (1 - self.others) * seconds)
        self.backlog = wanted - done
        self.cpu += done
        self.waited += min(seconds - done, self.backlog + done * self.others)
        self.now += seconds
        self.measure()

    def shortage(self) -> Shortage | None:
        return self.meter.shortage(self.now, self.live, self.begun)

    def call(self) -> Shortage | None:
        """One call asks for room, and begins where there is some."""
        shortage = self.shortage()
        if shortage is None:
            self.live += 1
            self.begun += 1
            self.backlog += self.setup
        return shortage

    def run(self, seconds: float, calls_per_second: int = 0, lasting: bool = True) -> int:
        """How many calls began."""
        before = self.begun
        for _ in range(round(seconds / STEP)):
            for _ in range(round(calls_per_second * STEP)):
                if self.call() is None and not lasting:
                    self.live -= 1
            self.step()
        return self.begun - before

    @property
    def demand(self) -> float:
        """What the live calls take, share of a processor."""
        return self.idle + self.carry * self.live


def test_an_idle_node_takes_a_call_at_once() -> None:
    assert VirtualNode().call() is None
    node = VirtualNode()
    node.run(5)
    assert node.call() is None


def test_a_full_node_takes_none_until_the_load_has_fallen_below_the_lower_mark() -> None:
    node = VirtualNode(live=round(LIMIT / 0.0025))
    node.run(2)
    assert node.shortage() is Shortage.CONTROL
    node.live = round((LIMIT * REOPEN + 0.01) / 0.0025) - 8
    node.run(2)
    assert node.meter.pressure < LIMIT
    assert node.shortage() is Shortage.CONTROL
    node.live -= 20
    node.run(2)
    assert node.shortage() is None


def test_nothing_is_judged_by_less_than_a_second() -> None:
    node = VirtualNode(live=1000)
    node.run(0.75)
    assert node.shortage() is None
    node.run(0.25)
    assert node.shortage() is Shortage.CONTROL


def test_without_a_limit_there_is_always_room() -> None:
    node = VirtualNode(limit=0, live=5000)
    node.meter.observe("media-1", 1.0, 1.0, node.now)
    node.run(3)
    assert node.shortage() is None


def test_a_node_that_gets_half_a_processor_is_full_at_half_a_processor() -> None:
    node = VirtualNode(others=0.5, live=230)
    node.run(3)
    assert node.cpu / node.now < 0.6
    assert node.shortage() is Shortage.CONTROL


def test_where_nobody_tells_of_waiting_the_processor_time_counts() -> None:
    meter = LoadMeter(LIMIT)
    for number in range(9):
        meter.sample(Sample(number * STEP, cpu=0.9 * number * STEP))
    assert meter.pressure == pytest.approx(0.9)
    assert meter.shortage(2.0, 10, 10) is Shortage.CONTROL


def test_a_single_late_moment_is_no_overload_but_lateness_that_lasts_is() -> None:
    node = VirtualNode(live=10)
    node.run(3)
    node.lag = 5 * LATE_SECONDS
    node.step()
    node.lag = 0.0
    node.run(0.75)
    assert node.shortage() is None
    node.lag = LATE_SECONDS
    node.run(1)
    assert node.shortage() is Shortage.CONTROL
    node.lag = 0.0
    node.run(1)
    assert node.shortage() is None


def test_a_burst_is_counted_before_it_shows() -> None:
    node = VirtualNode(live=200)
    node.run(3)
    answers = [node.call() for _ in range(300)]
    admitted = answers.count(None)
    assert 0 < admitted < 40
    assert set(answers[admitted:]) == {Shortage.RAMP}
    node.run(3)
    assert node.demand < LIMIT
    assert node.call() is None


def test_a_steady_rate_that_the_node_can_do_is_not_refused() -> None:
    node = VirtualNode(setup=0.012)
    assert node.run(20, calls_per_second=48, lasting=False) == 20 * 48


def test_cheap_calls_are_learned_and_let_in_faster() -> None:
    node = VirtualNode(setup=0.003, carry=0.001)
    node.run(2)
    first = node.run(1, calls_per_second=200, lasting=False)
    node.run(4, calls_per_second=100, lasting=False)
    assert node.run(1, calls_per_second=200, lasting=False) > 1.5 * first


costs = {
    "setup": st.floats(0.001, 0.02),
    "carry": st.floats(0.0005, 0.006),
    "others": st.sampled_from([0.0, 0.2]),
    "burst": st.lists(st.integers(0, 200), min_size=1, max_size=40),
}


@given(**costs)
def test_however_calls_come_those_that_stay_need_no_more_than_the_limit(
    setup: float, carry: float, others: float, burst: list[int]
) -> None:
    node = VirtualNode(setup=setup, carry=carry, others=others)
    node.run(2)
    for arrivals in burst:
        for _ in range(arrivals):
            node.call()
        node.step()
        assert node.demand * (1 + others) <= LIMIT + 0.02
    node.run(3)
    node.run(20, calls_per_second=40)
    assert node.demand * (1 + others) <= LIMIT + 0.02


@given(**costs)
def test_a_node_with_room_to_spare_comes_back_to_taking_calls(
    setup: float, carry: float, others: float, burst: list[int]
) -> None:
    node = VirtualNode(setup=setup, carry=carry, others=others)
    for arrivals in burst:
        for _ in range(arrivals):
            node.call()
        node.step()
    node.live = 0
    node.run(10)
    assert node.call() is None


@given(st.lists(st.floats(0, 1.2), max_size=60), st.floats(0.1, 1))
def test_between_the_marks_nothing_changes(pressures: list[float], limit: float) -> None:
    mark = Mark(limit)
    for pressure in pressures:
        before = mark.shut
        mark.judge(pressure, late=False)
        if REOPEN * limit <= pressure < limit:
            assert mark.shut is before
        else:
            assert mark.shut is (pressure >= limit)


# ---- media in other processes ---------------------------------------------------------------


def test_media_processes_are_full_when_all_of_them_are() -> None:
    node = VirtualNode()
    node.meter.observe("media-1", 0.9, 0.0, node.now)
    assert node.shortage() is Shortage.MEDIA
    node.meter.observe("media-2", 0.3, 0.0, node.now)
    assert node.shortage() is None
    node.meter.observe("media-2", 0.3, LATE_SECONDS, node.now)
    assert node.shortage() is Shortage.MEDIA
    assert node.meter.pressures() == {"control": 0.0, "media-1": 0.9, "media-2": 0.3}


def test_call_control_that_is_full_is_enough() -> None:
    node = VirtualNode(live=1000)
    node.run(2)
    node.meter.observe("media-1", 0.1, 0.0, node.now)
    assert node.shortage() is Shortage.CONTROL


def test_a_media_process_that_says_nothing_has_no_room_and_one_that_is_gone_does_not_count() -> (
    None
):
    node = VirtualNode()
    node.meter.observe("media-1", 0.1, 0.0, node.now)
    node.run(SILENT_SECONDS)
    assert node.shortage() is None
    node.run(STEP)
    assert node.shortage() is Shortage.MEDIA
    node.meter.forget("media-1")
    assert node.shortage() is None


def test_a_burst_has_to_fit_into_what_the_media_processes_have_left() -> None:
    node = VirtualNode(setup=0.0, carry=0.0)
    node.run(3)
    node.live = node.begun = 300
    node.run(3)
    for name in ("media-1", "media-2"):
        node.meter.observe(name, 0.8, 0.0, node.now)
    answers = [node.call() for _ in range(50)]
    assert answers.count(None) == pytest.approx(0.1 / (1.6 / 300), abs=4)
    assert answers[-1] is Shortage.RAMP


def test_running_totals_of_a_media_process_are_its_pressure_over_the_time_between() -> None:
    meter = LoadMeter(LIMIT)
    for number, used in enumerate((50.0, 50.5, 51.4)):
        meter.account("media-1", used, number)
    assert meter.pressures()["media-1"] == pytest.approx(0.9)
    assert meter.shortage(2.0, 0, 0) is Shortage.MEDIA
    meter.account("media-1", 51.9, 2.1)  # two at once, as the first was late
    assert meter.pressures()["media-1"] == pytest.approx(0.9)
    meter.account("media-1", 52.0, 3.0)
    assert meter.pressures()["media-1"] == pytest.approx(0.6)
    assert meter.shortage(3.0, 0, 0) is None
    meter.account("media-1", 0.3, 4.0)  # another process of that name
    meter.account("media-1", 1.2, 5.0)
    assert meter.shortage(5.0, 0, 0) is Shortage.MEDIA
