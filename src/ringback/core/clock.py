"""Where the drivers get the time from, so that tests can hand them another one."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never goes back. For timers and pacing."""
        ...

    def now(self) -> datetime:
        """The wall clock, timezone-aware UTC. For records that people read."""
        ...


class SystemClock:
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        return datetime.now(UTC)
