"""The receiver against any order of codecs, clocks, pauses, keys, rates and nonsense."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringback.audio import codec, tones
from ringback.audio.codec import Codec
from ringback.media.metrics import MediaCounters
from ringback.media.rtp_receiver import RtpReceiver
from ringback.rtp.dtmf import TelephoneEvent
from ringback.rtp.packet import RtpPacket

NUMBERS = {96: "opus", 9: "G722", 8: "PCMA", 0: "PCMU"}
EVENTS = {101: 8000, 110: 48_000}
COMFORT_NOISE = 97
RATES = st.sampled_from((8000, 16_000, 24_000, 48_000))


class Line(RuleBasedStateMachine):
    @initialize(rate=RATES, sequence=st.integers(0, 0xFFFF), stamp=st.integers(0, 0xFFFFFFFF))
    def start(self, rate: int, sequence: int, stamp: int) -> None:
        self.counters = MediaCounters()
        self.rate = rate
        self.receiver = RtpReceiver(rate, self.counters)
        self.far: dict[int, Codec] = {n: codec.create(name) for n, name in NUMBERS.items()}
        self.configure()
        self.sequence, self.stamp, self.ssrc = sequence, stamp, 1
        self.now = 50.0
        self.held: list[RtpPacket] = []

    def configure(self) -> None:
        ours: dict[int, Codec] = {n: codec.create(name) for n, name in NUMBERS.items()}
        self.receiver.configure(ours, EVENTS, COMFORT_NOISE)

    def send(self, number: int, payload: bytes, units: int, *, arrives: bool = True) -> None:
        packet = RtpPacket(number, self.sequence, self.stamp, self.ssrc, payload)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.stamp = (self.stamp + units) & 0xFFFFFFFF
        if arrives:
            self.receiver.receive(packet, self.now)
        else:
            self.held.append(packet)

    def tick(self) -> None:
        frame = self.receiver.read(self.now)
        self.receiver.poll_dtmf(self.now)
        assert frame is None or len(frame) == self.rate // 25
        self.now += 0.020

    @rule(
        number=st.sampled_from(sorted(NUMBERS)),
        count=st.integers(1, 25),
        ms=st.sampled_from((10, 20, 40, 60)),
        lost=st.sets(st.integers(0, 24), max_size=4),
    )
    def talks(self, number: int, count: int, ms: int, lost: set[int]) -> None:
        coder = self.far[number]
        owed = 0
        for n in range(count):
            payload = coder.encode(tones.sine(440, ms, coder.sample_rate))
            self.send(number, payload, coder.clock_rate * ms // 1000, arrives=n not in lost)
            owed += ms
            while owed >= 20:
                self.tick()
                owed -= 20

    @rule(count=st.integers(1, 80), clock=st.sampled_from((0, 160, 960)))
    def pauses(self, count: int, clock: int) -> None:
        for _ in range(count):
            self.tick()
        self.stamp = (self.stamp + clock * count) & 0xFFFFFFFF

    @rule(payload=st.binary(max_size=12), number=st.sampled_from((13, COMFORT_NOISE)))
    def sends_comfort_noise(self, payload: bytes, number: int) -> None:
        self.send(number, payload, 0)

    @rule(number=st.sampled_from(sorted(EVENTS)), key=st.integers(0, 255), end=st.booleans())
    def presses_a_key(self, number: int, key: int, end: bool) -> None:
        self.send(number, bytes(TelephoneEvent(key, 800, end)), 0)

    @rule(number=st.sampled_from((0, 9, 13, 96, 97, 101, 110)), payload=st.binary(max_size=300))
    def sends_nonsense(self, number: int, payload: bytes) -> None:
        self.send(number, payload, 160)

    @rule(twice=st.booleans())
    def what_was_lost_comes_late(self, twice: bool) -> None:
        for packet in self.held:
            for _ in range(1 + twice):
                self.receiver.receive(packet, self.now)
        self.held.clear()

    @rule(sequence=st.integers(0, 0xFFFF), stamp=st.integers(0, 0xFFFFFFFF), new=st.booleans())
    def jumps(self, sequence: int, stamp: int, new: bool) -> None:
        self.sequence, self.stamp = sequence, stamp
        if new:
            self.ssrc += 1
            self.receiver.restart()

    @rule(rate=RATES)
    def the_bridge_changes_its_rate(self, rate: int) -> None:
        self.rate = rate
        self.receiver.set_sample_rate(rate)

    @rule()
    def is_negotiated_again(self) -> None:
        self.configure()

    @invariant()
    def nothing_piles_up(self) -> None:
        receiver = self.receiver
        assert receiver.jitter_buffer.depth_ms <= 620
        assert len(receiver.jitter_buffer) <= 200
        assert len(receiver._waiting) <= 200
        assert len(receiver._pcm) <= receiver.codec_rate * 2 // 4

    def teardown(self) -> None:
        """Whatever there was, a phone that just talks is heard within a moment."""
        if not hasattr(self, "receiver"):
            return
        for _ in range(60):
            self.tick()
        self.jumps(self.sequence, self.stamp, True)
        coder = self.far[8]
        heard = b""
        for n in range(100):
            self.send(8, coder.encode(tones.sine(400, 20, 8000)), 160)
            frame = self.receiver.read(self.now)
            self.now += 0.020
            if n >= 60:
                heard += frame or b""
        assert tones.goertzel(heard, 400, self.rate) > -23


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
