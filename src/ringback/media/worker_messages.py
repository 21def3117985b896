"""What call control and a media worker say to each other.

::

    call control                         worker
      Configure ------------------------>
      <------------------------- Ready
      Ask open, close, report, send_dtmf
      <------------------------- Answer | Refused
      Command negotiate, say, hold, ...
      Attach + the connection ----------->  a call stream
      Link + one end of a socket pair --->  a conference over two workers
      <------------------------- Event, Observed
      <------------------------- Figures    each second, also the sign of life
      Stop ------------------------------>
      <------------------------- Figures, and it ends
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ringback.core.errors import ErrorKind, RingbackError, error_of_kind
from ringback.media import plane
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import PacerCounters
from ringback.media.plane import MediaEvent, SessionReport

AskName = Literal["open", "close", "report", "send_dtmf"]
CommandName = Literal[
    "negotiate",
    "activate",
    "start_voice",
    "say",
    "stop_speaking",
    "dtmf",
    "set_hold",
    "hold",
    "resume",
    "join",
    "part",
    "detach_agents",
    "take_leg",
    "notify",
    "unlink",
]


@dataclass(frozen=True, slots=True)
class Configure:
    """``first_port`` to ``last_port`` (both included) are the worker's own."""

    name: str
    first_port: int
    last_port: int
    log_level: str
    log_json: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker takes sessions."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the plane's method and send an ``Answer`` or ``Refused`` with ``number``."""

    number: int
    name: AskName
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The method raised a ``RingbackError``."""

    number: int
    kind: str
    message: str
    code: str
    hint: str
    field: str | None

    @classmethod
    def of(cls, number: int, error: RingbackError) -> Refused:
        return cls(number, error.kind.value, error.message, error.code, error.hint, error.field)

    def error(self) -> RingbackError:
        """The same again."""
        made = error_of_kind(ErrorKind(self.kind))
        return made(self.message, code=self.code, hint=self.hint, field=self.field)


@dataclass(frozen=True, slots=True)
class Command:
    """Call the plane's method; its first argument is the session's id."""

    name: CommandName
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Attach:
    """Comes with the connection."""

    session_id: str
    request: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """Comes with this side's end of the link ``link_id`` of ``session_id``."""

    session_id: str
    link_id: str


@dataclass(frozen=True, slots=True)
class Event:
    event: MediaEvent


@dataclass(frozen=True, slots=True)
class Observed:
    """An answered session is over."""

    report: SessionReport


@dataclass(frozen=True, slots=True)
class Figures:
    """How the worker is. ``cpu`` and ``waiting`` are seconds since its start: on a processor, and
    ready to run without one."""

    counters: MediaCounters
    pacer: PacerCounters
    ports_in_use: int
    sessions: int
    cpu: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Close every session, send the last figures, and end."""


OWN_MESSAGES: tuple[type, ...] = (
    Configure,
    Ready,
    Ask,
    Answer,
    Refused,
    Command,
    Attach,
    Link,
    Event,
    Observed,
    Figures,
    Stop,
)
PLANE_MESSAGES: tuple[type, ...] = (
    plane.RtpAddress,
    plane.SdesSecurity,
    plane.DtlsSecurity,
    plane.NegotiatedAudio,
    plane.OpenSession,
    plane.SessionOpened,
    plane.VoiceSpec,
    plane.SessionReport,
    plane.DtmfReceived,
    plane.MediaTimedOut,
    plane.MediaFailed,
    plane.TranscriptLine,
    plane.HangUpRequested,
    plane.StreamCommand,
    plane.StreamAttached,
    plane.StreamDetached,
)
MESSAGE_TYPES: tuple[type, ...] = (*OWN_MESSAGES, *PLANE_MESSAGES, MediaCounters, PacerCounters)
