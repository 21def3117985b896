"""The phone leg of a call: one RTP stream each way and its RTCP, without sockets or clock.

Datagrams come in with the time they arrived at; what is to be sent goes to the two functions the
leg was given. ``rtp_sockets`` brings real sockets, tests bring lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringback.audio import codec as codecs
from ringback.audio.codec import Codec
from ringback.audio.dtmf_detector import DtmfDetector
from ringback.core.errors import InvalidRequest
from ringback.media.latch import Address, RtcpLatch, SourceLatch, Verdict, is_usable
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio
from ringback.media.rtp_receiver import RtpReceiver
from ringback.media.rtp_sender import RtpSender
from ringback.media.tone_keys import ToneKeys
from ringback.rtp.dtmf import DtmfEvent
from ringback.rtp.errors import PacketError, RtcpError
from ringback.rtp.packet import Datagram, RtpPacket, RtpPacketizer, classify
from ringback.rtp.reporting import ReportScheduler, RtcpReporter
from ringback.rtp.rtcp import ReceiverReport, RtcpPacket, SenderReport, parse_compound

STATIC_CODECS = {0: "PCMU", 8: "PCMA"}
"""Payload types that mean the same everywhere (RFC 3551): taken even if only the other one was
negotiated, because some gateways change over without asking."""
DTMF_METHODS = ("auto", "rtp", "inband")

Send = Callable[[bytes, Address], None]


@dataclass(frozen=True, slots=True)
class RtpIdentity:
    """What RFC 3550 wants to be random about a stream, and its CNAME."""

    ssrc: int
    sequence: int
    timestamp: int
    cname: bytes


class RtpSession:
    """Implements :class:`ringback.media.bridge.Leg`. ``sample_rate`` (Hz) is the bridge's.

    ``on_inband``, which may be set at any time, is told of keys that are heard as tones. Listening
    for them costs; it ends by itself once the peer has sent a telephone event.
    """

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
        on_inband: Callable[[DtmfEvent], None] | None = None,
    ) -> None:
        self.receiver = RtpReceiver(sample_rate, counters)
        self.sender = RtpSender(
            RtpPacketizer(identity.ssrc, identity.sequence, identity.timestamp),
            sample_rate,
            counters,
        )
        self.latch = SourceLatch()
        self.last_heard = 0.0
        """When the peer last showed that it is there (monotonic seconds): audio, keys, or RTCP,
        which is all that comes in a long pause of a peer that sends no silence."""
        self.on_inband = on_inband
        self._identity = identity
        self._sample_rate = sample_rate
        self._counters = counters
        self._send_rtp = send_rtp
        self._send_rtcp = send_rtcp
        self._on_dtmf = on_dtmf
        self._random = random
        self._audio: NegotiatedAudio | None = None
        self._encoder: Codec | None = None
        self._detector: DtmfDetector | None = None
        self._tones = ToneKeys()
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

    @property
    def remote_packets_lost(self) -> int | None:
        """Of ours, as the peer reports; ``None``: it has not."""
        return None if self._reporter is None else self._reporter.remote_packets_lost

    @property
    def remote_jitter_ms(self) -> float | None:
        if self._reporter is None or self._encoder is None:
            return None
        jitter = self._reporter.remote_jitter(self._encoder.clock_rate)
        return None if jitter is None else jitter * 1000

    def set_sample_rate(self, sample_rate: int) -> None:
        """The bridge runs at another rate (Hz) from the next frame on, both ways."""
        self._sample_rate = sample_rate
        self._detector = None
        self.receiver.set_sample_rate(sample_rate)
        self.sender.set_sample_rate(sample_rate)

    def negotiate(self, audio: NegotiatedAudio, now: float) -> None:
        """Take over what offer and answer agreed on. Raises ``InvalidRequest`` (code
        ``unknown_codec``) and changes nothing when a codec is not built in."""
        before = self._audio
        encoder, decoders = _codecs_of(audio)
        event_rates = _event_rates(audio, encoder.clock_rate)
        if self._encoder is None or before is None or _sends(before) != _sends(audio):
            self._encoder = encoder
        self.sender.configure(
            self._encoder,
            audio.payload_type,
            audio.ptime_ms,
            audio.dtmf_payload_type,
            event_rates.get(audio.dtmf_payload_type or 0),
        )
        if before is None or _receives(before) != _receives(audio):
            self.receiver.configure(decoders, event_rates, audio.comfort_noise_payload_type)
        if self._reporter is None:
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
        lost = self._reporter.remote_fraction_lost
        if lost is not None:
            self.sender.expect_loss(round(lost * 100))
        if self._audio is not None and self._audio.receive and self._is_alive(packets):
            self.last_heard = now

    def _is_alive(self, packets: list[RtcpPacket]) -> bool:
        """Whether a report is from the source that we hear, or from a peer never heard."""
        ssrc = self.latch.ssrc
        return any(
            isinstance(packet, SenderReport | ReceiverReport) and ssrc in (None, packet.ssrc)
            for packet in packets
        )

    # ---- the bridge -------------------------------------------------------------------------

    def read(self, now: float) -> bytes | None:
        event = self.receiver.poll_dtmf(now)
        if event is not None:
            self._key(event)
        frame = self.receiver.read(now)
        if self.on_inband is not None and not self.receiver.heard_events:
            self._listen(frame, self.on_inband)
        return frame

    def _listen(self, frame: bytes | None, tell: Callable[[DtmfEvent], None]) -> None:
        detector = self._detector
        if detector is None:
            detector = self._detector = DtmfDetector(self._sample_rate)
        key = detector.process(frame)
        if key is not None:
            tell(DtmfEvent(key.digit, key.duration_ms))

    def write(self, frame: bytes | None, now: float) -> None:
        audio = self._audio
        if audio is None:
            return
        target = self.latch.send_to
        if not audio.send or target is None:
            self.sender.pass_time()
            return
        if self._tones.busy:
            frame = self._tones.take(self._sample_rate)
        for packet in self.sender.tick(frame):
            self._counters.packets_sent += 1
            self._send_rtp(packet, target)

    def skip(self, frames: int) -> None:
        self.sender.pass_time(frames)

    # ---- keys -------------------------------------------------------------------------------

    def send_dtmf(self, digits: str, method: str = "auto") -> None:
        """Press keys: ``rtp`` sends telephone events, ``inband`` tones in the audio, ``auto``
        events where the peer takes them and tones where it does not.

        Raises ``InvalidRequest``: ``invalid_digits`` for what is no key and beyond the bound,
        ``invalid_method``, ``no_telephone_events`` for ``rtp`` where none were agreed on.
        """
        if method not in DTMF_METHODS:
            known = ", ".join(DTMF_METHODS)
            raise InvalidRequest(
                f"keys are not sent by {method!r}, but by {known}",
                code="invalid_method",
                field="method",
            )
        events = self.sender.sends_dtmf
        if method == "rtp" and not events:
            raise InvalidRequest(
                "the far end takes no telephone events",
                code="no_telephone_events",
                field="method",
            )
        try:
            if events and method != "inband":
                self.sender.send_dtmf(digits)
            else:
                self._counters.dtmf_sent += self._tones.send(digits)
        except ValueError as error:
            raise InvalidRequest(str(error), code="invalid_digits", field="digits") from None

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
    return (
        audio.payload_type,
        audio.codec,
        audio.receive_codecs,
        audio.dtmf_payload_type,
        audio.dtmf_receive_payload_types,
        audio.comfort_noise_payload_type,
        audio.clock_rate,
    )


def _sends(audio: NegotiatedAudio) -> object:
    return audio.codec, audio.fmtp


def _event_rates(audio: NegotiatedAudio, clock_rate: int) -> dict[int, int]:
    """The clock of each payload type of telephone events that the peer may send."""
    rates = {number: rate for number, rate in audio.dtmf_receive_payload_types if rate > 0}
    if not rates and audio.dtmf_payload_type is not None:
        rates[audio.dtmf_payload_type] = clock_rate
    return rates


def _codecs_of(audio: NegotiatedAudio) -> tuple[Codec, dict[int, Codec]]:
    """The encoder and, by payload type, the decoders."""
    try:
        encoder = codecs.create(audio.codec, fmtp=audio.fmtp)
        named = {audio.payload_type: audio.codec, **dict(audio.receive_codecs)}
        decoders = {number: codecs.create(name) for number, name in named.items()}
    except codecs.UnknownCodec as error:
        raise InvalidRequest(str(error), code="unknown_codec", field="codec") from None
    events = dict(audio.dtmf_receive_payload_types)
    for number, name in STATIC_CODECS.items():
        static = codecs.create(name)
        taken = number in decoders or number in events or number == audio.dtmf_payload_type
        if not taken and static.sample_rate == encoder.sample_rate:
            decoders[number] = static
    return encoder, decoders
