"""A phone leg with each codec, and from one to the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ringback.audio import codec, tones
from ringback.audio.codec import Codec
from ringback.media.plane import NegotiatedAudio
from ringback.rtp.packet import RtpPacketizer
from ringback.rtp.rtcp import (
    ReceiverReport,
    ReportBlock,
    SourceDescription,
    serialise_compound,
)
from unit.media.leg_lab import PHONE, Bench, audio, loudness

NUMBERS = {"opus": 96, "G722": 9, "PCMA": 8, "PCMU": 0}


def agreed(
    name: str, ptime_ms: int = 20, fmtp: str = "", *, all_codecs: bool = True
) -> NegotiatedAudio:
    others = tuple((number, other) for other, number in NUMBERS.items())
    return replace(
        audio(codec=name, payload_type=NUMBERS[name], ptime_ms=ptime_ms),
        clock_rate=codec.clock_rate_of(name),
        fmtp=fmtp,
        receive_codecs=others if all_codecs else (),
    )


class Speaker:
    """The far end: says a tone with one codec after the other, in one numbering."""

    def __init__(
        self, bench: Bench, frequency: int = 1000, packetizer: RtpPacketizer | None = None
    ) -> None:
        self.bench = bench
        self.packetizer = packetizer or RtpPacketizer(0xBEEF, 65500, 0xFFFFF000)
        self.frequency = frequency
        self.codecs: dict[str, Codec] = {}
        self.tones: dict[int, tones.ToneGenerator] = {}
        self.owed_ms = 0
        self.sent = 0
        self.lose: set[int] = set()

    def payload(self, name: str, ms: int, fmtp: str = "") -> tuple[Codec, bytes]:
        coder = self.codecs.setdefault(name, codec.create(name, fmtp=fmtp))
        plan = tones.TonePlan((self.frequency,))
        tone = self.tones.setdefault(
            coder.sample_rate, tones.ToneGenerator(plan, coder.sample_rate)
        )
        return coder, coder.encode(tone.generate(coder.sample_rate * ms // 1000))

    def talk(self, name: str, ms: int, packet_ms: int = 20, fmtp: str = "") -> list[bytes | None]:
        """Talk for ``ms``; what the bridge hears meanwhile, a frame a tick."""
        heard = []
        for _ in range(ms // 20):
            self.owed_ms += 20
            while self.owed_ms >= packet_ms:
                self.owed_ms -= packet_ms
                coder, payload = self.payload(name, packet_ms, fmtp)
                units = coder.clock_rate * packet_ms // 1000
                data = self.packetizer.pack(NUMBERS[name], payload, units)
                if self.sent not in self.lose:
                    self.bench.receive(data)
                self.sent += 1
            heard.append(self.bench.tick())
        return heard


def level(frames: list[bytes | None], frequency: int, sample_rate: int) -> float:
    return tones.goertzel(b"".join(frame or b"" for frame in frames), frequency, sample_rate)


@pytest.mark.requirement("media.codecs", "media.ptime")
@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_codec_is_heard_in_packets_of_any_length(name: str, packet_ms: int) -> None:
    rate = codec.sample_rate_of(name)
    bench = Bench(rate)
    bench.negotiate(agreed(name, all_codecs=False))
    heard = Speaker(bench).talk(name, 2000, packet_ms)
    assert {len(frame) for frame in heard if frame} == {rate // 25}
    assert level(heard[50:], 1000, rate) == pytest.approx(-20, abs=1)
    assert bench.counters.packets_lost == 0
    assert bench.counters.frames_concealed <= 3


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize("name", ["G722", "PCMA"])
def test_packets_of_thirty_milliseconds_are_heard(name: str) -> None:
    rate = codec.sample_rate_of(name)
    bench = Bench(rate)
    bench.negotiate(agreed(name))
    heard = Speaker(bench).talk(name, 2400, 30)
    assert level(heard[60:], 1000, rate) == pytest.approx(-20, abs=1)
    assert bench.counters.frames_concealed <= 3


@pytest.mark.requirement("media.opus", "media.ptime")
def test_an_opus_packet_may_hold_more_than_sixty_milliseconds() -> None:
    bench = Bench(48_000)
    bench.negotiate(agreed("opus"))
    heard = []
    speaker = Speaker(bench)
    for n in range(150):
        if n % 6 == 5:
            # Code 3: a TOC, a count with the flag for sizes, five sizes, six frames of 20 ms.
            singles = [speaker.payload("opus", 20)[1] for _ in range(6)]
            sizes = b"".join(_size(len(single) - 1) for single in singles[:-1])
            body = b"".join(single[1:] for single in singles)
            packet = bytes((singles[0][0] | 3, 0x80 | 6)) + sizes + body
            bench.receive(speaker.packetizer.pack(96, packet, 5760))
        heard.append(bench.tick())
    assert level(heard[75:], 1000, 48_000) == pytest.approx(-20, abs=1.5)


def _size(length: int) -> bytes:
    return bytes((length,)) if length < 252 else bytes((252 + length % 4, (length - 252) // 4))


@pytest.mark.requirement("media.wideband")
@pytest.mark.parametrize("name", ["G722", "opus"])
def test_wideband_stays_wideband_both_ways(name: str) -> None:
    rate = codec.sample_rate_of(name)
    bench = Bench(rate)
    bench.negotiate(agreed(name))
    heard = Speaker(bench, 6000).talk(name, 1000)
    assert level(heard[30:], 6000, rate) > -22
    said = tones.sine(6000, 1000, rate)
    for n in range(50):
        bench.tick(said[n * rate // 25 : (n + 1) * rate // 25])
    far = codec.create(name)
    reached = b"".join(far.decode(packet.payload) for packet in bench.sent[-50:])
    assert tones.goertzel(reached[len(reached) // 2 :], 6000, rate) > -22


@pytest.mark.requirement("media.payload-type-change")
@pytest.mark.parametrize("bridge_rate", [8000, 16_000, 48_000])
def test_the_codec_may_change_in_mid_stream_with_its_rates(bridge_rate: int) -> None:
    bench = Bench(bridge_rate)
    bench.negotiate(agreed("PCMU"))
    speaker = Speaker(bench)
    for name in ("PCMU", "opus", "G722", "PCMA", "opus", "PCMU"):
        before = bench.counters.frames_concealed
        heard = speaker.talk(name, 800)
        assert {len(frame or b"") for frame in heard[5:]} == {bridge_rate // 25}
        assert level(heard[20:], 1000, bridge_rate) == pytest.approx(-20, abs=1.5)
        assert bench.counters.frames_concealed - before <= 3
    assert bench.session.receiver.statistics.packets_lost == 0


@pytest.mark.requirement("media.payload-type-change")
def test_one_stray_packet_of_another_clock_changes_nothing() -> None:
    bench = Bench()
    bench.negotiate(agreed("PCMU"))
    speaker = Speaker(bench)
    speaker.talk("PCMU", 400)
    buffer = bench.session.receiver.jitter_buffer
    speaker.talk("opus", 20)
    heard = speaker.talk("PCMU", 400)
    assert bench.session.receiver.jitter_buffer is buffer
    assert level(heard, 1000, 8000) == pytest.approx(-20, abs=1.5)


@pytest.mark.requirement("media.wideband")
def test_the_bridge_may_change_its_rate_in_mid_call() -> None:
    bench = Bench(16_000)
    bench.negotiate(agreed("G722"))
    speaker, far = Speaker(bench), codec.create("G722")
    speaker.talk("G722", 400)
    for rate in (8000, 48_000, 16_000):
        bench.session.set_sample_rate(rate)
        heard = speaker.talk("G722", 600)
        assert {len(frame or b"") for frame in heard} == {rate // 25}
        assert level(heard[5:], 1000, rate) == pytest.approx(-20, abs=1)
        said = tones.sine(700, 400, rate)
        for n in range(20):
            bench.tick(said[n * rate // 25 : (n + 1) * rate // 25])
        assert {len(packet.payload) for packet in bench.sent} == {160}
        reached = b"".join(far.decode(packet.payload) for packet in bench.sent)
        bench.rtp.clear()
        assert tones.goertzel(reached[-640 * 15 :], 700, 16_000) == pytest.approx(-20, abs=1)


@pytest.mark.requirement("media.opus", "media.plc")
@pytest.mark.parametrize("fmtp", ["useinbandfec=1", ""])
def test_lost_opus_packets_are_made_up_by_the_decoder(fmtp: str) -> None:
    bench = Bench(48_000)
    bench.negotiate(agreed("opus"))
    speaker = Speaker(bench, 400)
    speaker.lose = set(range(20, 200, 10))
    heard = speaker.talk("opus", 4000, fmtp=fmtp)
    levels = [loudness(frame) for frame in heard[20:190]]
    assert bench.session.receiver.jitter_buffer.counters.lost == pytest.approx(18, abs=1)
    assert min(levels) > 0.25 * max(levels)


@pytest.mark.requirement("media.opus")
def test_a_repeated_frame_is_taken_from_the_packet_that_follows_the_loss() -> None:
    recovered: list[int] = []
    bench = Bench(48_000)
    bench.negotiate(agreed("opus"))
    decoder = bench.session.receiver._codecs[96]
    whole = decoder.recover

    def recover(following: bytes, samples: int) -> bytes | None:
        recovered.append(samples)
        return whole(following, samples)

    object.__setattr__(decoder, "recover", recover)
    speaker = Speaker(bench)
    speaker.lose = {30, 50, 51, 70}
    speaker.talk("opus", 2000)
    assert recovered == [960, 960, 960]


@pytest.mark.requirement("media.opus")
def test_what_the_peer_reports_lost_makes_the_encoder_careful() -> None:
    bench = Bench(48_000)
    bench.negotiate(agreed("opus", fmtp="useinbandfec=1;maxaveragebitrate=20000"))
    assert bench.session.sender is not None
    bench.session.sender.expect_loss(30)
    for _ in range(50):
        bench.tick(tones.tone((200, 400, 800), 20, 48_000))
    assert {packet.payload_type for packet in bench.sent} == {96}
    assert {packet.payload[0] >> 3 for packet in bench.sent[20:]} <= set(range(16))  # SILK, hybrid


@pytest.mark.requirement("media.opus")
def test_dtx_that_the_peer_asked_for_leaves_gaps_and_marks_their_end() -> None:
    bench = Bench(48_000)
    bench.negotiate(agreed("opus", fmtp="usedtx=1"))
    for _ in range(20):
        bench.tick(tones.tone((200, 400, 800), 20, 48_000))
    for _ in range(100):
        bench.tick(None)
    bench.rtp.clear()
    for _ in range(10):
        bench.tick(tones.tone((200, 400, 800), 20, 48_000))
    first, second = bench.sent[:2]
    assert first.marker
    assert not second.marker
    assert second.timestamp - first.timestamp == 960
    assert len(bench.sent) == 10
    assert bench.session.sender.statistics.packets_sent < 100


@pytest.mark.requirement("media.opus")
def test_what_the_peer_wants_of_opus_may_change_in_mid_call() -> None:
    bench = Bench(48_000)
    for fmtp, silent in (("", False), ("usedtx=1", True), ("usedtx=0", False)):
        bench.negotiate(agreed("opus", fmtp=fmtp))
        for _ in range(50):
            bench.tick(None)
        bench.rtp.clear()
        for _ in range(50):
            bench.tick(None)
        assert (len(bench.rtp) < 10) is silent, fmtp
        assert (len(bench.rtp) == 50) is not silent, fmtp


def test_a_reoffer_of_the_same_codec_keeps_the_encoder() -> None:
    bench = Bench(16_000)
    bench.negotiate(agreed("G722"))
    said = tones.sine(1000, 400, 16_000)
    for n in range(20):
        if n == 10:
            bench.negotiate(agreed("G722", 20))
        bench.tick(said[n * 640 : n * 640 + 640])
    assert b"".join(packet.payload for packet in bench.sent) == codec.create("G722").encode(said)


@pytest.mark.requirement("media.payload-type-change")
def test_what_is_buffered_at_a_change_of_clock_is_still_heard() -> None:
    bench = Bench()
    bench.negotiate(agreed("PCMU"))
    phone = Speaker(bench)
    for name in ("PCMU", "PCMU", "PCMU", "opus", "opus"):
        coder, payload = phone.payload(name, 20)
        bench.receive(phone.packetizer.pack(NUMBERS[name], payload, coder.clock_rate // 50))
    heard = [loudness(bench.tick()) for _ in range(3)]
    assert min(heard) > 2000
    assert bench.counters.frames_concealed == 0


@pytest.mark.requirement("media.clock-drift")
@pytest.mark.parametrize("ppm", [3000, -3000])
def test_while_clocks_drift_every_packet_is_decoded_once_and_in_order(ppm: int) -> None:
    """A decoder has memory: what is left out, or waits, is decoded all the same."""
    bench = Bench(16_000)
    bench.negotiate(agreed("G722"))
    decoder = bench.session.receiver._codecs[9]
    plain, decoded = decoder.decode, []

    def decode(payload: bytes) -> bytes:
        decoded.append(payload)
        return plain(payload)

    object.__setattr__(decoder, "decode", decode)
    coder = codec.create("G722")
    quiet = np.random.default_rng(1).integers(-40, 40, 320 * 3000).astype(np.int16).tobytes()
    packetizer = RtpPacketizer(7, 65_000, 0)
    sent: list[bytes] = []
    while len(sent) < 3000:
        while len(sent) * 0.020 / (1 + ppm * 1e-6) <= bench.now - 1000 and len(sent) < 3000:
            payload = coder.encode(quiet[len(sent) * 640 : len(sent) * 640 + 640])
            sent.append(payload)
            bench.receive(packetizer.pack(9, payload, 160))
        bench.tick()
    counters = bench.session.receiver.jitter_buffer.counters
    assert counters.shrunk + counters.stretched >= 5
    assert decoded == sent[: len(decoded)]
    assert len(decoded) > 2980


@pytest.mark.requirement("media.opus")
def test_the_clock_goes_on_while_dtx_sends_nothing() -> None:
    bench = Bench(48_000)
    bench.negotiate(agreed("opus", fmtp="usedtx=1"))
    for n in range(120):
        bench.tick(tones.tone((200, 400, 800), 20, 48_000) if n < 20 or n == 119 else None)
    assert bench.sent[-1].timestamp - bench.sent[0].timestamp == 119 * 960
    assert bench.sent[-1].sequence - bench.sent[0].sequence == len(bench.sent) - 1


@pytest.mark.requirement("media.opus", "media.rtcp")
def test_the_encoder_hears_of_the_losses_that_the_peer_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    bench = Bench(48_000)
    bench.negotiate(agreed("opus"))
    monkeypatch.setattr(bench.session.sender, "expect_loss", told.append)
    Speaker(bench).talk("opus", 100)
    block = ReportBlock(0x1234, 51, 1, 100, 0)
    description = SourceDescription.with_cname(0xBEEF, b"phone")
    report = serialise_compound([ReceiverReport(0xBEEF, (block,)), description])
    bench.session.on_rtcp(report, (PHONE[0], PHONE[1] + 1), bench.now)
    assert told == [20]
