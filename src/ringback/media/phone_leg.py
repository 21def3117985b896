"""One phone leg as a whole: its sockets, its RTP state and the keys that its person presses.

It belongs to a session, and may go to another one with everything that it has (a transfer): what
it tells, it tells its present ``owner``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.audio import codec as codecs
from ringback.audio.tone_watch import ToneWatch
from ringback.core.clock import Clock
from ringback.core.end_reason import EndReason
from ringback.media.dtls import DtlsIdentity
from ringback.media.key_merge import KeyMerge, Way
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio
from ringback.media.quality import LegFigures
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.media.secure_endpoint import SecureEndpoint
from ringback.net.rtp_ports import RtpSockets
from ringback.rtp.dtmf import DtmfEvent


class LegOwner(Protocol):
    """Whom a leg reports to."""

    def key_pressed(self, digit: str, duration_ms: int) -> None: ...

    def leg_failed(self, reason: str, detail: str) -> None:
        """The audio cannot be protected as agreed; ``reason`` is an ``EndReason`` value."""
        ...


class PhoneLeg:
    """Implements :class:`ringback.media.bridge.Leg`."""

    def __init__(
        self,
        sockets: RtpSockets,
        identity: RtpIdentity,
        owner: LegOwner,
        *,
        sample_rate: int,
        clock: Clock,
        random: Callable[[], float],
        dtls: DtlsIdentity | None = None,
        tones: ToneWatch | None = None,
    ) -> None:
        self.sockets = sockets
        self.owner = owner
        self.counters = MediaCounters()
        self._clock = clock
        self._keys = KeyMerge()
        self._endpoint = SecureEndpoint(sockets, clock, self.counters, dtls)
        self._endpoint.on_failed = self._protection_failed
        self.rtp = RtpSession(
            identity,
            sample_rate,
            self.counters,
            send_rtp=self._endpoint.send_rtp,
            send_rtcp=self._endpoint.send_rtcp,
            on_dtmf=self._event_received,
            random=random,
            on_inband=self._tone_received,
            tones=tones,
            post_plain=self._endpoint.post_plain,
            post_protected=self._endpoint.post_protected,
        )
        self.rtp.latch.policy = self._endpoint.policy
        self.inlet = self.rtp.inlet
        self.write = self.rtp.write

    def open(self) -> None:
        """Raises ``OSError``; ``close`` cleans up then too."""
        self._endpoint.open(self.rtp.on_rtp, self.rtp.on_rtcp, self.rtp.verified, self.rtp.inlet)

    def close(self) -> None:
        """Stop; the sockets are whoever's gave them."""
        self._endpoint.close()

    def let_go(self) -> None:
        """Closed, and never asked again: its parts hold each other, and are taken apart so that
        they go at once. The garbage collector would have to stop everything to find them."""
        self.rtp.on_inband = None
        vars(self._endpoint).clear()
        vars(self).clear()

    # ---- what was agreed on -----------------------------------------------------------------

    @property
    def audio(self) -> NegotiatedAudio | None:
        return self.rtp.audio

    @property
    def native_rate(self) -> int | None:
        """Hz of the audio that the codec carries, ``None`` before there is one."""
        audio = self.rtp.audio
        return None if audio is None else codecs.sample_rate_of(audio.codec)

    def negotiate(self, audio: NegotiatedAudio) -> None:
        """Raises ``InvalidRequest`` (codes ``unknown_codec``, ``unknown_srtp_suite``)."""
        now = self._clock.monotonic()
        self._endpoint.negotiate(audio, now)
        self.rtp.negotiate(audio, now)

    # ---- the bridge -------------------------------------------------------------------------

    def read(self, now: float) -> bytes | None:
        return self.rtp.read(now)

    def hand_over(
        self,
        listener: Callable[[bytes | None], None] | None,
        ear: Callable[[bytes], None] | None = None,
    ) -> None:
        self.rtp.hand_over(listener, ear)

    def flow(self, now: float, frames: int) -> None:
        self.rtp.flow(now, frames)

    def skip(self, frames: int) -> None:
        self.rtp.skip(frames)

    def set_sample_rate(self, sample_rate: int) -> None:
        self.rtp.set_sample_rate(sample_rate)

    def tick(self, now: float) -> None:
        """Reports and handshakes with the far end, once a tick."""
        self._endpoint.tick(now)
        self.rtp.tick(now, self._unix_seconds)

    def leave(self) -> None:
        """Say goodbye; nothing is sent after that."""
        self.rtp.leave(self._clock.monotonic(), self._unix_seconds())

    # ---- keys -------------------------------------------------------------------------------

    def send_dtmf(self, digits: str, method: str) -> None:
        """Raises ``InvalidRequest``."""
        self.rtp.send_dtmf(digits, method)

    def info_received(self, digit: str, duration_ms: int) -> None:
        """A key that signalling brought."""
        self._key(Way.INFO, digit, duration_ms)

    def _event_received(self, event: DtmfEvent) -> None:
        self._key(Way.EVENTS, event.digit, event.duration_ms)

    def _tone_received(self, event: DtmfEvent) -> None:
        self._key(Way.TONES, event.digit, event.duration_ms)

    def _key(self, way: Way, digit: str, duration_ms: int) -> None:
        new = self._keys.report(way, digit, duration_ms, self._clock.monotonic())
        if not self._keys.tones_wanted:
            self.rtp.on_inband = None
        if new:
            self.owner.key_pressed(digit, duration_ms)

    # ---- figures ----------------------------------------------------------------------------

    def count(self) -> MediaCounters:
        """The counters with what the receiver keeps for itself."""
        self.rtp.settle()
        receiver = self.rtp.receiver
        self.counters.packets_lost = receiver.statistics.packets_lost
        self.counters.packets_duplicate = receiver.statistics.packets_duplicate
        self.counters.packets_late = receiver.packets_late
        return self.counters

    def figures(self) -> LegFigures | None:
        """What was measured, ``None`` where nothing was ever agreed on. Ask before ``leave``."""
        audio = self.rtp.audio
        if audio is None:
            return None
        counters = self.count()
        return LegFigures(
            codec=audio.codec,
            ptime_ms=audio.ptime_ms,
            security=self._endpoint.suite,
            packets_received=counters.packets_received,
            packets_sent=counters.packets_sent,
            packets_lost=counters.packets_lost,
            packets_late=counters.packets_late,
            loss_bursts=self.rtp.receiver.loss_bursts,
            jitter_ms=self.rtp.receiver.statistics.jitter_ms,
            buffer_ms=self.rtp.receiver.buffer_ms,
            round_trip_ms=self.rtp.round_trip_ms,
            remote_packets_lost=self.rtp.remote_packets_lost,
            remote_jitter_ms=self.rtp.remote_jitter_ms,
        )

    def _protection_failed(self, detail: str) -> None:
        self.owner.leg_failed(EndReason.ENCRYPTION_FAILED.value, detail)

    def _unix_seconds(self) -> float:
        return self._clock.now().timestamp()
