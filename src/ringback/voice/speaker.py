"""The agent's mouth: sentences in, synthesised and queued at the port, one thing after another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import structlog

from ringback.audio.resample import Resampler
from ringback.core.errors import RingbackError
from ringback.media.port import AgentPort
from ringback.voice.contract import TextToSpeech
from ringback.voice.sentences import SentenceChunker
from ringback.voice.spoken import Heard, Sentence, SpokenLedger

MAX_JOBS = 16
"""Things to say that may wait; more are refused and counted."""
MAX_AHEAD_MS = 10_000
"""Sound queued at the port beyond this holds back synthesis."""
SLICE_MS = 500
"""Sound is handed to the port in pieces no longer than this."""

log = structlog.stdlib.get_logger(__name__)

Sentences = AsyncGenerator[str, None]


async def sentences_of(text: str) -> Sentences:
    """A text that is known already, sentence by sentence."""
    chunker = SentenceChunker()
    for sentence in chunker.push(text) + chunker.flush():
        yield sentence


class Speaker:
    """Speaks jobs in order. Every method returns at once; one task works while there are jobs.

    ``on_first_audio`` is called when a job's first sound is queued, ``on_idle`` when the last
    job is done. ``tick`` must be called every 20 ms: it settles what was heard and lets
    synthesis go on when the queue has run down.
    """

    def __init__(
        self,
        port: AgentPort,
        tts: TextToSpeech,
        *,
        deadline: float,
        now: Callable[[], int],
        on_first_audio: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._port = port
        self._tts = tts
        self._deadline = deadline
        self._now = now
        self._on_first_audio = on_first_audio
        self._on_idle = on_idle
        self._ledger = SpokenLedger()
        self._jobs: deque[Sentences] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self.failures = 0
        """Sentences that could not be spoken."""
        self.refused = 0
        """Jobs that came while ``MAX_JOBS`` were waiting."""

    @property
    def busy(self) -> bool:
        """Whether something is still to be synthesised (not: still to be played)."""
        return self._task is not None

    @property
    def audible(self) -> bool:
        return self._port.queued_ms > 0

    @property
    def playing(self) -> bool:
        """Whether the sentence at the head of the queue has begun to be heard."""
        return self._ledger.started

    def speak(self, sentences: Sentences) -> bool:
        """Queue a job; ``False`` when too many wait already."""
        if len(self._jobs) >= MAX_JOBS:
            self.refused += 1
            return False
        self._jobs.append(sentences)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="voice-speaker")
        return True

    def tick(self, now: int) -> list[Heard]:
        """Whole sentences that have been heard since the last tick."""
        queued = self._port.queued_ms
        if queued <= MAX_AHEAD_MS:
            self._room.set()
        if not self._ledger:
            return []
        return self._ledger.account(self._port.played_ms, queued, now)

    def abandon(self) -> None:
        """Make nothing more; what is queued at the port is still played."""
        self._jobs.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def stop(self) -> list[Heard]:
        """Silence at once; returns what was heard of what was being said."""
        heard = self._ledger.cut(self._port.played_ms, self._port.queued_ms, self._now())
        self.abandon()
        self._port.clear()
        self._ledger.cleared(self._port.queued_ms)
        return heard

    async def close(self) -> None:
        """Cancel what is under way and wait for it to be gone."""
        self.abandon()
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def _run(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            try:
                async with aclosing(job) as sentences:
                    first = True
                    async for sentence in sentences:
                        first = await self._sentence(sentence, first) and first
            except Exception:
                self.failures += 1
                log.exception("voice_speech_failed")
        self._task = None
        self._on_idle()

    async def _sentence(self, text: str, first: bool) -> bool:
        """Speak one sentence; ``False`` once there was sound. A vendor's failure skips it."""
        entry = self._ledger.begin(text)
        resampler = Resampler(self._tts.sample_rate, self._port.sample_rate)
        silent, complete = True, False
        stream = self._tts.synthesize(text)
        try:
            async with aclosing(stream):
                while (chunk := await self._next(stream)) is not None:
                    await self._play(entry, resampler.process(chunk))
                    if silent and first:
                        self._on_first_audio()
                    silent = False
            await self._play(entry, resampler.flush())
            complete = True
        except TimeoutError:
            self._failed(text, "no_audio_in_time", f"nothing within {self._deadline:g} s")
        except RingbackError as error:
            self._failed(text, error.code, error.message)
        finally:
            self._ledger.close(entry, complete=complete)
        return silent

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        async with asyncio.timeout(self._deadline):
            return await anext(stream, None)

    async def _play(self, entry: Sentence, pcm: bytes) -> None:
        size = self._port.sample_rate * 2 * SLICE_MS // 1000
        for start in range(0, len(pcm), size):
            while self._port.queued_ms > MAX_AHEAD_MS:
                self._room.clear()
                await self._room.wait()
            before = self._port.queued_ms
            self._port.play(pcm[start : start + size])
            self._ledger.queued(entry, self._port.queued_ms - before)

    def _failed(self, text: str, code: str, reason: str) -> None:
        self.failures += 1
        log.warning("voice_tts_failed", code=code, reason=reason, characters=len(text))
