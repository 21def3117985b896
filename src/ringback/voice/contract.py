"""What the hosted pipeline needs of a vendor: three small Protocols with streaming shapes.

Audio is PCM s16le mono. A vendor raises :class:`ProviderError` and nothing else of its own; the
session decides what the caller hears about it. Nothing here may block the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ringback.core.errors import UpstreamFailed


class ProviderError(UpstreamFailed):
    """A vendor failed. ``retryable`` says whether the same request may succeed if sent again."""

    default_code = "provider_failed"

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        retryable: bool,
        code: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.provider = provider
        self.retryable = retryable


# ---- speech to text -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Partial:
    """What the utterance sounds like so far; replaced by the next one."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """What was said between two ends of speech; empty when nothing could be understood.

    ``start_ms`` and ``end_ms`` are counted in the audio pushed to the stream, from its opening.
    """

    text: str
    start_ms: int
    end_ms: int


Heard = Partial | Final


class SttStream(Protocol):
    """One caller's audio. Every ``end_of_speech`` gets exactly one ``Final``, in order."""

    def push(self, pcm: bytes) -> None:
        """Any number of samples; never blocks."""
        ...

    def end_of_speech(self) -> None:
        """The caller paused for long enough: finish what was pushed since the last call."""
        ...

    def results(self) -> AsyncGenerator[Heard, None]:
        """To be iterated once. Raises :class:`ProviderError`; the stream is dead then."""
        ...

    async def close(self) -> None:
        """Drop what is under way. Twice is once."""
        ...


class SpeechToText(Protocol):
    def open(self, sample_rate: int, language: str, hints: Sequence[str]) -> SttStream:
        """A stream for one call.

        ``language`` is a tag such as ``en`` or ``en-GB``; ``hints`` are phrases that the brain
        expects, for vendors that can be biased.
        """
        ...


# ---- thinking -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that the model may ask for. ``parameters`` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of what the agent says, of any length."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """``arguments`` is ``None`` when the model did not write a JSON object."""

    id: str
    name: str
    arguments: Mapping[str, object] | None = field(default_factory=dict)


Delta = TextDelta | ToolCall

Role = Literal["user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation, oldest first.

    ``keys`` marks a user message as keys pressed on the phone (``text`` holds the digits).
    An assistant's ``text`` is what the caller really heard, not all that was generated.
    ``tool_call_id`` says which of the assistant's ``tool_calls`` a tool message answers.
    """

    role: Role
    text: str
    keys: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class ChatModel(Protocol):
    @property
    def hints(self) -> Sequence[str]:
        """Phrases that this model expects to hear; empty for one that understands anything."""
        ...

    def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> AsyncGenerator[Delta, None]:
        """What to say and do next. Closing the generator stops the generation.

        Raises :class:`ProviderError`.
        """
        ...


# ---- text to speech -------------------------------------------------------------------------


class TextToSpeech(Protocol):
    @property
    def sample_rate(self) -> int:
        """Hz, of what ``synthesize`` yields."""
        ...

    def synthesize(self, text: str) -> AsyncGenerator[bytes, None]:
        """The speech of one sentence in chunks of whole samples, as soon as there are some.

        Raises :class:`ProviderError`.
        """
        ...
