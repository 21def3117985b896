"""The short ways in and out do what the long ones do: the same frames, figures and packets."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.audio import codec as codecs
from ringback.media.bridge import AudioBridge
from ringback.media.express import CLOSED, Inlet, alike
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio, RtpAddress
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.rtp.packet import HEADER, RtpPacket

PHONE = ("127.0.0.1", 4000)
STRANGER = ("127.0.0.1", 4002)


class Ear:
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.broken = False

    def on_audio(self, frame: bytes) -> None:
        if self.broken:
            raise RuntimeError("broken ear")
        self.heard.append(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None: ...

    def on_mark(self, name: str) -> None: ...

    def on_detached(self) -> None: ...


class Call:
    """A leg and an agent on a straight line; without ``short`` every packet goes the long way."""

    def __init__(self, *, short: bool, codec: str = "PCMU") -> None:
        self.short = short
        self.counters = MediaCounters()
        self.sent: list[bytes] = []
        self.sent_to: list[Address] = []
        self.rtp = RtpSession(
            RtpIdentity(1, 100, 5000, b"cname"),
            8000,
            self.counters,
            send_rtp=self._send,
            send_rtcp=lambda data, address: None,
            on_dtmf=lambda event: None,
            random=lambda: 0.5,
        )
        self.rtp.negotiate(NegotiatedAudio(RtpAddress(*PHONE), codec, 0), 0.0)
        self.bridge = AudioBridge(8000, self.counters)
        self.bridge.talking = True
        self.bridge.set_leg(self.rtp)
        self.ear = Ear()
        self.port = self.bridge.attach(self.ear, 8000)
        self.now = 10.0
        self.shortened = 0

    def _send(self, data: bytes, address: Address) -> None:
        self.sent.append(data)
        self.sent_to.append(address)

    def receive(self, data: bytes, address: tuple[str, int] = PHONE) -> None:
        inlet = self.rtp.inlet
        inlet.otherwise = self.rtp.on_rtp
        if not self.short:
            self.rtp.on_rtp(data, address, self.now)
            return
        self.shortened += inlet.size != CLOSED
        inlet.on_rtp(data, address, self.now)

    def say(self, frame: bytes) -> None:
        if not self.short or not self.port.pass_on(frame):
            self.port.play(frame)

    def tick(self) -> None:
        self.bridge.tick(self.now)

    def figures(self) -> object:
        self.rtp.settle()
        statistics = self.rtp.receiver.statistics
        buffer = self.rtp.receiver.jitter_buffer
        return (
            dataclasses.asdict(self.counters),
            (statistics.packets_received, statistics.octets_received, statistics.packets_lost),
            (statistics.highest_sequence, statistics.packets_duplicate, statistics.jitter),
            dataclasses.asdict(buffer.counters),
            buffer.target_ms,
            (self.rtp.sender.statistics.packets_sent, self.rtp.sender.statistics.octets_sent),
            round(self.rtp.last_heard, 6),
        )


def packet(sequence: int, *, marker: bool = False, ssrc: int = 7, size: int = 160) -> bytes:
    payload = bytes((sequence * 7 + n * n) & 0xFF for n in range(size))
    second = 0x80 if marker else 0
    return (
        HEADER.pack(
            0x80, second, sequence & 0xFFFF, (160 * sequence + 0xFFFFF000) & 0xFFFFFFFF, ssrc
        )
        + payload
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.floats(0.0, 0.03)),
        st.tuples(st.just("next"), st.floats(0.018, 0.022)),
        st.tuples(st.just("lose"), st.integers(1, 4)),
        st.tuples(st.just("swap"), st.just(0)),
        st.tuples(st.just("again"), st.integers(1, 3)),
        st.tuples(st.just("marker"), st.just(0)),
        st.tuples(st.just("short"), st.integers(1, 159)),
        st.tuples(st.just("stranger"), st.just(0)),
        st.tuples(st.just("pause"), st.integers(1, 12)),
        st.tuples(st.just("say"), st.integers(1, 4)),
        st.tuples(st.just("ask"), st.just(0)),
    ),
    min_size=1,
    max_size=120,
)


def play(call: Call, steps: list[tuple[str, float]]) -> None:
    sequence = 65_500
    # The latch follows another SSRC at once for two seconds after an SDP: the short way is shut.
    for _ in range(110):
        call.now += 0.02
        call.receive(packet(sequence))
        sequence += 1
        call.tick()
    for what, amount in steps:
        call.now += 0.02
        if what == "next":
            call.now += amount - 0.02
            call.receive(packet(sequence))
        elif what == "lose":
            sequence += int(amount)
            call.receive(packet(sequence))
        elif what == "swap":
            call.receive(packet(sequence + 1))
            call.receive(packet(sequence))
            sequence += 1
        elif what == "again":
            call.receive(packet(sequence - int(amount)))
            call.receive(packet(sequence))
        elif what == "marker":
            call.receive(packet(sequence, marker=True))
        elif what == "short":
            call.receive(packet(sequence, size=int(amount)))
        elif what == "stranger":
            call.receive(packet(sequence), STRANGER)
            call.receive(packet(sequence, ssrc=8))
            call.receive(packet(sequence))
        elif what == "pause":
            for _ in range(int(amount)):
                call.now += 0.02
                call.tick()
            call.receive(packet(sequence))
        elif what == "say":
            for n in range(int(amount)):
                call.say(bytes((n, 3)) * 160)
            call.receive(packet(sequence))
        elif what == "ask":
            call.figures()
            call.receive(packet(sequence))
        sequence += 1
        call.tick()


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_the_short_way_and_the_long_one_cannot_be_told_apart(
    steps: list[tuple[str, float]],
) -> None:
    short, long = Call(short=True), Call(short=False)
    play(short, steps)
    play(long, steps)
    assert short.ear.heard == long.ear.heard
    assert short.sent == long.sent
    assert short.figures() == long.figures()
    assert short.shortened > 0


def test_a_steady_stream_takes_the_short_way() -> None:
    call = Call(short=True)
    play(call, [("next", 0.02)] * 200)
    assert call.shortened >= 195
    call.rtp.settle()
    assert call.counters.packets_received == 310
    call.receive(packet(65_810))
    assert call.counters.packets_received == 310
    call.rtp.settle()
    assert call.counters.packets_received == 311


def test_an_ear_that_fails_on_the_short_way_is_told_like_any_other() -> None:
    call = Call(short=True)
    play(call, [])

    def broken(frame: bytes) -> None:
        raise RuntimeError("broken ear")

    call.ear.on_audio = broken  # type: ignore[method-assign]
    call.port.listening = True
    for sequence in range(65_610, 65_614):
        call.now += 0.02
        call.receive(packet(sequence))
    assert call.counters.ear_errors == 1
    assert call.bridge.ports == ()


def test_a_codec_that_has_nothing_to_send_leaves_a_pause() -> None:
    call = Call(short=True)
    play(call, [])
    call.say(bytes(320))
    outlet = call.rtp._outlet
    assert outlet is not None
    before = list(call.sent)
    outlet.encode = lambda frame: b""
    call.tick()
    call.say(bytes(320))
    assert call.sent == before
    call.tick()
    call.say(bytes(320))
    last, new = (RtpPacket.parse(data) for data in (before[-1], call.sent[-1]))
    assert new.sequence == last.sequence + 1
    assert new.marker
    assert new.timestamp - last.timestamp == 320


@pytest.mark.requirement("media.symmetric-rtp")
def test_what_is_sent_follows_the_phone_to_where_it_speaks_from() -> None:
    call = Call(short=True)
    for _ in range(5):
        call.now += 0.02
        call.say(bytes(320))
        call.tick()
    assert set(call.sent_to) == {PHONE}
    for sequence in range(10):
        call.now += 0.02
        call.receive(packet(sequence), ("127.0.0.1", 4444))
        call.say(bytes(320))
        call.tick()
    assert call.sent_to[-1] == ("127.0.0.1", 4444)


def test_an_ear_that_begins_to_fail_on_the_short_way_is_detached_too() -> None:
    call = Call(short=True)
    play(call, [])
    call.ear.broken = True
    failed = 0
    for sequence in range(65_610, 65_614):
        call.now += 0.02
        try:
            call.receive(packet(sequence))
        except RuntimeError:
            failed += 1
    assert (failed, call.counters.ear_errors) == (1, 1)
    assert call.bridge.ports == ()
    call.rtp.settle()
    assert call.counters.packets_received == 114
    assert call.rtp.receiver.statistics.packets_lost == 0


def test_what_cannot_be_decoded_takes_the_long_way() -> None:
    inlet, otherwise = Inlet(), []
    data = packet(1)
    inlet.size, inlet.address, inlet.ssrc, inlet.head = len(data), PHONE, 7, 0x8000
    inlet.sequence, inlet.timestamp = 1, (160 + 0xFFFFF000) & 0xFFFFFFFF

    def decode(payload: bytes) -> bytes:
        raise ValueError("not a payload")

    inlet.decode = decode
    inlet.otherwise = lambda data, address, now: otherwise.append(data)
    inlet.on_rtp(data, PHONE, 1.0)
    assert otherwise == [data]
    assert inlet.arrivals == []


def test_a_packet_of_the_same_size_and_another_length_is_not_alike() -> None:
    opus = codecs.create("opus")
    payload = opus.encode(bytes(1920))
    decode = alike(opus, 960)
    assert len(decode(payload)) == 1920
    forty_ms = bytes([payload[0] & 0b11111100 | 1]) + payload[1:]
    with pytest.raises(ValueError, match="length"):
        decode(forty_ms)
