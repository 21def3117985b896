"""Whether there is room for another call, over nodes that exist only in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.load import (
    LATE_PRESSURE,
    LATE_SECONDS,
    LATE_SHARE,
    REOPEN,
    SILENT_SECONDS,
    AudioSlots,
    Lateness,
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


# ---- the audio clock ------------------------------------------------------------------------

SLOTS_A_STEP = 50
"""Of a process with sessions in most slots."""
STALL = 20
"""Slots that a stall of 80 ms delays: all of them run, late, when it is over."""


def late_clock(
    steps: Sequence[int], pressure: float, slots: int = SLOTS_A_STEP, limit: float = LIMIT
) -> list[bool]:
    """Whether a process that has been in time and busy is shut after each of ``steps``, of whose
    slots so many run late."""
    meter = LoadMeter(limit)
    totals = accumulate(chain(repeat(0, 13), steps))
    shut = list[bool]()
    for number, late in enumerate(totals):
        at = number * STEP
        audio = AudioSlots(number * slots, late)
        meter.sample(Sample(at, cpu=pressure * at, live=100, begun=100, audio=audio))
        shut.append(meter.busy(at) is Shortage.CONTROL)
    assert not any(shut[:13])
    return shut[13:]


STEADY = round(2 * LATE_SHARE * SLOTS_A_STEP)
BELOW = 1
"""Below ``LATE_SHARE``, and above half of it."""


@pytest.mark.parametrize(
    ("steps", "pressure", "shut_after"),
    [
        pytest.param([STALL, *[0] * 12], 0.8, None, id="a stall of the host"),
        pytest.param([0, 9, 30, 20, *[0] * 12], 0.8, None, id="three quarters of a bad second"),
        pytest.param([STALL, *[0] * 8, STALL, *[0] * 8], 0.8, None, id="two stalls far apart"),
        pytest.param([STALL, 0, 0, 0, STALL, 0, 0, STALL, 0], 0.8, 5, id="a stall each second"),
        pytest.param([STEADY] * 12, 0.8, 6, id="twice the share"),
        pytest.param([4 * STEADY] * 12, 0.8, 5, id="much of it"),
        pytest.param([STEADY] * 12, LATE_PRESSURE * LIMIT + 0.01, 6, id="half of the limit"),
        pytest.param([STEADY] * 12, LATE_PRESSURE * LIMIT - 0.01, None, id="less than half of it"),
        pytest.param([SLOTS_A_STEP] * 12, 0.02, None, id="an idle node on a bad host"),
        pytest.param([BELOW] * 12, 0.8, None, id="less than the share"),
    ],
)
def test_an_audio_clock_that_stays_late_shuts_a_process_that_has_enough_to_do(
    steps: list[int], pressure: float, shut_after: int | None
) -> None:
    shut = late_clock(steps, pressure)
    assert any(shut) is (shut_after is not None)
    if shut_after is not None:
        assert shut.index(True) + 1 == shut_after


@given(
    st.lists(st.integers(0, SLOTS_A_STEP), max_size=4).map(lambda late: [0, 0, *late]),
    st.floats(0, LIMIT - 0.01),
)
def test_what_is_over_within_a_second_refuses_nobody(steps: list[int], pressure: float) -> None:
    assert not any(late_clock([*steps, *[0] * 12], pressure))


def test_without_a_limit_or_without_sessions_the_audio_clock_says_nothing() -> None:
    assert not any(late_clock([SLOTS_A_STEP] * 12, 0.8, limit=0))
    assert not any(late_clock([0] * 12, 0.8, slots=0))


def test_a_process_is_open_again_when_its_audio_clock_is_in_time() -> None:
    shut = late_clock([*[STEADY] * 8, *[0] * 8], 0.75)
    assert shut[7:] == [True] * 4 + [False] * 5
    still = late_clock([*[STEADY] * 8, *[BELOW] * 16], 0.75)
    assert all(still[7:])


half = LATE_PRESSURE * LIMIT


@pytest.mark.parametrize(
    ("was_shut", "pressure", "share", "lasting", "shut"),
    [
        (False, half, LATE_SHARE, True, True),
        (False, half, LATE_SHARE, False, False),
        (False, half - 0.01, 1.0, True, False),
        (True, REOPEN * LIMIT - 0.01, LATE_SHARE / 2 - 0.001, False, False),
        (True, REOPEN * LIMIT - 0.01, LATE_SHARE / 2, False, True),
        (True, REOPEN * LIMIT, 0.0, False, True),
        (True, REOPEN * half, 1.0, True, True),
        (True, REOPEN * half - 0.01, 1.0, True, False),
    ],
)
def test_the_table_of_states_with_a_late_audio_clock(
    was_shut: bool, pressure: float, share: float, lasting: bool, shut: bool
) -> None:
    mark = Mark(LIMIT)
    mark.shut = was_shut
    mark.judge(pressure, late=False, audio=Lateness(share, lasting))
    assert mark.shut is shut


def test_the_lateness_of_the_last_second_is_shown() -> None:
    meter = LoadMeter(LIMIT)
    for number, late in enumerate((0, 0, 0, 0, 0, 6, 12, 12, 12, 12)):
        meter.sample(Sample(number * STEP, 0.0, audio=AudioSlots(50 * number, late)))
    assert meter.latenesses() == {"control": pytest.approx(6 / 200)}


def test_how_late_a_clock_is_is_not_judged_by_less_than_two_seconds() -> None:
    meter = LoadMeter(LIMIT)
    for number in range(9):
        assert meter.busy(number * STEP) is None
        audio = AudioSlots(SLOTS_A_STEP * number, SLOTS_A_STEP * number)
        meter.sample(Sample(number * STEP, 0.8 * number * STEP, audio=audio))
    assert meter.busy(2.0) is Shortage.CONTROL


@pytest.mark.parametrize(
    ("ran", "late", "share"), [(0, 0, 0.0), (4, 1, 0.25), (-2, -1, 0.0), (4, -1, 0.0), (4, 5, 1.0)]
)
def test_the_late_share_of_slots_is_a_share_whatever_is_counted(
    ran: int, late: int, share: float
) -> None:
    assert AudioSlots(ran, late).share == share


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


@pytest.mark.parametrize(
    ("late", "pressure", "shut"),
    [
        ((0, 30, 0, 0), 0.6, [False] * 4),
        ((0, 9, 9, 0), 0.6, [False, False, True, False]),
        ((30, 30, 5, 3), 0.6, [False, True, True, False]),
        ((30, 30, 30, 30), LATE_PRESSURE * LIMIT - 0.01, [False] * 4),
    ],
)
def test_a_media_process_whose_audio_clock_is_late_for_two_seconds_is_full(
    late: tuple[int, ...], pressure: float, shut: list[bool]
) -> None:
    meter = LoadMeter(LIMIT)
    meter.account("media-1", 7.0, 0.0, AudioSlots(1000, 500))
    told = list[bool]()
    for number, total in enumerate(accumulate(late), 1):
        audio = AudioSlots(1000 + 250 * number, 500 + total)
        meter.account("media-1", 7.0 + pressure * number, number, audio)
        assert meter.latenesses()["media-1"] == pytest.approx(late[number - 1] / 250)
        told.append(meter.busy(number) is Shortage.MEDIA)
    assert told == shut


def test_a_media_process_in_another_s_place_begins_with_a_clock_of_its_own() -> None:
    meter = LoadMeter(LIMIT)
    for number in range(2):
        meter.account("media-1", 50 + 0.6 * number, number, AudioSlots(250 * number, 30 * number))
    assert meter.latenesses()["media-1"] == pytest.approx(30 / 250)
    meter.account("media-1", 0.1, 2.0)
    meter.account("media-1", 0.7, 3.0, AudioSlots(250, 30))
    assert meter.busy(3.0) is None
    meter.account("media-1", 1.3, 4.0, AudioSlots(500, 60))
    assert meter.busy(4.0) is Shortage.MEDIA
