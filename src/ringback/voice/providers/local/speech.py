"""Speech to text and text to speech by the worker processes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from ringback.core.errors import NotConfigured
from ringback.voice.contract import Final, Heard, ProviderError
from ringback.voice.providers.local.process import PROVIDER, WorkerProcess

ESPEAK_RATE = 22_050
MAX_CACHE_BYTES = 8 * 1024 * 1024
MAX_CACHED_CHARACTERS = 300
CHUNK_MS = 200

MAX_UTTERANCE_MS = 40_000
"""Audio of one utterance that is recognised: the last of it, when there is more."""
MAX_UTTERANCES = 8
"""Utterances of one call that wait; more are answered with nothing heard."""


class PhraseCache:
    """PCM of sentences said before, such as greetings; bounded by ``MAX_CACHE_BYTES``."""

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._phrases: OrderedDict[object, bytes] = OrderedDict()
        self.size = 0
        self.hits = 0

    def get(self, key: object) -> bytes | None:
        pcm = self._phrases.get(key)
        if pcm is not None:
            self.hits += 1
            self._phrases.move_to_end(key)
        return pcm

    def put(self, key: object, pcm: bytes) -> None:
        if len(pcm) > self._max_bytes or key in self._phrases:
            return
        self._phrases[key] = pcm
        self.size += len(pcm)
        while self.size > self._max_bytes:
            _, dropped = self._phrases.popitem(last=False)
            self.size -= len(dropped)


@dataclass(frozen=True, slots=True)
class EspeakVoice:
    """``name``: a voice of espeak-ng or a language tag; ``rate`` in words per minute."""

    name: str = "en-us"
    rate: int = 165
    pitch: int = 50


class LocalTextToSpeech:
    def __init__(self, worker: WorkerProcess, cache: PhraseCache, voice: EspeakVoice) -> None:
        self._worker = worker
        self._cache = cache
        self._voice = voice

    @property
    def sample_rate(self) -> int:
        return ESPEAK_RATE

    async def synthesize(self, text: str) -> AsyncGenerator[bytes, None]:
        pcm = self._cache.get((self._voice, text))
        if pcm is None:
            voice = self._voice
            header = {"voice": voice.name, "rate": voice.rate, "pitch": voice.pitch}
            answer, pcm = await self._worker.request(header, text.encode())
            if answer.get("sample_rate") != ESPEAK_RATE:
                raise ProviderError(
                    f"espeak-ng speaks at {answer.get('sample_rate')} Hz, not {ESPEAK_RATE}",
                    provider=PROVIDER,
                    retryable=False,
                    code="wrong_sample_rate",
                )
            if len(text) <= MAX_CACHED_CHARACTERS:
                self._cache.put((self._voice, text), pcm)
        size = ESPEAK_RATE * 2 * CHUNK_MS // 1000
        for start in range(0, len(pcm), size):
            yield pcm[start : start + size]
            # A long sentence must not hold up the audio of other calls.
            await asyncio.sleep(0)


class LocalSpeechToText:
    """English only. Recognition begins when the caller pauses; there are no partial results."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker

    def open(self, sample_rate: int, language: str, hints: Sequence[str]) -> LocalSttStream:
        """Raises ``NotConfigured`` for another language than English."""
        check_language(language)
        return LocalSttStream(self._worker, sample_rate, hints)


class LocalSttStream:
    def __init__(self, worker: WorkerProcess, sample_rate: int, hints: Sequence[str]) -> None:
        self._worker = worker
        self._sample_rate = sample_rate
        self._hints = list(hints)
        self._audio = bytearray()
        self._max_bytes = sample_rate * 2 * MAX_UTTERANCE_MS // 1000
        self._pushed = 0
        self._start = 0
        self._utterances: asyncio.Queue[tuple[bytes, int, int]] = asyncio.Queue()
        self.dropped_bytes = 0
        self.dropped_utterances = 0

    def push(self, pcm: bytes) -> None:
        self._audio += pcm
        self._pushed += len(pcm)
        excess = len(self._audio) - self._max_bytes
        if excess > 0:
            del self._audio[:excess]
            self.dropped_bytes += excess

    def end_of_speech(self) -> None:
        audio, self._audio = bytes(self._audio), bytearray()
        if self._utterances.qsize() >= MAX_UTTERANCES:
            self.dropped_utterances += 1
            audio = b""
        self._utterances.put_nowait((audio, self._start, self._pushed))
        self._start = self._pushed

    async def results(self) -> AsyncGenerator[Heard, None]:
        await self._worker.warm_up()
        while True:
            audio, start, end = await self._utterances.get()
            text = await self._recognise(audio) if audio else ""
            yield Final(text, self._milliseconds(start), self._milliseconds(end))

    async def close(self) -> None:
        self._audio.clear()

    async def _recognise(self, audio: bytes) -> str:
        header = {"sample_rate": self._sample_rate, "hints": self._hints}
        answer, _ = await self._worker.request(header, audio)
        return str(answer.get("text", ""))

    def _milliseconds(self, size: int) -> int:
        return size * 1000 // (self._sample_rate * 2)


def check_language(language: str) -> None:
    if language.lower().partition("-")[0] != "en":
        raise NotConfigured(
            f"local speech recognition understands English only, not {language}",
            code="language_not_supported",
            hint="Set the agent's language to en, or choose another stt provider.",
        )
