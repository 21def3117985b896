"""A clock that goes when a test says so."""

from __future__ import annotations

from datetime import UTC, datetime


class ManualClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)
