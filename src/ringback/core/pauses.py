"""What may stop a process with live calls, and for how long.

**Threads.** Whoever runs Python holds the interpreter for a while before another thread gets it:
5 ms by default, in which no packet is read. Here it is ``SWITCH_SECONDS``.

**Garbage.** A full collection looks at every object, and nothing else runs meanwhile: 90 ms with
220 calls, in all of them at once. What a call leaves goes by itself, so that there is hardly
anything to find. So young objects alone are collected by their number, which takes a few
milliseconds, and everything

- when nobody would hear it: no call is live,
- when the process has become so much larger that there may be something to find after all,
- else every hour.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ringback.core.clock import Clock

SWITCH_SECONDS = 1e-4
"""``sys.setswitchinterval``: for how long another thread may go on while the event loop waits."""
THRESHOLDS = (1_000, 5, 1_000_000)
"""Those of ``gc.set_threshold``: as often as keeps a collection of young objects short; a full one
never by itself."""
LOOK_SECONDS = 10.0
QUIET_SECONDS = 60.0
"""Between two full collections while no call is live."""
BUSY_SECONDS = 3600.0
"""The same while there are some."""
GROWTH_BYTES = 64 << 20
GROWTH_SHARE = 0.25
"""A process that grew by so much, and by this share of what it was, is worth a look."""


class FullCollections:
    """Decides; pure."""

    def __init__(self, now: float, memory: int) -> None:
        """As ``done``."""
        self._at, self._memory = now, memory

    def due(self, now: float, live: int, memory: int) -> bool:
        """Whether everything is to be collected now, while ``live`` calls live and the process has
        ``memory`` bytes."""
        since = now - self._at
        grown = memory - self._memory
        return since >= (BUSY_SECONDS if live else QUIET_SECONDS) or grown >= max(
            GROWTH_BYTES, GROWTH_SHARE * self._memory
        )

    def done(self, now: float, memory: int) -> None:
        """Everything has been collected."""
        self._at, self._memory = now, memory


class ShortPauses:
    """Those of this process, from ``start`` on; what is there by then is never looked at again.
    ``live`` counts calls."""

    def __init__(self, clock: Clock, live: Callable[[], int]) -> None:
        self._clock = clock
        self._live = live
        self._full = FullCollections(0.0, 0)
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """On the running event loop."""
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        self._note()
        self._look_later()

    def stop(self) -> None:
        """Look no more; what was set for the process stays. Twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._look_later()
        something_was_made = _young_collections() > self._seen
        if something_was_made and self._full.due(
            self._clock.monotonic(), self._live(), resident_bytes()
        ):
            gc.collect()
            self._note()

    def _note(self) -> None:
        self._seen = _young_collections()
        self._full.done(self._clock.monotonic(), resident_bytes())


def _young_collections() -> int:
    return int(gc.get_stats()[1]["collections"])


def resident_bytes() -> int:
    """Memory of this process; 0 where nobody can tell (``/proc/self/statm`` of Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
