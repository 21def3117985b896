"""What the tests of the phone leg share: a leg without sockets, and the far end."""

from __future__ import annotations

import math
import random
import struct

from ringback.audio import codec
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio, RtpAddress
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.rtp.dtmf import DtmfEvent
from ringback.rtp.packet import RtpPacket, RtpPacketizer

PHONE = ("192.0.2.10", 4000)
STRANGER = ("203.0.113.9", 4000)
TICK = 0.02
PCMU = codec.create("PCMU")
PCMA = codec.create("PCMA")


def audio(
    remote: Address = PHONE,
    *,
    codec: str = "PCMU",
    payload_type: int = 0,
    ptime_ms: int = 20,
    dtmf: int | None = 101,
    send: bool = True,
    receive: bool = True,
    mux: bool = False,
    remote_rtcp: RtpAddress | None = None,
    receive_codecs: tuple[tuple[int, str], ...] = (),
) -> NegotiatedAudio:
    return NegotiatedAudio(
        RtpAddress(*remote),
        codec,
        payload_type,
        8000,
        ptime_ms,
        dtmf,
        send,
        receive,
        mux,
        remote_rtcp,
        receive_codecs,
    )


class Bench:
    """A leg with lists for sockets and a clock that is moved by hand."""

    def __init__(self, sample_rate: int = 8000) -> None:
        self.counters = MediaCounters()
        self.rtp: list[tuple[bytes, Address]] = []
        self.rtcp: list[tuple[bytes, Address]] = []
        self.keys: list[DtmfEvent] = []
        self.now = 1000.0
        self.session = RtpSession(
            RtpIdentity(0x1234, 100, 5000, b"cname@ringback"),
            sample_rate,
            self.counters,
            send_rtp=lambda data, address: self.rtp.append((data, address)),
            send_rtcp=lambda data, address: self.rtcp.append((data, address)),
            on_dtmf=self.keys.append,
            random=random.Random(7).random,
        )

    def negotiate(self, negotiated: NegotiatedAudio) -> None:
        self.session.negotiate(negotiated, self.now)

    def receive(self, data: bytes, address: Address = PHONE) -> None:
        self.session.on_rtp(data, address, self.now)

    def tick(self, frame: bytes | None = None) -> bytes | None:
        heard = self.session.read(self.now)
        self.session.write(frame, self.now)
        self.session.tick(self.now, lambda: 1_700_000_000.0 + self.now)
        self.now += TICK
        return heard

    @property
    def sent(self) -> list[RtpPacket]:
        return [RtpPacket.parse(data) for data, _ in self.rtp]


class Phone:
    """Numbers and stamps packets like the far end does."""

    def __init__(self, ssrc: int = 0xBEEF, payload_type: int = 0) -> None:
        self.payload_type = payload_type
        self.packetizer = RtpPacketizer(ssrc, 65530, 0xFFFFFF00)

    def packet(self, payload: bytes, payload_type: int | None = None) -> bytes:
        number = self.payload_type if payload_type is None else payload_type
        return self.packetizer.pack(number, payload, len(payload))


def tone(samples: int, start: int = 0) -> bytes:
    """300 Hz, different in every frame only by its phase."""
    wave = (
        int(9000 * math.sin(2 * math.pi * 300 * n / 8000)) for n in range(start, start + samples)
    )
    return struct.pack(f"<{samples}h", *wave)


def loudness(pcm: bytes | None) -> float:
    if not pcm:
        return 0.0
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))
