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
                watch.observe("media-1", 1.0, 0.0)
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
