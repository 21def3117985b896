"""One 20 ms clock for every session of the process.

Sessions are spread over slots of a frame, so that a hundred calls do not all wake in the same
millisecond. The schedule is absolute (frame *n* of slot *k* is due at ``origin + n * 20 ms + k *
2 ms``): an event loop that wakes late delays that one frame and never the ones after it.

``Pacer`` is pure and is driven by hand in tests; ``PacerLoop`` arms one event loop timer for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ringback.core.clock import Clock
from ringback.media.plane import FRAME_MS

logger = logging.getLogger(__name__)

FRAME_SECONDS = FRAME_MS / 1000
SLOTS = 10
TIMER_SLACK_SECONDS = 0.001
"""uvloop's timers have whole milliseconds: a slot due sooner than this is run now, not spun for."""
MAX_CATCH_UP_FRAMES = 3
"""After a stall this many frames are made up for in one go; the rest is skipped and counted."""

_SLOT_SECONDS = FRAME_SECONDS / SLOTS

Tick = Callable[[float, int], None]
"""``tick(now, skipped)``: play one frame; ``skipped`` frames before it were never ticked."""


class Subscription:
    """One session's place on the clock."""

    __slots__ = ("active", "error_logged", "slot", "tick")

    def __init__(self, tick: Tick, slot: int) -> None:
        self.tick = tick
        self.slot = slot
        self.active = True
        self.error_logged = False


class Ticker(Protocol):
    """What a session needs of the clock."""

    def add(self, tick: Tick) -> Subscription: ...

    def remove(self, subscription: Subscription) -> None: ...


@dataclass(slots=True)
class PacerCounters:
    frames: int = 0
    """Ticks given to sessions."""
    overruns: int = 0
    """Slots that ran a whole frame or more after their time."""
    skipped: int = 0
    """Frames of a slot given up because the process was too far behind."""
    errors: int = 0
    """Ticks that raised; the session goes on with its next frame."""


class _Slot:
    __slots__ = ("frame", "members", "offset", "skipped")

    def __init__(self, offset: float) -> None:
        self.offset = offset
        self.members: list[Subscription] = []
        self.frame = 0
        self.skipped = 0


class Pacer:
    """The schedule. ``run_due(now)`` ticks what is due; ``next_due()`` says when to come back."""

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._slots = [_Slot(index * _SLOT_SECONDS) for index in range(SLOTS)]
        self.counters = PacerCounters()

    def __len__(self) -> int:
        return sum(len(slot.members) for slot in self._slots)

    def add(self, tick: Tick, now: float) -> Subscription:
        """Join the least loaded slot; the first tick is the slot's next one."""
        index = min(range(SLOTS), key=lambda i: len(self._slots[i].members))
        slot = self._slots[index]
        if not slot.members:
            slot.frame = max(0, int((now - self._origin - slot.offset) / FRAME_SECONDS) + 1)
        subscription = Subscription(tick, index)
        slot.members.append(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Leave the clock. Twice is once, and it may happen inside a tick."""
        if subscription.active:
            subscription.active = False
            slot = self._slots[subscription.slot]
            # A new list: the one being iterated by a running tick must not shift.
            slot.members = [member for member in slot.members if member is not subscription]

    def next_due(self) -> float | None:
        """When the next slot with a session is due (monotonic seconds), ``None`` without any."""
        due = [self._due(slot) for slot in self._slots if slot.members]
        return min(due) if due else None

    def run_due(self, now: float) -> None:
        """Tick every session whose time has come, the longest waiting slot first."""
        while True:
            slot = min((slot for slot in self._slots if slot.members), key=self._due, default=None)
            if slot is None or self._due(slot) > now:
                return
            self._run(slot, now)

    def _due(self, slot: _Slot) -> float:
        return self._origin + slot.offset + slot.frame * FRAME_SECONDS

    def _run(self, slot: _Slot, now: float) -> None:
        behind = int((now - self._due(slot)) / FRAME_SECONDS)
        if behind:
            self.counters.overruns += 1
        if behind > MAX_CATCH_UP_FRAMES:
            give_up = behind - MAX_CATCH_UP_FRAMES
            slot.frame += give_up
            slot.skipped += give_up
            self.counters.skipped += give_up
        slot.frame += 1
        skipped, slot.skipped = slot.skipped, 0
        for subscription in slot.members:
            if not subscription.active:
                continue
            self.counters.frames += 1
            try:
                subscription.tick(now, skipped)
            except Exception:
                self._failed(subscription)

    def _failed(self, subscription: Subscription) -> None:
        self.counters.errors += 1
        if not subscription.error_logged:
            subscription.error_logged = True
            logger.exception("a call's media tick failed; further failures of it are counted only")


class PacerLoop:
    """Runs a :class:`Pacer` on the running event loop with one timer, none while idle."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pacer = Pacer(clock.monotonic())
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._running = False

    @property
    def counters(self) -> PacerCounters:
        return self._pacer.counters

    def __len__(self) -> int:
        return len(self._pacer)

    def add(self, tick: Tick) -> Subscription:
        subscription = self._pacer.add(tick, self._clock.monotonic())
        if not self._running:
            self._arm()
        return subscription

    def remove(self, subscription: Subscription) -> None:
        self._pacer.remove(subscription)
        if not self._running and not len(self._pacer):
            self._arm()

    def _arm(self) -> None:
        due = self._pacer.next_due()
        if self._timer is not None:
            if due == self._armed_for:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._armed_for = due
            delay = max(0.0, due - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._running = True
        try:
            self._pacer.run_due(self._clock.monotonic() + TIMER_SLACK_SECONDS)
        finally:
            self._running = False
        self._arm()
