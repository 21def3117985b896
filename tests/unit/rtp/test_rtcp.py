from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp.errors import RtcpError
from ringback.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SdesItem,
    SenderReport,
    SourceDescription,
    UnknownPacket,
    parse_compound,
    serialise_compound,
)

u32 = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    ReportBlock,
    ssrc=u32,
    fraction_lost=st.integers(0, 255),
    packets_lost=st.integers(-0x800000, 0x7FFFFF),
    highest_sequence=u32,
    jitter=u32,
    last_report=u32,
    delay=u32,
)
reports = st.lists(blocks, max_size=31).map(tuple)
sender_reports = st.builds(
    SenderReport, u32, st.integers(0, 2**64 - 1), u32, u32, u32, reports=reports
)
receiver_reports = st.builds(ReceiverReport, u32, reports)
items = st.builds(SdesItem, st.integers(1, 8), st.binary(max_size=255))
chunks = st.builds(SdesChunk, u32, st.lists(items, max_size=4).map(tuple))
descriptions = st.builds(SourceDescription, st.lists(chunks, max_size=31).map(tuple))
goodbyes = st.builds(Goodbye, st.lists(u32, max_size=31).map(tuple), st.binary(max_size=255))
unknown = st.builds(
    UnknownPacket,
    st.integers(204, 223),
    st.integers(0, 31),
    st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4]),
)
compounds = st.tuples(
    sender_reports | receiver_reports,
    st.just(SourceDescription.with_cname(1, b"leg@host")),
    st.lists(descriptions | goodbyes | unknown | receiver_reports, max_size=3),
).map(lambda parts: [parts[0], parts[1], *parts[2]])

CNAME = SourceDescription.with_cname(5, b"ab@c")
RR = ReceiverReport(5)


@pytest.mark.requirement("rfc3550.6")
@given(compounds)
def test_what_is_written_is_read_back(packets: list[RtcpPacket]) -> None:
    assert parse_compound(serialise_compound(packets)) == packets


@given(compounds)
def test_every_cut_is_read_or_refused(packets: list[RtcpPacket]) -> None:
    data = serialise_compound(packets)
    for size in range(min(len(data), 300)):
        try:
            parse_compound(data[:size])
        except RtcpError:
            continue


@pytest.mark.requirement("bad.fuzz")
@given(st.binary(max_size=120), st.sampled_from([200, 201, 202, 203, 205]))
def test_noise_is_read_or_refused(body: bytes, packet_type: int) -> None:
    body = body[: len(body) // 4 * 4]
    data = bytes((0x80 | len(body) % 32, packet_type, 0, len(body) // 4)) + body
    try:
        parse_compound(data, reduced_size=True)
    except RtcpError:
        return


@pytest.mark.requirement("rfc3550.6", "rfc3550.6.4")
def test_reads_a_sender_report_as_it_is_on_the_wire() -> None:
    data = bytes.fromhex(
        "81c8000c 11111111 e0b1c2d3 80000000 0000a0a0 00000064 00003e80"
        "22222222 40fffffe 0001000a 00000010 c2d38000 00010000"
    )
    report = SenderReport(
        0x11111111,
        0xE0B1C2D380000000,
        0xA0A0,
        100,
        16000,
        (ReportBlock(0x22222222, 64, -2, 0x1000A, 16, 0xC2D38000, 65536),),
    )
    assert parse_compound(data) == [report]
    assert bytes(report) == data


@pytest.mark.requirement("rfc3550.6")
def test_a_chunk_ends_with_a_null_item_up_to_a_word() -> None:
    assert bytes(CNAME) == bytes.fromhex("81ca0003 00000005 0104") + b"ab@c" + b"\0\0"
    full = SourceDescription.with_cname(5, b"ab")
    assert bytes(full) == bytes.fromhex("81ca0003 00000005 0102") + b"ab" + b"\0\0\0\0"


@pytest.mark.requirement("rfc3550.6")
def test_the_cname_is_found_among_other_items() -> None:
    chunk = SdesChunk(5, (SdesItem(2, b"Alice"), SdesItem(1, b"alice@host")))
    assert chunk.cname == b"alice@host"
    assert SdesChunk(5).cname is None


def test_unknown_types_and_extensions_of_reports_do_no_harm() -> None:
    extended = bytes.fromhex("80c90002 00000005 cafecafe")
    feedback = bytes.fromhex("81ce0002 00000001 00000002")
    assert parse_compound(extended + feedback) == [RR, UnknownPacket(206, 1, feedback[4:])]


@pytest.mark.requirement("rfc3550.6")
def test_padding_is_taken_off_the_last_packet() -> None:
    padded = bytes.fromhex("a0c90002 00000005 00000004")
    assert parse_compound(padded) == [RR]


def test_a_reduced_size_report_is_read_when_negotiated() -> None:
    data = bytes(Goodbye((5,)))
    assert parse_compound(data, reduced_size=True) == [Goodbye((5,))]
    with pytest.raises(RtcpError, match="begins with packet type 203"):
        parse_compound(data)


@pytest.mark.requirement("rfc3550.6")
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "empty"),
        ("80c9", "header is cut short"),
        ("40c90001 00000005", "version 1"),
        ("80c90002 00000005", "2 words is cut short"),
        ("80c90000", "receiver report is cut short"),
        ("80c80001 00000005", "sender report is cut short"),
        ("81c90001 00000005", "1 report blocks is cut short"),
        ("a0c90001 00000005 80c90001 00000005", "before the last"),
        ("a0c90001 00000005", "padding of 5"),
        ("a0c90001 00000000", "padding of 0"),
        ("a0c90002 00000005 00000003", "padding of 3"),
        ("a0c90001 0000000c", "padding of 12"),
        ("80c90001 00000005 81ca0000", "chunk is cut short"),
        ("80c90001 00000005 81ca0002 00000005 01ff6161", "item is cut short"),
        ("80c90001 00000005 82cb0001 00000005", "2 sources is cut short"),
        ("80c90001 00000005 80cb0001 ff616161", "reason of a goodbye is cut short"),
    ],
)
def test_refuses_what_is_not_a_compound(data: str, complaint: str) -> None:
    with pytest.raises(RtcpError, match=complaint):
        parse_compound(bytes.fromhex(data))


@pytest.mark.requirement("rfc3550.6")
@pytest.mark.parametrize(
    "packets",
    [[], [CNAME, RR], [RR], [RR, SourceDescription()], [RR, CNAME, Goodbye((1,) * 32)]],
)
def test_does_not_write_a_compound_that_breaks_the_rules(packets: list[RtcpPacket]) -> None:
    with pytest.raises(RtcpError):
        serialise_compound(packets)


@pytest.mark.parametrize(
    "packet",
    [
        SourceDescription.with_cname(5, b"x" * 256),
        SourceDescription((SdesChunk(5, (SdesItem(0, b"null"),)),)),
        Goodbye((5,), b"x" * 256),
        UnknownPacket(204, 0, b"odd"),
    ],
)
def test_does_not_write_what_the_fields_cannot_say(packet: RtcpPacket) -> None:
    with pytest.raises(RtcpError):
        bytes(packet)
