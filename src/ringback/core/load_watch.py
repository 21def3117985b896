"""Measures this process on its event loop, a few times a second, for a :class:`LoadMeter`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import structlog

from ringback.core.clock import Clock
from ringback.core.load import AudioSlots, LoadMeter, Sample, Shortage
from ringback.core.metrics import Metrics

SAMPLE_SECONDS = 0.25
TELL_SECONDS = 5.0
"""Between two log lines about calls that were refused."""

log = structlog.stdlib.get_logger(__name__)

Counts = Callable[[], tuple[int, int]]
"""Live calls, and those begun since the start."""
AudioCounts = Callable[[], tuple[int, int]]
"""Slots that the audio clock of this process ran since the start, and how many of them late."""


class ThreadTimes:
    """How long the thread that made this ran or waited for a processor, in seconds (Linux,
    ``/proc/thread-self/schedstat``: nanoseconds on a processor, in the run queue, …)."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """0 where nobody can tell."""
        return sum(self._read())

    def waited(self) -> float:
        """Of these, those without a processor."""
        return self._read()[1]

    def _read(self) -> tuple[float, float]:
        try:
            ran, waited, *_ = os.pread(self._file, 64, 0).split()
        except (OSError, ValueError):
            return 0.0, 0.0
        return int(ran) / 1e9, int(waited) / 1e9

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class LoadWatch:
    """The load of this node. ``limit`` is that of :class:`LoadMeter`."""

    def __init__(self, limit: float, clock: Clock, metrics: Metrics) -> None:
        self.meter = LoadMeter(limit)
        self.refused = 0
        """Calls for which there was no room."""
        self._clock = clock
        self._counts: Counts = lambda: (0, 0)
        self._audio: AudioCounts = lambda: (0, 0)
        self._times: ThreadTimes | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._was_busy = False
        self._told, self._told_at = 0, float("-inf")
        self._gauge = metrics.gauge(
            "load", "Share of a processor used or waited for, last second.", ["process"]
        )
        self._late_gauge = metrics.gauge(
            "audio_late",
            "Share of the audio clock's slots that came late, last second.",
            ["process"],
        )
        self._shown: set[str] = set()
        metrics.gauge_from(
            "load_refusing", "1 while there is no room for new calls.", lambda: float(self.busy)
        )

    def follow(self, counts: Counts) -> None:
        """Whose calls make the load."""
        self._counts = counts

    def follow_audio(self, audio: AudioCounts) -> None:
        """The audio clock of this process, where it has one."""
        self._audio = audio

    def shortage(self) -> Shortage | None:
        """Why a call may not begin now; ``None`` when it may. A refusal is counted."""
        shortage = self.meter.shortage(self._clock.monotonic(), *self._counts())
        if shortage is not None:
            self.refused += 1
        return shortage

    @property
    def busy(self) -> bool:
        """Whether new calls are refused until the load falls."""
        return self.meter.busy(self._clock.monotonic()) is not None

    def account(self, name: str, cpu: float, waiting: float, slots: int = 0, late: int = 0) -> None:
        """A media process tells, once a second, what it has used and waited for since its start, in
        seconds, and the slots that its audio clock ran, and ran late."""
        audio = AudioSlots(slots, late)
        self.meter.account(name, cpu + waiting, self._clock.monotonic(), audio)

    def forget(self, name: str) -> None:
        """That media process is gone."""
        self.meter.forget(name)

    # ---- the timer --------------------------------------------------------------------------

    def start(self) -> None:
        """In the thread of the event loop."""
        self._times = ThreadTimes()
        self._due = self._clock.monotonic()
        self._tick()

    def stop(self) -> None:
        """Twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._times is not None:
            self._times.close()
            self._times = None

    def _tick(self) -> None:
        now = self._clock.monotonic()
        if self._times is not None:
            live, begun = self._counts()
            lag = max(0.0, now - self._due)
            audio = AudioSlots(*self._audio())
            self.meter.sample(
                Sample(now, time.process_time(), self._times.seconds(), lag, live, begun, audio)
            )
            self._show()
            self._tell(now, live)
        self._due = max(self._due + SAMPLE_SECONDS, now)
        self._timer = asyncio.get_running_loop().call_later(self._due - now, self._tick)

    def _show(self) -> None:
        pressures = self.meter.pressures()
        for gone in self._shown - pressures.keys():
            self._gauge.remove(gone)
            self._late_gauge.remove(gone)
        self._shown = set(pressures)
        for name, pressure in pressures.items():
            self._gauge.labels(name).set(round(pressure, 4))
        for name, lateness in self.meter.latenesses().items():
            self._late_gauge.labels(name).set(round(lateness, 4))

    def _tell(self, now: float, live: int) -> None:
        """Bounded, however many are refused."""
        busy, pressures = self.busy, self.meter.pressures()
        if busy is not self._was_busy:
            self._was_busy = busy
            told = "no_room_for_new_calls" if busy else "room_for_new_calls"
            late = self.meter.latenesses()
            log.warning(told, load=pressures, late=late, limit=self.meter.limit, live=live)
        if self.refused > self._told and now - self._told_at >= TELL_SECONDS:
            count, self._told, self._told_at = self.refused - self._told, self.refused, now
            log.warning("calls_refused", why="node_overloaded", count=count, load=pressures)
