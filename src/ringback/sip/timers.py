"""The timer values of RFC 3261 (table 4) and a queue of running timers in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

TRYING_DELAY = 0.2
"""Seconds within which an INVITE gets a 100 by itself (RFC 3261 17.2.1)."""


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds. ``t1``: estimate of the round trip; ``t2``: longest interval between
    retransmissions of non-INVITE requests and INVITE responses; ``t4``: how long a message stays
    in the network."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def give_up(self) -> float:
        """64*T1: timers B, F, H, J, L, M, and how long a 2xx waits for its ACK."""
        return 64 * self.t1

    @property
    def invite_response_wait(self) -> float:
        """Timer D over UDP: at least 32 s, however small T1 is."""
        return max(32.0, self.give_up)


class Timer:
    """A handle on one running timer."""

    __slots__ = ("_callback", "when")

    def __init__(self, when: float, callback: Callable[[float], None]) -> None:
        self.when = when
        self._callback: Callable[[float], None] | None = callback

    @property
    def running(self) -> bool:
        return self._callback is not None

    def _take(self) -> Callable[[float], None] | None:
        callback, self._callback = self._callback, None
        return callback


class TimerQueue:
    """Timers ordered by time; those set for the same moment fire in the order they were set.

    A cancelled timer stays in the heap until its time has come or half of the heap is cancelled.
    """

    COMPACT_ABOVE = 256
    """Heaps smaller than this are never rebuilt."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """How many timers are running."""
        return len(self._heap) - self._cancelled

    def start(self, when: float, callback: Callable[[float], None]) -> Timer:
        """Call ``callback(now)`` from the first :meth:`fire` at or after ``when``."""
        timer = Timer(when, callback)
        self._count += 1
        heappush(self._heap, (when, self._count, timer))
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Stop ``timer``; nothing happens if it has fired or was cancelled before."""
        if timer is None or timer._take() is None:
            return
        self._cancelled += 1
        if self._cancelled * 2 > len(self._heap) > self.COMPACT_ABOVE:
            self._heap = [entry for entry in self._heap if entry[2].running]
            heapify(self._heap)
            self._cancelled = 0

    def next(self) -> float | None:
        """When the next running timer is due."""
        while self._heap and not self._heap[0][2].running:
            heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Call everything due at ``now``, including what is started for ``now`` meanwhile."""
        while (due := self.next()) is not None and due <= now:
            callback = heappop(self._heap)[2]._take()
            if callback is not None:
                callback(now)
