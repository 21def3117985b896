"""How long packets must be kept so that most of them are there in time."""

from __future__ import annotations

from collections.abc import Sequence

WINDOW = 400
"""Packets that the estimate looks back on: 8 s of 20 ms packets."""

COVERED = 0.97
"""The share of them that the wanted delay is enough for."""

BASE_SECONDS = 4.0
"""The smallest transit is that of the last one to two such periods, so that a changed route and
drifting clocks are followed."""

_RECOMPUTE_EVERY = 10
_ROUNDING = 0.9
"""A tenth of a frame more than whole frames does not ask for another one."""


class DelayEstimator:
    """A histogram over the last ``WINDOW`` packets of how much later than the fastest they came.

    ``base`` is the transit (arrival less timestamp, seconds) of an undelayed packet, and
    ``target_frames`` how many frames to have buffered so that ``COVERED`` of the packets come in
    time: one for the frame itself and one for each frame of delay.
    """

    __slots__ = (
        "_base_now",
        "_base_period",
        "_base_previous",
        "_count",
        "_counts",
        "_delays",
        "_frame",
        "_max",
        "_min",
        "base",
        "target_frames",
    )

    def __init__(self, frame_seconds: float, min_frames: int, max_frames: int) -> None:
        self._frame = frame_seconds
        self._min = min_frames
        self._max = max_frames
        self._delays = bytearray(WINDOW) if max_frames < 256 else [0] * WINDOW
        self._counts = [0] * max_frames
        self._count = 0
        self._base_period = float("-inf")
        self._base_now = float("inf")
        self._base_previous = float("inf")
        self.base = 0.0
        self.target_frames = min_frames

    @property
    def target_delay(self) -> float:
        """Seconds after its undelayed arrival at which a frame is to be played."""
        return (self.target_frames - 1) * self._frame

    def observe(self, transit: float, now: float) -> None:
        """A packet came with this transit."""
        self._note_base(transit, now)
        delay = min(int((transit - self.base) / self._frame + _ROUNDING), self._max - 1)
        at = self._count % WINDOW
        if self._count >= WINDOW:
            self._counts[self._delays[at]] -= 1
        self._delays[at] = delay
        self._counts[delay] += 1
        self._count += 1
        if delay >= self.target_frames or self._count % _RECOMPUTE_EVERY == 0:
            self._recompute()

    def observe_run(self, transits: Sequence[float], now: float) -> None:
        """As ``observe`` for packets in a row, the last of which came ``now``; the smallest transit
        of the run is that of all of it."""
        count, at = len(transits), self._count % WINDOW
        if self._count < WINDOW or at + count > WINDOW:
            for transit in transits:
                self.observe(transit, now)
            return
        self._note_base(min(transits), now)
        base, frame, most = self.base, self._frame, self._max - 1
        delays = [int((transit - base) / frame + _ROUNDING) for transit in transits]
        self._count += count
        before = list(self._delays[at : at + count])
        if delays == before:
            return
        counts = self._counts
        for place, (delay, earlier) in enumerate(zip(delays, before, strict=True), at):
            delay = min(delay, most)
            counts[earlier] -= 1
            counts[delay] += 1
            self._delays[place] = delay
        self._recompute()

    def _note_base(self, transit: float, now: float) -> None:
        if now - self._base_period > BASE_SECONDS:
            self._base_previous = self._base_now
            self._base_now = transit
            self._base_period = now
        elif transit < self._base_now:
            self._base_now = transit
        self.base = min(self._base_now, self._base_previous)

    def _recompute(self) -> None:
        may_be_later = int(min(self._count, WINDOW) * (1 - COVERED))
        delay = self._max - 1
        later = self._counts[delay]
        while delay and later <= may_be_later:
            delay -= 1
            later += self._counts[delay]
        self.target_frames = min(max(delay + 1, self._min), self._max)
