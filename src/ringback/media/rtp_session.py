"""The phone leg of a call: one RTP stream each way and its RTCP, without sockets or clock.

Datagrams come in with the time they arrived at; what is to be sent goes to the two functions the
leg was given. ``rtp_sockets`` brings real sockets, tests bring lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ringback.audio import codec as codecs
from ringback.audio.codec import Codec
from ringback.audio.dtmf_detector import TonePress
from ringback.audio.tone_watch import ToneEar, ToneWatch
from ringback.core.errors import InvalidRequest
from ringback.media.express import Inlet, Outlet
from ringback.media.latch import Address, SourceLatch, Verdict
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import DOZE_FRAMES
from ringback.media.plane import FRAME_MS, NegotiatedAudio
from ringback.media.rtcp_side import RtcpSide, Send
from ringback.media.rtp_receiver import RtpReceiver
from ringback.media.rtp_sender import RtpSender
from ringback.media.tone_keys import ToneKeys
from ringback.rtp.dtmf import DtmfEvent
from ringback.rtp.errors import PacketError
from ringback.rtp.packet import (
    HEADER,
    HEADER_SIZE,
    PLAIN_HEADER,
    Datagram,
    RtpPacket,
    RtpPacketizer,
    classify,
)
from ringback.rtp.reporting import RtcpReporter

STATIC_CODECS = {0: "PCMU", 8: "PCMA"}
"""Payload types that mean the same everywhere (RFC 3551): taken even if only the other one was
negotiated, because some gateways change over without asking."""
DTMF_METHODS = ("auto", "rtp", "inband")
LATE_FRAMES = 3
"""A clock in time looks at a call before more frames than that have brought nothing."""
PATIENCE_SECONDS = 0.1
"""How long after our clock was late nothing is made up: what came meanwhile is still being read."""


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
        tones: ToneWatch | None = None,
        post_plain: Send | None = None,
        post_protected: Send | None = None,
    ) -> None:
        """``post_plain`` and ``post_protected`` are ``send_rtp`` for RTP that may wait for the end
        of the event loop's round, without and with protection."""
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
        self._sample_rate = sample_rate
        self._counters = counters
        self._send_rtp = send_rtp
        self._post_plain = post_plain or send_rtp
        self._post_protected = post_protected or send_rtp
        self.inlet = Inlet()
        """Takes what comes on the RTP port, if whoever brings it can tell it to."""
        self._outlet: Outlet | None = None
        self._ticks = 0
        self._flowed_at = self._patient_until = 0.0
        self._flowed_lead = -inf
        self._told_early = 0
        """Of the frames that the next tick brings, those that the receiver knows of."""
        self._on_dtmf = on_dtmf
        self._audio: NegotiatedAudio | None = None
        self._encoder: Codec | None = None
        self._tone_watch = tones or ToneWatch(at_once=True)
        self._ear: ToneEar | None = None
        self._silence = b""
        self._listener: Callable[[bytes | None], None] | None = None
        self._straight_ear: Callable[[bytes], None] | None = None
        self._tones = ToneKeys()
        self._rtcp = RtcpSide(
            RtcpReporter(
                identity.ssrc, identity.cname, self.receiver.statistics, self.sender.statistics
            ),
            self.latch,
            counters,
            send_rtp=send_rtp,
            send_rtcp=send_rtcp,
            random=random,
        )

    # ---- negotiation ------------------------------------------------------------------------

    @property
    def audio(self) -> NegotiatedAudio | None:
        return self._audio

    @property
    def round_trip_ms(self) -> float | None:
        round_trip = self._rtcp.reporter.round_trip
        return None if round_trip is None else round_trip * 1000

    @property
    def remote_packets_lost(self) -> int | None:
        """Of ours, as the peer reports; ``None``: it has not."""
        return self._rtcp.reporter.remote_packets_lost

    @property
    def remote_jitter_ms(self) -> float | None:
        if self._encoder is None:
            return None
        jitter = self._rtcp.reporter.remote_jitter(self._encoder.clock_rate)
        return None if jitter is None else jitter * 1000

    def set_sample_rate(self, sample_rate: int) -> None:
        """The bridge runs at another rate (Hz) from the next frame on, both ways."""
        self._shut()
        self._sample_rate = sample_rate
        self._ear = None
        self.receiver.set_sample_rate(sample_rate)
        self.sender.set_sample_rate(sample_rate)

    def negotiate(self, audio: NegotiatedAudio, now: float) -> None:
        """Take over what offer and answer agreed on. Raises ``InvalidRequest`` (code
        ``unknown_codec``) and changes nothing when a codec is not built in."""
        self._shut()
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
        resumed = before is not None and audio.receive and not before.receive
        self.latch.negotiate(
            (audio.remote.host, audio.remote.port),
            reopen=resumed,
            authenticated=audio.security is not None,
        )
        self._rtcp.negotiate(audio, now)
        self._audio = audio
        if before is None or resumed:
            self.last_heard = now

    # ---- the wire ---------------------------------------------------------------------------

    def on_rtp(self, data: bytes, address: Address, now: float) -> None:
        """A datagram on the RTP port."""
        if self.inlet.open:
            self._shut()
        if self._listener is not None and self._on_usual_packet(data, address, now):
            return
        kind = classify(data)
        if kind is Datagram.RTP:
            self._on_packet(data, address, now)
        elif kind is Datagram.RTCP and self._audio is not None and self._audio.rtcp_mux:
            self.on_rtcp(data, address, now)
        else:
            self._counters.dropped_not_rtp += 1

    def _on_usual_packet(self, data: bytes, address: Address, now: float) -> bool:
        """The next packet of a stream that is handed over, with a plain header: nearly all are."""
        if len(data) <= HEADER_SIZE or data[0] != PLAIN_HEADER:
            return False
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        audio = self._audio
        if audio is None or not audio.receive or not self.latch.heard(address, ssrc, now):
            return False
        self.last_heard = now
        payload = data[HEADER_SIZE:]
        if not self.receiver.receive_next(second & 0x7F, sequence, timestamp, ssrc, payload, now):
            return False
        if self.receiver.last_went_through:
            inlet = self.inlet
            inlet.head = PLAIN_HEADER << 8 | second & 0x7F
            inlet.address, inlet.ssrc, inlet.sequence = address, ssrc, sequence + 1 & 0xFFFF
            inlet.hear = self._straight_ear or self._listener or self._hand_on
            inlet.ear = self._tone_ear() if self._listens else None
            inlet.note = self._tone_watch.notes(len(self._silence))
            self.receiver.open_inlet(inlet, payload, timestamp, now)
        return True

    def settle(self) -> None:
        """Account for what took the short ways."""
        inlet, outlet = self.inlet, self._outlet
        if len(inlet.arrivals) > 1:
            self.receiver.settle(inlet)
            self.last_heard = inlet.arrivals[-1]
            self.latch.heard(inlet.address, inlet.ssrc, self.last_heard)
            inlet.arrivals = inlet.arrivals[-1:]
        if outlet is not None and outlet.run:
            self.sender.settle(outlet)
        untold = inlet.untold
        passed, self._ticks = self._ticks + untold - self._told_early, 0
        self._told_early = untold
        self.receiver.lead.pass_time(passed)

    def verified(self, address: Address, now: float) -> None:
        """The far end has proved that it is at ``address``."""
        self.latch.verified(address, now)
        self._shut_outlet()

    def _shut(self) -> None:
        """Everything takes the long way from here on."""
        self.settle()
        self.inlet.shut()
        self._outlet = None

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
            self._shut_outlet()  # it leads to where the far end was before
            self.receiver.restart()
        self.last_heard = now
        event = self.receiver.receive(packet, now)
        if event is not None:
            self._key(event)

    def on_rtcp(self, data: bytes, address: Address, now: float) -> None:
        """A datagram on the RTCP port (or RTCP on the RTP port, with rtcp-mux)."""
        self.settle()
        alive = self._rtcp.receive(data, address, now)
        lost = self._rtcp.reporter.remote_fraction_lost
        if lost is not None:
            self.sender.expect_loss(round(lost * 100))
        if alive and self._audio is not None and self._audio.receive:
            self.last_heard = now

    # ---- the bridge -------------------------------------------------------------------------

    def hand_over(
        self,
        listener: Callable[[bytes | None], None] | None,
        ear: Callable[[bytes], None] | None = None,
    ) -> None:
        """Give each frame to ``listener`` as soon as it is there, instead of to who ``read``s, or
        to ``ear`` if it is as usual."""
        self._shut()
        self._flowed_lead = -inf
        self._straight_ear = ear
        if listener is None:
            self._told_early = 0
            self.receiver.hand_over(None)
        elif self._listener is None:
            self.receiver.hand_over(self._hand_on)
        self._listener = listener

    @property
    def _listens(self) -> bool:
        """For keys in tones."""
        return self.on_inband is not None and not self.receiver.heard_events

    def _hand_on(self, frame: bytes | None) -> None:
        if self._listens:
            self._listen(frame)
        if self._listener is not None:
            self._listener(frame)

    def flow(self, now: float, frames: int = 1) -> None:
        """``frames`` of 20 ms have passed: instead of ``read``, where frames are handed over."""
        self._ticks += frames
        inlet = self.inlet
        heard_by = inlet.pace.heard_by(now)
        if inlet.open and self._ticks < DOZE_FRAMES and inlet.heard_at >= heard_by:
            return
        self.settle()
        if self._is_clock_late(now):
            self._patient_until = now + PATIENCE_SECONDS
        if inlet.open and (inlet.heard_at < heard_by or self.receiver.lead.ahead):
            self._shut()
        event = self.receiver.poll_dtmf(now)
        if event is not None:
            self._key(event)
        self.receiver.tick(now, make_up=now >= self._patient_until)
        if inlet.open and self.receiver.has_to_join():
            self._shut()

    def _is_clock_late(self, now: float) -> bool:
        """Whether frames have passed in which nothing came and nobody looked: a call dozes only
        while its person is heard."""
        at, self._flowed_at = self._flowed_at, now
        lead, self._flowed_lead = self._flowed_lead, self.receiver.lead.frames
        return at == now or self._flowed_lead < lead - LATE_FRAMES

    def read(self, now: float) -> bytes | None:
        event = self.receiver.poll_dtmf(now)
        if event is not None:
            self._key(event)
        frame = self.receiver.read(now)
        if self.on_inband is not None and not self.receiver.heard_events:
            self._listen(frame)
        return frame

    def _listen(self, frame: bytes | None) -> None:
        ear = self._tone_ear()
        self._tone_watch.note(ear, frame or self._silence)

    def _tone_ear(self) -> ToneEar:
        ear = self._ear
        if ear is None:
            ear = self._ear = ToneEar(self._sample_rate, self._tone_heard)
            self._silence = bytes(self._sample_rate * FRAME_MS // 1000 * 2)
        return ear

    def _tone_heard(self, key: TonePress) -> None:
        if self.on_inband is not None:
            self.on_inband(DtmfEvent(key.digit, key.duration_ms))

    def write(self, frame: bytes | None, now: float) -> None:
        if self._outlet is not None:
            if not self._outlet.write(frame):
                self._shut_outlet()
                self.sender.say_nothing()
            return
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
        if self._listener is not None and not self._tones.busy:
            post = self._post_plain if audio.security is None else self._post_protected
            self._outlet = self.sender.open_outlet(post, target)

    def _shut_outlet(self) -> None:
        if self._outlet is not None:
            self.sender.settle(self._outlet)
            self._outlet = None

    def skip(self, frames: int) -> None:
        self._shut_outlet()
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
        self._shut_outlet()
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
        if self._rtcp.is_due(now):
            self.settle()
            self._rtcp.report(now, unix_seconds(), self.sender.timestamp)

    def leave(self, now: float, unix_seconds: float) -> None:
        """Say goodbye; nothing is sent after that."""
        self._shut()
        self._rtcp.leave(now, unix_seconds, self.sender.timestamp)
        self._audio = None
        self._ear = None


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
