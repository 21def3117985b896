from __future__ import annotations

import struct

import pytest

from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from unit.media.ticked_leg import TickedLeg

FRAME = 320
SILENCE = bytes(FRAME)


def level(value: int, samples: int = 160) -> bytes:
    return struct.pack(f"<{samples}h", *([value] * samples))


class FakeLeg(TickedLeg):
    """A person who says what is put into ``says`` and remembers what it heard."""

    def __init__(self, *says: bytes | None) -> None:
        self.says = list(says)
        self.heard: list[bytes | None] = []
        self.skipped = 0
        self.rate = 0

    def read(self, now: float) -> bytes | None:
        return self.says.pop(0) if self.says else None

    def write(self, frame: bytes | None, now: float) -> None:
        self.heard.append(frame)

    def skip(self, frames: int) -> None:
        self.skipped += frames

    def set_sample_rate(self, sample_rate: int) -> None:
        self.rate = sample_rate


class Ear:
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.digits: list[str] = []
        self.detached = False

    def on_audio(self, frame: bytes) -> None:
        self.heard.append(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        self.digits.append(digit)

    def on_mark(self, name: str) -> None:
        raise AssertionError("no mark was set")

    def on_detached(self) -> None:
        self.detached = True


class BrokenEar(Ear):
    def on_audio(self, frame: bytes) -> None:
        raise RuntimeError("broken ear")


class Tape:
    def __init__(self) -> None:
        self.frames: list[tuple[bytes | None, bytes | None]] = []
        self.skipped = 0
        self.rate = 0

    def write(self, caller: bytes | None, agent: bytes | None) -> None:
        self.frames.append((caller, agent))

    def skip(self, frames: int) -> None:
        self.skipped += frames

    def set_sample_rate(self, sample_rate: int) -> None:
        self.rate = sample_rate


def talking_bridge(rate: int = 8000) -> AudioBridge:
    bridge = AudioBridge(rate, MediaCounters())
    bridge.talking = True
    return bridge


def test_one_caller_and_one_agent_hear_each_others_bytes_untouched() -> None:
    bridge = talking_bridge()
    said = level(100)
    leg, ear = FakeLeg(said), Ear()
    bridge.set_leg(leg)
    port = bridge.attach(ear, 8000)
    answer = level(7)
    port.play(answer)
    bridge.tick(0.0)
    assert leg.heard[0] is answer
    assert ear.heard[0] is said


def test_nobody_hears_themselves() -> None:
    bridge = talking_bridge()
    leg, first, second = FakeLeg(level(1)), Ear(), Ear()
    bridge.set_leg(leg)
    ports = bridge.attach(first, 8000), bridge.attach(second, 8000)
    ports[0].play(level(10))
    ports[1].play(level(100))
    bridge.tick(0.0)
    assert leg.heard == [level(110)]
    assert first.heard == [level(101)]
    assert second.heard == [level(11)]


def test_a_silent_listener_hears_everybody() -> None:
    bridge = talking_bridge()
    leg, silent = FakeLeg(level(1)), Ear()
    bridge.set_leg(leg)
    bridge.attach(silent, 8000)
    bridge.attach(Ear(), 8000).play(level(2))
    bridge.tick(0.0)
    assert silent.heard == [level(3)]


def test_loud_people_saturate_and_do_not_wrap_around() -> None:
    bridge = talking_bridge()
    ear = Ear()
    bridge.set_leg(FakeLeg(level(30000)))
    bridge.attach(ear, 8000)
    bridge.attach(Ear(), 8000).play(level(30000))
    bridge.tick(0.0)
    assert ear.heard == [level(32767)]


def test_agents_hear_a_steady_cadence_of_silence_when_nobody_speaks() -> None:
    bridge = talking_bridge()
    leg, ear = FakeLeg(), Ear()
    bridge.set_leg(leg)
    bridge.attach(ear, 8000)
    for _ in range(3):
        bridge.tick(0.0)
    assert ear.heard == [SILENCE] * 3
    assert leg.heard == [None] * 3


def test_an_ear_that_does_not_listen_gets_nothing() -> None:
    bridge = talking_bridge()
    ear = Ear()
    bridge.set_leg(FakeLeg(level(1)))
    bridge.attach(ear, 8000, listening=False)
    bridge.tick(0.0)
    assert ear.heard == []


@pytest.mark.parametrize("native", [8000, 16000, 48000])
def test_every_listener_has_its_own_rate_around_any_native_rate(native: int) -> None:
    bridge = talking_bridge(native)
    samples = native // 50
    leg = FakeLeg(*[level(500, samples)] * 5)
    bridge.set_leg(leg)
    ears = {rate: Ear() for rate in (8000, 16000, 24000, 48000)}
    ports = {rate: bridge.attach(ear, rate) for rate, ear in ears.items()}
    for rate, port in ports.items():
        port.play(level(20, rate // 10))
    for _ in range(5):
        bridge.tick(0.0)
    for rate, ear in ears.items():
        assert [len(frame) for frame in ear.heard] == [rate // 50 * 2] * 5
    assert all(len(frame or b"") == samples * 2 for frame in leg.heard[1:])


def test_a_native_rate_without_whole_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="11025"):
        AudioBridge(11025, MediaCounters())


def test_before_the_answer_agents_hear_early_media_and_what_they_push_waits() -> None:
    bridge = AudioBridge(8000, MediaCounters())
    leg, ear = FakeLeg(level(1), level(2)), Ear()
    bridge.set_leg(leg)
    port = bridge.attach(ear, 8000)
    port.play(level(9))
    bridge.tick(0.0)
    assert ear.heard == [level(1)]
    assert leg.heard == [None]
    bridge.talking = True
    bridge.tick(0.02)
    assert leg.heard == [None, level(9)]


def test_on_hold_both_sides_are_cut_and_time_passes() -> None:
    bridge = talking_bridge()
    leg, ear, tape = FakeLeg(level(1), level(2), level(3)), Ear(), Tape()
    bridge.set_leg(leg)
    bridge.record(tape)
    port = bridge.attach(ear, 8000)
    port.play(level(7))
    bridge.tick(0.0)
    bridge.held = True
    port.play(level(8))
    bridge.tick(0.02)
    bridge.held = False
    port.play(level(9))
    bridge.tick(0.04)
    assert leg.heard == [level(7), None, level(9)]
    assert ear.heard == [level(1), SILENCE, level(3)]
    assert tape.frames[1] == (None, None)
    assert port.played_ms == 40


def test_the_recorder_gets_the_caller_and_the_agents_apart() -> None:
    bridge = talking_bridge()
    tape = Tape()
    bridge.record(tape)
    bridge.set_leg(FakeLeg(level(3), None))
    ports = [bridge.attach(Ear(), 8000) for _ in range(2)]
    ports[0].play(level(10))
    ports[1].play(level(20))
    bridge.tick(0.0)
    bridge.tick(0.02)
    assert tape.frames == [(level(3), level(30)), (None, None)]


def test_ticks_that_never_happened_pass_for_the_legs_and_the_recorder() -> None:
    bridge = talking_bridge()
    leg, tape = FakeLeg(), Tape()
    bridge.set_leg(leg)
    bridge.record(tape)
    bridge.tick(0.0, skipped=4)
    assert leg.skipped == 4
    assert tape.frames == [(None, None)] * 5


def test_a_failing_ear_is_detached_and_the_others_hear_on() -> None:
    counters = MediaCounters()
    bridge = AudioBridge(8000, counters)
    bridge.talking = True
    broken, good = BrokenEar(), Ear()
    bridge.set_leg(FakeLeg(level(1), level(2)))
    bridge.attach(broken, 8000)
    bridge.attach(good, 8000)
    bridge.tick(0.0)
    bridge.tick(0.02)
    assert good.heard == [level(1), level(2)]
    assert broken.detached
    assert counters.ear_errors == 1
    assert len(bridge.ports) == 1


def test_keys_reach_every_agent() -> None:
    bridge = talking_bridge()
    ears = [Ear(), Ear()]
    for ear in ears:
        bridge.attach(ear, 8000)
    bridge.dtmf("5", 120)
    assert [ear.digits for ear in ears] == [["5"], ["5"]]


def test_a_leg_that_left_is_neither_read_nor_written() -> None:
    bridge = talking_bridge()
    leg = FakeLeg(level(1))
    bridge.set_leg(leg)
    bridge.set_leg(None)
    bridge.tick(0.0)
    assert (len(leg.says), leg.heard) == (1, [])


def test_closing_detaches_every_agent_and_twice_is_once() -> None:
    bridge = talking_bridge()
    ear = Ear()
    bridge.attach(ear, 8000)
    bridge.close()
    bridge.close()
    assert ear.detached
    assert bridge.ports == ()
