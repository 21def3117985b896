"""The only way into media: plain data in, plain data out.

Call control talks to a ``MediaPlane`` in the messages below, so that the same media code runs in
the node's own process or in worker processes. A *session* is the live audio of one call: one
phone leg and any number of agent ports around one bridge. ``session_id`` is the call id.

Audio is PCM s16le mono in 20 ms frames everywhere behind this door.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class RtpAddress:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class NegotiatedAudio:
    """What offer and answer agreed on for one audio stream (RFC 3264).

    ``remote`` is where the SDP says to send; the session follows the real source by symmetric
    RTP. ``codec`` is the encoding name of RFC 3551 (``PCMU``, ``PCMA``).
    """

    remote: RtpAddress
    codec: str
    payload_type: int
    clock_rate: int = 8000
    ptime_ms: int = 20
    dtmf_payload_type: int | None = None
    send: bool = True
    receive: bool = True
    rtcp_mux: bool = False
    remote_rtcp: RtpAddress | None = None
    receive_codecs: tuple[tuple[int, str], ...] = ()
    """Payload type and codec of everything the peer may switch to without a new offer; empty:
    ``payload_type`` alone."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    session_id: str
    bind_host: str = "0.0.0.0"
    media_timeout: float = 60.0
    """Seconds without RTP on an active, unheld session until ``MediaTimedOut``."""


@dataclass(frozen=True, slots=True)
class SessionOpened:
    session_id: str
    rtp_port: int
    rtcp_port: int


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """How the hosted pipeline runs this call (interpreted by ``voice/``, opaque to media)."""

    agent_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a session looked like when it was closed; figures named as in RFC 3550."""

    session_id: str
    packets_received: int = 0
    packets_sent: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    packets_duplicate: int = 0
    jitter_ms: float = 0.0
    round_trip_ms: float | None = None
    recording: str | None = None
    recorded_ms: int = 0


# ---- events ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    session_id: str
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class MediaTimedOut:
    session_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One thing that one side said. ``speaker`` is ``caller`` or ``agent``; times are ms since
    the session was activated."""

    session_id: str
    speaker: str
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class HangUpRequested:
    """The hosted agent or a stream asks to end the call. ``reason`` is an ``EndReason`` value."""

    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class StreamCommand:
    """A control message on the call WebSocket that is call control's business (``say``,
    ``send_chat``, ``hangup``, ``hold``, ``transfer``, …). Audio, ``clear`` and ``mark`` never
    get here."""

    session_id: str
    stream_id: str
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamAttached:
    session_id: str
    stream_id: str


@dataclass(frozen=True, slots=True)
class StreamDetached:
    session_id: str
    stream_id: str
    code: int


MediaEvent = (
    DtmfReceived
    | MediaTimedOut
    | TranscriptLine
    | HangUpRequested
    | StreamCommand
    | StreamAttached
    | StreamDetached
)


class MediaPlane(Protocol):
    """Commands are fire-and-forget where they return ``None`` without ``await``; a command for a
    session that is gone is ignored (the call ended meanwhile), never an error."""

    def subscribe(self, listener: Callable[[MediaEvent], None]) -> None:
        """``listener`` is called on the event loop, in order, and must not block."""
        ...

    async def open(self, request: OpenSession) -> SessionOpened:
        """Reserve an even RTP port and its RTCP port and create the bridge.

        Raises ``ringback.core.errors.Unavailable`` (code ``no_rtp_port``) when the range is
        used up.
        """
        ...

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        """Set or change the phone leg's stream: at early media, answer, and every re-INVITE."""
        ...

    def activate(self, session_id: str, recording: str | None = None) -> None:
        """The call is answered: recording, voice and the media timeout start now.

        ``recording`` is the path of the stereo WAV to write (left caller, right agent), or
        ``None``. A second ``activate`` changes nothing.
        """
        ...

    def start_voice(self, session_id: str, spec: VoiceSpec) -> None:
        """Attach the hosted pipeline as an agent port."""
        ...

    def say(self, session_id: str, text: str) -> None:
        """Speak ``text`` with the session's voice (hosted agent or not)."""
        ...

    def stop_speaking(self, session_id: str) -> None: ...

    def send_dtmf(self, session_id: str, digits: str) -> None:
        """RFC 4733 events, one after another: ``0-9A-D*#``; ``,`` is a half-second pause."""
        ...

    def dtmf(self, session_id: str, digit: str, duration_ms: int) -> None:
        """A key that signalling brought in, for the agents of this session."""
        ...

    def set_hold(self, session_id: str, held: bool) -> None: ...

    def notify(self, session_id: str, message: Mapping[str, Any]) -> None:
        """Send one JSON message to every stream of the session."""
        ...

    def attach_stream(self, session_id: str, connection: socket.socket, request: bytes) -> None:
        """Hand over an accepted, authenticated TCP connection and the bytes of its WebSocket
        upgrade request; the plane does the handshake and owns the socket from here on."""
        ...

    async def close(self, session_id: str) -> SessionReport:
        """Stop audio, finish the recording, close the streams (1000), free the ports."""
        ...

    async def stop(self) -> None: ...
