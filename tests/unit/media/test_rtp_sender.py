from __future__ import annotations

import struct

import pytest

from ringback.audio import codec
from ringback.media.metrics import MediaCounters
from ringback.media.rtp_sender import RtpSender
from ringback.rtp.dtmf import TelephoneEvent
from ringback.rtp.packet import RtpPacket, RtpPacketizer

START = 0xFFFFFF00


def level(value: int, samples: int = 160) -> bytes:
    return struct.pack(f"<{samples}h", *([value] * samples))


def make_sender(
    ptime: int = 20, dtmf: int | None = None, name: str = "PCMU", rate: int = 8000
) -> RtpSender:
    sender = RtpSender(RtpPacketizer(7, 65535, START), rate, MediaCounters())
    sender.configure(codec.create(name), 0 if name == "PCMU" else 8, ptime, dtmf)
    return sender


def run(sender: RtpSender, *frames: bytes | None) -> list[RtpPacket]:
    return [RtpPacket.parse(data) for frame in frames for data in sender.tick(frame)]


def test_a_frame_is_a_packet_numbered_and_stamped_across_the_wrap() -> None:
    packets = run(make_sender(), level(1000), level(1000), level(1000))
    assert [packet.sequence for packet in packets] == [65535, 0, 1]
    assert [packet.timestamp for packet in packets] == [START, (START + 160) & 0xFFFFFFFF, 64]
    assert [packet.marker for packet in packets] == [True, False, False]
    assert {(packet.ssrc, packet.payload_type, len(packet.payload)) for packet in packets} == {
        (7, 0, 160)
    }


def test_silence_is_sent_like_speech() -> None:
    packets = run(make_sender(), None, None)
    assert [packet.payload for packet in packets] == [b"\xff" * 160] * 2
    assert run(make_sender(name="PCMA"), None)[0].payload == b"\xd5" * 160


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 50, 60])
def test_every_packet_has_the_negotiated_length_and_no_sample_is_lost(ptime: int) -> None:
    frames = [level(n * 100) for n in range(30)]
    packets = run(make_sender(ptime), *frames)
    size = ptime * 8
    assert {len(packet.payload) for packet in packets} == {size}
    assert len(packets) == 600 // ptime
    stamps = [(packet.timestamp - START) & 0xFFFFFFFF for packet in packets]
    assert stamps == [n * size for n in range(len(packets))]
    expected = codec.create("PCMU").encode(b"".join(frames))
    assert b"".join(packet.payload for packet in packets) == expected[: len(packets) * size]


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize(("asked", "size"), [(1, 80), (200, 480)])
def test_an_absurd_length_is_brought_within_bounds(asked: int, size: int) -> None:
    packets = run(make_sender(asked), *[level(1)] * 3)
    assert {len(packet.payload) for packet in packets} == {size}


def test_time_without_sending_is_jumped_over_and_marked() -> None:
    sender = make_sender()
    run(sender, level(1))
    sender.pass_time()
    sender.pass_time(3)
    packet = run(sender, level(1))[0]
    assert (packet.timestamp - START) & 0xFFFFFFFF == 5 * 160
    assert (packet.sequence, packet.marker) == (0, True)


def test_without_a_codec_nothing_is_sent() -> None:
    sender = RtpSender(RtpPacketizer(1, 1, 1), 8000, MediaCounters())
    assert sender.tick(level(1)) == []
    assert not sender.sends_dtmf


def test_the_codec_changes_between_two_packets_of_one_numbering() -> None:
    sender = make_sender()
    run(sender, level(1))
    sender.configure(codec.create("PCMA"), 8, 20, None)
    packet = run(sender, level(1))[0]
    assert (packet.payload_type, packet.sequence) == (8, 0)


def test_a_wideband_bridge_is_resampled_to_the_codec() -> None:
    packets = run(make_sender(rate=16000), level(500, 320), None)
    assert [len(packet.payload) for packet in packets] == [160, 160]


@pytest.mark.requirement("rfc4733.2.5")
@pytest.mark.parametrize("ptime", [20, 30, 60])
def test_a_key_replaces_the_audio_and_time_goes_on(ptime: int) -> None:
    sender = make_sender(ptime, dtmf=101)
    before = run(sender, *[level(1000)] * 4)
    sender.send_dtmf("5")
    after = run(sender, *[level(1000)] * 40)
    keys = [packet for packet in after if packet.payload_type == 101]
    events = [TelephoneEvent.parse(packet.payload) for packet in keys]
    assert {event.event for event in events} == {5}
    assert [event.end for event in events[-3:]] == [True] * 3
    assert len({packet.timestamp for packet in keys}) == 1
    assert (keys[0].timestamp - START) & 0xFFFFFFFF == 4 * 160
    assert [packet.marker for packet in keys] == [True] + [False] * (len(keys) - 1)
    everything = before + after
    assert [packet.sequence for packet in everything] == [
        (65535 + n) & 0xFFFF for n in range(len(everything))
    ]
    audio = [packet for packet in after if packet.payload_type == 0]
    resumed = next(packet for packet in audio if packet.marker)
    assert (resumed.timestamp - keys[0].timestamp) & 0xFFFFFFFF == len(keys) * 160


@pytest.mark.requirement("rfc4733.2.5")
def test_two_keys_are_two_events_with_a_pause_between() -> None:
    sender = make_sender(dtmf=96)
    sender.send_dtmf("1#")
    packets = run(sender, *[None] * 60)
    stamps = {packet.timestamp for packet in packets if packet.payload_type == 96}
    assert len(stamps) == 2
    kinds = [packet.payload_type for packet in packets]
    first_gap = kinds.index(0)
    assert 96 in kinds[first_gap:]


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="X"):
        make_sender(dtmf=101).send_dtmf("1X")


def test_a_key_that_is_down_survives_a_renegotiation() -> None:
    sender = make_sender(dtmf=101)
    sender.send_dtmf("9")
    started = run(sender, *[None] * 3)
    sender.configure(codec.create("PCMU"), 0, 20, 101)
    went_on = run(sender, None)
    assert went_on[0].timestamp == started[0].timestamp
