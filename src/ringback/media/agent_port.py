"""An agent's place at the bridge: what it says is queued and paced, what it hears is resampled.

Everything is queued at the bridge's native rate (resampled when it is pushed), so that ``clear``,
marks and the account of what was played are exact whatever rates an agent mixes. When the native
rate changes, what is queued is resampled once and everything else is counted on in time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from ringback.audio.resample import FrameResampler, Resampler
from ringback.core.errors import InvalidRequest, LimitReached
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS
from ringback.media.port import AgentEar

logger = logging.getLogger(__name__)

SAMPLE_BYTES = 2
MAX_QUEUED_MS = 60_000
MAX_PENDING_MARKS = 1000


class PlayoutQueue:
    """A FIFO of bytes, cut into frames on the way out. ``position`` counts what ever left."""

    __slots__ = ("_chunks", "_head", "position", "queued")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._head = 0
        self.queued = 0
        self.position = 0

    def push(self, pcm: bytes) -> None:
        if pcm:
            self._chunks.append(pcm)
            self.queued += len(pcm)

    def take(self, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only when no more are queued."""
        size = min(size, self.queued)
        if not size:
            return b""
        self.queued -= size
        self.position += size
        chunk = self._chunks[0]
        if not self._head and len(chunk) == size:
            return self._chunks.popleft()
        end = self._head + size
        if end < len(chunk):
            frame = chunk[self._head : end]
            self._head = end
            return frame
        return self._join(size)

    def _join(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            chunk = self._chunks[0]
            part = chunk[self._head : self._head + size]
            parts.append(part)
            size -= len(part)
            self._head += len(part)
            if self._head == len(chunk):
                self._chunks.popleft()
                self._head = 0
        return b"".join(parts)

    def change_rate(self, from_hz: int, to_hz: int) -> None:
        """Resample what is queued; ``position`` stands for the same time as before."""
        queued = self.take(self.queued)
        self.position = scaled(self.position - len(queued), from_hz, to_hz)
        if queued:
            resampler = Resampler(from_hz, to_hz)
            self.push(resampler.process(queued) + resampler.flush())

    def clear(self) -> int:
        """Drop everything; returns how many bytes that was."""
        dropped = self.queued
        self._chunks.clear()
        self._head = 0
        self.queued = 0
        self.position += dropped
        return dropped


def scaled(size: int, from_hz: int, to_hz: int) -> int:
    """How many bytes of whole samples at ``to_hz`` last as long as ``size`` at ``from_hz``."""
    return size // SAMPLE_BYTES * to_hz // from_hz * SAMPLE_BYTES


class UnevenFrameResampler:
    """One frame of 20 ms in, one out, for rates at which 20 ms are no whole number of samples.

    Frames differ by one sample so that no time is lost (11025 Hz: 220, 221, 220, …).
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._resampler = Resampler(from_hz, to_hz)
        self._to_hz = to_hz
        self._frames = 0
        self._samples = 0
        self._pending = b""

    def process(self, frame: bytes) -> bytes:
        ready = self._pending + self._resampler.process(frame)
        first = not self._frames
        self._frames += 1
        due = self._frames * self._to_hz * FRAME_MS // 1000
        size = (due - self._samples) * SAMPLE_BYTES
        self._samples = due
        missing = max(0, size - len(ready))
        if first:
            # One sample more than the filter's delay: later frames must never come up short.
            ready = bytes(missing + SAMPLE_BYTES) + ready
        elif missing:
            ready += bytes(missing)
        self._pending = ready[size:]
        return ready[:size]


def _frame_resampler(from_hz: int, to_hz: int) -> FrameResampler | UnevenFrameResampler | None:
    if from_hz == to_hz:
        return None
    if to_hz * FRAME_MS % 1000:
        return UnevenFrameResampler(from_hz, to_hz)
    return FrameResampler(from_hz, to_hz)


class BridgePort:
    """The :class:`ringback.media.port.AgentPort` of the in-process bridge.

    Beyond that contract: ``listening`` (an ear that does not want audio costs nothing),
    ``play_at`` for audio that comes at another rate than the declared one, and
    ``set_sample_rate``. A port without a rate of its own (``None``) has the native one, whatever
    it becomes; ``on_native_rate`` is called after it changed. ``on_queued``, called after each
    ``play``, ``take``, ``take_whole``, ``discard``, ``hear``, ``set_native_rate`` and ``spoke`` are
    the bridge's side.
    """

    def __init__(
        self,
        ear: AgentEar,
        sample_rate: int | None,
        native_rate: int,
        counters: MediaCounters,
        on_detach: Callable[[BridgePort], None],
        *,
        listening: bool = True,
    ) -> None:
        if sample_rate is not None and sample_rate <= 0:
            raise ValueError(f"a sample rate of {sample_rate} Hz is none")
        self.ear = ear
        self._listening = listening
        self.native_rate = native_rate
        self.on_native_rate: Callable[[], None] | None = None
        self.on_queued: Callable[[], None] | None = None
        self.say_now: Callable[[bytes], bool] | None = None
        self.on_listening: Callable[[], None] | None = None
        self.spoke = -1
        """Where this tick's frame is among what is said; negative when there is none."""
        self._follows = sample_rate is None
        self._sample_rate = sample_rate = sample_rate or native_rate
        self._counters = counters
        self._on_detach = on_detach
        self._attached = True
        self._frame_bytes = native_rate * FRAME_MS // 1000 * SAMPLE_BYTES
        self._max_queued = native_rate * MAX_QUEUED_MS // 1000 * SAMPLE_BYTES
        self._queue = PlayoutQueue()
        self._played = 0
        self._starved = False
        self._marks: list[tuple[int, str]] = []
        self._input: Resampler | None = None
        self._output = _frame_resampler(native_rate, sample_rate)

    # ---- the agent's side -------------------------------------------------------------------

    @property
    def sample_rate(self) -> int:
        return self._sample_rate

    @property
    def listening(self) -> bool:
        return self._listening

    @listening.setter
    def listening(self, listening: bool) -> None:
        self._listening = listening
        if self.on_listening is not None:
            self.on_listening()

    @property
    def queued(self) -> int:
        """Bytes that wait."""
        return self._queue.queued

    @property
    def brought(self) -> int:
        """Bytes at the native rate that ever came."""
        return self._queue.position + self._queue.queued

    def pass_on(self, pcm: bytes) -> bool:
        """``play`` for a whole frame that can go out right now; ``False``: it cannot."""
        if (
            self.say_now is None
            or len(pcm) != self._frame_bytes
            or self._queue.queued
            or self._marks
            or self._input is not None
            or self._sample_rate != self.native_rate
            or not self.say_now(pcm)
        ):
            return False
        self._queue.position += len(pcm)
        self._played += len(pcm)
        return True

    @property
    def straight_ear(self) -> Callable[[bytes], None] | None:
        """Who hears what comes at the native rate, without going through ``hear``."""
        return self.ear.on_audio if self._listening and self._output is None else None

    @property
    def played_ms(self) -> int:
        return self._milliseconds(self._played)

    @property
    def queued_ms(self) -> int:
        return self._milliseconds(self._queue.queued)

    def set_sample_rate(self, sample_rate: int) -> None:
        """Choose the rate of both directions; what is queued stays as it is."""
        self._follows = False
        if sample_rate != self._sample_rate:
            self._sample_rate = sample_rate
            self._output = _frame_resampler(self.native_rate, sample_rate)
            if self.on_listening is not None:
                self.on_listening()

    def play(self, pcm: bytes) -> None:
        """Queue ``pcm`` (s16le mono at ``sample_rate``).

        Raises ``LimitReached`` (``playout_full``) and ``InvalidRequest`` (half a sample); nothing
        of ``pcm`` is queued then. Ignored once detached.
        """
        self.play_at(pcm, self._sample_rate)

    def play_at(self, pcm: bytes, sample_rate: int) -> None:
        """``play`` for audio at ``sample_rate`` Hz. Raises the same errors."""
        if not self._attached:
            return
        if len(pcm) % SAMPLE_BYTES:
            raise InvalidRequest(
                f"{len(pcm)} bytes are not whole 16-bit samples",
                code="odd_byte_count",
                hint="Send PCM s16le: two bytes a sample.",
                field="audio",
            )
        native_bytes = len(pcm) * self.native_rate // sample_rate
        if self._queue.queued + native_bytes > self._max_queued:
            self._counters.playout_full += 1
            raise LimitReached(
                f"{self.queued_ms} ms are queued already and {MAX_QUEUED_MS} ms is the most",
                code="playout_full",
                hint="Wait for a mark before you send more, or clear what is queued.",
            )
        self._starved = False
        if sample_rate == self.native_rate:
            if self._input is not None:
                self._flush_input()
            self._queue.push(pcm)
        else:
            if self._input is None or self._input.from_hz != sample_rate:
                self._flush_input()
                self._input = Resampler(sample_rate, self.native_rate)
            self._queue.push(self._input.process(pcm))
        if self.on_queued is not None:
            self.on_queued()

    def clear(self) -> int:
        self._input = None
        self._starved = False
        dropped = self._milliseconds(self._queue.clear())
        self._counters.playout_cleared_ms += dropped
        self._fire_marks()
        return dropped

    def mark(self, name: str) -> None:
        """Raises ``LimitReached`` (``too_many_marks``) beyond ``MAX_PENDING_MARKS``."""
        if not self._attached:
            return
        if len(self._marks) >= MAX_PENDING_MARKS:
            raise LimitReached(
                f"{MAX_PENDING_MARKS} marks are waiting already", code="too_many_marks"
            )
        self._marks.append((self._queue.position + self._queue.queued, name))
        self._fire_marks()

    def detach(self) -> None:
        """Leave the bridge: nothing more is heard or played. Twice is once."""
        if self._attached:
            self._attached = False
            self._queue.clear()
            self._marks.clear()
            self._input = None
            self._on_detach(self)

    # ---- the bridge's side ------------------------------------------------------------------

    def take(self) -> bytes | None:
        """The next frame at the native rate, ``None`` when there is nothing to say.

        Less than a frame waits one tick for more and is then played padded with silence.
        """
        queue = self._queue
        if queue.queued < self._frame_bytes:
            if not queue.queued and self._input is None:
                return None
            if not self._starved:
                self._starved = True
                return None
            self._flush_input()
            if not queue.queued:
                return None
        frame = queue.take(self._frame_bytes)
        self._played += len(frame)
        if self._marks:
            self._fire_marks()
        if len(frame) < self._frame_bytes:
            frame += bytes(self._frame_bytes - len(frame))
        return frame

    def take_whole(self) -> bytes | None:
        """The next frame, if all of it is there."""
        queue = self._queue
        if queue.queued < self._frame_bytes:
            return None
        frame = queue.take(self._frame_bytes)
        self._played += len(frame)
        if self._marks:
            self._fire_marks()
        return frame

    def set_native_rate(self, native_rate: int) -> None:
        """The bridge's rate changed: what is queued, played and marked is so at the new one."""
        before = self.native_rate
        if native_rate == before or not self._attached:
            return
        self._flush_input()
        start = self._queue.position
        self._queue.change_rate(before, native_rate)
        end = self._queue.position + self._queue.queued
        self._marks = [
            (min(end, self._queue.position + scaled(at - start, before, native_rate)), name)
            for at, name in self._marks
        ]
        self._played = scaled(self._played, before, native_rate)
        self.native_rate = native_rate
        self._frame_bytes = native_rate * FRAME_MS // 1000 * SAMPLE_BYTES
        self._max_queued = native_rate * MAX_QUEUED_MS // 1000 * SAMPLE_BYTES
        if self._follows:
            self._sample_rate = native_rate
        self._output = _frame_resampler(native_rate, self._sample_rate)
        if self.on_native_rate is not None:
            self.on_native_rate()

    def discard(self) -> None:
        """Let a frame's time pass without it being heard (the call is on hold)."""
        dropped = len(self._queue.take(self._frame_bytes))
        if dropped:
            self._counters.playout_discarded_ms += self._milliseconds(dropped)
        self._fire_marks()

    def hear(self, frame: bytes) -> None:
        """Hand 20 ms of the others to the ear; an ear that fails is detached."""
        try:
            self.ear.on_audio(frame if self._output is None else self._output.process(frame))
        except Exception:
            self._ear_failed()

    def hear_dtmf(self, digit: str, duration_ms: int) -> None:
        try:
            self.ear.on_dtmf(digit, duration_ms)
        except Exception:
            self._ear_failed()

    def close(self) -> None:
        """The bridge is gone: detach and tell the ear."""
        if not self._attached:
            return
        self.detach()
        try:
            self.ear.on_detached()
        except Exception:
            self._counters.ear_errors += 1
            logger.exception("an agent's ear failed while it was being detached")

    def _ear_failed(self) -> None:
        self._counters.ear_errors += 1
        logger.exception("an agent's ear failed and is detached from its call")
        self.close()

    def _fire_marks(self) -> None:
        while self._marks and self._marks[0][0] <= self._queue.position:
            _, name = self._marks.pop(0)
            try:
                self.ear.on_mark(name)
            except Exception:
                self._ear_failed()
                return

    def _flush_input(self) -> None:
        """Queue what the resampler's filter still holds: the last milliseconds of a sentence."""
        if self._input is not None:
            self._queue.push(self._input.flush())
            self._input = None

    def _milliseconds(self, size: int) -> int:
        return size * 1000 // (self.native_rate * SAMPLE_BYTES)
