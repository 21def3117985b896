"""The RTCP of a phone leg: reports both ways, and where they come from and go to."""

from __future__ import annotations

from collections.abc import Callable

from ringback.media.latch import Address, RtcpLatch, SourceLatch, is_usable
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio
from ringback.rtp.errors import RtcpError
from ringback.rtp.reporting import ReportScheduler, RtcpReporter
from ringback.rtp.rtcp import ReceiverReport, RtcpPacket, SenderReport, parse_compound

Send = Callable[[bytes, Address], None]


class RtcpSide:
    """``latch`` is that of the RTP stream; ``random`` gives numbers from 0 up to 1."""

    def __init__(
        self,
        reporter: RtcpReporter,
        latch: SourceLatch,
        counters: MediaCounters,
        *,
        send_rtp: Send,
        send_rtcp: Send,
        random: Callable[[], float],
    ) -> None:
        self.reporter = reporter
        self._latch = latch
        self._counters = counters
        self._send_rtp = send_rtp
        self._send_rtcp = send_rtcp
        self._random = random
        self._source = RtcpLatch()
        self._scheduler: ReportScheduler | None = None
        self._audio: NegotiatedAudio | None = None

    def negotiate(self, audio: NegotiatedAudio, now: float) -> None:
        """After the latch of the stream took over ``audio``."""
        if self._latch.source is None:
            rtcp = audio.remote_rtcp
            self._source.open(None if rtcp is None else (rtcp.host, rtcp.port))
        self._audio = audio
        if self._scheduler is None:
            self._scheduler = ReportScheduler(self._random, now)

    def receive(self, data: bytes, address: Address, now: float) -> bool:
        """A datagram; whether it shows that the far end is there."""
        if self._audio is None or not self._source.accepts(address, self._latch.send_to):
            self._counters.dropped_wrong_source += 1
            return False
        try:
            packets = parse_compound(data, reduced_size=True)
        except RtcpError:
            self._counters.dropped_malformed += 1
            return False
        self._counters.rtcp_received += 1
        self._source.follow(address)
        if self._scheduler is not None:
            self._scheduler.received(len(data))
        self.reporter.receive(packets, now)
        return self._is_alive(packets)

    def _is_alive(self, packets: list[RtcpPacket]) -> bool:
        """Whether a report is from the source that we hear, or from a peer never heard."""
        ssrc = self._latch.ssrc
        return any(
            isinstance(packet, SenderReport | ReceiverReport) and ssrc in (None, packet.ssrc)
            for packet in packets
        )

    def is_due(self, now: float) -> bool:
        """Whether it is time for a report of ours."""
        return self._scheduler is not None and self._scheduler.due(now)

    def report(self, now: float, unix_seconds: float, timestamp: int) -> None:
        """Send one; ``timestamp`` is the RTP time of the next sample."""
        if self._scheduler is not None:
            report = self.reporter.report(now, unix_seconds, timestamp)
            self._send(report)
            self._scheduler.sent(len(report), now)

    def leave(self, now: float, unix_seconds: float, timestamp: int) -> None:
        """Say goodbye; nothing is sent or taken in after that."""
        if self._audio is not None:
            self._send(self.reporter.goodbye(now, unix_seconds, timestamp))
        self._audio = self._scheduler = None

    def _send(self, report: bytes) -> None:
        audio = self._audio
        if audio is None:
            return
        if audio.rtcp_mux:
            target, send = self._latch.send_to, self._send_rtp
        else:
            target, send = self._target(audio), self._send_rtcp
        if target is not None and is_usable(target):
            self._counters.rtcp_sent += 1
            send(report, target)

    def _target(self, audio: NegotiatedAudio) -> Address | None:
        """Where it came from, else what the SDP says, else the port after the real source's."""
        if self._source.source is not None:
            return self._source.source
        source = self._latch.send_to
        if source is None:
            return None
        if audio.remote_rtcp is not None and source[0] == audio.remote.host:
            return audio.remote_rtcp.host, audio.remote_rtcp.port
        return source[0], source[1] + 1
