"""Both sides of a call for its recording, in step although frames come and go early and late."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ringback.audio.level import is_quiet

MOST_LATE = 250
"""Frames for which a side is waited for: a stall of ours may be as long."""
MOST_EARLY = 3
"""Frames that a side may be early before quiet ones are left out."""
MOST_WAITING = 50
"""Frames that a side may be early at all."""


class Recorder(Protocol):
    """Where a copy of both sides goes, one call per tick."""

    def write(self, caller: bytes | None, agent: bytes | None) -> None: ...

    def skip(self, frames: int) -> None: ...

    def set_sample_rate(self, sample_rate: int) -> None: ...


class Tape:
    """What is ``said`` and ``heard`` by the person, a frame each for every tick sooner or later,
    meets here; ``None`` is silence. What is early waits for its tick, and a tick for what is late.
    """

    def __init__(self, recorder: Recorder, heard_ahead: int = 0) -> None:
        """``heard_ahead``: frames of the ticks to come that the person has heard already."""
        self._recorder = recorder
        self._said: deque[bytes | None] = deque()
        self._heard: deque[bytes | None] = deque([None] * heard_ahead)
        self._due = 0
        self.said = self._said.append
        self.heard = self._heard.append

    def tick(self, frames: int = 1) -> None:
        """``frames`` times 20 ms have passed."""
        self._due += frames
        there = min(len(self._said), len(self._heard))
        self._write(self._due if self._due - there > MOST_LATE else min(self._due, there))
        for side in (self._said, self._heard):
            _shorten(side, self._due)

    def catch_up(self) -> None:
        """Nothing comes any more of what is late."""
        self._write(self._due)

    def skip(self, frames: int) -> None:
        """``frames`` ticks never happened."""
        self.catch_up()
        self._recorder.skip(frames)

    def set_sample_rate(self, sample_rate: int) -> None:
        """Frames have ``sample_rate`` (Hz) from now on. What waits has the old one, and becomes
        silence: a frame or two."""
        self.catch_up()
        for side in (self._said, self._heard):
            for index in range(len(side)):
                side[index] = None
        self._recorder.set_sample_rate(sample_rate)

    def _write(self, frames: int) -> None:
        said, heard = self._said, self._heard
        for _ in range(frames):
            self._recorder.write(
                said.popleft() if said else None, heard.popleft() if heard else None
            )
        self._due -= frames


def _shorten(side: deque[bytes | None], due: int) -> None:
    """Leave something out where a side has fallen behind the other one, which its frames show that
    wait although nothing is due any more."""
    waiting = len(side) - due
    if waiting > MOST_EARLY and (waiting > MOST_WAITING or side[0] is None or is_quiet(side[0])):
        side.popleft()
