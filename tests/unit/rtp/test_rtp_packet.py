from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp.errors import PacketError
from ringback.rtp.packet import (
    Datagram,
    HeaderExtension,
    RtpPacket,
    RtpPacketizer,
    classify,
)

PLAIN = bytes.fromhex("80 00 3039 0000a0a0 deadbeef") + b"voice"

extensions = st.builds(
    HeaderExtension,
    st.integers(0, 0xFFFF),
    st.integers(0, 8).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrcs=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15).map(tuple),
    extension=st.none() | extensions,
)


@pytest.mark.requirement("rfc3550.5.1")
def test_reads_every_field_of_a_plain_packet() -> None:
    assert RtpPacket.parse(PLAIN) == RtpPacket(0, 12345, 0xA0A0, 0xDEADBEEF, b"voice")


@pytest.mark.requirement("rfc3550.5.1")
def test_tells_marker_from_payload_type() -> None:
    packet = RtpPacket.parse(b"\x80\xe5" + PLAIN[2:])
    assert (packet.marker, packet.payload_type) == (True, 101)


@pytest.mark.requirement("rfc3550.5.1")
def test_skips_over_csrcs_and_extension() -> None:
    data = bytes.fromhex("92 00 3039 0000a0a0 deadbeef 00000001 00000002 bede 0001 cafebabe") + b"v"
    packet = RtpPacket.parse(data)
    assert packet.csrcs == (1, 2)
    assert packet.extension == HeaderExtension(0xBEDE, bytes.fromhex("cafebabe"))
    assert packet.payload == b"v"


@pytest.mark.requirement("rfc3550.5.1")
def test_takes_the_padding_off() -> None:
    packet = RtpPacket.parse(b"\xa0" + PLAIN[1:] + b"\0\0\x03")
    assert packet.payload == b"voice"


@pytest.mark.requirement("rfc3550.5.1")
def test_padding_may_be_all_of_the_payload() -> None:
    assert RtpPacket.parse(b"\xa0" + PLAIN[1:12] + b"\0\0\0\x04").payload == b""


@pytest.mark.requirement("rfc3550.5.1")
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no whole header"),
        (PLAIN[:11], "no whole header"),
        (b"\x00" + PLAIN[1:], "version 0"),
        (b"\x40" + PLAIN[1:], "version 1"),
        (b"\xc0" + PLAIN[1:], "version 3"),
        (b"\x82" + PLAIN[1:], "2 CSRCs is cut short"),
        (b"\x90" + PLAIN[1:12], "extension is cut short"),
        (b"\x90" + PLAIN[1:12] + b"\xbe\xde\0\x02" + b"word", "2 words is cut short"),
        (b"\x90" + PLAIN[1:12] + b"\xbe\xde\0\x02" + b"7 bytes", "2 words is cut short"),
        (b"\xa0" + PLAIN[1:] + b"\x00", "padding of 0"),
        (b"\xa0" + PLAIN[1:] + b"\x07", "padding of 7"),
        (b"\xa0" + PLAIN[1:12], "padding"),
    ],
)
def test_refuses_what_is_not_a_packet(data: bytes, complaint: str) -> None:
    with pytest.raises(PacketError, match=complaint):
        RtpPacket.parse(data)


@pytest.mark.requirement("rfc3550.5.1")
@given(packets)
def test_what_is_written_is_read_back(packet: RtpPacket) -> None:
    assert RtpPacket.parse(bytes(packet)) == packet


@given(packets)
def test_every_cut_is_read_or_refused(packet: RtpPacket) -> None:
    data = bytes(packet)
    for size in range(len(data)):
        try:
            RtpPacket.parse(data[:size])
        except PacketError:
            continue


@pytest.mark.requirement("bad.fuzz")
@given(st.binary(max_size=80))
def test_noise_is_read_or_refused(data: bytes) -> None:
    classify(data)
    try:
        packet = RtpPacket.parse(data)
    except PacketError:
        return
    assert len(packet.payload) <= len(data) - 12


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(0, 65536, 0, 0),
        RtpPacket(0, 0, -1, 0),
        RtpPacket(200, 0, 0, 0, marker=True, csrcs=(1,) * 16),
        RtpPacket(0, 0, 0, 0, extension=HeaderExtension(1, b"odd")),
    ],
)
def test_does_not_write_what_the_header_cannot_say(packet: RtpPacket) -> None:
    with pytest.raises(PacketError):
        bytes(packet)


@pytest.mark.requirement("rfc5764.5.1.2")
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x80\x00", Datagram.RTP),
        (b"\x80\x80", Datagram.RTP),
        (b"\xbf\xe5", Datagram.RTP),
        (b"\x80\xbf", Datagram.RTP),
        (b"\x80\xc0", Datagram.RTCP),
        (b"\x81\xc8", Datagram.RTCP),
        (b"\x80\xdf", Datagram.RTCP),
        (b"\x80\xe0", Datagram.RTP),
        (b"\x00\x01", Datagram.STUN),
        (b"\x03\x00", Datagram.STUN),
        (b"\x10\x00", Datagram.OTHER),
        (b"\x14\xfe", Datagram.DTLS),
        (b"\x3f\xfe", Datagram.DTLS),
        (b"\x40\x00", Datagram.OTHER),
        (b"\xc0\x00", Datagram.OTHER),
        (b"\x80", Datagram.OTHER),
        (b"", Datagram.OTHER),
    ],
)
def test_tells_what_shares_the_port_rfc7983(data: bytes, kind: Datagram) -> None:
    assert classify(data) is kind


@pytest.mark.requirement("rfc3550.5.1")
def test_packetizer_counts_packets_and_samples_and_wraps_both() -> None:
    packetizer = RtpPacketizer(ssrc=7, sequence=0xFFFF, timestamp=0xFFFFFFFF)
    first = RtpPacket.parse(packetizer.pack(8, b"a", 160, marker=True))
    second = RtpPacket.parse(packetizer.pack(8, b"b", 160))
    assert first == RtpPacket(8, 0xFFFF, 0xFFFFFFFF, 7, b"a", marker=True)
    assert second == RtpPacket(8, 0, 159, 7, b"b")


@pytest.mark.requirement("rfc4733.2.5")
def test_packets_of_an_event_share_a_timestamp_and_not_a_sequence_number() -> None:
    packetizer = RtpPacketizer(7, 10, 1000)
    event = [RtpPacket.parse(packetizer.pack_at(1000, 101, b"e")) for _ in range(2)]
    packetizer.skip(320)
    audio = RtpPacket.parse(packetizer.pack(0, b"a", 160))
    assert [packet.timestamp for packet in event] == [1000, 1000]
    assert [packet.sequence for packet in [*event, audio]] == [10, 11, 12]
    assert audio.timestamp == 1320


@pytest.mark.requirement("rfc3550.5.1")
def test_packetizer_and_packet_write_the_same_bytes() -> None:
    packed = RtpPacketizer(0xFFFFFFFF, 1, 2).pack(96, b"x", 1, marker=True)
    assert packed == bytes(RtpPacket(96, 1, 2, 0xFFFFFFFF, b"x", marker=True))
    assert packed[:12] == struct.pack("!BBHII", 0x80, 0xE0, 1, 2, 0xFFFFFFFF)
