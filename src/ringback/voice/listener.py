"""The agent's ear: the caller's turns in, their transcripts out, whatever the vendor does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ringback.core.errors import RingbackError
from ringback.voice.contract import Final, SpeechToText, SttStream

PRE_ROLL_FRAMES = 35
"""Frames of 20 ms kept from before a turn was noticed: the first syllable is among them."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the caller said in one turn (empty: nothing understood), on the session's clock."""

    text: str
    start_ms: int
    end_ms: int


class Listener:
    """Opens the vendor's stream at the first turn and again after it failed.

    ``on_transcript`` is called once for every turn, in order; ``on_failure`` instead, once for
    all turns that were waiting, when the vendor failed or missed ``deadline`` (seconds).
    """

    def __init__(
        self,
        stt: SpeechToText,
        *,
        sample_rate: int,
        language: str,
        hints: Sequence[str],
        deadline: float,
        on_transcript: Callable[[Transcript], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._stt = stt
        self._sample_rate = sample_rate
        self._language = language
        self._hints = hints
        self._deadline = deadline
        self._on_transcript = on_transcript
        self._on_failure = on_failure
        self._pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL_FRAMES)
        self._stream: SttStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._listening = False
        self._turns: deque[tuple[int, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.failures = 0

    @property
    def pending(self) -> bool:
        """Whether a turn waits for its transcript."""
        return bool(self._turns)

    def frame(self, pcm: bytes) -> None:
        if self._listening and self._stream is not None:
            self._stream.push(pcm)
        else:
            self._pre_roll.append(pcm)

    def start_utterance(self) -> None:
        self._listening = True
        if self._stream is None and not self._open():
            return
        if self._stream is not None:
            self._stream.push(b"".join(self._pre_roll))
        self._pre_roll.clear()

    def end_utterance(self, start_ms: int, end_ms: int) -> None:
        self._listening = False
        self._turns.append((start_ms, end_ms))
        if self._stream is None:
            self._fail("stt_not_available", "no stream could be opened")
            return
        self._stream.end_of_speech()
        if self._timer is None:
            self._arm()

    def prepare(self) -> None:
        """Open the vendor's stream ahead of the first turn, while nobody waits for it."""
        if self._stream is None:
            self._open()

    async def close(self) -> None:
        """Twice is once."""
        self._turns.clear()
        self._disarm()
        self._drop_stream()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _open(self) -> bool:
        try:
            self._stream = self._stt.open(self._sample_rate, self._language, self._hints)
        except RingbackError as error:
            log.warning("voice_stt_failed", code=error.code, reason=error.message)
            return False
        loop = asyncio.get_running_loop()
        self._reader = loop.create_task(self._read(self._stream), name="voice-listener")
        return True

    async def _read(self, stream: SttStream) -> None:
        try:
            async for heard in stream.results():
                if isinstance(heard, Final):
                    self._final(heard)
            code, reason = "stt_closed", "the vendor closed the stream"
        except RingbackError as error:
            code, reason = error.code, error.message
        except Exception as error:
            log.exception("voice_stt_broke")
            code, reason = "stt_broke", type(error).__name__
        self._fail(code, reason)

    def _final(self, final: Final) -> None:
        if not self._turns:
            return
        start_ms, end_ms = self._turns.popleft()
        self._disarm()
        if self._turns:
            self._arm()
        self._on_transcript(Transcript(final.text.strip(), start_ms, end_ms))

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._deadline, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        self._fail("no_transcript_in_time", f"nothing within {self._deadline:g} s")

    def _fail(self, code: str, reason: str) -> None:
        """Give up on the stream; the next turn opens another one."""
        self.failures += 1
        log.warning("voice_stt_failed", code=code, reason=reason, turns=len(self._turns))
        waiting = bool(self._turns)
        self._turns.clear()
        self._disarm()
        self._drop_stream()
        if waiting:
            self._on_failure()

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        reader, self._reader = self._reader, None
        if stream is None:
            return
        loop = asyncio.get_running_loop()
        ending = loop.create_task(_end(stream, reader), name="voice-listener-end")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


async def _end(stream: SttStream, reader: asyncio.Task[None] | None) -> None:
    if reader is not None and not reader.done():
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    try:
        await stream.close()
    except RingbackError as error:
        log.warning("voice_stt_close_failed", code=error.code, reason=error.message)
