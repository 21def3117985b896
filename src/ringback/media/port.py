"""What an agent sees of a call's bridge, whether it is a WebSocket or the hosted pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ringback.media.plane import VoiceSpec


class AgentEar(Protocol):
    """What an agent implements to hear a call. Called from the media tick: never block."""

    def on_audio(self, frame: bytes) -> None:
        """20 ms of the other participants (mix-minus), PCM s16le mono at the port's rate."""
        ...

    def on_dtmf(self, digit: str, duration_ms: int) -> None: ...

    def on_mark(self, name: str) -> None:
        """All audio that was queued before this mark has been played (or cleared)."""
        ...

    def on_detached(self) -> None:
        """The bridge is gone; nothing more will be played or heard."""
        ...


class AgentPort(Protocol):
    """An agent's place at the bridge. Playout is paced by the gateway: audio may be pushed
    faster than real time and is played 20 ms at a time."""

    @property
    def sample_rate(self) -> int:
        """Hz, of both directions; resampled to the bridge's native rate by the port."""
        ...

    def play(self, pcm: bytes) -> None:
        """Queue any number of samples of PCM s16le mono at ``sample_rate``.

        Raises ``ringback.core.errors.LimitReached`` (code ``playout_full``) beyond the bound;
        nothing of ``pcm`` is queued then.
        """
        ...

    def clear(self) -> int:
        """Drop what is queued, at once; returns how many ms were dropped."""
        ...

    def mark(self, name: str) -> None: ...

    @property
    def played_ms(self) -> int:
        """Exactly how much of what was queued has gone out, over the life of the port."""
        ...

    @property
    def queued_ms(self) -> int: ...

    def detach(self) -> None: ...


class VoiceHost(Protocol):
    """What a session offers to the hosted pipeline that runs beside its audio."""

    def attach(self, ear: AgentEar, sample_rate: int) -> AgentPort: ...

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the session was activated (the time base of transcripts)."""
        ...

    @property
    def person_away(self) -> bool:
        """The person is on hold, by either side: nobody can hear or answer."""
        ...

    def transcript(self, speaker: str, text: str, start_ms: int, end_ms: int) -> None: ...

    def send_dtmf(self, digits: str) -> None: ...

    def hang_up(self, reason: str) -> None: ...

    def notify(self, message: Mapping[str, Any]) -> None:
        """A JSON message to every stream of the call (``speech_started``, …)."""
        ...


class VoiceSession(Protocol):
    """One call's hosted pipeline. All methods return at once; work happens in its own tasks."""

    def start(self) -> None:
        """The call is active: greet, listen."""
        ...

    def say(self, text: str) -> None: ...

    def stop_speaking(self) -> None: ...

    async def close(self) -> None: ...


class VoiceFactory(Protocol):
    """Built in ``app.py`` from ``voice/`` and handed to the plane.

    Raises ``ringback.core.errors.NotConfigured`` when ``spec`` names a voice that is not there.
    """

    def __call__(self, session_id: str, spec: VoiceSpec, host: VoiceHost) -> VoiceSession: ...
