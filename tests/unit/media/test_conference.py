"""Several bridges that meet: who hears whom, at which rate, and what stays with each call."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.core.errors import LimitReached
from ringback.media.agent_port import BridgePort
from ringback.media.bridge import MAX_PARTICIPANTS, AudioBridge
from ringback.media.metrics import MediaCounters
from unit.media.ticked_leg import TickedLeg


def level(value: int, rate: int = 8000) -> bytes:
    return struct.pack(f"<{rate // 50}h", *[value] * (rate // 50))


def value(frame: bytes | None) -> int:
    """What a frame of one level says, 0 for silence."""
    if frame is None:
        return 0
    samples = np.frombuffer(frame, np.int16)
    assert len(set(samples.tolist())) == 1
    return int(samples[0])


class Person(TickedLeg):
    """Says one level forever; remembers the last thing heard."""

    def __init__(self, says: int) -> None:
        self.says = says
        self.rate = 8000
        self.heard: bytes | None = None
        self.frames = 0

    def read(self, now: float) -> bytes | None:
        return level(self.says, self.rate) if self.says else None

    def write(self, frame: bytes | None, now: float) -> None:
        assert frame is None or len(frame) == self.rate // 25
        self.heard = frame
        self.frames += 1

    def skip(self, frames: int) -> None:
        self.frames += frames

    def set_sample_rate(self, sample_rate: int) -> None:
        self.rate = sample_rate


class Agent:
    def __init__(self) -> None:
        self.heard: bytes | None = None
        self.digits: list[str] = []

    def on_audio(self, frame: bytes) -> None:
        self.heard = frame

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        self.digits.append(digit)

    def on_mark(self, name: str) -> None:
        pass

    def on_detached(self) -> None:
        pass


class Tape:
    def __init__(self) -> None:
        self.sides: tuple[int, int] = (-1, -1)
        self.rate = 8000

    def write(self, caller: bytes | None, agent: bytes | None) -> None:
        self.sides = value(caller), value(agent)

    def skip(self, frames: int) -> None:
        pass

    def set_sample_rate(self, sample_rate: int) -> None:
        self.rate = sample_rate


class Music:
    def take(self, sample_rate: int) -> bytes | None:
        return level(1000, sample_rate)


class Call:
    """A person, an agent with much to say, and a tape, around one bridge."""

    def __init__(self, person: int, agent: int = 0, rate: int = 8000) -> None:
        self.bridge = AudioBridge(8000, MediaCounters())
        self.bridge.talking = True
        self.person = Person(person)
        self.bridge.set_leg(self.person, rate)
        self.agent = Agent()
        self.port: BridgePort = self.bridge.attach(self.agent, None)
        self.says = agent
        self.tape = Tape()
        self.tape.rate = self.bridge.sample_rate
        self.bridge.record(self.tape)

    def speak(self) -> None:
        if self.says:
            self.port.play(level(self.says, self.port.sample_rate))

    @property
    def hears(self) -> tuple[int, int]:
        """Person, agent."""
        return value(self.person.heard), value(self.agent.heard)


def tick(*calls: Call) -> None:
    for call in calls:
        call.speak()
    for call in calls:
        if call.bridge.host is call.bridge:
            call.bridge.tick(0.0)


@pytest.mark.requirement("call.conference")
def test_everybody_hears_everybody_else_and_nobody_themselves() -> None:
    one, two, three = Call(1, 10), Call(100, 1000), Call(2)
    two.bridge.join(one.bridge)
    three.bridge.join(one.bridge)
    tick(one, two, three)
    total = 1 + 10 + 100 + 1000 + 2
    assert one.hears == (total - 1, total - 10)
    assert two.hears == (total - 100, total - 1000)
    assert three.hears == (total - 2, total)


@pytest.mark.requirement("call.conference")
def test_each_recording_has_its_own_person_left_and_everybody_else_right() -> None:
    one, two = Call(1, 10), Call(100, 1000)
    two.bridge.join(one.bridge)
    tick(one, two)
    assert one.tape.sides == (1, 1110)
    assert two.tape.sides == (100, 1011)


def test_one_tick_moves_all_and_the_others_have_none_of_their_own() -> None:
    one, two = Call(1), Call(2)
    two.bridge.join(one.bridge)
    one.bridge.tick(0.0, skipped=3)
    assert (one.person.frames, two.person.frames) == (4, 4)
    two.bridge.tick(0.0)
    assert two.person.frames == 4


def test_who_parts_is_in_a_call_of_its_own_again() -> None:
    one, two = Call(1, 10), Call(100, 1000)
    two.bridge.join(one.bridge)
    two.bridge.part()
    tick(one, two)
    assert (one.hears, two.hears) == ((10, 1), (1000, 100))


def test_the_end_of_the_conference_s_own_call_parts_everybody() -> None:
    one, two, three = Call(1), Call(2, 20), Call(3)
    two.bridge.join(one.bridge)
    three.bridge.join(one.bridge)
    one.bridge.close()
    tick(two, three)
    assert (two.hears, three.hears) == ((20, 2), (0, 3))
    assert two.bridge.host is two.bridge


def test_who_had_joined_comes_along() -> None:
    one, two, three = Call(1), Call(2), Call(4)
    two.bridge.join(one.bridge)
    one.bridge.join(three.bridge)
    tick(one, two, three)
    assert [call.hears[0] for call in (one, two, three)] == [6, 5, 3]
    assert three.bridge.members == (three.bridge, one.bridge, two.bridge)


def test_joining_one_that_is_joined_is_joining_its_conference() -> None:
    one, two, three = Call(1), Call(2), Call(4)
    two.bridge.join(one.bridge)
    three.bridge.join(two.bridge)
    one.bridge.join(three.bridge)
    assert {call.bridge.host for call in (one, two, three)} == {one.bridge}


def test_who_joins_elsewhere_moves() -> None:
    one, two, three = Call(1), Call(2), Call(4)
    two.bridge.join(one.bridge)
    two.bridge.join(three.bridge)
    tick(one, two, three)
    assert [call.hears[0] for call in (one, two, three)] == [0, 4, 2]


def test_a_conference_has_a_bound() -> None:
    host = Call(0)
    guests = [Call(0) for _ in range(MAX_PARTICIPANTS)]
    for guest in guests[:-1]:
        guest.bridge.join(host.bridge)
    with pytest.raises(LimitReached) as refused:
        guests[-1].bridge.join(host.bridge)
    assert refused.value.code == "conference_full"
    assert guests[-1].bridge.host is guests[-1].bridge


@pytest.mark.requirement("media.music-on-hold")
@pytest.mark.requirement("call.conference")
def test_who_is_held_by_us_hears_music_and_the_others_go_on_without() -> None:
    one, two, three = Call(1, 10), Call(100), Call(2)
    two.bridge.join(one.bridge)
    three.bridge.join(one.bridge)
    two.bridge.on_hold, two.bridge.music = True, Music()
    tick(one, two, three)
    assert one.hears == (12, 3)
    assert three.hears == (11, 13)
    assert two.hears == (1000, 13)
    assert two.tape.sides == (0, 0)


def test_who_is_held_by_the_far_end_hears_nothing_whatever_we_hold() -> None:
    one, two = Call(1), Call(2)
    two.bridge.join(one.bridge)
    two.bridge.on_hold, two.bridge.music, two.bridge.held = True, Music(), True
    tick(one, two)
    assert (one.hears, two.hears) == ((0, 1), (0, 1))


def test_while_we_hold_the_person_two_agents_may_talk() -> None:
    call, second = Call(1, 10), Agent()
    call.bridge.attach(second, 8000)
    call.bridge.on_hold = True
    tick(call)
    assert (value(second.heard), call.hears) == (10, (0, 0))
    assert call.port.played_ms == 20
    call.bridge.held = True
    tick(call)
    assert (value(second.heard), call.port.played_ms) == (0, 20)


def test_what_a_lone_agent_says_to_a_held_person_passes_unheard() -> None:
    call = Call(1, 10)
    call.bridge.on_hold = True
    tick(call)
    assert (call.port.played_ms, call.port.queued_ms) == (0, 0)


def test_agents_of_a_call_that_is_not_answered_wait_and_its_person_is_heard() -> None:
    one, two = Call(1), Call(2, 20)
    two.bridge.talking = False
    two.bridge.join(one.bridge)
    tick(one, two)
    assert (one.hears, two.hears) == ((2, 3), (1, 3))
    assert two.port.queued_ms == 20


def test_keys_reach_the_agents_of_their_own_call() -> None:
    one, two = Call(1), Call(2)
    two.bridge.join(one.bridge)
    two.bridge.dtmf("5", 100)
    assert (one.agent.digits, two.agent.digits) == ([], ["5"])


@pytest.mark.requirement("media.wideband")
def test_the_bridge_runs_at_the_highest_rate_that_a_person_has() -> None:
    one, two, three = Call(1, rate=8000), Call(2, 20, rate=48000), Call(4, rate=16000)
    assert [call.bridge.sample_rate for call in (one, two, three)] == [8000, 48000, 16000]
    three.bridge.join(one.bridge)
    assert one.person.rate == one.tape.rate == one.port.sample_rate == 16000
    two.bridge.join(one.bridge)
    for call in (one, two, three):
        assert call.bridge.sample_rate == call.person.rate == call.port.native_rate == 48000
    tick(one, two, three)
    assert [call.hears for call in (one, two, three)] == [(26, 27), (25, 7), (23, 27)]
    two.bridge.part()
    assert [call.bridge.sample_rate for call in (one, two, three)] == [16000, 48000, 16000]


@pytest.mark.requirement("media.wideband")
def test_a_codec_change_changes_the_rate_and_loses_nobody() -> None:
    call = Call(1, 10)
    tick(call)
    call.bridge.set_native_rate(48000)
    tick(call)
    assert call.hears == (10, 1)
    assert len(call.agent.heard or b"") == 1920
    assert call.tape.rate == 48000
    with pytest.raises(ValueError, match="11025"):
        call.bridge.set_native_rate(11025)


@given(
    says=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=8),
    away=st.sets(st.integers(0, 7)),
)
def test_mix_minus_holds_for_any_number_of_people_and_agents(
    says: list[tuple[int, int]], away: set[int]
) -> None:
    calls = [Call(person, agent) for person, agent in says]
    for call in calls[1:]:
        call.bridge.join(calls[0].bridge)
    for index, call in enumerate(calls):
        call.bridge.on_hold = index in away
    tick(*calls)
    people = [0 if i in away else person for i, (person, _) in enumerate(says)]
    heard = len(calls) > 1 or not away & {0}
    agents = [agent if heard else 0 for _, agent in says]
    total = sum(people) + sum(agents)
    for index, call in enumerate(calls):
        person = 0 if index in away else total - people[index]
        assert call.hears == (person, total - agents[index])
