"""Both sides of a call for its recording, in step although frames come and go early."""

from __future__ import annotations

from collections import deque
from typing import Protocol


class Recorder(Protocol):
    """Where a copy of both sides goes, one call per tick."""

    def write(self, caller: bytes | None, agent: bytes | None) -> None: ...

    def skip(self, frames: int) -> None: ...

    def set_sample_rate(self, sample_rate: int) -> None: ...


class Tape:
    """What is ``said`` and ``heard`` by the person waits for its tick; ``None`` is silence."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._said: deque[bytes | None] = deque()
        self._heard: deque[bytes | None] = deque()
        self.said = self._said.append
        self.heard = self._heard.append
        self.skip = recorder.skip

    def tick(self, frames: int = 1) -> None:
        """``frames`` times 20 ms have passed."""
        for _ in range(frames):
            self._recorder.write(
                self._said.popleft() if self._said else None,
                self._heard.popleft() if self._heard else None,
            )

    def set_sample_rate(self, sample_rate: int) -> None:
        """Frames have ``sample_rate`` (Hz) from now on. What waits has the old one, and is left
        out: a frame or two."""
        self._said.clear()
        self._heard.clear()
        self._recorder.set_sample_rate(sample_rate)
