"""Who stands at the softphone's side of the bridge: a script, or a person with a microphone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ringback.audio.level import rms
from ringback.cli.softphone.conversation import Conversation, Cue
from ringback.media.port import AgentPort, VoiceHost

LOUD_RMS = 250.0
LEAVING = "agent_hangup"


class Sound(Protocol):
    """A person's own microphone and loudspeaker."""

    sample_rate: int

    def open(self, on_sound: Callable[[bytes], None]) -> None: ...

    def play(self, frame: bytes) -> None: ...

    def close(self) -> None: ...


class Hearing(Protocol):
    """Whoever writes down what is heard."""

    def hear(self, frame: bytes, loud: bool) -> None: ...


class ScriptedPerson:
    """Implements ``VoiceSession`` and ``AgentEar``: says prepared sentences, each when the other
    side has finished, then hangs up (unless ``stays``)."""

    def __init__(
        self,
        host: VoiceHost,
        sentences: Sequence[bytes],
        sample_rate: int,
        transcriber: Hearing | None = None,
        stays: bool = False,
        on_sentence: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._host = host
        self._sentences = list(sentences)
        self._rate = sample_rate
        self._transcriber = transcriber
        self._stays = stays
        self._said = 0
        self._on_sentence = on_sentence
        self._conversation = Conversation(len(sentences))
        self._port: AgentPort | None = None

    def start(self) -> None:
        self._port = self._host.attach(self, self._rate)

    def on_audio(self, frame: bytes) -> None:
        if self._port is None:
            return
        loud = rms(frame) > LOUD_RMS
        if self._transcriber is not None:
            self._transcriber.hear(frame, loud)
        cue = self._conversation.hear(loud, self._port.queued_ms > 0)
        if cue is Cue.SPEAK:
            self._port.play(self._sentences[self._said])
            self._on_sentence(self._said)
            self._said += 1
        elif cue is Cue.LEAVE and not self._stays:
            self._host.hang_up(LEAVING)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        """Keys the other side presses are printed by the command."""

    def on_mark(self, name: str) -> None:
        """No marks are set."""

    def on_detached(self) -> None:
        self._port = None

    def say(self, text: str) -> None:
        """A script says only what it was given."""

    def stop_speaking(self) -> None:
        if self._port is not None:
            self._port.clear()

    async def close(self) -> None:
        self._port = None


class LivePerson:
    """Implements ``VoiceSession`` and ``AgentEar`` with a microphone and a loudspeaker."""

    def __init__(self, host: VoiceHost, sound: Sound) -> None:
        self._host = host
        self._sound = sound
        self._port: AgentPort | None = None

    def start(self) -> None:
        self._port = self._host.attach(self, self._sound.sample_rate)
        self._sound.open(self._port.play)

    def on_audio(self, frame: bytes) -> None:
        self._sound.play(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        """Keys the other side presses are printed by the command."""

    def on_mark(self, name: str) -> None:
        """No marks are set."""

    def on_detached(self) -> None:
        self._sound.close()

    def say(self, text: str) -> None:
        """A person speaks for themselves."""

    def stop_speaking(self) -> None:
        if self._port is not None:
            self._port.clear()

    async def close(self) -> None:
        self._sound.close()
