"""One 20 ms clock for every session of the process.

Sessions are spread over slots of a frame, so that a hundred calls do not all wake in the same
millisecond. The schedule is absolute (frame *n* of slot *k* is due at ``origin + n * 20 ms + k *
4 ms``): an event loop that wakes late delays that one frame and never the ones after it.

``Pacer`` is pure and is driven by hand in tests; ``PacerLoop`` arms one event loop timer for it.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ringback.core.clock import Clock
from ringback.media.plane import FRAME_MS

logger = logging.getLogger(__name__)

FRAME_SECONDS = FRAME_MS / 1000
SLOTS = 5
TIMER_SLACK_SECONDS = 0.001
"""uvloop's timers have whole milliseconds: a slot due sooner than this is run now, not spun for."""
LATE_SECONDS = 0.005
"""A slot that runs so long after its time is late: it uses up what the far end holds in reserve,
before anybody hears it."""
STEADY_SECONDS = 0.03
"""After that much silence a stream is not steady any more."""
MAX_LAG = 0.2
MOST_PATIENT = 2
"""Frames for which an agent is waited for, too, by a process that is late."""
LAG_DECAY = 0.1
"""Of the time that passes: how fast a lag is forgotten."""
DOZE_FRAMES = 25
"""The longest that a session is left alone."""
ROOM = 64
"""Sessions that a slot has room for at first."""
MAX_CATCH_UP_FRAMES = 3
"""After a stall this many frames are made up for in one go; the rest is skipped and counted."""

_SLOT_SECONDS = FRAME_SECONDS / SLOTS
_NEVER = (1 << 63) - 1

Tick = Callable[[float, int], None]
"""``tick(now, unseen)``: play one frame; ``unseen`` frames before it were not ticked, because the
process was too far behind or the session dozed."""


class Subscription:
    """One session's place on the clock. Its figures are in its slot's columns at ``index``."""

    __slots__ = ("active", "error_logged", "index", "slot", "tick")

    def __init__(self, tick: Tick, slot: Slot, index: int) -> None:
        self.tick = tick
        self.slot = slot
        self.index = index
        self.active = True
        self.error_logged = False

    def doze(self, dozes: bool) -> None:
        """Whether this session is left alone while it is on time in both directions."""
        self.slot.wakes[self.index] = _NEVER if dozes else 0

    def doze_for(self, frames: int) -> None:
        """As ``doze``, for at most so many frames."""
        self.slot.wakes[self.index] = self.slot.frame + frames

    @property
    def dozes(self) -> bool:
        return self.slot.wakes[self.index] > self.slot.frame

    def heard_by(self, now: float) -> float:
        """Who was heard no later than that is not on time any more."""
        return now - STEADY_SECONDS - self.slot.lag

    @property
    def unseen(self) -> int:
        """How many frames have passed since the last tick."""
        return self.slot.frame - self.slot.seen[self.index]

    def catch_up(self) -> int:
        """``unseen``, of which the next tick will not tell any more."""
        unseen = self.unseen
        self.slot.seen[self.index] = self.slot.frame
        return unseen


class Slot:
    """Sessions that are ticked together.

    What decides whether one has to be ticked at all lies in columns, one row a session, so that the
    question costs one look at all of them: ``wakes`` (the frame to wake at), ``owed`` (frames that
    are due to its person, one more with every frame) and ``heard`` (when it was heard last).
    A dozing session is ticked when something is owed, when nothing was heard for a while, and now
    and then. ``lag``: for how much longer (seconds) a person is waited for, because the process is
    late itself and what did not come waits to be read; to see to every session just then would
    make it later still. ``late``: how late the present run is.
    """

    __slots__ = (
        "_heard",
        "_owed",
        "_wakes",
        "frame",
        "heard",
        "lag",
        "late",
        "members",
        "offset",
        "owed",
        "seen",
        "wakes",
    )

    def __init__(self, offset: float = 0.0, room: int = ROOM) -> None:
        self.offset = offset
        self.members: list[Subscription] = []
        self.frame = 0
        self.lag = self.late = 0.0
        self.wakes = array("q")
        self.owed = array("q")
        self.heard = array("d")
        self.seen = array("q")
        """The frame of the last tick."""
        self._make_room(room)

    def _make_room(self, room: int) -> None:
        self.wakes = self.wakes + array("q", bytes(8 * room))
        self.owed = self.owed + array("q", bytes(8 * room))
        self.heard = self.heard + array("d", bytes(8 * room))
        self.seen = self.seen + array("q", bytes(8 * room))
        self._wakes = np.frombuffer(self.wakes, np.int64)
        self._owed = np.frombuffer(self.owed, np.int64)
        self._heard = np.frombuffer(self.heard, np.float64)

    def add(self, tick: Tick) -> Subscription:
        index = len(self.members)
        if index == len(self.wakes):
            self._make_room(max(ROOM, index))
        self.wakes[index] = 0
        self.owed[index] = 0
        self.heard[index] = 0.0
        self.seen[index] = self.frame
        self.members.append(Subscription(tick, self, index))
        return self.members[index]

    def remove(self, subscription: Subscription) -> None:
        """The last one takes the place of the one that leaves, which gets a slot of its own, where
        it can still ``catch_up``."""
        index, last = subscription.index, self.members.pop()
        passed = self.frame - self.seen[index]
        if last is not subscription:
            for column in (self.wakes, self.owed, self.seen):
                column[index] = column[last.index]
            self.heard[index] = self.heard[last.index]
            last.index = index
            self.members[index] = last
        subscription.active = False
        alone = Slot(room=1)
        alone.members.append(subscription)
        alone.frame = passed
        subscription.slot, subscription.index = alone, 0

    def run(self, now: float, frames: int, failed: Callable[[Subscription], None]) -> int:
        """``frames`` have passed: tick who has to be; how many that were."""
        self.frame += frames
        count = len(self.members)
        owed = self._owed[:count]
        owed += frames
        due = owed > min(MOST_PATIENT, int(self.lag / FRAME_SECONDS))
        due |= self._heard[:count] < now - STEADY_SECONDS - self.lag
        due |= self._wakes[:count] <= self.frame - int(self.late / FRAME_SECONDS)
        due[self.frame % DOZE_FRAMES :: DOZE_FRAMES] = True
        members, seen, frame = self.members, self.seen, self.frame
        ticked = [members[index] for index in due.nonzero()[0].tolist()]
        for subscription in ticked:
            if subscription.active:
                index = subscription.index
                unseen = max(0, frame - seen[index] - 1)
                seen[index] = frame
                try:
                    subscription.tick(now, unseen)
                except Exception:
                    failed(subscription)
        return len(ticked)


def off_the_clock() -> Subscription:
    """A place that no clock looks at, until there is one that does."""
    return Slot(room=1).add(_never)


def _never(now: float, unseen: int) -> None:
    pass


class Ticker(Protocol):
    """What a session needs of the clock."""

    def add(self, tick: Tick) -> Subscription: ...

    def remove(self, subscription: Subscription) -> None: ...

    def each_round(self, work: Callable[[float], None]) -> None:
        """Call ``work(now)`` after the ticks of each slot, while there are any."""
        ...


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
    slots: int = 0
    """Slots that ran."""
    late: int = 0
    """Of these, those that ran ``LATE_SECONDS`` or more after their time."""

    def add(self, other: PacerCounters) -> None:
        self.frames += other.frames
        self.overruns += other.overruns
        self.skipped += other.skipped
        self.errors += other.errors
        self.slots += other.slots
        self.late += other.late

    def __getstate__(self) -> tuple[int, ...]:
        return self.frames, self.overruns, self.skipped, self.errors, self.slots, self.late

    def __setstate__(self, counts: tuple[int, ...]) -> None:
        self.frames, self.overruns, self.skipped, self.errors, self.slots, self.late = counts


class Pacer:
    """The schedule. ``run_due(now)`` ticks what is due; ``next_due()`` says when to come back.
    ``now`` may be ``TIMER_SLACK_SECONDS`` ahead of the time, which makes no slot late."""

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._slots = [Slot(index * _SLOT_SECONDS) for index in range(SLOTS)]
        self._lag, self._lag_at = 0.0, origin
        self.counters = PacerCounters()

    def __len__(self) -> int:
        return sum(len(slot.members) for slot in self._slots)

    def add(self, tick: Tick, now: float) -> Subscription:
        """Join the least loaded slot; the first tick is the slot's next one."""
        slot = min(self._slots, key=lambda slot: len(slot.members))
        if not slot.members:
            slot.frame = max(0, int((now - self._origin - slot.offset) / FRAME_SECONDS))
        return slot.add(tick)

    def remove(self, subscription: Subscription) -> None:
        """Leave the clock. Twice is once, and it may happen inside a tick."""
        if subscription.active:
            subscription.slot.remove(subscription)

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

    def _due(self, slot: Slot) -> float:
        return self._origin + slot.offset + (slot.frame + 1) * FRAME_SECONDS

    def _run(self, slot: Slot, now: float) -> None:
        after = now - self._due(slot)
        late = after - TIMER_SLACK_SECONDS - LATE_SECONDS
        forgotten = LAG_DECAY * max(0.0, now - self._lag_at)
        slot.lag = self._lag = min(MAX_LAG, max(late, self._lag - forgotten, 0.0))
        slot.late, self._lag_at = min(MAX_LAG, max(late, 0.0)), now
        behind = int(after / FRAME_SECONDS)
        counters = self.counters
        counters.slots += 1
        counters.late += late >= 0
        if behind:
            counters.overruns += 1
        give_up = max(0, behind - MAX_CATCH_UP_FRAMES)
        counters.skipped += give_up
        counters.frames += slot.run(now, 1 + give_up, self._failed)

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
        self._each_round: list[Callable[[float], None]] = []

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

    def each_round(self, work: Callable[[float], None]) -> None:
        """``work`` must not raise."""
        self._each_round.append(work)

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
            now = self._clock.monotonic() + TIMER_SLACK_SECONDS
            self._pacer.run_due(now)
            for work in self._each_round:
                work(now)
        finally:
            # Whatever failed: a clock that is not armed again stops every call.
            self._running = False
            self._arm()
