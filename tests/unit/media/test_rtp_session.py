from __future__ import annotations

import random

import pytest

from ringback.audio import tones
from ringback.core.errors import InvalidRequest
from ringback.rtp.dtmf import DtmfSender
from unit.media.leg_lab import (
    PCMA,
    PCMU,
    PHONE,
    STRANGER,
    Bench,
    Phone,
    audio,
    loudness,
    tone,
)


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_what_the_phone_says_comes_out_in_order_whatever_its_packet_length(ptime: int) -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    said = PCMU.encode(tone(8 * 1200))
    size = ptime * 8
    packets = [phone.packet(said[n : n + size]) for n in range(0, len(said), size)]
    heard = bytearray()
    for n in range(70):
        while packets and len(said) - len(packets) * size <= n * 160:
            bench.receive(packets.pop(0))
        heard += bench.tick() or b""
    assert PCMU.decode(said) in bytes(heard)
    assert bench.counters.frames_concealed <= 6


def test_nothing_is_heard_before_the_phone_speaks() -> None:
    bench = Bench()
    bench.negotiate(audio())
    assert [bench.tick() for _ in range(5)] == [None] * 5


@pytest.mark.requirement("media.plc")
def test_a_lost_packet_is_concealed_and_not_a_click_of_silence() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    said = tone(160 * 60)
    heard = []
    for n in range(60):
        data = phone.packet(PCMU.encode(said[n * 320 : n * 320 + 320]))
        if n != 30:
            bench.receive(data)
        heard.append(bench.tick())
    spoken = [loudness(frame) for frame in heard if frame]
    assert min(spoken[5:-5]) > 0.6 * max(spoken)
    assert bench.counters.frames_concealed == 1
    assert bench.session.receiver.statistics.packets_lost == 1


@pytest.mark.requirement("media.plc")
def test_when_the_phone_stops_the_audio_fades_to_silence() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    for n in range(20):
        bench.receive(phone.packet(PCMU.encode(tone(160, n * 160))))
        bench.tick()
    assert bench.counters.frames_concealed == 0
    tail = [bench.tick() for _ in range(10)]
    assert bench.counters.frames_concealed == 4
    assert tail[-1] is None
    assert loudness(tail[-2]) == 0


def test_silence_is_sent_continuously_until_the_direction_forbids_it() -> None:
    bench = Bench()
    bench.negotiate(audio())
    for _ in range(3):
        bench.tick()
    bench.negotiate(audio(send=False))
    for _ in range(5):
        bench.tick(tone(160))
    bench.negotiate(audio())
    bench.tick(tone(160))
    packets = bench.sent
    assert len(packets) == 4
    assert [packet.sequence for packet in packets] == [100, 101, 102, 103]
    assert packets[3].timestamp - packets[2].timestamp == 6 * 160
    assert packets[3].marker


@pytest.mark.requirement("rfc3264.8.4")
def test_nothing_is_sent_to_the_hold_address() -> None:
    bench = Bench()
    bench.negotiate(audio(("0.0.0.0", 4000)))
    bench.tick(tone(160))
    assert bench.rtp == []


@pytest.mark.requirement("media.symmetric-rtp")
def test_audio_goes_where_it_really_comes_from() -> None:
    bench, phone = Bench(), Phone()
    nat = ("198.51.100.77", 61234)
    bench.negotiate(audio(("192.168.1.5", 4000)))
    bench.tick()
    for n in range(5):
        bench.receive(phone.packet(PCMU.encode(tone(160, n))), nat)
        bench.tick()
    assert bench.rtp[0][1] == ("192.168.1.5", 4000)
    assert bench.rtp[-1][1] == nat


@pytest.mark.requirement("media.latching", "bad.rtp-flood")
def test_a_stranger_is_neither_heard_nor_answered() -> None:
    bench, phone, stranger = Bench(), Phone(), Phone(ssrc=0xBAD)
    bench.negotiate(audio())
    heard = []
    for n in range(50):
        bench.receive(phone.packet(PCMU.silence(160)))
        bench.receive(stranger.packet(PCMU.encode(tone(160, n))), STRANGER)
        heard.append(loudness(bench.tick()))
    assert max(heard) < 100
    assert {address for _, address in bench.rtp} == {PHONE}
    assert bench.counters.dropped_wrong_source == 50


@pytest.mark.requirement("media.wrong-ssrc", "bad.rtp-flood")
def test_a_flood_of_other_ssrcs_from_the_right_address_is_dropped() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    for n in range(50):
        bench.receive(phone.packet(PCMU.silence(160)))
        bench.receive(Phone(ssrc=n + 1).packet(PCMU.encode(tone(160))))
        assert loudness(bench.tick()) < 100
    assert bench.counters.dropped_wrong_ssrc == 50
    assert bench.counters.packets_received == 50


@pytest.mark.requirement("media.wrong-ssrc")
def test_a_pbx_that_connects_somebody_else_is_followed() -> None:
    bench, first, second = Bench(), Phone(ssrc=1), Phone(ssrc=2)
    bench.negotiate(audio())
    for _ in range(30):
        bench.receive(first.packet(PCMU.silence(160)))
        bench.tick()
    heard = []
    for n in range(50):
        bench.receive(second.packet(PCMU.encode(tone(160, n * 160))))
        heard.append(loudness(bench.tick()))
    assert min(heard[15:]) > 5000


@pytest.mark.requirement("media.payload-type-change")
def test_the_payload_type_may_change_between_pcmu_and_pcma_at_any_packet() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    heard = []
    for n in range(60):
        pcm = tone(160, n * 160)
        law, number = ((PCMU, 0), (PCMA, 8))[n // 10 % 2]
        bench.receive(phone.packet(law.encode(pcm), number))
        heard.append(loudness(bench.tick()))
    assert min(heard[5:]) > 5500
    assert bench.counters.frames_concealed <= 3


@pytest.mark.requirement("media.payload-type-change")
def test_a_dynamic_payload_type_is_what_was_negotiated_for_it() -> None:
    bench, phone = Bench(), Phone(payload_type=96)
    bench.negotiate(audio(receive_codecs=((96, "PCMA"),)))
    heard = []
    for n in range(20):
        bench.receive(phone.packet(PCMA.encode(tone(160, n * 160))))
        heard.append(loudness(bench.tick()))
    assert min(heard[5:]) > 5500


def test_a_codec_that_is_not_built_in_changes_nothing() -> None:
    bench = Bench()
    bench.negotiate(audio())
    with pytest.raises(InvalidRequest) as refused:
        bench.negotiate(audio(codec="G729", payload_type=18))
    assert refused.value.code == "unknown_codec"
    bench.tick()
    assert bench.sent[0].payload_type == 0


@pytest.mark.requirement("media.payload-type-change")
def test_the_answering_codec_is_used_from_the_next_packet_on() -> None:
    bench = Bench()
    bench.negotiate(audio())
    bench.tick(tone(160))
    bench.negotiate(audio(codec="PCMA", payload_type=8))
    bench.tick(tone(160))
    assert [packet.payload_type for packet in bench.sent] == [0, 8]


@pytest.mark.requirement("media.payload-type-change")
@pytest.mark.requirement("bad.rtp-flood")
@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"", "dropped_not_rtp"),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), "dropped_not_rtp"),  # STUN
        (b"\x16\xfe\xfd" + bytes(20), "dropped_not_rtp"),  # DTLS
        (b"GET / HTTP/1.1\r\n", "dropped_not_rtp"),
        (b"\x80\xc8\x00\x06" + bytes(24), "dropped_not_rtp"),  # RTCP without rtcp-mux
        (b"\x80\x00\x00", "dropped_malformed"),
        (b"\x8f\x00" + bytes(12), "dropped_malformed"),  # CSRCs cut short
        (b"\x80\x63" + bytes(170), "dropped_payload_type"),
        (b"\x80\x00" + bytes(10) + bytes(4000), "dropped_malformed"),  # half a second
    ],
)
def test_bad_datagrams_are_dropped_and_counted(data: bytes, counter: str) -> None:
    bench = Bench()
    bench.negotiate(audio())
    bench.receive(data)
    assert getattr(bench.counters, counter) == 1
    assert bench.tick() is None


def test_packets_before_the_negotiation_are_dropped() -> None:
    bench = Bench()
    bench.receive(Phone().packet(bytes(160)))
    assert bench.counters.dropped_early == 1
    assert bench.tick() is None
    assert bench.rtp == []


def test_audio_that_was_not_asked_for_is_dropped() -> None:
    bench = Bench()
    bench.negotiate(audio(receive=False))
    bench.receive(Phone().packet(bytes(160)))
    assert bench.counters.dropped_direction == 1
    assert bench.session.latch.source is None


@pytest.mark.requirement("bad.fuzz")
def test_random_bytes_never_raise() -> None:
    bench = Bench()
    bench.negotiate(audio(mux=True))
    generator = random.Random(11)
    for _ in range(3000):
        data = bytearray(generator.randbytes(generator.randrange(0, 60)))
        if data and generator.random() < 0.8:
            data[0] = generator.choice((0x80, 0x81, 0x90, 0xA0, 0x8F))
        bench.receive(bytes(data))
        bench.session.on_rtcp(bytes(data), PHONE, bench.now)
        bench.tick()


# ---- keys -----------------------------------------------------------------------------------


def press(bench: Bench, phone: Phone, digits: str, ticks: int, lose_ends: bool = False) -> None:
    """Send keys the way a phone does, with silence between."""
    sender = DtmfSender()
    sender.send(digits)
    for _ in range(ticks):
        event = sender.tick(phone.packetizer.timestamp)
        if event is None:
            bench.receive(phone.packet(PCMU.silence(160)))
        else:
            data = phone.packetizer.pack_at(event.timestamp, 101, event.payload, event.marker)
            phone.packetizer.skip(160)
            if not (lose_ends and event.payload[1] & 0x80):
                bench.receive(data)
        bench.tick()


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_each_key_is_reported_once() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    press(bench, phone, "12#A", 90)
    assert [key.digit for key in bench.keys] == ["1", "2", "#", "A"]
    assert all(140 <= key.duration_ms <= 180 for key in bench.keys)
    assert bench.counters.dtmf_received == 4


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_a_key_whose_end_is_lost_is_still_reported_once() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    press(bench, phone, "7", 60, lose_ends=True)
    assert [key.digit for key in bench.keys] == ["7"]


def test_keys_leave_no_hole_in_the_audio_around_them() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    press(bench, phone, ",5", 80)
    assert [key.digit for key in bench.keys] == ["5"]
    assert bench.session.receiver.jitter_buffer.counters.lost == 0
    assert bench.session.receiver.statistics.packets_lost == 0


@pytest.mark.requirement("media.dtmf-send")
def test_keys_are_sent_as_events_where_they_were_negotiated() -> None:
    bench = Bench()
    bench.negotiate(audio(dtmf=96))
    bench.session.send_dtmf("42")
    for _ in range(50):
        bench.tick(tone(160))
    events = {packet.timestamp for packet in bench.sent if packet.payload_type == 96}
    assert len(events) == 2
    assert bench.counters.dtmf_sent == 2


@pytest.mark.requirement("media.dtmf-send")
def test_keys_are_tones_where_no_events_were_negotiated() -> None:
    bench = Bench()
    bench.negotiate(audio(dtmf=None))
    bench.session.send_dtmf("5,")
    frames = []
    for _ in range(8):
        bench.tick(None)
        frames.append(PCMU.decode(bench.sent[-1].payload))
    row, column = (tones.goertzel(b"".join(frames), hz, 8000) for hz in (770, 1336))
    assert min(row, column) > -30
    assert {packet.payload_type for packet in bench.sent} == {0}


@pytest.mark.parametrize("dtmf", [None, 101])
def test_what_is_no_key_is_refused(dtmf: int | None) -> None:
    bench = Bench()
    bench.negotiate(audio(dtmf=dtmf))
    for digits in ("12x", "1" * 500):
        with pytest.raises(InvalidRequest) as refused:
            bench.session.send_dtmf(digits)
        assert refused.value.code == "invalid_digits"


# ---- other rates ----------------------------------------------------------------------------


@pytest.mark.requirement("media.wideband")
def test_a_wideband_bridge_hears_and_speaks_narrowband() -> None:
    bench, phone = Bench(sample_rate=16000), Phone()
    bench.negotiate(audio())
    heard = []
    for n in range(30):
        bench.receive(phone.packet(PCMU.encode(tone(160, n * 160))))
        heard.append(bench.tick(bytes(640)))
    assert {len(frame or b"") for frame in heard} == {640}
    assert loudness(heard[-1]) > 5500
    assert {len(packet.payload) for packet in bench.sent} == {160}
