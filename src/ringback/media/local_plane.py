"""The media plane inside the node's own process."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from ringback.core.clock import Clock
from ringback.core.errors import Conflict, NotConfigured, Unavailable
from ringback.media.conference_link import ConferenceLink
from ringback.media.dtls import DtlsIdentity
from ringback.media.metrics import MediaCounters
from ringback.media.music import MusicLibrary
from ringback.media.pacer import Ticker
from ringback.media.plane import (
    MediaEvent,
    NegotiatedAudio,
    OpenSession,
    SessionOpened,
    SessionReport,
    VoiceSpec,
)
from ringback.media.port import VoiceFactory
from ringback.media.recorder import RecorderThread
from ringback.media.rtp_session import RtpIdentity
from ringback.media.session import MediaEnvironment, MediaSession
from ringback.media.stream_socket import refuse_ended
from ringback.net.rtp_ports import RtpSockets

logger = logging.getLogger(__name__)

NATIVE_SAMPLE_RATE = 8000
"""Hz at the bridge of a call until a codec is agreed on: that of G.711."""


class PortAllocator(Protocol):
    """Where a session's UDP sockets come from (:class:`ringback.net.rtp_ports.RtpPorts`)."""

    def bind(self, host: str) -> RtpSockets:
        """Raises ``ringback.core.errors.Unavailable`` (code ``no_rtp_port``)."""
        ...

    def release(self, sockets: RtpSockets) -> None: ...


class LocalMediaPlane:
    """Implements :class:`ringback.media.plane.MediaPlane` on the running event loop.

    Events reach the listeners in order, from the event loop and never from inside a command.
    """

    def __init__(
        self,
        ports: PortAllocator,
        *,
        ticker: Ticker,
        clock: Clock,
        recorder: RecorderThread,
        voices: VoiceFactory | None = None,
        sample_rate: int = NATIVE_SAMPLE_RATE,
        observe: Callable[[SessionReport], None] | None = None,
    ) -> None:
        """``observe`` sees the report of every session that was answered and is over."""
        self.music = MusicLibrary()
        self._observe = observe
        self._ports = ports
        self._voices = voices
        self._recorder = recorder
        self._dtls = DtlsIdentity(clock.now())
        self._environment = MediaEnvironment(
            clock=clock,
            ticker=ticker,
            recorder=recorder,
            music=self.music,
            sample_rate=sample_rate,
            random=secrets.SystemRandom().random,
            emit=self._emit,
            release=ports.release,
            dtls=self._dtls,
        )
        ticker.each_round(self._environment.tones.tick)
        self._sessions: dict[str, MediaSession] = {}
        self._links: dict[str, ConferenceLink] = {}
        self._closed_counters = MediaCounters()
        self._listeners: list[Callable[[MediaEvent], None]] = []
        self._events: deque[MediaEvent] = deque()
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopping = False
        self.listener_errors = 0

    def __len__(self) -> int:
        """Sessions that are open."""
        return len(self._sessions)

    def counters(self) -> MediaCounters:
        """Sums over all sessions since the start, the live ones included."""
        total = MediaCounters()
        total.add(self._closed_counters)
        for session in self._sessions.values():
            total.add(session.counters())
        total.music_failures = self.music.failures
        return total

    # ---- events -----------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[MediaEvent], None]) -> None:
        self._listeners.append(listener)

    def _emit(self, event: MediaEvent) -> None:
        if not self._events:
            asyncio.get_running_loop().call_soon(self._dispatch)
        self._events.append(event)

    def _dispatch(self) -> None:
        while self._events:
            event = self._events[0]
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:
                    self.listener_errors += 1
                    logger.exception("a listener failed on a media event")
            self._events.popleft()

    # ---- sessions ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Nothing has to be waited for."""

    def problem(self) -> str | None:
        return None

    async def open(self, request: OpenSession) -> SessionOpened:
        """Raises ``Unavailable`` (``no_rtp_port``, ``shutting_down``) and ``Conflict`` (the id
        is in use)."""
        if self._stopping:
            raise Unavailable("This node is shutting down.", code="shutting_down")
        if request.session_id in self._sessions:
            raise Conflict("This call has its media open already.", code="session_exists")
        sockets = self._ports.bind(request.bind_host)
        session = MediaSession(request, sockets, _identity(), self._environment, self._closed)
        self._sessions[request.session_id] = session
        try:
            session.open()
        except OSError as error:
            await session.close()
            raise Unavailable(f"The RTP ports do not work: {error}", code="no_rtp_port") from error
        except BaseException:
            await session.close()
            raise
        fingerprint = self._dtls.fingerprint
        return SessionOpened(request.session_id, sockets.port, sockets.port + 1, fingerprint)

    async def close(self, session_id: str) -> SessionReport:
        session = self._sessions.get(session_id)
        return SessionReport(session_id) if session is None else await session.close()

    async def stop(self) -> None:
        """Close every session and the recorder. No session opens after that."""
        self._stopping = True
        for link_id in list(self._links):
            self.unlink(link_id)
        await asyncio.gather(*(session.close() for session in list(self._sessions.values())))
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.music.loaded()
        await self._recorder.stop()

    async def report(self, session_id: str) -> SessionReport | None:
        session = self._sessions.get(session_id)
        return None if session is None else session.report()

    def _closed(self, session: MediaSession, report: SessionReport) -> None:
        if self._sessions.get(session.session_id) is session:
            del self._sessions[session.session_id]
        self._closed_counters.add(session.counters())
        if session.activated and report.codec and self._observe is not None:
            self._observe(report)

    # ---- commands ---------------------------------------------------------------------------

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        """Raises ``InvalidRequest`` (code ``unknown_codec``)."""
        if session := self._sessions.get(session_id):
            session.negotiate(audio)

    def activate(self, session_id: str, recording: str | None = None) -> None:
        if session := self._sessions.get(session_id):
            session.activate(recording)

    def start_voice(self, session_id: str, spec: VoiceSpec) -> None:
        """Raises ``NotConfigured`` when there is no such voice."""
        if self._voices is None:
            raise NotConfigured(
                "This node has no hosted voice.",
                code="voice_not_configured",
                hint="Install the voice pipeline, or attach an agent to the call's WebSocket.",
            )
        if session := self._sessions.get(session_id):
            session.start_voice(spec, self._voices)

    def say(self, session_id: str, text: str) -> None:
        """Ignored without a voice (``start_voice`` is what tells)."""
        if session := self._sessions.get(session_id):
            session.agents.say(text)

    def stop_speaking(self, session_id: str) -> None:
        if session := self._sessions.get(session_id):
            session.agents.stop_speaking()

    async def send_dtmf(self, session_id: str, digits: str, method: str = "auto") -> None:
        """Raises ``InvalidRequest`` (codes ``invalid_digits``, ``invalid_method`` and, for ``rtp``
        where the far end takes no events, ``no_telephone_events``)."""
        if session := self._sessions.get(session_id):
            session.send_dtmf(digits, method)

    def dtmf(self, session_id: str, digit: str, duration_ms: int) -> None:
        if session := self._sessions.get(session_id):
            session.dtmf(digit, duration_ms)

    def set_hold(self, session_id: str, held: bool) -> None:
        if session := self._sessions.get(session_id):
            session.set_hold(held)

    def hold(self, session_id: str, music: str | None = None) -> None:
        if session := self._sessions.get(session_id):
            session.hold(music)

    def resume(self, session_id: str) -> None:
        if session := self._sessions.get(session_id):
            session.resume()

    def join(self, session_id: str, conference: str) -> None:
        """Who had joined ``session_id`` comes along. Raises ``LimitReached`` (code
        ``conference_full``)."""
        session, other = self._sessions.get(session_id), self._sessions.get(conference)
        if session is None or other is None or session.closing or other.closing:
            return
        session.join(other)

    def part(self, session_id: str) -> None:
        if session := self._sessions.get(session_id):
            session.part()

    def link(self, session_id: str, link_id: str, connection: socket.socket) -> None:
        """Bring those at the other end of ``connection`` (:class:`ConferenceLink`) into the
        conference of ``session_id``, until ``unlink``. The connection is owned from here on."""
        session = self._sessions.get(session_id)
        if session is None or session.closing:
            connection.close()
            return
        self._links[link_id] = session.link(connection)

    def unlink(self, link_id: str) -> None:
        if link := self._links.pop(link_id, None):
            link.close()

    def detach_agents(self, session_id: str) -> None:
        if session := self._sessions.get(session_id):
            session.detach_agents()

    def take_leg(self, session_id: str, other: str) -> None:
        session, donor = self._sessions.get(session_id), self._sessions.get(other)
        if session is None or donor is None or session is donor:
            return
        if session.closing or donor.closing:
            return
        session.take_leg(donor)
        del self._sessions[other]
        self._spawn(donor.close())

    def notify(self, session_id: str, message: Mapping[str, Any]) -> None:
        if session := self._sessions.get(session_id):
            session.agents.notify(message)

    def attach_stream(self, session_id: str, connection: socket.socket, request: bytes) -> None:
        session = self._sessions.get(session_id)
        if session is not None and not session.closing:
            session.agents.attach_stream(connection, request)
            return
        self._spawn(refuse_ended(connection, request))

    def _spawn(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _identity() -> RtpIdentity:
    """Random, as RFC 3550 sections 5.1 and 8.1 and RFC 7022 section 4.2 want it. The sequence
    begins in the lower half: a lost first packet must not hide a roll-over from SRTP."""
    return RtpIdentity(
        ssrc=secrets.randbits(32),
        sequence=secrets.randbits(15),
        timestamp=secrets.randbits(32),
        cname=secrets.token_urlsafe(12).encode("ascii"),
    )
