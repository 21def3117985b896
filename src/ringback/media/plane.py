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
class SdesSecurity:
    """SRTP with keys from the signalling (RFC 4568). ``suite`` is a crypto suite's name
    (``AES_CM_128_HMAC_SHA1_80``, ``AEAD_AES_128_GCM``); the keys are master key and salt, joined.
    """

    suite: str
    local_key: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DtlsSecurity:
    """SRTP with keys from a DTLS handshake on the media path (RFC 5763, 5764).

    ``active``: we are the DTLS client. ``fingerprints`` are hash name and colon-separated hex, as
    in ``a=fingerprint``; the peer's certificate has to match one of them.
    """

    active: bool
    fingerprints: tuple[tuple[str, str], ...]


MediaSecurity = SdesSecurity | DtlsSecurity


@dataclass(frozen=True, slots=True)
class NegotiatedAudio:
    """What offer and answer agreed on for one audio stream (RFC 3264).

    ``remote`` is where the SDP says to send; the session follows the real source by symmetric
    RTP. ``codec`` is the encoding name of RFC 3551 (``PCMU``, ``PCMA``, ``G722``, ``opus``).
    """

    remote: RtpAddress
    codec: str
    payload_type: int
    clock_rate: int = 8000
    ptime_ms: int = 20
    dtmf_payload_type: int | None = None
    """``telephone-event`` in packets that we send."""
    send: bool = True
    receive: bool = True
    rtcp_mux: bool = False
    remote_rtcp: RtpAddress | None = None
    receive_codecs: tuple[tuple[int, str], ...] = ()
    """Payload type and codec of everything the peer may switch to without a new offer; empty:
    ``payload_type`` alone."""
    dtmf_receive_payload_types: tuple[tuple[int, int], ...] = ()
    """Payload type and clock rate (Hz) of every ``telephone-event`` the peer may send; empty:
    ``dtmf_payload_type`` alone, at ``clock_rate``."""
    comfort_noise_payload_type: int | None = None
    """RFC 3389, in both directions; ``None``: not agreed."""
    fmtp: str = ""
    """The peer's format parameters of ``codec``: what it wants us to send (RFC 7587 6.1)."""
    security: MediaSecurity | None = None
    """``None``: plain RTP."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    session_id: str
    bind_host: str = "0.0.0.0"
    media_timeout: float = 60.0
    """Seconds without RTP on an active, unheld session until ``MediaTimedOut``."""
    stands_in_for: str | None = None
    """The call (its session) whose leg this one's is to replace by ``take_leg``; ``None``: it is
    the session of a call itself."""


@dataclass(frozen=True, slots=True)
class SessionOpened:
    session_id: str
    rtp_port: int
    rtcp_port: int
    fingerprint: tuple[str, str] | None = None
    """Hash name and fingerprint of our DTLS certificate; ``None``: no DTLS-SRTP here."""


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
    codec: str = ""
    """The codec in use when it was closed, empty where none was ever agreed on."""
    security: str = "none"
    """``none``, or the SRTP suite that protected the audio."""
    buffer_ms: float = 0.0
    """The playout delay of the jitter buffer at the end."""
    remote_packets_lost: int | None = None
    """What the peer's receiver reports say about our packets; ``None``: it sent none."""
    remote_jitter_ms: float | None = None
    mos: float | None = None
    """How the person was heard here: the E-model's estimate (ITU-T G.107), 1.0 to 4.5."""
    remote_mos: float | None = None
    """How we were heard there, from the peer's reports."""
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
class MediaFailed:
    """The audio cannot be protected as agreed (no DTLS handshake, a wrong certificate). ``reason``
    is an ``EndReason`` value, ``detail`` a sentence for the log and the record."""

    session_id: str
    reason: str
    detail: str


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
    | MediaFailed
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

    async def start(self) -> None:
        """Be ready for the first session. Raises ``StartupError`` when that cannot be had."""
        ...

    def problem(self) -> str | None:
        """Why no session can be opened just now, in a sentence; ``None`` when one can."""
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

    async def send_dtmf(self, session_id: str, digits: str, method: str = "auto") -> None:
        """Press keys, one after another: ``0-9A-D*#``; ``,`` is a half-second pause. ``method`` is
        ``rtp`` (RFC 4733), ``inband`` (tones), or ``auto``: events where the peer takes them."""
        ...

    def dtmf(self, session_id: str, digit: str, duration_ms: int) -> None:
        """A key that signalling (INFO) brought in. A key that arrives in more than one way
        (RFC 4733, INFO, tones) is reported once, as one ``DtmfReceived``."""
        ...

    def set_hold(self, session_id: str, held: bool) -> None:
        """The far end holds us: nobody hears anybody, and no RTP need come."""
        ...

    def hold(self, session_id: str, music: str | None = None) -> None:
        """We hold the person: they hear ``music`` (the path of a WAV file, looped; ``None``: the
        node's own; empty: silence) and nobody hears them, in a conference too. Agents hear
        everybody else."""
        ...

    def resume(self, session_id: str) -> None:
        """End ``hold``."""
        ...

    def join(self, session_id: str, conference: str) -> None:
        """Bring ``session_id`` with its person and its agents into the bridge of the session
        ``conference``: from now on everybody hears everybody else, each without themselves. Ignored
        where either is gone. A session that is joined already moves."""
        ...

    def part(self, session_id: str) -> None:
        """Undo ``join``: back to a bridge of its own. Closing the conference parts everybody."""
        ...

    def detach_agents(self, session_id: str) -> None:
        """End the hosted voice and the streams (closed with 1000) of ``session_id``: the people
        stay and go on without."""
        ...

    def take_leg(self, session_id: str, other: str) -> None:
        """The phone leg of session ``other`` replaces that of ``session_id``, whose ports are
        closed; ``other`` is gone afterwards. Agents, recording and streams stay as they are."""
        ...

    async def report(self, session_id: str) -> SessionReport | None:
        """The figures so far; ``None`` where the session is gone."""
        ...

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
