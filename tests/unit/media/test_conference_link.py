"""A conference over two processes: two bridges, each ticked by its own hand."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from ringback.core.errors import LimitReached
from ringback.media.bridge import MAX_PARTICIPANTS, AudioBridge
from ringback.media.conference_link import MAX_WAITING, ConferenceLink, LinkLeg
from ringback.media.metrics import MediaCounters
from unit.media.test_conference import Agent, Person, level, value

RATE = struct.Struct("!I")


class Side:
    """One process: a call with its person and its agent, and a link to the other one."""

    def __init__(
        self, connection: socket.socket, person: int, agent: int = 0, rate: int = 8000
    ) -> None:
        self.bridge = AudioBridge(rate, MediaCounters())
        self.bridge.talking = True
        self.person = Person(person)
        self.bridge.set_leg(self.person)
        self.agent = Agent()
        self.port = self.bridge.attach(self.agent, None)
        self.says = agent
        self.time = 0.0
        self.link = ConferenceLink(self.bridge, connection, MediaCounters())

    def tick(self, frames: int = 1) -> None:
        for _ in range(frames):
            if self.says:
                self.port.play(level(self.says, self.bridge.sample_rate))
            self.time += 0.02
            self.bridge.tick(self.time)

    @property
    def heard(self) -> int:
        return middle(self.person.heard)

    @property
    def agent_heard(self) -> int:
        return middle(self.agent.heard)


def middle(frame: bytes | None) -> int:
    """What a frame says away from the edges, where a filter may ring."""
    if not frame:
        return 0
    samples = np.frombuffer(frame, np.int16)
    return int(np.median(samples))


def both(one: Side, other: Side, frames: int = 1) -> None:
    for _ in range(frames):
        one.tick()
        other.tick()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


Ends = tuple[socket.socket, socket.socket]


def test_everybody_hears_everybody_else_and_never_themselves(ends: Ends) -> None:
    one, other = Side(ends[0], 1, 20), Side(ends[1], 300, 4000)
    both(one, other, 10)
    assert (one.heard, one.agent_heard) == (4320, 4301)
    assert (other.heard, other.agent_heard) == (4021, 321)


def test_a_second_call_on_each_side_is_heard_over_there_too(ends: Ends) -> None:
    one, other = Side(ends[0], 1), Side(ends[1], 300)
    neighbour = AudioBridge(8000, MediaCounters())
    person = Person(7000)
    neighbour.set_leg(person)
    neighbour.join(one.bridge)
    both(one, other, 10)
    assert (one.heard, value(person.heard), other.heard) == (7300, 301, 7001)


def test_three_processes_around_one_host_hear_each_other() -> None:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    host, guest = Side(pairs[0][0], 1), Side(pairs[0][1], 20)
    second = ConferenceLink(host.bridge, pairs[1][0], MediaCounters())
    far = Side(pairs[1][1], 300)
    for _ in range(10):
        host.tick()
        guest.tick()
        far.tick()
    assert (host.heard, guest.heard, far.heard) == (320, 301, 21)
    for link in (second, host.link, guest.link, far.link):
        link.close()


def test_each_side_keeps_its_own_rate(ends: Ends) -> None:
    one, other = Side(ends[0], 1000, rate=8000), Side(ends[1], 3000, rate=16000)
    both(one, other, 20)
    assert (one.bridge.sample_rate, other.bridge.sample_rate) == (8000, 16000)
    assert one.person.heard is not None
    assert other.person.heard is not None
    assert (len(one.person.heard), len(other.person.heard)) == (320, 640)
    assert abs(one.heard - 3000) < 60
    assert abs(other.heard - 1000) < 20


def test_a_rate_may_change_while_they_talk(ends: Ends) -> None:
    one, other = Side(ends[0], 1000), Side(ends[1], 3000)
    both(one, other, 5)
    assert (one.heard, other.heard) == (3000, 1000)
    one.bridge.set_native_rate(16000)
    both(one, other, 20)
    assert abs(one.heard - 3000) < 60
    assert abs(other.heard - 1000) < 20
    one.bridge.set_native_rate(8000)
    both(one, other, 5)
    assert (one.heard, other.heard) == (3000, 1000)


def test_silence_is_silence_on_the_other_side_and_is_not_sent(ends: Ends) -> None:
    one, other = Side(ends[0], 0), Side(ends[1], 3000)
    both(one, other, 5)
    assert other.person.heard is None
    assert one.heard == 3000
    other.person.says = 0
    both(one, other, 3)
    assert one.person.heard is None
    one.tick(5)
    with pytest.raises(BlockingIOError):
        ends[1].recv(10)


def test_after_a_stall_the_newest_are_heard_and_little_waits(ends: Ends) -> None:
    one, other = Side(ends[0], 1), Side(ends[1], 20)
    both(one, other, 3)
    for spoken in range(1000, 1050):
        one.person.says = spoken
        one.tick()
    heard = []
    for _ in range(MAX_WAITING + 2):
        other.tick()
        heard.append(other.heard)
    assert heard == [*range(1050 - MAX_WAITING, 1050), 0, 0]


def test_who_does_not_read_costs_the_other_side_nothing(ends: Ends) -> None:
    one, other = Side(ends[0], 1), Side(ends[1], 20)
    one.tick(5000)
    other.tick()
    assert other.heard == 1
    one.tick()
    assert one.heard == 20
    other.tick(MAX_WAITING)
    one.tick()
    other.tick()
    assert (one.heard, other.heard) == (20, 1)


def test_the_death_of_the_other_side_leaves_those_here_to_themselves(ends: Ends) -> None:
    one, other = Side(ends[0], 1, 500), Side(ends[1], 20)
    both(one, other, 3)
    ends[1].close()
    one.tick(5)
    assert (one.heard, one.agent_heard) == (500, 1)
    one.link.close()
    one.tick()
    assert (one.heard, one.agent_heard) == (500, 1)
    assert one.bridge.members == (one.bridge,)


def test_the_link_closed_first_leaves_the_call(ends: Ends) -> None:
    one, other = Side(ends[0], 1, 500), Side(ends[1], 20)
    both(one, other, 3)
    one.link.close()
    one.link.close()
    assert ends[0].fileno() == -1
    both(one, other, 5)
    assert (one.heard, other.heard, other.agent_heard) == (500, 0, 20)


def test_the_call_closed_first_leaves_a_link_that_can_be_closed(ends: Ends) -> None:
    one, other = Side(ends[0], 1), Side(ends[1], 20)
    both(one, other, 3)
    one.bridge.close()
    assert len(one.bridge.members) == 1
    both(one, other, 3)
    assert other.heard == 0
    one.link.close()
    one.link.close()
    assert ends[0].fileno() == -1
    other.tick()


def test_a_full_conference_takes_no_link_and_keeps_no_socket(ends: Ends) -> None:
    host = AudioBridge(8000, MediaCounters())
    for _ in range(MAX_PARTICIPANTS - 1):
        AudioBridge(8000, MediaCounters()).join(host)
    with pytest.raises(LimitReached) as caught:
        ConferenceLink(host, ends[0], MediaCounters())
    assert caught.value.code == "conference_full"
    assert ends[0].fileno() == -1
    assert len(host.members) == MAX_PARTICIPANTS
    other = Side(ends[1], 20)
    other.tick(3)
    assert other.heard == 0


@pytest.mark.parametrize(
    "rubbish",
    [
        b"x",
        RATE.pack(8000),
        RATE.pack(0) + b"",
        RATE.pack(0) + bytes(320),
        RATE.pack(8000) + bytes(318),
        RATE.pack(8000) + bytes(321),
        RATE.pack(16000) + bytes(320),
        RATE.pack(8001) + bytes(320),
        RATE.pack(0xFFFFFFFF) + bytes(2000),
        os.urandom(5000),
    ],
    ids=len,
)
def test_what_is_no_frame_harms_nobody(ends: Ends, rubbish: bytes) -> None:
    one = Side(ends[0], 1, 500)
    ends[1].send(rubbish)
    one.tick(2)
    ends[1].send(RATE.pack(8000) + level(4000))
    one.tick()
    assert (one.heard, one.agent_heard) == (4500, 4001)


def test_a_link_leg_sends_nothing_when_nothing_is_to_hear_and_skips_nothing(ends: Ends) -> None:
    leg = LinkLeg(ends[0])
    leg.write(None, 0.0)
    leg.skip(3)
    leg.flow(0.0, 3)
    leg.hand_over(None)
    assert not leg.inlet.open
    ends[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        ends[1].recv(10)
    leg.set_sample_rate(16000)
    leg.write(level(5, 16000), 0.0)
    assert ends[1].recv(5000) == RATE.pack(16000) + level(5, 16000)
