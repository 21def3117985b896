"""One person and at most one agent: what either says goes to the other as soon as it comes.

Nothing has to be mixed then, and an agent paces by itself, so nobody waits for a tick. Toward the
person, whose phone plays at an even pace, time is cut into slots of 20 ms; ``owed`` counts those
that have begun and brought nothing yet:

    owed   something comes   after the next tick, with nothing to say
    -2     it waits          -1: nothing to do
    -1     it goes at once    0: nothing to do
     0     it goes at once    1: silence; in the middle of speech: wait
     1     it goes at once    2: speech is over: a pause, then silence

So a frame may be a slot or two early and one late, which any jitter buffer at the far end makes up
for, and who pushes faster than that is paced by the ticks.

Where the clock itself was late, several slots have begun at once, and what an agent said is still
on its way to us: in the middle of speech nothing is filled up then before the next tick. An agent
that spoke in real time, a frame a slot, and since then always has something waiting is late for
the rest of the call, through no fault of its own: what stands in its queue is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.media.agent_port import BridgePort
from ringback.media.express import Inlet
from ringback.media.pacer import Subscription
from ringback.media.tape import Tape

MOST_EARLY = 2
"""Slots that the person may be given before they begin."""
MOST_LATE = 3
"""Slots that are made up for; of more, the oldest stay empty."""
LIVE_FRAMES = 50
"""Who has spoken for so long with nothing waiting speaks in real time."""
MOST_AT_ONCE = 10
"""Frames that such an agent brings in a slot; of one that brings more everything is kept."""
MOST_STANDING = 50
"""Frames that may wait for a stall of ours; with more an agent speaks ahead."""
UNFED_FRAMES = 2
"""Who has brought nothing for so long is waited for no more: the clock takes what waits."""
REAL_TIME = (0.75, 1.15)
"""Frames that an agent in real time brings for each of the clock."""
EXCUSED_FRAMES = 10
"""After a clock that was late: what came meanwhile is still being read."""
STANDING_FRAMES = 25
"""What has waited for so long stands."""


class StraightLeg(Protocol):
    """The part of :class:`ringback.media.bridge.Leg` that a straight line needs."""

    def write(self, frame: bytes | None, now: float) -> None: ...

    def skip(self, frames: int) -> None: ...

    def hand_over(
        self,
        listener: Callable[[bytes | None], None] | None,
        ear: Callable[[bytes], None] | None = None,
    ) -> None: ...

    def flow(self, now: float, frames: int) -> None: ...

    @property
    def inlet(self) -> Inlet: ...


class StraightLine:
    """From its making to ``end``. ``talking``: the agent is let through. ``pace`` is the call's
    place on the clock, which keeps ``owed``."""

    def __init__(
        self,
        leg: StraightLeg,
        port: BridgePort | None,
        tape: Tape | None,
        silence: bytes,
        pace: Subscription,
        *,
        talking: bool,
        ahead: int = 0,
    ) -> None:
        """``ahead``: how many slots the person has been given already."""
        self.talking = talking
        self._leg = leg
        self._inlet = leg.inlet
        self._inlet.pace = pace
        self._pace = pace
        self._port = port
        self._tape = tape
        self._silence = silence
        self._speaking = False
        self._ticked_at = float("-inf")
        self._left = 0
        """Slots owed after the last tick."""
        self._queue = _Standing(pace.slot.frame)
        pace.slot.owed[pace.index] = -ahead
        pace.doze(False)
        leg.hand_over(self._person_said, self._straight_ear())
        if port is not None:
            port.on_queued = self._agent_said
            port.say_now = self._say_now

    def end(self) -> int:
        """Leave both sides to who reads and writes them by the tick. How many slots the person has
        been given before they began."""
        self._pace.doze(False)
        self._leg.hand_over(None)
        passed = self._pace.catch_up()
        if self._tape is not None:
            self._tape.tick(passed)
            self._tape.catch_up()
        if self._port is not None:
            self._port.on_queued = None
            self._port.say_now = None
        return max(0, -self._owed)

    def tick(self, now: float, unseen: int) -> None:
        """20 ms have passed, and ``unseen`` times 20 ms more before them."""
        self._leg.flow(now, 1 + unseen)
        clock_was_late = now == self._ticked_at or self._owed > max(self._left, 0) + 1
        self._ticked_at = now
        if self._owed > MOST_LATE:
            self._pass_time(self._owed - MOST_LATE)
        waiting = self._port is not None and self._port.queued > 0
        if clock_was_late:
            self._queue.excuse(self._pace.slot.frame)
        if waiting:
            self._say_what_waits()
        if self._port is not None and (waiting or self._speaking):
            self._leave_out(self._port)
        if self._owed > 0 and not (clock_was_late and self._speaking):
            self._fill_slots()
        self._left = self._owed
        if self._tape is not None:
            self._tape.tick(1 + unseen)
        self._pace.doze(self._inlet.open and not waiting)

    @property
    def _owed(self) -> int:
        pace = self._pace
        return pace.slot.owed[pace.index]

    def _pay(self, frames: int) -> None:
        pace = self._pace
        pace.slot.owed[pace.index] -= frames

    def _fill_slots(self) -> None:
        while (owed := self._owed) > 0:
            frame = self._port.take() if self.talking and self._port is not None else None
            if frame is not None:
                self._begin_to_speak()
                self._send(frame)
            elif self._speaking and owed == 1:
                return
            else:
                self._speaking = False
                if owed > 1:
                    self._pass_time(owed - 1)
                self._send(None)

    def _pass_time(self, frames: int) -> None:
        self._leg.skip(frames)
        self._pay(frames)
        if self._tape is not None:
            for _ in range(frames):
                self._tape.heard(None)

    def _agent_said(self) -> None:
        """While it goes on, what waits goes out as something comes, and nobody has to look."""
        if self._port is None or not self.talking:
            return
        self._say_what_waits()
        self._observe_queue(self._port)
        if not self._port.queued:
            return
        if self._inlet.open:
            self._pace.doze_for(UNFED_FRAMES)
        else:
            self._pace.doze(False)

    def _say_what_waits(self) -> None:
        while self.talking and self._port is not None and self._owed > -MOST_EARLY:
            frame = self._port.take_whole()
            if frame is None:
                return
            self._begin_to_speak()
            self._send(frame)

    def _begin_to_speak(self) -> None:
        if not self._speaking:
            self._speaking = True
            self._queue.begin(self._pace.slot.frame)

    def _observe_queue(self, port: BridgePort) -> None:
        size = len(self._silence)
        self._queue.observe(-(-port.queued // size), port.brought // size, self._pace.slot.frame)

    def _leave_out(self, port: BridgePort) -> None:
        for _ in range(self._queue.standing(self._pace.slot.frame)):
            port.discard()
        self._observe_queue(port)

    def _say_now(self, frame: bytes) -> bool:
        """Send what is a frame of its own, when nothing waits before it and a slot is open."""
        pace = self._pace
        owed, index = pace.slot.owed, pace.index
        if owed[index] <= -MOST_EARLY or not self.talking:
            return False
        owed[index] -= 1
        if not self._speaking:
            self._begin_to_speak()
        self._leg.write(frame, 0.0)
        if self._tape is not None:
            self._tape.heard(frame)
        return True

    def _straight_ear(self) -> Callable[[bytes], None] | None:
        """Who hears the person's frames as they are, if nobody else has to."""
        if self._port is None or self._tape is not None:
            return None
        return self._port.straight_ear

    def _send(self, frame: bytes | None) -> None:
        self._pay(1)
        self._leg.write(frame, 0.0)
        if self._tape is not None:
            self._tape.heard(frame)

    def _person_said(self, frame: bytes | None) -> None:
        port = self._port
        if port is not None and port.listening:
            port.hear(frame or self._silence)
        if self._tape is not None:
            self._tape.said(frame)


class _Standing:
    """What stands in the queue of an agent that speaks in real time. ``frame`` is the clock's."""

    __slots__ = (
        "_at",
        "_before",
        "_began_with",
        "_brought",
        "_brought_then",
        "_excused_until",
        "_in_time",
        "_least",
        "_since",
    )

    def __init__(self, frame: int) -> None:
        self._at = self._since = self._excused_until = frame
        self._in_time = 0
        """Frames of the clock in which it spoke with nothing waiting, since it last spoke ahead."""
        self._before = self._began_with = 0
        """Frames that waited at the last look, and when this frame of the clock began."""
        self._brought = self._brought_then = 0
        """Frames that it ever brought, and had brought at ``_since``."""
        self._least = 0
        """The fewest that waited at any look since ``_since``."""

    def excuse(self, frame: int) -> None:
        """The clock was late: what an agent brings at once may be our own fault, as what came
        meanwhile is still being read."""
        self._excused_until = frame + EXCUSED_FRAMES

    def begin(self, frame: int) -> None:
        """It speaks again after a silence, which tells nothing."""
        self._at = frame
        self._began_with = self._before

    def observe(self, queued: int, brought: int, frame: int) -> None:
        """``queued`` of the frames that it ever ``brought`` wait. To be told after each change."""
        passed = frame - self._at
        if passed:
            self._began_with = self._before
        ahead = queued - self._began_with > MOST_AT_ONCE and frame >= self._excused_until
        if ahead or queued > MOST_STANDING:
            self._in_time = 0
        if not queued and not self._before:
            self._in_time += passed
        self._at, self._before, self._brought = frame, queued, brought
        if not queued or self._in_time < LIVE_FRAMES:
            self._look_anew(frame)
        self._least = min(self._least, queued)

    def standing(self, frame: int) -> int:
        """How many of the frames are to be left out."""
        passed = frame - self._since
        if passed < STANDING_FRAMES:
            return 0
        slow, fast = REAL_TIME
        goes_on = slow * passed <= self._brought - self._brought_then <= fast * passed
        standing = self._least if goes_on else 0
        self._before -= standing
        self._look_anew(frame)
        return standing

    def _look_anew(self, frame: int) -> None:
        self._since, self._brought_then, self._least = frame, self._brought, self._before
