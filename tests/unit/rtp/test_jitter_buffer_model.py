"""The buffer against every network that hypothesis can think of."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import RtpPacket
from ringback.rtp.playout import EMPTY, Frame, Lost

TICK = 0.020
MAX_FRAMES = 10
MAX_TRANSIT = 0.5
"""Packets that are longer under way are lost, as the buffer takes them for another timeline."""


class Sender:
    """Numbers packets; each payload is the count of packets before it, whatever becomes of
    sequence numbers and sources."""

    def __init__(self, sequence: int, timestamp: int) -> None:
        self.sequence = sequence
        self.timestamp = timestamp
        self.ssrc = 1
        self.count = 0
        self.times: list[int] = []
        self.clock = 0

    def packet(self) -> RtpPacket:
        payload = self.count.to_bytes(4, "big")
        packet = RtpPacket(0, self.sequence, self.timestamp, self.ssrc, payload)
        self.count += 1
        self.times.append(self.clock)
        self.sequence = (self.sequence + 1) & 0xFFFF
        return packet

    def pass_time(self, samples: int = 160) -> None:
        self.clock += samples
        self.timestamp = (self.timestamp + samples) & 0xFFFFFFFF


def number_of(packet: RtpPacket | Frame) -> int:
    return int.from_bytes(packet.payload, "big")


class Network(RuleBasedStateMachine):
    """A sender that talks and pauses, a network that delays, drops, doubles and overtakes, and a
    pacer."""

    @initialize(sequence=st.integers(0, 0xFFFF), timestamp=st.integers(0, 0xFFFFFFFF))
    def start(self, sequence: int, timestamp: int) -> None:
        self.buffer = JitterBuffer(8000, max_frames=MAX_FRAMES)
        self.sender = Sender(sequence, timestamp)
        self.talking = True
        self.now = 50.0
        self.in_flight: list[tuple[float, RtpPacket]] = []
        self.played: list[int] = []
        self.tick()

    def tick(self) -> None:
        """20 ms: one packet leaves the sender, one frame is wanted from the buffer."""
        if self.talking:
            self.in_flight.append((self.now, self.sender.packet()))
        self.sender.pass_time()
        self.in_flight = [
            (sent, packet) for sent, packet in self.in_flight if self.now - sent < MAX_TRANSIT
        ]
        outcome = self.buffer.pop(self.now, lambda packet: packet.sequence % 2 == 0)
        self.now += TICK
        self.check(outcome)

    def check(self, outcome: object) -> None:
        if isinstance(outcome, Frame):
            assert outcome.samples > 0
            self.played.append(number_of(outcome))
        elif isinstance(outcome, Lost):
            assert outcome.samples > 0
        else:
            assert outcome is EMPTY

    def deliver(self, packet: RtpPacket) -> None:
        self.buffer.add(packet, self.now)

    @rule(count=st.integers(1, 10))
    def time_passes(self, count: int) -> None:
        for _ in range(count):
            self.tick()

    @rule(count=st.integers(1, 80))
    def all_goes_well(self, count: int) -> None:
        for _ in range(count):
            self.deliver_all()
            self.tick()

    @rule()
    def deliver_all(self) -> None:
        for _, packet in self.in_flight:
            self.deliver(packet)
        self.in_flight.clear()

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), twice=st.booleans())
    def deliver_one(self, data: st.DataObject, twice: bool) -> None:
        index = data.draw(st.integers(0, len(self.in_flight) - 1))
        self.deliver(self.in_flight[index][1])
        if not twice:
            self.in_flight.pop(index)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def lose_one(self, data: st.DataObject) -> None:
        self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))

    @rule()
    def pause_or_talk(self) -> None:
        self.talking = not self.talking

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.buffer) <= MAX_FRAMES
        assert 40 <= self.buffer.target_ms <= MAX_FRAMES * 20

    def teardown(self) -> None:
        self.talking = False
        for _ in range(200):
            self.tick()
        assert self.buffer.sequences == []


class OneNumbering(Network):
    """Nothing is played twice or out of order, and nothing that came in time is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = -1
        self.in_time: set[int] = set()

    def deliver(self, packet: RtpPacket) -> None:
        if self.sender.times[number_of(packet)] > self.passed:
            self.in_time.add(number_of(packet))
        super().deliver(packet)

    def check(self, outcome: object) -> None:
        super().check(outcome)
        if isinstance(outcome, Frame):
            self.passed = self.sender.times[self.played[-1]]
        elif isinstance(outcome, Lost):
            behind = (self.sender.timestamp - outcome.timestamp) & 0xFFFFFFFF
            assert self.sender.clock - behind > self.passed
            self.passed = self.sender.clock - behind

    @invariant()
    def plays_in_order_and_once(self) -> None:
        assert all(one < following for one, following in itertools.pairwise(self.played))

    @invariant()
    def accounts_for_every_packet(self) -> None:
        counters = self.buffer.counters
        assert counters.resyncs == counters.stray == 0
        assert counters.played == len(self.played)
        assert counters.received == len(self.buffer) + (
            counters.played
            + counters.late
            + counters.duplicate
            + counters.overflow
            + counters.shrunk
        )

    def teardown(self) -> None:
        super().teardown()
        missed = self.in_time - set(self.played)
        assert len(missed) == self.buffer.counters.overflow + self.buffer.counters.shrunk


class AnyNumbering(Network):
    """Whatever the numbers do: nothing breaks, all is bounded, drained and accounted for."""

    @rule(sequence=st.integers(0, 0xFFFF), timestamp=st.integers(0, 0xFFFFFFFF))
    def another_source(self, sequence: int, timestamp: int) -> None:
        self.sender.ssrc += 1
        self.sender.sequence, self.sender.timestamp = sequence, timestamp

    @rule(jump=st.integers(0, 0xFFFFFFFF))
    def the_timestamp_jumps(self, jump: int) -> None:
        self.sender.pass_time(jump)

    @rule(sequence=st.integers(0, 0xFFFF))
    def the_sequence_jumps(self, sequence: int) -> None:
        self.sender.sequence = sequence

    @rule(sequence=st.integers(0, 0xFFFF), stamp=st.integers(0, 0xFFFFFFFF))
    def an_event_or_a_stray_arrives(self, sequence: int, stamp: int) -> None:
        packet = RtpPacket(101, sequence, stamp, self.sender.ssrc)
        self.buffer.pass_over(packet)

    def teardown(self) -> None:
        super().teardown()
        counters = self.buffer.counters
        total = counters.played + counters.late + counters.duplicate + counters.stray
        total += counters.overflow + counters.shrunk
        assert counters.received - total in (0, 1)


TestOneNumbering = OneNumbering.TestCase
TestAnyNumbering = AnyNumbering.TestCase
