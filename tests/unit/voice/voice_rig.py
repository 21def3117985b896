"""A call around a hosted session: a real bridge in virtual time, scripted vendors, a caller made
of voiced and silent frames."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.port import AgentEar, AgentPort
from ringback.voice.contract import (
    Delta,
    Final,
    Heard,
    Message,
    Partial,
    TextDelta,
    Tool,
)
from ringback.voice.session import SAMPLE_RATE, HostedSession, Parts
from ringback.voice.settings import VoiceSettings
from unit.media.ticked_leg import TickedLeg
from unit.voice.virtual_time import pass_time

FRAME = SAMPLE_RATE // 50 * 2
VOICE = b"\x00\x10" * (FRAME // 2)
MS_PER_CHARACTER = 50


class ScriptedTts:
    """``MS_PER_CHARACTER`` of sound per character, in chunks of 100 ms, each ``delay_ms`` late.

    ``troubles`` are raised instead of the next sentences, one each; ``None`` lets one pass.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, delay_ms: float = 0) -> None:
        self.delay_ms = delay_ms
        self.troubles: deque[Exception | None] = deque()
        self.spoken: list[str] = []
        self.open = 0

    async def synthesize(self, text: str) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            trouble = self.troubles.popleft() if self.troubles else None
            if trouble is not None:
                raise trouble
            self.spoken.append(text)
            left = len(text) * MS_PER_CHARACTER
            while left > 0:
                if self.delay_ms:
                    await pass_time(self.delay_ms)
                chunk = min(100, left)
                left -= chunk
                yield VOICE[:2] * (SAMPLE_RATE * chunk // 1000)
        finally:
            self.open -= 1


class ScriptedStt:
    """Answers each end of speech with the next of ``texts`` (then with nothing heard)."""

    def __init__(self, *texts: str | Exception, delay_ms: float = 0) -> None:
        self.texts = deque(texts)
        self.delay_ms = delay_ms
        self.streams: list[ScriptedStream] = []
        self.refusals: deque[Exception] = deque()

    def open(self, sample_rate: int, language: str, hints: Sequence[str]) -> ScriptedStream:
        if self.refusals:
            raise self.refusals.popleft()
        stream = ScriptedStream(self, hints)
        self.streams.append(stream)
        return stream


class ScriptedStream:
    def __init__(self, script: ScriptedStt, hints: Sequence[str]) -> None:
        self._script = script
        self._ends: asyncio.Queue[int] = asyncio.Queue()
        self.hints = hints
        self.pushed = b""
        self.utterances: list[bytes] = []
        self.closed = False

    def push(self, pcm: bytes) -> None:
        self.pushed += pcm

    def end_of_speech(self) -> None:
        self.utterances.append(self.pushed)
        self.pushed = b""
        self._ends.put_nowait(0)

    async def results(self) -> AsyncGenerator[Heard, None]:
        while True:
            await self._ends.get()
            if self._script.delay_ms:
                await pass_time(self._script.delay_ms)
            text = self._script.texts.popleft() if self._script.texts else ""
            if isinstance(text, Exception):
                raise text
            yield Partial(text)
            yield Final(text, 0, 0)

    async def close(self) -> None:
        self.closed = True


Step = Delta | Exception | float
"""A delta, an error to raise, or milliseconds to wait."""


class ScriptedModel:
    """Each reply is the next of ``replies``: a text, or steps."""

    def __init__(self, *replies: str | Sequence[Step], hints: Sequence[str] = ()) -> None:
        self.replies = deque(replies)
        self.hints = hints
        self.asked: list[list[Message]] = []
        self.open = 0

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> AsyncGenerator[Delta, None]:
        self.asked.append(list(messages))
        self.open += 1
        try:
            steps = self.replies.popleft() if self.replies else ()
            for step in [TextDelta(steps)] if isinstance(steps, str) else steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, int | float):
                    await pass_time(step)
                else:
                    yield step
        finally:
            self.open -= 1


class Caller(TickedLeg):
    """The phone leg: what it says is scripted, what it hears is kept as one bool a tick."""

    def __init__(self) -> None:
        self.script: deque[bool] = deque()
        self.heard: list[bool] = []

    def speaks(self, milliseconds: int) -> None:
        self.script.extend([True] * (milliseconds // 20))

    def pauses(self, milliseconds: int) -> None:
        self.script.extend([False] * (milliseconds // 20))

    def read(self, now: float) -> bytes | None:
        return VOICE if self.script and self.script.popleft() else None

    def write(self, frame: bytes | None, now: float) -> None:
        self.heard.append(frame is not None)

    def skip(self, frames: int) -> None:
        pass

    def set_sample_rate(self, sample_rate: int) -> None:
        """The rate of this call never changes."""


class LoudGate:
    """Any sound is speech."""

    def is_speech(self, frame: bytes) -> bool:
        return any(frame)


@dataclass
class Line:
    speaker: str
    text: str
    start_ms: int
    end_ms: int


@dataclass
class Call:
    """The :class:`ringback.media.port.VoiceHost`, and the clock that moves its bridge."""

    bridge: AudioBridge = field(default_factory=lambda: AudioBridge(SAMPLE_RATE, MediaCounters()))
    caller: Caller = field(default_factory=Caller)
    lines: list[Line] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    dtmf: list[str] = field(default_factory=list)
    hang_ups: list[str] = field(default_factory=list)
    ports: list[AgentPort] = field(default_factory=list)
    noticed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()
        self._ticks = 0
        self._running = True
        self.bridge.talking = True
        self.bridge.set_leg(self.caller)
        self._arm()

    def _arm(self) -> None:
        self._loop.call_at(self._origin + (self._ticks + 1) * 0.02, self._tick)

    def _tick(self) -> None:
        if self._running:
            self._ticks += 1
            self.bridge.tick(self._loop.time())
            self._arm()

    # ---- VoiceHost

    def attach(self, ear: AgentEar, sample_rate: int) -> AgentPort:
        port = self.bridge.attach(ear, sample_rate)
        self.ports.append(port)
        return port

    @property
    def elapsed_ms(self) -> int:
        return self._ticks * 20

    @property
    def person_away(self) -> bool:
        return self.bridge.away

    def transcript(self, speaker: str, text: str, start_ms: int, end_ms: int) -> None:
        self.lines.append(Line(speaker, text, start_ms, end_ms))

    def send_dtmf(self, digits: str) -> None:
        self.dtmf.append(digits)

    def hang_up(self, reason: str) -> None:
        self.hang_ups.append(str(reason))

    def notify(self, message: Mapping[str, Any]) -> None:
        self.messages.append(dict(message))
        self.noticed.set()

    # ---- for the tests

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(line.speaker, line.text) for line in self.lines]

    @property
    def notices(self) -> list[tuple[str, object]]:
        """Type and state of every message, in order."""
        return [(each["type"], each.get("speaking", each.get("speaker"))) for each in self.messages]

    async def until(self, happened: Callable[[], bool], within_ms: int = 60_000) -> None:
        """Let time pass until it is so."""
        deadline = self.elapsed_ms + within_ms
        while not happened():
            if self.elapsed_ms >= deadline:
                raise AssertionError(f"it did not happen within {within_ms} ms")
            await pass_time(20)

    async def over(self, session: HostedSession) -> None:
        """End the call as the plane does, and see that no task is left."""
        self._running = False
        self.bridge.close()
        await session.close()
        left = [each for each in asyncio.all_tasks() if each.get_name().startswith("voice-")]
        if left:
            raise AssertionError(f"left behind: {left}")


def new_session(
    call: Call,
    *,
    stt: ScriptedStt | None = None,
    tts: ScriptedTts | None = None,
    model: ScriptedModel | None = None,
    greeting: str = "",
    **settings: object,
) -> HostedSession:
    """With ``stt``, it listens; ``settings`` as in a ``VoiceSpec``."""
    parts = Parts(
        tts=tts or ScriptedTts(),
        stt=stt,
        model=model,
        gate=LoudGate() if stt is not None else None,
        greeting=greeting,
    )
    return HostedSession("call-1", call, VoiceSettings.parse(settings), parts)
