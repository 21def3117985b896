"""Keys on a phone leg: several payload types of events, tones heard and sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ringback.audio import codec, tones
from ringback.core.errors import InvalidRequest
from ringback.rtp.dtmf import DtmfEvent, DtmfSender, TelephoneEvent
from unit.media.leg_lab import PCMU, Bench, Phone, audio, loudness


def events(bench: Bench, phone: Phone, digits: str, number: int, clock_rate: int) -> None:
    """Press keys as telephone events of one payload type."""
    sender = DtmfSender(clock_rate)
    sender.send(digits)
    while sender.busy:
        event = sender.tick(phone.packetizer.timestamp)
        if event is not None:
            bench.receive(phone.packetizer.pack_at(event.timestamp, number, event.payload))
            phone.packetizer.skip(clock_rate // 50)
        bench.tick()
    for _ in range(20):
        bench.tick()


def tones_of(bench: Bench, phone: Phone, digits: str, ms: int = 80) -> None:
    pcm = b"".join(tones.dtmf(key, ms, 8000) + tones.silence(80, 8000) for key in digits)
    for n in range(0, len(pcm), 320):
        bench.receive(phone.packet(PCMU.encode(pcm[n : n + 320])))
        bench.tick()
    for _ in range(10):
        bench.receive(phone.packet(PCMU.silence(160)))
        bench.tick()


# ---- heard ----------------------------------------------------------------------------------


@pytest.mark.requirement("media.dtmf-rfc4733", "media.telephone-event-rate")
@pytest.mark.parametrize(("number", "clock_rate"), [(101, 8000), (110, 48_000), (111, 16_000)])
def test_events_of_every_payload_type_count_in_their_own_clock(
    number: int, clock_rate: int
) -> None:
    bench, phone = Bench(), Phone()
    types = ((101, 8000), (110, 48_000), (111, 16_000))
    bench.negotiate(replace(audio(dtmf=101), dtmf_receive_payload_types=types))
    events(bench, phone, "4D", number, clock_rate)
    assert [key.digit for key in bench.keys] == ["4", "D"]
    assert {key.duration_ms for key in bench.keys} == {160}


@pytest.mark.requirement("media.dtmf-rfc4733")
@pytest.mark.parametrize("marked", [(), (0,), range(12), (9, 10, 11)])
@pytest.mark.parametrize("ends", [0, 1, 3])
def test_a_key_is_one_wherever_its_markers_are_and_however_many_ends_come(
    marked: Sequence[int], ends: int
) -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    for start in (10_000, 14_000):
        for n in range(9 + ends):
            event = bytes(TelephoneEvent(5, min(n + 1, 9) * 160, end=n >= 9))
            data = phone.packetizer.pack_at(start, 101, event, marker=n in marked)
            bench.receive(data)
            bench.tick()
    for _ in range(20):
        bench.tick()
    assert [key.digit for key in bench.keys] == ["5", "5"]


@pytest.mark.requirement("media.telephone-event-rate")
def test_a_peer_may_send_another_payload_type_than_we_do() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(replace(audio(dtmf=101), dtmf_receive_payload_types=((97, 8000),)))
    events(bench, phone, "1", 101, 8000)
    assert bench.keys == []
    assert bench.counters.dropped_payload_type > 0
    events(bench, phone, "2", 97, 8000)
    assert [key.digit for key in bench.keys] == ["2"]


@pytest.mark.requirement("media.dtmf-inband")
def test_tones_are_heard_where_somebody_asks_for_them() -> None:
    bench, phone = Bench(), Phone()
    heard: list[DtmfEvent] = []
    bench.negotiate(audio(dtmf=None))
    tones_of(bench, phone, "1")
    bench.session.on_inband = heard.append
    tones_of(bench, phone, "15#D")
    assert [key.digit for key in heard] == ["1", "5", "#", "D"]
    assert all(70 <= key.duration_ms <= 90 for key in heard)
    assert bench.keys == []


@pytest.mark.requirement("media.dtmf-once")
def test_who_sends_events_is_not_listened_to_for_tones() -> None:
    bench, phone = Bench(), Phone()
    heard: list[DtmfEvent] = []
    bench.negotiate(audio())
    bench.session.on_inband = heard.append
    tones_of(bench, phone, "1")
    events(bench, phone, "2", 101, 8000)
    tones_of(bench, phone, "3")
    assert [key.digit for key in heard] == ["1"]
    assert [key.digit for key in bench.keys] == ["2"]


@pytest.mark.requirement("media.dtmf-inband")
def test_tones_are_heard_whatever_rate_the_bridge_has() -> None:
    bench, phone = Bench(), Phone()
    heard: list[DtmfEvent] = []
    bench.negotiate(audio(dtmf=None))
    bench.session.on_inband = heard.append
    for rate in (16_000, 48_000):
        bench.session.set_sample_rate(rate)
        tones_of(bench, phone, "7")
    assert [key.digit for key in heard] == ["7", "7"]


# ---- sent -----------------------------------------------------------------------------------


def sent_audio(bench: Bench, name: str = "PCMU", number: int = 0) -> bytes:
    far = codec.create(name)
    return b"".join(far.decode(each.payload) for each in bench.sent if each.payload_type == number)


@pytest.mark.requirement("media.dtmf-send")
@pytest.mark.parametrize("method", ["auto", "rtp"])
def test_where_events_are_sent_no_tone_is(method: str) -> None:
    bench = Bench()
    bench.negotiate(audio())
    bench.session.send_dtmf("15", method)
    for _ in range(60):
        bench.tick(tones.sine(300, 20, 8000))
    assert {TelephoneEvent.parse(p.payload).event for p in bench.sent if p.payload_type == 101} == {
        1,
        5,
    }
    for frequency in (697, 770, 1209, 1336):
        assert tones.goertzel(sent_audio(bench), frequency, 8000) < -55


@pytest.mark.requirement("media.dtmf-send")
@pytest.mark.parametrize(("name", "number"), [("PCMU", 0), ("G722", 9), ("opus", 96)])
def test_tones_are_sent_at_the_rate_of_the_codec(name: str, number: int) -> None:
    rate = codec.sample_rate_of(name)
    bench, far = Bench(rate), Bench(rate)
    agreed = replace(audio(codec=name, payload_type=number), clock_rate=codec.clock_rate_of(name))
    bench.negotiate(agreed)
    far.negotiate(agreed)
    heard: list[DtmfEvent] = []
    far.session.on_inband = heard.append
    bench.session.send_dtmf("2,8D", "inband")
    for _ in range(100):
        bench.tick(tones.sine(300, 20, rate))
        far.receive(bench.rtp[-1][0])
        far.tick()
    assert {packet.payload_type for packet in bench.sent} == {number}
    assert [key.digit for key in heard] == ["2", "8", "D"]
    assert all(145 <= key.duration_ms <= 175 for key in heard)
    assert bench.counters.dtmf_sent == 3
    assert loudness(far.tick()) > 0


@pytest.mark.requirement("media.dtmf-send")
def test_auto_is_tones_where_the_peer_takes_no_events() -> None:
    bench = Bench()
    bench.negotiate(audio(dtmf=None))
    bench.session.send_dtmf("5")
    for _ in range(8):
        bench.tick(None)
    assert tones.goertzel(sent_audio(bench), 1336, 8000) > -16


def test_what_cannot_be_sent_is_refused_by_name() -> None:
    bench = Bench()
    bench.negotiate(audio(dtmf=None))
    for digits, method, code in (
        ("1", "rtp", "no_telephone_events"),
        ("1", "pigeon", "invalid_method"),
        ("1x", "inband", "invalid_digits"),
        ("1" * 500, "inband", "invalid_digits"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            bench.session.send_dtmf(digits, method)
        assert refused.value.code == code
    bench.tick()
    assert tones.goertzel(sent_audio(bench), 697, 8000) < -60


@pytest.mark.requirement("media.telephone-event-rate")
def test_events_beside_opus_count_at_its_clock_or_at_their_own() -> None:
    for types, duration in (((), 48_000), (((101, 8000),), 8000)):
        bench = Bench(48_000)
        negotiated = audio(codec="opus", payload_type=96)
        bench.negotiate(replace(negotiated, clock_rate=48_000, dtmf_receive_payload_types=types))
        bench.session.send_dtmf("1")
        for _ in range(30):
            bench.tick(None)
        keys = [packet for packet in bench.sent if packet.payload_type == 101]
        assert TelephoneEvent.parse(keys[-1].payload).duration == duration * 160 // 1000
        after = next(
            p for p in bench.sent if p.payload_type == 96 and p.sequence > keys[-1].sequence
        )
        assert after.timestamp - keys[0].timestamp == len(keys) * 960
