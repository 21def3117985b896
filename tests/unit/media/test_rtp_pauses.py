"""Pauses that are not loss: comfort noise, and peers that send nothing while nothing is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.audio import codec, level, tones
from ringback.media.plane import NegotiatedAudio
from ringback.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SourceDescription,
    serialise_compound,
)
from unit.media.leg_lab import PCMU, PHONE, Bench, Phone, audio, loudness, tone

RTCP = (PHONE[0], PHONE[1] + 1)


def talk(bench: Bench, phone: Phone, ticks: int) -> list[bytes | None]:
    heard = []
    for n in range(ticks):
        bench.receive(phone.packet(PCMU.encode(tone(160, n * 160))))
        heard.append(bench.tick())
    return heard


def pause(bench: Bench, phone: Phone, ticks: int) -> list[bytes | None]:
    """Nothing comes, and the phone's clock goes on."""
    heard = [bench.tick() for _ in range(ticks)]
    phone.packetizer.skip(160 * ticks)
    return heard


def noise(bench: Bench, phone: Phone, payload: bytes, number: int = 13) -> None:
    """One packet of comfort noise, at the time of the next frame."""
    bench.receive(phone.packetizer.pack(number, payload, 0))


# ---- comfort noise --------------------------------------------------------------------------


@pytest.mark.requirement("media.comfort-noise")
@pytest.mark.parametrize("number", [13, 97])
@pytest.mark.parametrize(("payload", "dbfs"), [(b"\x32", -50), (b"\x41\x80\x10\x22", -65)])
def test_comfort_noise_is_played_at_its_level_until_the_next_word(
    payload: bytes, dbfs: float, number: int
) -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(replace(audio(), comfort_noise_payload_type=97))
    talk(bench, phone, 25)
    noise(bench, phone, payload, number)
    quiet = pause(bench, phone, 200)
    assert level.dbfs(b"".join(frame or b"" for frame in quiet[5:])) == pytest.approx(dbfs, abs=1)
    assert bench.counters.frames_concealed == 0
    assert loudness(talk(bench, phone, 10)[-1]) > 5000
    assert bench.session.receiver.statistics.packets_lost == 0
    assert bench.session.receiver.jitter_buffer.counters.lost == 0


@pytest.mark.requirement("media.comfort-noise")
@pytest.mark.parametrize(("payload", "dbfs"), [(b"", -66), (b"\x00", -40), (b"\xff" * 20, -96)])
def test_odd_comfort_noise_is_still_comfort(payload: bytes, dbfs: float) -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 25)
    noise(bench, phone, payload)
    quiet = pause(bench, phone, 50)
    assert level.dbfs(b"".join(frame or b"" for frame in quiet[5:])) == pytest.approx(dbfs, abs=1.5)


@pytest.mark.requirement("media.comfort-noise")
def test_the_level_of_the_noise_may_change() -> None:
    bench, phone = Bench(16_000), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 25)
    levels = []
    for payload in (b"\x3c", b"\x2d"):
        noise(bench, phone, payload)
        quiet = pause(bench, phone, 20)
        levels.append(level.dbfs(b"".join(frame or b"" for frame in quiet[5:])))
    assert levels == pytest.approx([-60, -45], abs=1.5)


# ---- nothing at all -------------------------------------------------------------------------


@pytest.mark.requirement("media.comfort-noise")
def test_a_phone_that_sends_no_silence_loses_nothing() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    for seconds in (0.4, 3, 60, 0.1):
        talk(bench, phone, 50)
        concealed = bench.counters.frames_concealed
        quiet = pause(bench, phone, round(seconds * 50))
        assert bench.counters.frames_concealed - concealed <= 5
        assert all(loudness(frame) == 0 for frame in quiet[6:])
        again = talk(bench, phone, 50)
        assert [loudness(frame) > 5000 for frame in again[4:]] == [True] * 46
    assert bench.session.receiver.statistics.packets_lost == 0
    assert bench.session.receiver.jitter_buffer.counters.lost == 0
    assert bench.session.receiver.jitter_buffer.counters.late == 0


def opus_audio() -> NegotiatedAudio:
    return replace(audio(codec="opus", payload_type=96, dtmf=None), clock_rate=48_000)


@pytest.mark.requirement("media.comfort-noise", "media.opus")
def test_a_peer_that_sends_opus_with_dtx_loses_nothing() -> None:
    bench, phone = Bench(48_000), Phone(payload_type=96)
    bench.negotiate(opus_audio())
    coder = codec.create("opus", fmtp="usedtx=1")
    heard: list[bytes | None] = []
    sent = 0
    speech = tones.tone((200, 400, 800, 1600), 1000, 48_000)
    for frame in [speech[n * 1920 :][:1920] for n in range(50)] * 2 + [bytes(1920)] * 500:
        payload = coder.encode(frame)
        if payload:
            sent += 1
            bench.receive(phone.packetizer.pack(96, payload, 960))
        else:
            phone.packetizer.skip(960)
        heard.append(bench.tick())
    counters = bench.session.receiver.jitter_buffer.counters
    assert sent < 250
    assert counters.lost == bench.session.receiver.statistics.packets_lost == 0
    assert counters.played >= sent - 1
    assert loudness(heard[60]) > 2000
    assert max(loudness(frame) for frame in heard[-300:]) < 50


# ---- still there ----------------------------------------------------------------------------


def report(ssrc: int, *more: RtcpPacket) -> bytes:
    description = SourceDescription.with_cname(ssrc, b"phone")
    return serialise_compound([ReceiverReport(ssrc), description, *more])


@pytest.mark.requirement("media.timeout", "media.comfort-noise")
def test_reports_of_a_silent_peer_show_that_it_is_there() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 10)
    heard_at = bench.session.last_heard
    pause(bench, phone, 500)
    assert bench.session.last_heard == heard_at
    bench.session.on_rtcp(report(0xBEEF), RTCP, bench.now)
    assert bench.session.last_heard == bench.now


@pytest.mark.requirement("media.timeout")
def test_reports_of_anybody_else_show_nothing() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 10)
    heard_at = bench.session.last_heard
    pause(bench, phone, 50)
    bench.session.on_rtcp(report(0xBAD), RTCP, bench.now)
    bench.session.on_rtcp(report(0xBEEF), ("203.0.113.9", 4001), bench.now)
    assert bench.session.last_heard == heard_at


# ---- what reports say -----------------------------------------------------------------------


def remote(bench: Bench) -> tuple[int | None, float | None]:
    return bench.session.remote_packets_lost, bench.session.remote_jitter_ms


def reported(bench: Bench, block: ReportBlock) -> None:
    data = serialise_compound(
        [ReceiverReport(0xBEEF, (block,)), SourceDescription.with_cname(0xBEEF, b"phone")]
    )
    bench.session.on_rtcp(data, RTCP, bench.now)


@pytest.mark.requirement("media.rtcp", "rfc3550.6.4")
def test_what_the_peer_says_about_us_is_known() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 100)
    assert remote(bench) == (None, None)
    reported(bench, ReportBlock(0x1234, 25, 7, 100, 80))
    assert remote(bench) == (7, 10)


@pytest.mark.requirement("media.rtcp")
def test_what_the_peer_says_is_believed_within_reason() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 100)
    reported(bench, ReportBlock(0x9999, 0, 1, 0, 1))
    assert remote(bench) == (None, None)
    reported(bench, ReportBlock(0x1234, 255, 0x7FFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 1, 1))
    assert remote(bench) == (100, 10_000)
    assert bench.session.round_trip_ms is None
    reported(bench, ReportBlock(0x1234, 0, -5, 0, 0))
    assert remote(bench) == (0, 0)


def test_a_goodbye_alone_ends_nothing() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    talk(bench, phone, 10)
    bench.session.on_rtcp(report(0xBEEF, Goodbye((0xBEEF,))), RTCP, bench.now)
    assert loudness(talk(bench, phone, 10)[-1]) > 5000
