"""One end of a phone call's media as the gateway has it, on real ports, without the rest of it."""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime
from typing import Self

from ringback.core.clock import SystemClock
from ringback.media.dtls import DtlsIdentity
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.plane import MediaSecurity, NegotiatedAudio, RtpAddress
from ringback.media.secure_endpoint import SecureEndpoint
from ringback.net.rtp_ports import RtpPorts

LOCALHOST = "127.0.0.1"
FRAME_SECONDS = 0.02
WAIT_SECONDS = 15.0


def speech(n: int) -> bytes:
    """160 bytes of payload that differ in every packet."""
    return bytes((n * 7 + k * k) & 0xFF for k in range(160))


def rtp(n: int, ssrc: int, payload_type: int, payload: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, payload_type, 1000 + n, 160 * n, ssrc) + payload


class MediaLeg:
    """Packets in and out through what protects a phone leg. ``ssrc`` is that of what it sends."""

    def __init__(self, ssrc: int = 0x1234) -> None:
        self.ssrc = ssrc
        self.counters = MediaCounters()
        self.failures: list[str] = []
        self.failed = asyncio.Event()
        self.identity = DtlsIdentity(datetime.now(UTC))
        self._clock = SystemClock()
        self._ports = RtpPorts(26000, 29999, clock=self._clock, quarantine=0.0)
        self._sockets = self._ports.bind(LOCALHOST)
        self.endpoint = SecureEndpoint(self._sockets, self._clock, self.counters, self.identity)
        self.endpoint.on_failed = self._on_failed
        self._remote: Address = (LOCALHOST, 9)
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.reports: asyncio.Queue[bytes] = asyncio.Queue()
        self.speak = speech
        """Payload of the n-th packet that it sends, 20 ms of PCMU."""
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        return self._sockets.port

    def negotiate(
        self,
        security: MediaSecurity | None,
        host: str,
        port: int,
        *,
        mux: bool = False,
        payload_type: int = 0,
    ) -> None:
        self._remote = (host, port)
        audio = NegotiatedAudio(
            RtpAddress(host, port), "PCMU", payload_type, rtcp_mux=mux, security=security
        )
        self.endpoint.negotiate(audio, self._clock.monotonic())

    def send(self, payload_type: int = 0) -> None:
        self._sent += 1
        packet = rtp(self._sent, self.ssrc, payload_type, self.speak(self._sent))
        self.endpoint.send_rtp(packet, self._remote)

    def send_report(self, *, mux: bool = False) -> None:
        report = struct.pack("!BBHIIIIII", 0x80, 200, 6, self.ssrc, 1, 2, 3, self._sent, 160)
        host, port = self._remote[:2]
        if mux:
            self.endpoint.send_rtp(report, self._remote)
        else:
            self.endpoint.send_rtcp(report, (host, port + 1))

    async def hears(self, other_ssrc: int | None = None, count: int = 25) -> None:
        """Send speech until ``count`` packets have come whose payload is the other end's speech.
        Raises ``TimeoutError``."""
        async with asyncio.timeout(WAIT_SECONDS):
            while count:
                data = await self._heard.get()
                number = int.from_bytes(data[2:4], "big") - 1000
                if data[12:] == speech(number) and other_ssrc in (None, _ssrc(data)):
                    count -= 1

    async def packets(self, count: int) -> list[bytes]:
        """The next ones, as the leg gets them. Raises ``TimeoutError``."""
        async with asyncio.timeout(WAIT_SECONDS):
            return [await self._heard.get() for _ in range(count)]

    def _tick(self) -> None:
        self.endpoint.tick(self._clock.monotonic())
        self.send()
        self._timer = asyncio.get_running_loop().call_later(FRAME_SECONDS, self._tick)

    def _on_rtp(self, data: bytes, source: Address, now: float) -> None:
        queue = self.reports if 192 <= data[1] <= 223 else self._heard
        queue.put_nowait(data)

    def _on_rtcp(self, data: bytes, source: Address, now: float) -> None:
        self.reports.put_nowait(data)

    def _on_failed(self, why: str) -> None:
        self.failures.append(why)
        self.failed.set()

    def talk(self) -> None:
        """Send speech from now on, a packet every 20 ms."""
        self._tick()

    async def __aenter__(self) -> Self:
        self.endpoint.open(self._on_rtp, self._on_rtcp, lambda source, now: None)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.endpoint.close()
        self._ports.release(self._sockets)


def _ssrc(data: bytes) -> int:
    return int.from_bytes(data[8:12], "big")
