"""The live audio of one call: phone leg, bridge, agents and recording, together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ringback.audio.tone_watch import ToneWatch
from ringback.core.clock import Clock
from ringback.media.agents import CALL_IS_OVER, SessionAgents
from ringback.media.bridge import AudioBridge
from ringback.media.conference_link import ConferenceLink
from ringback.media.dtls import DtlsIdentity
from ringback.media.metrics import MediaCounters
from ringback.media.music import MusicLibrary, MusicPlayer
from ringback.media.pacer import Ticker
from ringback.media.phone_leg import PhoneLeg
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaEvent,
    MediaFailed,
    MediaTimedOut,
    NegotiatedAudio,
    OpenSession,
    SessionReport,
    TranscriptLine,
    VoiceSpec,
)
from ringback.media.port import AgentEar, AgentPort, VoiceFactory
from ringback.media.quality import with_figures
from ringback.media.recorder import RecorderThread, Recording
from ringback.media.rtp_session import RtpIdentity
from ringback.net.rtp_ports import RtpSockets

logger = logging.getLogger(__name__)


CHORE_SECONDS = 0.03
"""From one look at reports, handshakes and silence to the next, at least."""


@dataclass(frozen=True, slots=True)
class MediaEnvironment:
    """What all sessions of a plane share. ``random`` gives numbers from 0 up to 1; ``release``
    takes the sockets of a leg that is over."""

    clock: Clock
    ticker: Ticker
    recorder: RecorderThread
    music: MusicLibrary
    sample_rate: int
    random: Callable[[], float]
    emit: Callable[[MediaEvent], None]
    release: Callable[[RtpSockets], None]
    tones: ToneWatch = field(default_factory=ToneWatch)
    dtls: DtlsIdentity | None = None


class MediaSession:
    """Everything of one session id. Implements ``VoiceHost`` and ``LegOwner``."""

    def __init__(
        self,
        request: OpenSession,
        sockets: RtpSockets,
        identity: RtpIdentity,
        environment: MediaEnvironment,
        on_closed: Callable[[MediaSession, SessionReport], None],
    ) -> None:
        self.session_id = request.session_id
        self._on_closed = on_closed
        self._counters = MediaCounters()
        self._timeout = request.media_timeout
        self._environment = environment
        self._clock = environment.clock
        self._emit = environment.emit
        self._bridge = AudioBridge(environment.sample_rate, self._counters)
        self._leg: PhoneLeg | None = PhoneLeg(
            sockets,
            identity,
            self,
            sample_rate=environment.sample_rate,
            clock=self._clock,
            random=environment.random,
            dtls=environment.dtls,
            tones=environment.tones,
        )
        self._bridge.set_leg(self._leg)
        self.agents = SessionAgents(
            self.session_id, self, self._bridge, self._counters, environment.emit
        )
        self._subscription = environment.ticker.add(self._tick)
        self._bridge.pace = self._subscription
        self._bridge.arrange()
        self._recording: Recording | None = None
        self._activated_at: float | None = None
        self._listening_since = 0.0
        self._timed_out = False
        self._next_chores = 0.0
        self._closing: asyncio.Task[SessionReport] | None = None

    def open(self) -> None:
        """Raises ``OSError``; ``close`` cleans up then too."""
        if self._leg is not None:
            self._leg.open()

    # ---- commands ---------------------------------------------------------------------------

    def negotiate(self, audio: NegotiatedAudio) -> None:
        """Raises ``InvalidRequest`` (code ``unknown_codec``)."""
        if self._leg is not None:
            self._leg.negotiate(audio)
            self._follow_codec(self._leg)

    def activate(self, recording: str | None) -> None:
        if self._activated_at is not None:
            return
        self._activated_at = self._listening_since = self._clock.monotonic()
        self._bridge.talking = True
        if recording is not None:
            self._recording = self._environment.recorder.open(
                Path(recording), self._bridge.sample_rate, self._counters
            )
            self._bridge.record(self._recording)
        self.agents.activate()

    def start_voice(self, spec: VoiceSpec, voices: VoiceFactory) -> None:
        """Raises ``NotConfigured`` from the factory."""
        self.agents.start_voice(spec, voices)

    def dtmf(self, digit: str, duration_ms: int) -> None:
        """A key that signalling brought."""
        if self._leg is not None:
            self._leg.info_received(digit, duration_ms)

    def set_hold(self, held: bool) -> None:
        """The far end holds us."""
        if held and not self._bridge.away:
            self.agents.stop_speaking()
        self._bridge.held = held
        self._listen_again()

    def hold(self, music: str | None) -> None:
        """We hold the person. A second ``hold`` changes the music."""
        if not self._bridge.away:
            self.agents.stop_speaking()
        self._bridge.on_hold = True
        # An empty name asks for silence.
        player = None if music == "" else MusicPlayer(self._environment.music, music)
        self._bridge.music = player

    def resume(self) -> None:
        self._bridge.on_hold = False
        self._bridge.music = None
        self._listen_again()

    def join(self, conference: MediaSession) -> None:
        """Raises ``LimitReached`` (code ``conference_full``)."""
        self._bridge.join(conference._bridge)

    def part(self) -> None:
        self._bridge.part()

    def link(self, connection: socket.socket) -> ConferenceLink:
        """Let those on the other side of ``connection`` into the conference. Raises
        ``LimitReached`` (code ``conference_full``)."""
        return ConferenceLink(self._bridge, connection, self._counters)

    def detach_agents(self) -> None:
        self.agents.detach("the agent was released from the call")

    def take_leg(self, other: MediaSession) -> None:
        """Go on with the leg of ``other``, which has none afterwards; the present one is closed.
        Whether the far end holds us belongs to the leg; whether we hold the person does not."""
        leg = other._leg
        if leg is None:
            return
        other._leg = None
        other._bridge.set_leg(None)
        retired, self._leg = self._leg, leg
        leg.owner = self
        self._bridge.held = other._bridge.held
        self._bridge.set_leg(leg)
        self._follow_codec(leg)
        self._timed_out = False
        self._listen_again()
        if retired is not None:
            retired.leave()
            self._counters.add(retired.count())
            self._retire(retired)

    def _follow_codec(self, leg: PhoneLeg) -> None:
        rate = leg.native_rate
        if rate is not None:
            self._bridge.set_native_rate(rate)

    def _listen_again(self) -> None:
        """RTP is to come from now on, if it is to come at all."""
        if not self._bridge.away:
            self._listening_since = self._clock.monotonic()

    @property
    def activated(self) -> bool:
        return self._activated_at is not None

    @property
    def closing(self) -> bool:
        return self._closing is not None

    async def close(self) -> SessionReport:
        """Idempotent: every caller gets the one report."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        return await asyncio.shield(self._closing)

    # ---- what agents see (VoiceHost) --------------------------------------------------------

    def attach(self, ear: AgentEar, sample_rate: int) -> AgentPort:
        return self._bridge.attach(ear, sample_rate)

    @property
    def elapsed_ms(self) -> int:
        if self._activated_at is None:
            return 0
        return round((self._clock.monotonic() - self._activated_at) * 1000)

    @property
    def person_away(self) -> bool:
        return self._bridge.away

    def transcript(self, speaker: str, text: str, start_ms: int, end_ms: int) -> None:
        self._emit(TranscriptLine(self.session_id, speaker, text, start_ms, end_ms))

    def send_dtmf(self, digits: str, method: str = "auto") -> None:
        """Raises ``InvalidRequest`` (code ``invalid_digits``)."""
        if self._leg is not None:
            self._leg.send_dtmf(digits, method)

    def hang_up(self, reason: str) -> None:
        self._emit(HangUpRequested(self.session_id, reason))

    def notify(self, message: Mapping[str, Any]) -> None:
        self.agents.notify(message)

    # ---- what the leg tells (LegOwner) ------------------------------------------------------

    def key_pressed(self, digit: str, duration_ms: int) -> None:
        self._emit(DtmfReceived(self.session_id, digit, duration_ms))
        self._bridge.dtmf(digit, duration_ms)

    def leg_failed(self, reason: str, detail: str) -> None:
        self._emit(MediaFailed(self.session_id, reason, detail))

    # ---- the tick ---------------------------------------------------------------------------

    def _tick(self, now: float, unseen: int) -> None:
        bridge = self._bridge
        if bridge.line is not None:
            bridge.line.tick(now, unseen)
        else:
            self._counters.ticks_skipped += unseen
            if bridge.host is bridge:
                bridge.tick(now, unseen)
        if now >= self._next_chores:
            self._next_chores = now + CHORE_SECONDS
            self._do_chores(now)

    def _do_chores(self, now: float) -> None:
        leg = self._leg
        if leg is not None:
            leg.tick(now)
            if self._activated_at is not None and not self._timed_out:
                self._watch(leg, now)

    def _watch(self, leg: PhoneLeg, now: float) -> None:
        """Tell once when an active call that should be heard is not."""
        silent = now - max(leg.rtp.last_heard, self._listening_since)
        if silent < self._timeout:
            return
        audio = leg.audio
        if not self._bridge.away and audio is not None and audio.receive:
            self._timed_out = True
            self._emit(MediaTimedOut(self.session_id, silent))

    # ---- the end ----------------------------------------------------------------------------

    async def _close(self) -> SessionReport:
        self._environment.ticker.remove(self._subscription)
        report = self.report()
        self.agents.detach(CALL_IS_OVER)
        self._bridge.close()
        endings: list[Awaitable[object]] = [self.agents.close()]
        if self._recording is not None:
            endings.append(self._recording.close())
        leg = self._leg
        if leg is not None:
            leg.leave()
            self._retire(leg)
        for result in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(result, Exception):
                logger.error("a part of a call did not close cleanly", exc_info=result)
        if self._recording is not None:
            report = replace(report, recorded_ms=self._recording.recorded_ms)
        self._on_closed(self, report)
        if not self.agents.outlived:
            self._let_go()
        return report

    def _let_go(self) -> None:
        """As :meth:`PhoneLeg.let_go`. Nobody knows of this session any more."""
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.let_go()
        vars(self._bridge).clear()
        self._subscription.tick = _untold
        del self.agents

    def _retire(self, leg: PhoneLeg) -> None:
        """Close a leg that said goodbye, and give its ports back."""
        leg.close()
        self._environment.release(leg.sockets)

    def report(self) -> SessionReport:
        """The figures so far: counts of every leg that there was, the rest of the present one."""
        counters = self.counters()
        recording = self._recording
        report = SessionReport(
            self.session_id,
            packets_received=counters.packets_received,
            packets_sent=counters.packets_sent,
            packets_lost=counters.packets_lost,
            packets_late=counters.packets_late,
            packets_duplicate=counters.packets_duplicate,
            recording=None if recording is None else str(recording.path),
            recorded_ms=0 if recording is None else recording.recorded_ms,
        )
        figures = None if self._leg is None else self._leg.figures()
        return report if figures is None else with_figures(report, figures)

    def counters(self) -> MediaCounters:
        """What happened so far, all legs together."""
        total = MediaCounters()
        total.add(self._counters)
        if self._leg is not None:
            total.add(self._leg.count())
        return total


def _untold(now: float, unseen: int) -> None:
    pass
