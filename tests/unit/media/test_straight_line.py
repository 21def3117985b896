"""One person and one agent with nothing to mix: what goes when, toward either side."""

from __future__ import annotations

import struct

from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import Slot, Subscription
from ringback.media.plane import FRAME_MS
from ringback.media.straight_line import LIVE_FRAMES, MOST_AT_ONCE, STANDING_FRAMES
from unit.media.ticked_leg import TickedLeg

SILENCE = None


def level(value: int) -> bytes:
    return struct.pack("<160h", *([value] * 160))


class Person(TickedLeg):
    def __init__(self) -> None:
        self.heard: list[int | None] = []
        self.passed = 0

    def read(self, now: float) -> bytes | None:
        return None

    def write(self, frame: bytes | None, now: float) -> None:
        self.heard.append(None if frame is None else struct.unpack_from("<h", frame)[0])

    def skip(self, frames: int) -> None:
        self.passed += frames

    def set_sample_rate(self, sample_rate: int) -> None:
        """Only one rate comes up."""


def broken(subscription: Subscription) -> None:
    raise AssertionError("a tick failed")


class Ear:
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def on_audio(self, frame: bytes) -> None:
        self.heard.append(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None: ...

    def on_mark(self, name: str) -> None: ...

    def on_detached(self) -> None: ...


class Line:
    """A bridge on a clock that is moved by hand."""

    def __init__(self) -> None:
        self.counters = MediaCounters()
        self.bridge = AudioBridge(8000, self.counters)
        self.slot = Slot()
        self.bridge.pace = self.slot.add(self._tick)
        self.bridge.talking = True
        self.person, self.ear = Person(), Ear()
        self.bridge.set_leg(self.person)
        self.port = self.bridge.attach(self.ear, 8000)
        self.now = 0.0

    def is_straight(self) -> bool:
        return self.bridge.line is not None

    def _tick(self, now: float, unseen: int) -> None:
        if self.bridge.line is None:
            self.bridge.tick(now, unseen)
        else:
            self.bridge.line.tick(now, unseen)

    def tick(self, times: int = 1, frames: int = 1) -> None:
        for _ in range(times):
            self.now += 0.02 * frames
            self.slot.run(self.now, frames, broken)

    def say(self, *values: int) -> None:
        for value in values:
            frame = level(value)
            if not self.port.pass_on(frame):
                self.port.play(frame)


def test_what_an_agent_says_goes_at_once_even_two_slots_early() -> None:
    line = Line()
    line.say(1, 2, 3, 4)
    assert line.person.heard == [1, 2]
    line.tick()
    assert line.person.heard == [1, 2, 3]
    line.tick(3)
    assert line.person.heard == [1, 2, 3, 4]


def test_an_agent_that_speaks_in_time_is_never_interrupted_by_a_tick() -> None:
    line = Line()
    for value in range(1, 51):
        line.say(value)
        line.tick()
    assert line.person.heard == list(range(1, 51))
    assert line.person.passed == 0


def test_one_frame_may_be_late() -> None:
    line = Line()
    line.say(1)
    line.tick(2)
    assert line.person.heard == [1]
    line.say(2, 3)
    assert line.person.heard == [1, 2, 3]
    assert line.person.passed == 0


def test_when_speech_is_over_silence_follows_after_a_pause() -> None:
    line = Line()
    line.say(1)
    line.tick(3)
    assert line.person.heard == [1, SILENCE]
    assert line.person.passed == 1
    line.tick(2)
    assert line.person.heard == [1, SILENCE, SILENCE, SILENCE]
    assert line.person.passed == 1


def test_no_time_is_lost_or_won_over_many_sentences() -> None:
    line = Line()
    for _ in range(100):
        line.say(*range(1, 8))
        line.tick(15)
    assert abs(len(line.person.heard) + line.person.passed - 1500) <= 2


def test_who_pushes_fast_is_paced_by_the_ticks() -> None:
    line = Line()
    line.port.play(b"".join(level(value) for value in range(1, 101)))
    line.tick(50)
    assert line.person.heard == list(range(1, 53))
    assert line.port.played_ms == 52 * FRAME_MS


def test_after_a_stall_three_frames_are_made_up_for_and_the_rest_of_the_time_passes() -> None:
    line = Line()
    line.port.play(b"".join(level(value) for value in range(1, 11)))
    line.tick(frames=10)
    assert line.person.heard == [1, 2, 3, 4, 5, 6, 7]
    assert line.person.passed == 5


def test_nothing_goes_before_the_call_is_answered() -> None:
    line = Line()
    line.bridge.talking = False
    line.say(1)
    line.tick()
    assert line.person.heard == [SILENCE]
    line.bridge.talking = True
    line.tick()
    assert line.person.heard == [SILENCE, 1]


def test_what_went_early_is_held_back_when_the_line_ends() -> None:
    line = Line()
    line.say(1, 2)
    line.bridge.on_hold = True
    line.tick(2)
    assert line.person.heard == [1, 2]
    line.tick()
    assert line.person.heard == [1, 2, SILENCE]
    line.bridge.on_hold = False
    line.say(3)
    assert line.person.heard[-1] == 3


class Recorder:
    def __init__(self) -> None:
        self.pairs: list[tuple[bytes | None, bytes | None]] = []

    def write(self, caller: bytes | None, agent: bytes | None) -> None:
        self.pairs.append((caller, agent))

    def skip(self, frames: int) -> None: ...

    def set_sample_rate(self, sample_rate: int) -> None: ...


def test_a_recording_is_as_long_as_the_call_whatever_went_early() -> None:
    line, recorder = Line(), Recorder()
    line.bridge.record(recorder)
    for _ in range(10):
        line.say(1, 2, 3)
        line.tick(5)
        line.bridge.held = not line.bridge.held
    assert len(recorder.pairs) == 50
    assert recorder.pairs[0][1] == level(1)
    assert recorder.pairs[1][1] == level(2)


def test_a_second_agent_or_a_conference_ends_the_line_and_its_going_draws_it_again() -> None:
    line = Line()
    other = line.bridge.attach(Ear(), 8000)
    assert not line.is_straight()
    other.detach()
    assert line.is_straight()
    host = Line()
    line.bridge.join(host.bridge)
    assert not line.is_straight()
    assert not host.is_straight()
    line.bridge.part()
    assert line.is_straight()
    assert host.is_straight()


def test_a_clock_that_is_late_does_not_end_speech() -> None:
    line = Line()
    line.say(1)
    line.tick()
    line.say(2)
    line.tick()
    line.now += 0.06
    for _ in range(3):
        line.slot.run(line.now, 1, broken)
    line.say(3, 4, 5)
    line.tick()
    assert line.person.heard == [1, 2, 3, 4, 5]
    assert line.person.passed == 0


def test_speech_that_ends_while_the_clock_is_late_is_over_a_tick_later() -> None:
    line = Line()
    line.say(1)
    line.tick(1, frames=4)
    assert line.person.heard == [1]
    line.tick(1)
    assert line.person.heard == [1, SILENCE]
    assert line.person.passed + len(line.person.heard) == 5


def stalled(before: int) -> Line:
    """An agent that speaks at an even pace, in the middle of which everything stood still."""
    line = Line()
    for _ in range(before):
        line.say(9000)
        line.tick()
    line.tick(1, frames=20)
    line.say(*[9000] * 20)
    return line


def test_after_a_stall_an_agent_that_speaks_in_real_time_is_on_time_again() -> None:
    line = stalled(LIVE_FRAMES)
    for _ in range(2 * STANDING_FRAMES):
        line.say(9000)
        line.tick()
    assert line.port.queued == 0
    assert line.counters.playout_discarded_ms == 15 * 20
    assert line.person.passed == 17


def test_of_an_agent_that_has_not_shown_that_it_speaks_in_real_time_nothing_is_left_out() -> None:
    line = stalled(LIVE_FRAMES // 2)
    for _ in range(2 * STANDING_FRAMES):
        line.say(9000)
        line.tick()
    assert line.port.queued == 15 * 320
    assert line.counters.playout_discarded_ms == 0


def test_an_agent_that_brings_a_sentence_at_once_is_heard_whole_whatever_it_did_before() -> None:
    line = Line()
    for _ in range(2 * LIVE_FRAMES):
        line.say(9000)
        line.tick()
    line.say(*range(1, MOST_AT_ONCE + 5))
    for _ in range(2 * STANDING_FRAMES):
        line.tick()
    assert line.person.heard[-1] is SILENCE
    said = [each for each in line.person.heard if each is not SILENCE]
    assert said[-MOST_AT_ONCE - 4 :] == list(range(1, MOST_AT_ONCE + 5))


def test_nothing_is_left_out_of_what_an_agent_pushes_ahead() -> None:
    line = Line()
    line.say(*[3] * 700)
    line.tick(700)
    assert line.person.heard == [3] * 700
