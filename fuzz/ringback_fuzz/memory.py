"""Whether memory stays flat: the resident size once everything is warm, and after that."""

from __future__ import annotations

import os
from pathlib import Path

WARM_UP = 0.2
"""The share of the runs after which caches are filled and nothing may grow any more."""
CHECK_EVERY = 2000


class MemoryGrew(Exception):
    pass


def resident_megabytes() -> float:
    """Of this process, as the system counts it; 0 where it does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class MemoryWatch:
    """``tick`` after each run. Raises :class:`MemoryGrew` beyond ``allowed`` megabytes more than
    at the end of the warm-up."""

    def __init__(self, warm_up_runs: int, allowed: float) -> None:
        self.runs = 0
        self.begun = resident_megabytes()
        self.warm: float | None = None
        self.last = self.begun
        self._warm_up_runs = warm_up_runs
        self._allowed = allowed

    def tick(self) -> None:
        self.runs += 1
        if self.runs == self._warm_up_runs:
            self.warm = resident_megabytes()
        if self.runs % CHECK_EVERY == 0:
            self.check()

    def check(self) -> None:
        self.last = resident_megabytes()
        if self.warm is not None and self.last - self.warm > self._allowed:
            raise MemoryGrew(f"from {self.warm:.0f} to {self.last:.0f} MB in {self.runs} runs")

    def __str__(self) -> str:
        warm = self.begun if self.warm is None else self.warm
        return f"{warm:.0f} MB warm, {self.last:.0f} MB at the end"
