"""The live audio of one call: phone leg, bridge, agents, recording and streams, together."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picows import WSCloseCode

from ringback.core.clock import Clock
from ringback.media.agent_port import BridgePort
from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import Ticker
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaEvent,
    MediaTimedOut,
    NegotiatedAudio,
    OpenSession,
    SessionReport,
    StreamAttached,
    StreamCommand,
    StreamDetached,
    TranscriptLine,
    VoiceSpec,
)
from ringback.media.port import AgentEar, AgentPort, VoiceFactory, VoiceSession
from ringback.media.recorder import RecorderThread, Recording
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.media.rtp_sockets import RtpEndpoint
from ringback.media.stream import CallStream
from ringback.media.stream_messages import Json
from ringback.media.stream_socket import serve
from ringback.net.rtp_ports import RtpSockets
from ringback.rtp.dtmf import DtmfEvent

logger = logging.getLogger(__name__)

MAX_STREAMS = 16
"""Open call WebSockets of one session."""
VOICE_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MediaEnvironment:
    """What all sessions of a plane share. ``random`` gives numbers from 0 up to 1."""

    clock: Clock
    ticker: Ticker
    recorder: RecorderThread
    sample_rate: int
    random: Callable[[], float]
    emit: Callable[[MediaEvent], None]


class MediaSession:
    """Everything of one session id. Implements ``VoiceHost`` and ``StreamHost``."""

    def __init__(
        self,
        request: OpenSession,
        sockets: RtpSockets,
        identity: RtpIdentity,
        environment: MediaEnvironment,
        on_closed: Callable[[MediaSession], None],
    ) -> None:
        self.session_id = request.session_id
        self.sockets = sockets
        self._on_closed = on_closed
        self.counters = MediaCounters()
        self._timeout = request.media_timeout
        self._environment = environment
        self._clock = environment.clock
        self._bridge = AudioBridge(environment.sample_rate, self.counters)
        self._endpoint = RtpEndpoint(sockets, self._clock, self.counters)
        self._leg = RtpSession(
            identity,
            environment.sample_rate,
            self.counters,
            send_rtp=self._endpoint.send_rtp,
            send_rtcp=self._endpoint.send_rtcp,
            on_dtmf=self._dtmf_received,
            random=environment.random,
        )
        self._bridge.add_leg(self._leg)
        self._subscription = environment.ticker.add(self._tick)
        self._recording: Recording | None = None
        self._voice: VoiceSession | None = None
        self._streams: dict[str, CallStream] = {}
        self._stream_count = 0
        self._last_state: str | None = None
        self._activated_at: float | None = None
        self._listening_since = 0.0
        self._timed_out = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[SessionReport] | None = None

    async def open(self) -> None:
        """Raises ``OSError``; ``close`` cleans up then too."""
        await self._endpoint.open(self._leg.on_rtp, self._leg.on_rtcp)

    # ---- commands ---------------------------------------------------------------------------

    def negotiate(self, audio: NegotiatedAudio) -> None:
        self._leg.negotiate(audio, self._clock.monotonic())

    def activate(self, recording: str | None) -> None:
        if self._activated_at is not None:
            return
        self._activated_at = self._listening_since = self._clock.monotonic()
        self._bridge.talking = True
        if recording is not None:
            self._recording = self._environment.recorder.open(
                Path(recording), self._bridge.sample_rate, self.counters
            )
            self._bridge.recorder = self._recording
        if self._voice is not None:
            self._voice.start()

    def start_voice(self, spec: VoiceSpec, voices: VoiceFactory) -> None:
        """Raises ``NotConfigured`` from the factory. A voice that is there already is closed."""
        voice = voices(self.session_id, spec, self)
        if self._voice is not None:
            self._spawn(_close_voice(self._voice))
        self._voice = voice
        if self._activated_at is not None:
            voice.start()

    def say(self, text: str) -> None:
        if self._voice is not None:
            self._voice.say(text)

    def stop_speaking(self) -> None:
        if self._voice is not None:
            self._voice.stop_speaking()

    def dtmf(self, digit: str, duration_ms: int) -> None:
        self._bridge.dtmf(digit, duration_ms)

    def set_hold(self, held: bool) -> None:
        """On hold nobody hears anybody, and no RTP need come."""
        if held and not self._bridge.held:
            self.stop_speaking()
        if not held:
            self._listening_since = self._clock.monotonic()
        self._bridge.held = held

    def attach_stream(self, connection: socket.socket, request: bytes) -> None:
        self._spawn(serve(connection, request, self._new_stream))

    @property
    def closing(self) -> bool:
        return self._closing is not None

    async def close(self) -> SessionReport:
        """Idempotent: every caller gets the one report."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        return await asyncio.shield(self._closing)

    # ---- what agents and streams see (VoiceHost, StreamHost) --------------------------------

    def attach(self, ear: AgentEar, sample_rate: int) -> AgentPort:
        return self._bridge.attach(ear, sample_rate)

    @property
    def elapsed_ms(self) -> int:
        if self._activated_at is None:
            return 0
        return round((self._clock.monotonic() - self._activated_at) * 1000)

    def transcript(self, speaker: str, text: str, start_ms: int, end_ms: int) -> None:
        self._emit(TranscriptLine(self.session_id, speaker, text, start_ms, end_ms))

    def send_dtmf(self, digits: str) -> None:
        self._leg.send_dtmf(digits)

    def hang_up(self, reason: str) -> None:
        self._emit(HangUpRequested(self.session_id, reason))

    def notify(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        if message.get("type") == "call_state":
            self._last_state = text
        for stream in list(self._streams.values()):
            stream.send_text(text)

    def stream_opened(self, stream: CallStream) -> BridgePort:
        self._streams[stream.stream_id] = stream
        self.counters.streams_attached += 1
        self._emit(StreamAttached(self.session_id, stream.stream_id))
        if self._last_state is not None:
            stream.send_text(self._last_state)
        return self._bridge.attach(stream, self._bridge.sample_rate, listening=False)

    def stream_closed(self, stream: CallStream, code: int) -> None:
        del self._streams[stream.stream_id]
        self._emit(StreamDetached(self.session_id, stream.stream_id, code))

    def stream_command(self, stream: CallStream, message: Json) -> None:
        self._emit(StreamCommand(self.session_id, stream.stream_id, message))

    def _new_stream(self) -> CallStream | None:
        if self._closing is not None or len(self._streams) >= MAX_STREAMS:
            self.counters.streams_refused += 1
            return None
        self._stream_count += 1
        return CallStream(f"stream-{self._stream_count}", self, self.counters)

    # ---- the tick ---------------------------------------------------------------------------

    def _tick(self, now: float, skipped: int) -> None:
        self.counters.ticks_skipped += skipped
        self._bridge.tick(now, skipped)
        self._leg.tick(now, self._unix_seconds)
        if self._activated_at is not None and not self._timed_out:
            self._watch(now)

    def _watch(self, now: float) -> None:
        """Tell once when an active call that should be heard is not."""
        audio = self._leg.audio
        if self._bridge.held or audio is None or not audio.receive:
            return
        silent = now - max(self._leg.last_heard, self._listening_since)
        if silent >= self._timeout:
            self._timed_out = True
            self._emit(MediaTimedOut(self.session_id, silent))

    def _unix_seconds(self) -> float:
        return self._clock.now().timestamp()

    def _dtmf_received(self, event: DtmfEvent) -> None:
        self._emit(DtmfReceived(self.session_id, event.digit, event.duration_ms))
        self._bridge.dtmf(event.digit, event.duration_ms)

    def _emit(self, event: MediaEvent) -> None:
        self._environment.emit(event)

    # ---- the end ----------------------------------------------------------------------------

    async def _close(self) -> SessionReport:
        self._environment.ticker.remove(self._subscription)
        streams = list(self._streams.values())
        for stream in streams:
            stream.close(WSCloseCode.OK, "the call is over")
        self._bridge.close()
        self._leg.leave(self._clock.monotonic(), self._unix_seconds())
        endings: list[Awaitable[object]] = [self._endpoint.close(), *self._tasks]
        endings += [stream.wait_closed() for stream in streams]
        if self._voice is not None:
            endings.append(_close_voice(self._voice))
        if self._recording is not None:
            endings.append(self._recording.close())
        for result in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(result, Exception):
                logger.error("a part of a call did not close cleanly", exc_info=result)
        self._on_closed(self)
        return self.report()

    def report(self) -> SessionReport:
        """The figures so far."""
        self.count_reception()
        statistics = self._leg.receiver.statistics
        return SessionReport(
            self.session_id,
            packets_received=self.counters.packets_received,
            packets_sent=self.counters.packets_sent,
            packets_lost=self.counters.packets_lost,
            packets_late=self.counters.packets_late,
            packets_duplicate=self.counters.packets_duplicate,
            jitter_ms=statistics.jitter_ms,
            round_trip_ms=self._leg.round_trip_ms,
            recording=str(self._recording.path) if self._recording is not None else None,
            recorded_ms=self._recording.recorded_ms if self._recording is not None else 0,
        )

    def count_reception(self) -> MediaCounters:
        """The counters with what the receiver keeps for itself."""
        receiver = self._leg.receiver
        self.counters.packets_lost = receiver.statistics.packets_lost
        self.counters.packets_duplicate = receiver.statistics.packets_duplicate
        self.counters.packets_late = receiver.jitter_buffer.counters.late
        return self.counters

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _close_voice(voice: VoiceSession) -> None:
    try:
        async with asyncio.timeout(VOICE_CLOSE_SECONDS):
            await voice.close()
    except TimeoutError:
        logger.warning("a voice pipeline did not close within %s s", VOICE_CLOSE_SECONDS)
