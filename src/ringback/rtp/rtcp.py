"""RTCP packets and compounds (RFC 3550 section 6): SR, RR, SDES and BYE, and the rest untouched.

Lenient in: unknown packet types and SDES items are kept as they are, profile-specific extensions
of reports are skipped. Strict out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ringback.rtp.errors import RtcpError

VERSION = 2
SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203

SDES_CNAME = 1
MAX_COUNT = 31
"""Report blocks, chunks or sources in one packet: the header's five bits."""

_HEADER = struct.Struct("!BBH")
_PADDING = 0x20
_SSRC = struct.Struct("!I")
_SENDER_INFO = struct.Struct("!QIII")
_REPORT = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one receiver says about one source.

    ``fraction_lost`` is of 256 since the last report, ``packets_lost`` signed and in total,
    ``highest_sequence`` extended by the wraps, ``jitter`` in timestamp units; ``last_report`` is
    the middle of the NTP timestamp of the source's last SR and ``delay`` the time since it came,
    in 1/65536 s (both 0 without an SR).
    """

    ssrc: int
    fraction_lost: int
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_report: int = 0
    delay: int = 0

    @classmethod
    def parse(cls, data: bytes, offset: int = 0) -> Self:
        ssrc, loss, highest, jitter, last_report, delay = _REPORT.unpack_from(data, offset)
        lost = loss & 0xFFFFFF
        lost -= (lost & 0x800000) << 1
        return cls(ssrc, loss >> 24, lost, highest, jitter, last_report, delay)

    def __bytes__(self) -> bytes:
        loss = self.fraction_lost << 24 | self.packets_lost & 0xFFFFFF
        return _REPORT.pack(
            self.ssrc, loss, self.highest_sequence, self.jitter, self.last_report, self.delay
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """``ntp_timestamp`` (64 bits) and ``rtp_timestamp`` are the same moment on two clocks."""

    ssrc: int
    ntp_timestamp: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: tuple[ReportBlock, ...] = ()

    @classmethod
    def parse(cls, body: bytes, count: int) -> Self:
        info = _SSRC.size + _SENDER_INFO.size
        if len(body) < info:
            raise RtcpError("a sender report is cut short")
        (ssrc,) = _SSRC.unpack_from(body)
        ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(body, _SSRC.size)
        return cls(ssrc, ntp, rtp, packets, octets, _parse_reports(body, info, count))

    def __bytes__(self) -> bytes:
        info = _SENDER_INFO.pack(
            self.ntp_timestamp,
            self.rtp_timestamp,
            self.packet_count & 0xFFFFFFFF,
            self.octet_count & 0xFFFFFFFF,
        )
        body = _SSRC.pack(self.ssrc) + info + b"".join(map(bytes, self.reports))
        return _serialise(SENDER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()

    @classmethod
    def parse(cls, body: bytes, count: int) -> Self:
        if len(body) < _SSRC.size:
            raise RtcpError("a receiver report is cut short")
        return cls(_SSRC.unpack_from(body)[0], _parse_reports(body, _SSRC.size, count))

    def __bytes__(self) -> bytes:
        body = _SSRC.pack(self.ssrc) + b"".join(map(bytes, self.reports))
        return _serialise(RECEIVER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class SdesItem:
    kind: int
    value: bytes


@dataclass(frozen=True, slots=True)
class SdesChunk:
    ssrc: int
    items: tuple[SdesItem, ...] = ()

    @property
    def cname(self) -> bytes | None:
        return next((item.value for item in self.items if item.kind == SDES_CNAME), None)

    def __bytes__(self) -> bytes:
        parts = [_SSRC.pack(self.ssrc)]
        for item in self.items:
            if not 0 < item.kind < 256 or len(item.value) > 255:
                raise RtcpError(f"SDES item {item.kind} of {len(item.value)} bytes")
            parts += [bytes((item.kind, len(item.value))), item.value]
        data = b"".join(parts)
        return data + bytes(4 - len(data) % 4)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    chunks: tuple[SdesChunk, ...] = ()

    @classmethod
    def parse(cls, body: bytes, count: int) -> Self:
        chunks: list[SdesChunk] = []
        position = 0
        for _ in range(count):
            chunk, position = _parse_chunk(body, position)
            chunks.append(chunk)
        return cls(tuple(chunks))

    @classmethod
    def with_cname(cls, ssrc: int, cname: bytes) -> Self:
        return cls((SdesChunk(ssrc, (SdesItem(SDES_CNAME, cname),)),))

    def __bytes__(self) -> bytes:
        body = b"".join(map(bytes, self.chunks))
        return _serialise(SOURCE_DESCRIPTION, len(self.chunks), body)


@dataclass(frozen=True, slots=True)
class Goodbye:
    """``reason`` is UTF-8 as it came; empty when there is none."""

    sources: tuple[int, ...] = ()
    reason: bytes = b""

    @classmethod
    def parse(cls, body: bytes, count: int) -> Self:
        size = 4 * count
        if len(body) < size:
            raise RtcpError(f"a goodbye of {count} sources is cut short")
        sources = struct.unpack_from(f"!{count}I", body)
        reason = b""
        if len(body) > size:
            end = size + 1 + body[size]
            if len(body) < end:
                raise RtcpError("the reason of a goodbye is cut short")
            reason = body[size + 1 : end]
        return cls(sources, reason)

    def __bytes__(self) -> bytes:
        body = struct.pack(f"!{len(self.sources)}I", *self.sources)
        if self.reason:
            if len(self.reason) > 255:
                raise RtcpError(f"a reason of {len(self.reason)} bytes")
            body += bytes((len(self.reason),)) + self.reason
            body += bytes(-len(body) % 4)
        return _serialise(GOODBYE, len(self.sources), body)


@dataclass(frozen=True, slots=True)
class UnknownPacket:
    """A packet type that is none of ours (APP, feedback, XR): ``count`` are the five bits of the
    header, ``body`` all after the header."""

    packet_type: int
    count: int
    body: bytes

    def __bytes__(self) -> bytes:
        return _serialise(self.packet_type, self.count, self.body)


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | UnknownPacket


def parse_compound(data: bytes, *, reduced_size: bool = False) -> list[RtcpPacket]:
    """Read one datagram (RFC 3550 appendix A.2). Raises ``RtcpError``.

    A compound begins with a report; ``reduced_size`` (RFC 5506, when it was negotiated) lets it
    begin with anything. Padding is allowed in the last packet only.
    """
    packets: list[RtcpPacket] = []
    position = 0
    while position < len(data):
        if len(data) - position < _HEADER.size:
            raise RtcpError("an RTCP header is cut short")
        first, packet_type, words = _HEADER.unpack_from(data, position)
        if first >> 6 != VERSION:
            raise RtcpError(f"RTCP version {first >> 6}, not {VERSION}")
        if not packets and not reduced_size and packet_type not in _REPORTS:
            raise RtcpError(f"a compound that begins with packet type {packet_type}")
        end = position + 4 + 4 * words
        if end > len(data):
            raise RtcpError(f"an RTCP packet of {words} words is cut short")
        body = data[position + 4 : end]
        if first & _PADDING:
            body = _without_padding(body, last=end == len(data))
        packets.append(_parse_packet(packet_type, first & 0x1F, body))
        position = end
    if not packets:
        raise RtcpError("an empty RTCP datagram")
    return packets


def serialise_compound(packets: Sequence[RtcpPacket]) -> bytes:
    """One datagram. Raises ``RtcpError`` when it does not begin with a report or has no CNAME,
    which section 6.1 asks of every compound."""
    if not packets or not isinstance(packets[0], SenderReport | ReceiverReport):
        raise RtcpError("a compound begins with a report")
    chunks = (c for p in packets if isinstance(p, SourceDescription) for c in p.chunks)
    if not any(chunk.cname for chunk in chunks):
        raise RtcpError("a compound carries a CNAME")
    return b"".join(map(bytes, packets))


_REPORTS = (SENDER_REPORT, RECEIVER_REPORT)
_PARSED: dict[
    int, type[SenderReport] | type[ReceiverReport] | type[SourceDescription] | type[Goodbye]
] = {
    SENDER_REPORT: SenderReport,
    RECEIVER_REPORT: ReceiverReport,
    SOURCE_DESCRIPTION: SourceDescription,
    GOODBYE: Goodbye,
}


def _parse_packet(packet_type: int, count: int, body: bytes) -> RtcpPacket:
    kind = _PARSED.get(packet_type)
    return kind.parse(body, count) if kind else UnknownPacket(packet_type, count, body)


def _without_padding(body: bytes, *, last: bool) -> bytes:
    if not last:
        raise RtcpError("padding before the last packet of a compound")
    padding = body[-1] if body else 0
    if not 0 < padding <= len(body) or padding % 4:
        raise RtcpError(f"padding of {padding} bytes does not fit the packet")
    return body[: len(body) - padding]


def _parse_reports(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    if len(body) < start + count * _REPORT.size:
        raise RtcpError(f"the list of {count} report blocks is cut short")
    offsets = range(start, start + count * _REPORT.size, _REPORT.size)
    return tuple(ReportBlock.parse(body, offset) for offset in offsets)


def _parse_chunk(body: bytes, position: int) -> tuple[SdesChunk, int]:
    """A chunk ends with one null item or more, up to the next 32-bit boundary."""
    if len(body) < position + _SSRC.size:
        raise RtcpError("an SDES chunk is cut short")
    (ssrc,) = _SSRC.unpack_from(body, position)
    position += _SSRC.size
    items: list[SdesItem] = []
    while position < len(body) and body[position]:
        if position + 2 > len(body) or position + 2 + body[position + 1] > len(body):
            raise RtcpError("an SDES item is cut short")
        end = position + 2 + body[position + 1]
        items.append(SdesItem(body[position], body[position + 2 : end]))
        position = end
    return SdesChunk(ssrc, tuple(items)), (position // 4 + 1) * 4


def _serialise(packet_type: int, count: int, body: bytes) -> bytes:
    if count > MAX_COUNT:
        raise RtcpError(f"{count} entries, at most {MAX_COUNT} fit into one packet")
    if len(body) % 4 or len(body) > 4 * 0xFFFF:
        raise RtcpError(f"a body of {len(body)} bytes")
    return _HEADER.pack(VERSION << 6 | count, packet_type, len(body) // 4) + body
