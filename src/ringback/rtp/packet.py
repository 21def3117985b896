"""RTP packets (RFC 3550 section 5.1) and what else shares their port (RFC 7983, RFC 5761)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Self

from ringback.rtp.errors import PacketError

VERSION = 2
HEADER_SIZE = 12
MAX_CSRCS = 15

HEADER = struct.Struct("!BBHII")
_EXTENSION_HEADER = struct.Struct("!HH")
PLAIN_HEADER = VERSION << 6
_PADDING = 0x20
_EXTENSION = 0x10
_CSRC_COUNT = 0x0F


class Datagram(enum.Enum):
    """What a datagram on a media port is, told by its first bytes."""

    RTP = "rtp"
    RTCP = "rtcp"
    STUN = "stun"
    DTLS = "dtls"
    OTHER = "other"


def classify(data: bytes) -> Datagram:
    """Tell RTP from what is multiplexed with it (RFC 7983 section 7, RFC 5761 section 4).

    An RTCP packet type is 192 to 223, which as the second byte of an RTP packet would be one of
    the payload types 64 to 95 with the marker bit: RFC 5761 forbids those. Says nothing about
    the rest of the datagram: that is for ``parse``.
    """
    if len(data) < 2:
        return Datagram.OTHER
    first = data[0]
    if 128 <= first <= 191:
        return Datagram.RTCP if 192 <= data[1] <= 223 else Datagram.RTP
    if first <= 3:
        return Datagram.STUN
    if 20 <= first <= 63:
        return Datagram.DTLS
    return Datagram.OTHER


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """The one extension that a header may carry: ``data`` is whole 32-bit words, unread."""

    profile: int
    data: bytes


@dataclass(slots=True)
class RtpPacket:
    """One RTP packet. Not frozen, because one is made for every 20 ms of every call.

    ``timestamp`` is in units of the payload type's clock, ``payload`` has no padding.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: HeaderExtension | None = None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read one datagram. Raises ``PacketError``."""
        if len(data) < HEADER_SIZE:
            raise PacketError(f"an RTP packet of {len(data)} bytes has no whole header")
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        if first == PLAIN_HEADER:
            return cls(second & 0x7F, sequence, timestamp, ssrc, data[HEADER_SIZE:], second > 0x7F)
        if first >> 6 != VERSION:
            raise PacketError(f"RTP version {first >> 6}, not {VERSION}")
        csrcs, extension, start = _read_optional_header(data, first)
        return cls(
            second & 0x7F,
            sequence,
            timestamp,
            ssrc,
            data[start : _payload_end(data, first, start)],
            second > 0x7F,
            csrcs,
            extension,
        )

    def __bytes__(self) -> bytes:
        """Serialise. Raises ``PacketError`` for what the header cannot express."""
        first = PLAIN_HEADER | len(self.csrcs)
        if len(self.csrcs) > MAX_CSRCS:
            raise PacketError(f"{len(self.csrcs)} CSRCs, at most {MAX_CSRCS} fit")
        tail = struct.pack(f"!{len(self.csrcs)}I", *self.csrcs) if self.csrcs else b""
        if self.extension is not None:
            words, odd = divmod(len(self.extension.data), 4)
            if odd:
                raise PacketError("a header extension is whole 32-bit words")
            first |= _EXTENSION
            tail += _EXTENSION_HEADER.pack(self.extension.profile, words) + self.extension.data
        second = self.payload_type | (0x80 if self.marker else 0)
        try:
            header = HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        except struct.error as error:
            raise PacketError(f"a header field is out of range: {error}") from error
        return header + tail + self.payload


def _read_optional_header(
    data: bytes, first: int
) -> tuple[tuple[int, ...], HeaderExtension | None, int]:
    """CSRC list, extension, and where the payload starts."""
    count = first & _CSRC_COUNT
    start = HEADER_SIZE + 4 * count
    if len(data) < start:
        raise PacketError(f"the list of {count} CSRCs is cut short")
    csrcs = struct.unpack_from(f"!{count}I", data, HEADER_SIZE) if count else ()
    if not first & _EXTENSION:
        return csrcs, None, start
    if len(data) < start + 4:
        raise PacketError("the header extension is cut short")
    profile, words = _EXTENSION_HEADER.unpack_from(data, start)
    start += 4
    end = start + 4 * words
    if len(data) < end:
        raise PacketError(f"the header extension of {words} words is cut short")
    return csrcs, HeaderExtension(profile, data[start:end]), end


def _payload_end(data: bytes, first: int, start: int) -> int:
    if not first & _PADDING:
        return len(data)
    padding = data[-1]
    if not 0 < padding <= len(data) - start:
        raise PacketError(f"padding of {padding} bytes does not fit the packet")
    return len(data) - padding


class RtpPacketizer:
    """Numbers and stamps one outgoing stream; makes the bytes of its packets.

    ``sequence`` and ``timestamp`` are those of the next packet; RFC 3550 section 5.1 wants both
    to start at random values, which the caller provides.
    """

    __slots__ = ("sequence", "ssrc", "timestamp")

    def __init__(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self.ssrc = ssrc & 0xFFFFFFFF
        self.sequence = sequence & 0xFFFF
        self.timestamp = timestamp & 0xFFFFFFFF

    def pack(self, payload_type: int, payload: bytes, samples: int, marker: bool = False) -> bytes:
        """A packet of ``samples`` (in clock units) of media, and move on by them."""
        sequence = self.sequence
        timestamp = self.timestamp
        self.sequence = (sequence + 1) & 0xFFFF
        self.timestamp = (timestamp + samples) & 0xFFFFFFFF
        second = payload_type | 0x80 if marker else payload_type
        return HEADER.pack(PLAIN_HEADER, second, sequence, timestamp, self.ssrc) + payload

    def pack_at(
        self, timestamp: int, payload_type: int, payload: bytes, marker: bool = False
    ) -> bytes:
        """A packet with its own timestamp (a telephone event keeps the one of its start).

        Takes the next sequence number and leaves the timestamp alone: see ``skip``.
        """
        sequence = self.sequence
        self.sequence = (sequence + 1) & 0xFFFF
        second = payload_type | 0x80 if marker else payload_type
        return HEADER.pack(PLAIN_HEADER, second, sequence, timestamp, self.ssrc) + payload

    def skip(self, samples: int) -> None:
        """Let ``samples`` of time pass in which no audio is sent."""
        self.timestamp = (self.timestamp + samples) & 0xFFFFFFFF
