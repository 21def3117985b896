"""The phone leg of a call: one RTP stream each way and its RTCP, without sockets or clock.

Datagrams come in with the time they arrived at; what is to be sent goes to the two functions the
leg was given. ``rtp_sockets`` brings real sockets, tests bring lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringback.audio import codec as codecs
from ringback.audio import tones
from ringback.core.errors import InvalidRequest
from ringback.media.agent_port import PlayoutQueue
from ringback.media.latch import Address, RtcpLatch, SourceLatch, Verdict, is_usable
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS, NegotiatedAudio
from ringback.media.rtp_receiver import RtpReceiver
from ringback.media.rtp_sender import RtpSender
from ringback.rtp.dtmf import DIGITS, PAUSE, DtmfEvent
from ringback.rtp.errors import PacketError, RtcpError
from ringback.rtp.packet import Datagram, RtpPacket, RtpPacketizer, classify
from ringback.rtp.reporting import ReportScheduler, RtcpReporter
from ringback.rtp.rtcp import parse_compound

STATIC_CODECS = {0: "PCMU", 8: "PCMA"}
"""Payload types that mean the same everywhere (RFC 3551): taken even if only the other one was
negotiated, because some gateways change over without asking."""
TONE_MS = 160
TONE_GAP_MS = 100
PAUSE_MS = 500
MAX_TONES_MS = 60_000

Send = Callable[[bytes, Address], None]


@dataclass(frozen=True, slots=True)
class RtpIdentity:
    """What RFC 3550 wants to be random about a stream, and its CNAME."""

    ssrc: int
    sequence: int
    timestamp: int
    cname: bytes


class RtpSession:
    """Implements :class:`ringback.media.bridge.Leg`. ``sample_rate`` (Hz) is the bridge's."""

    def __init__(
        self,
        identity: RtpIdentity,
        sample_rate: int,
        counters: MediaCounters,
        *,
        send_rtp: Send,
        send_rtcp: Send,
        on_dtmf: Callable[[DtmfEvent], None],
        random: Callable[[], float],
    ) -> None:
        self.receiver = RtpReceiver(sample_rate, counters)
        self.sender = RtpSender(
            RtpPacketizer(identity.ssrc, identity.sequence, identity.timestamp),
            sample_rate,
            counters,
        )
        self.latch = SourceLatch()
        self.last_heard = 0.0
        """When the last packet of ours came (monotonic seconds)."""
        self._identity = identity
        self._sample_rate = sample_rate
        self._frame_bytes = sample_rate * FRAME_MS // 1000 * 2
        self._counters = counters
        self._send_rtp = send_rtp
        self._send_rtcp = send_rtcp
        self._on_dtmf = on_dtmf
        self._random = random
        self._audio: NegotiatedAudio | None = None
        self._tones = PlayoutQueue()
        self._rtcp_latch = RtcpLatch()
        self._scheduler: ReportScheduler | None = None
        self._reporter: RtcpReporter | None = None

    # ---- negotiation ------------------------------------------------------------------------

    @property
    def audio(self) -> NegotiatedAudio | None:
        return self._audio

    @property
    def round_trip_ms(self) -> float | None:
        if self._reporter is None or self._reporter.round_trip is None:
            return None
        return self._reporter.round_trip * 1000

    def negotiate(self, audio: NegotiatedAudio, now: float) -> None:
        """Take over what offer and answer agreed on. Raises ``InvalidRequest`` (code
        ``unknown_codec``) and changes nothing when a codec is not built in."""
        before = self._audio
        encoder, decoders = _codecs_of(audio)
        self.sender.configure(encoder, audio.payload_type, audio.ptime_ms, audio.dtmf_payload_type)
        if before is None or _receives(before) != _receives(audio):
            statistics = self.receiver.statistics
            self.receiver.configure(decoders, audio.dtmf_payload_type)
            if self._reporter is None or statistics is not self.receiver.statistics:
                self._reporter = RtcpReporter(
                    self._identity.ssrc,
                    self._identity.cname,
                    self.receiver.statistics,
                    self.sender.statistics,
                )
        resumed = before is not None and audio.receive and not before.receive
        self.latch.negotiate(
            (audio.remote.host, audio.remote.port),
            reopen=resumed,
            authenticated=audio.security is not None,
        )
        if self.latch.source is None:
            rtcp = audio.remote_rtcp
            self._rtcp_latch.open(None if rtcp is None else (rtcp.host, rtcp.port))
        self._audio = audio
        if before is None or resumed:
            self.last_heard = now
        if self._scheduler is None:
            self._scheduler = ReportScheduler(self._random, now)

    # ---- the wire ---------------------------------------------------------------------------

    def on_rtp(self, data: bytes, address: Address, now: float) -> None:
        """A datagram on the RTP port."""
        kind = classify(data)
        if kind is Datagram.RTP:
            self._on_packet(data, address, now)
        elif kind is Datagram.RTCP and self._audio is not None and self._audio.rtcp_mux:
            self.on_rtcp(data, address, now)
        else:
            self._counters.dropped_not_rtp += 1

    def _on_packet(self, data: bytes, address: Address, now: float) -> None:
        counters = self._counters
        audio = self._audio
        if audio is None:
            counters.dropped_early += 1
            return
        try:
            packet = RtpPacket.parse(data)
        except PacketError:
            counters.dropped_malformed += 1
            return
        if not self.receiver.knows(packet.payload_type):
            counters.dropped_payload_type += 1
            return
        if not audio.receive:
            counters.dropped_direction += 1
            return
        verdict = self.latch.judge(address, packet.ssrc, packet.sequence, now)
        if verdict is not Verdict.ACCEPTED:
            if verdict is Verdict.WRONG_SOURCE:
                counters.dropped_wrong_source += 1
                return
            if verdict is Verdict.WRONG_SSRC:
                counters.dropped_wrong_ssrc += 1
                return
            self.receiver.restart()
        self.last_heard = now
        event = self.receiver.receive(packet, now)
        if event is not None:
            self._key(event)

    def on_rtcp(self, data: bytes, address: Address, now: float) -> None:
        """A datagram on the RTCP port (or RTCP on the RTP port, with rtcp-mux)."""
        if self._reporter is None or not self._rtcp_latch.accepts(address, self.latch.send_to):
            self._counters.dropped_wrong_source += 1
            return
        try:
            packets = parse_compound(data, reduced_size=True)
        except RtcpError:
            self._counters.dropped_malformed += 1
            return
        self._counters.rtcp_received += 1
        self._rtcp_latch.follow(address)
        if self._scheduler is not None:
            self._scheduler.received(len(data))
        self._reporter.receive(packets, now)

    # ---- the bridge -------------------------------------------------------------------------

    def read(self, now: float) -> bytes | None:
        event = self.receiver.poll_dtmf(now)
        if event is not None:
            self._key(event)
        return self.receiver.read(now)

    def write(self, frame: bytes | None, now: float) -> None:
        audio = self._audio
        if audio is None:
            return
        target = self.latch.send_to
        if not audio.send or target is None:
            self.sender.pass_time()
            return
        if self._tones.queued:
            frame = self._tones.take(self._frame_bytes).ljust(self._frame_bytes, b"\0")
        for packet in self.sender.tick(frame):
            self._counters.packets_sent += 1
            self._send_rtp(packet, target)

    def skip(self, frames: int) -> None:
        self.sender.pass_time(frames)

    # ---- keys -------------------------------------------------------------------------------

    def send_dtmf(self, digits: str) -> None:
        """Telephone events, or tones in the audio where the peer takes no events.

        Raises ``InvalidRequest`` (``invalid_digits``) for what is no key and beyond the bound.
        """
        try:
            if self.sender.sends_dtmf:
                self.sender.send_dtmf(digits)
            else:
                self._queue_tones(digits.upper())
        except ValueError as error:
            raise InvalidRequest(str(error), code="invalid_digits", field="digits") from None

    def _queue_tones(self, digits: str) -> None:
        unknown = set(digits) - set(DIGITS + PAUSE)
        if unknown:
            raise ValueError(f"{min(unknown)!r} is not a key")
        queued_ms = self._tones.queued * 1000 // (self._sample_rate * 2)
        if queued_ms + len(digits) * PAUSE_MS > MAX_TONES_MS:
            raise ValueError("too many keys are waiting")
        for digit in digits:
            if digit == PAUSE:
                self._tones.push(tones.silence(PAUSE_MS, self._sample_rate))
            else:
                self._tones.push(tones.dtmf(digit, TONE_MS, self._sample_rate))
                self._tones.push(tones.silence(TONE_GAP_MS, self._sample_rate))
                self._counters.dtmf_sent += 1

    def _key(self, event: DtmfEvent) -> None:
        self._counters.dtmf_received += 1
        self._on_dtmf(event)

    # ---- RTCP -------------------------------------------------------------------------------

    def tick(self, now: float, unix_seconds: Callable[[], float]) -> None:
        """Send a report when one is due."""
        scheduler = self._scheduler
        if scheduler is not None and self._reporter is not None and scheduler.due(now):
            report = self._reporter.report(now, unix_seconds(), self.sender.timestamp)
            self._send_report(report)
            scheduler.sent(len(report), now)

    def leave(self, now: float, unix_seconds: float) -> None:
        """Say goodbye; nothing is sent after that."""
        if self._audio is not None and self._reporter is not None:
            self._send_report(self._reporter.goodbye(now, unix_seconds, self.sender.timestamp))
        self._audio = None
        self._reporter = None

    def _send_report(self, report: bytes) -> None:
        audio = self._audio
        if audio is None:
            return
        if audio.rtcp_mux:
            target, send = self.latch.send_to, self._send_rtp
        else:
            target, send = self._rtcp_target(audio), self._send_rtcp
        if target is not None and is_usable(target):
            self._counters.rtcp_sent += 1
            send(report, target)

    def _rtcp_target(self, audio: NegotiatedAudio) -> Address | None:
        """Where it came from, else what the SDP says, else the port after the real source's."""
        if self._rtcp_latch.source is not None:
            return self._rtcp_latch.source
        source = self.latch.send_to
        if source is None:
            return None
        if audio.remote_rtcp is not None and source[0] == audio.remote.host:
            return audio.remote_rtcp.host, audio.remote_rtcp.port
        return source[0], source[1] + 1


def _receives(audio: NegotiatedAudio) -> object:
    return audio.payload_type, audio.codec, audio.receive_codecs, audio.dtmf_payload_type


def _codecs_of(audio: NegotiatedAudio) -> tuple[codecs.Codec, dict[int, codecs.Codec]]:
    """The encoder and, by payload type, the decoders."""
    try:
        encoder = codecs.create(audio.codec)
        named = {audio.payload_type: audio.codec, **dict(audio.receive_codecs)}
        decoders = {number: codecs.create(name) for number, name in named.items()}
    except codecs.UnknownCodec as error:
        raise InvalidRequest(str(error), code="unknown_codec", field="codec") from None
    rates = encoder.clock_rate, encoder.sample_rate
    for number, name in STATIC_CODECS.items():
        static = codecs.create(name)
        taken = number in decoders or number == audio.dtmf_payload_type
        if not taken and (static.clock_rate, static.sample_rate) == rates:
            decoders[number] = static
    return encoder, decoders
