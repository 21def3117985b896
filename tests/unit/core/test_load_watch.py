"""The load of this process, measured."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
import uvloop
from structlog.testing import capture_logs

from ringback.core.clock import SystemClock
from ringback.core.load import Shortage
from ringback.core.load_watch import TELL_SECONDS, LoadWatch, ThreadTimes
from ringback.core.metrics import Metrics
from unit.net.manual_clock import ManualClock

pytestmark = pytest.mark.requirement("node.overload")


def busy_for(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of waiting")
def test_the_time_that_a_thread_ran_or_waited_is_known() -> None:
    times = ThreadTimes()
    before = times.seconds()
    busy_for(0.1)
    assert times.seconds() - before >= 0.09
    times.close()
    times.close()
    assert times.seconds() == 0.0


def test_a_process_that_is_busy_is_measured_and_stops_taking_calls() -> None:
    async def measure() -> tuple[float, Shortage | None]:
        metrics = Metrics()
        watch = LoadWatch(0.5, SystemClock(), metrics)
        full = asyncio.Event()
        loop = asyncio.get_running_loop()

        def counts() -> tuple[int, int]:
            if watch.busy:
                full.set()
            return 0, 0

        def burn() -> None:
            busy_for(0.01)
            if not full.is_set():
                loop.call_soon(burn)

        watch.follow(counts)
        watch.start()
        assert watch.shortage() is None
        burn()
        async with asyncio.timeout(30):
            await full.wait()
        shortage = watch.shortage()
        watch.stop()
        watch.stop()
        assert metrics.value("load_refusing") == 1
        return metrics.value("load", {"process": "control"}), shortage

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load, shortage = runner.run(measure())
    assert load > 0.5
    assert shortage is Shortage.CONTROL


def test_a_thousand_refusals_are_one_line_in_a_while() -> None:
    async def refuse() -> None:
        clock = ManualClock()
        watch = LoadWatch(0.85, clock, Metrics())
        with capture_logs() as lines:
            for _ in range(2):
                clock.time += TELL_SECONDS
                watch.meter.observe("media-1", 1.0, 0.0, clock.time)
                for _ in range(500):
                    assert watch.shortage() is Shortage.MEDIA
                watch.start()
                watch.stop()
        told = [(line["event"], line.get("count")) for line in lines]
        busy, refused = ("no_room_for_new_calls", None), ("calls_refused", 500)
        assert told == [busy, refused, refused]
        watch.forget("media-1")
        assert watch.shortage() is None
        assert watch.refused == 1000

    asyncio.run(refuse())


def test_how_late_audio_is_refuses_calls_and_is_shown_and_told() -> None:
    async def refuse() -> None:
        clock, metrics = ManualClock(), Metrics()
        watch = LoadWatch(0.85, clock, metrics)
        slots = late = 0
        watch.follow_audio(lambda: (slots, late))
        with capture_logs() as lines:
            for second in range(3):
                watch.account("media-1", 0.5 * second, 0.1 * second, 250 * second, 10 * second)
                watch.start()  # measures
                watch.stop()
                clock.time += 1.0
                slots += 200
                late += 1
        assert watch.shortage() is Shortage.MEDIA
        assert metrics.value("audio_late", {"process": "media-1"}) == pytest.approx(10 / 250)
        assert metrics.value("audio_late", {"process": "control"}) == pytest.approx(1 / 200)
        assert metrics.value("load", {"process": "media-1"}) == pytest.approx(0.6)
        (line,) = lines
        assert line["event"] == "no_room_for_new_calls"
        assert line["late"] == {
            "control": pytest.approx(1 / 200),
            "media-1": pytest.approx(10 / 250),
        }
        watch.forget("media-1")
        watch.start()
        watch.stop()
        assert b'audio_late{process="media-1"}' not in metrics.render()[0]

    asyncio.run(refuse())


def test_the_audio_clock_of_this_process_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        clock = ManualClock()
        watch = LoadWatch(0.85, clock, Metrics())
        begin = clock.time
        monkeypatch.setattr(time, "process_time", lambda: 0.6 * (clock.time - begin))
        slots = late = 0
        watch.follow_audio(lambda: (slots, late))
        busy = list[bool]()
        for _ in range(4):
            watch.start()
            watch.stop()
            busy.append(watch.busy)
            clock.time += 1.0
            slots += 250
            late += 10
        assert busy == [False, False, True, True]
        assert watch.shortage() is Shortage.CONTROL

    asyncio.run(refuse())
