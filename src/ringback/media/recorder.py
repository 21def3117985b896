"""Stereo recordings (left caller, right agent), written by one thread for the whole process.

The media tick only appends references to a bounded queue. A file keeps the sample rate that it
began with: what comes at another one later (the call changed its codec, or went into a conference)
is resampled by the thread. The file can be played at any moment, also after a crash (see
``WavWriter``). A disk that is full or gone costs the recording, never the call: counted, logged
once, and the file keeps what it had.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from pathlib import Path

from ringback.audio.resample import FrameResampler
from ringback.audio.wav import WavWriter
from ringback.core.moment import Moment
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS

logger = logging.getLogger(__name__)

MAX_QUEUED_FRAMES = 1500
"""30 s: what a call keeps while the disk does not answer."""
WRITE_EVERY_SECONDS = 0.3
"""How often each file is written to. Writing takes the interpreter from the media, so the files
take turns: it is never more than a few at a time."""
SHORTEST_TURN_SECONDS = 0.02
LONGEST_TURN_SECONDS = 0.25
CLOSE_SECONDS = 5.0
"""How long the end of a call waits for a slow disk."""

_Frames = tuple[int, int, bytes | None, bytes | None]
"""Frames that are missing before this one, sample rate, caller, agent."""


class Recording:
    """One call's file. ``write`` and ``skip`` are called from the media tick."""

    def __init__(
        self, path: Path, sample_rate: int, counters: MediaCounters, thread: RecorderThread
    ) -> None:
        self.path = path
        self._file_rate = sample_rate
        self._silence = bytes(sample_rate * FRAME_MS // 1000 * 2)
        self._counters = counters
        self._thread = thread
        self._queue: deque[_Frames] = deque()
        self._missing = 0
        self._sample_rate = sample_rate
        self._loop = asyncio.get_running_loop()
        self._finished = Moment()
        self._closing = False
        # The writer thread's.
        self._writer: WavWriter | None = None
        self._failed = False
        self._recorded_ms = 0
        self._left = _Side(sample_rate)
        self._right = _Side(sample_rate)

    @property
    def recorded_ms(self) -> int:
        """How much is in the file; final after ``close``."""
        return self._recorded_ms

    def write(self, caller: bytes | None, agent: bytes | None) -> None:
        if len(self._queue) >= MAX_QUEUED_FRAMES:
            self._missing += 1
            self._counters.recording_frames_dropped += 1
            return
        self._queue.append((self._missing, self._sample_rate, caller, agent))
        self._missing = 0

    def skip(self, frames: int) -> None:
        """``frames`` ticks never happened: they are silence in the file."""
        self._missing += frames

    def set_sample_rate(self, sample_rate: int) -> None:
        """Frames have ``sample_rate`` (Hz) from now on; the file keeps its own."""
        self._sample_rate = sample_rate

    @property
    def closing(self) -> bool:
        return self._closing

    async def close(self) -> None:
        """Finish the file; waits until it is complete, at most ``CLOSE_SECONDS``."""
        if not self._closing:
            self._closing = True
            self._thread.wake()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._finished.wait()
        except TimeoutError:
            logger.warning("the recording %s is still being written", self.path)

    # ---- the writer thread's side -----------------------------------------------------------

    def drain(self) -> bool:
        """Write what is queued. Returns whether the recording is over."""
        closing = self._closing
        try:
            if not self._failed:
                self._write_queued()
                if closing and self._writer is not None:
                    self._writer.close()
        except (OSError, ValueError) as error:
            self._failed = True
            self._counters.recording_errors += 1
            logger.error("the recording %s stops here: %s", self.path, error)
            self._abandon()
        if self._failed:
            self._queue.clear()
        return closing

    def finished(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._finished.set)
        except RuntimeError:
            logger.debug("nobody waits for the recording %s any more", self.path)

    def _write_queued(self) -> None:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = WavWriter(self.path, self._file_rate, channels=2)
        left: list[bytes] = []
        right: list[bytes] = []
        take = self._queue.popleft
        at_left, at_right = self._left.at_file_rate, self._right.at_file_rate
        for _ in range(len(self._queue)):
            missing, rate, caller, agent = take()
            if missing:
                left.append(self._silence * missing)
                right.append(self._silence * missing)
            left.append(at_left(caller, rate) or self._silence)
            right.append(at_right(agent, rate) or self._silence)
        if left:
            self._writer.write_stereo(b"".join(left), b"".join(right))
            self._recorded_ms = self._writer.duration_ms

    def _abandon(self) -> None:
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError:
                logger.debug("the recording %s could not be closed", self.path)


class _Side:
    """One channel, brought to the rate of the file."""

    __slots__ = ("_file_rate", "_rate", "_resampler", "_silence")

    def __init__(self, file_rate: int) -> None:
        self._file_rate = file_rate
        self._rate = file_rate
        self._silence = b""
        self._resampler: FrameResampler | None = None

    def at_file_rate(self, frame: bytes | None, rate: int) -> bytes | None:
        if rate != self._rate:
            self._rate = rate
            self._silence = bytes(rate * FRAME_MS // 1000 * 2)
            different = rate != self._file_rate
            self._resampler = FrameResampler(rate, self._file_rate) if different else None
        if self._resampler is None:
            return frame
        # A resampler must not miss a frame, or it would play its past later.
        return self._resampler.process(frame or self._silence)


class RecorderThread:
    """Writes every recording of the process. The thread starts with the first recording."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recordings: list[Recording] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def open(self, path: Path, sample_rate: int, counters: MediaCounters) -> Recording:
        """A new recording at ``path``; folders are made, an old file is replaced. Call on the
        event loop. Never raises for the disk: the thread finds out."""
        recording = Recording(path, sample_rate, counters, self)
        with self._lock:
            self._recordings.append(recording)
            if self._thread is None:
                self._stopping = False
                self._thread = threading.Thread(
                    target=self._run, name="ringback-recorder", daemon=True
                )
                self._thread.start()
        return recording

    def wake(self) -> None:
        self._wake.set()

    async def stop(self) -> None:
        """Finish every recording and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            recordings = list(self._recordings)
        if thread is None:
            return
        await asyncio.gather(*(recording.close() for recording in recordings))
        self._stopping = True
        self._wake.set()
        await asyncio.to_thread(thread.join, CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._stopping:
            turn = WRITE_EVERY_SECONDS / max(1, len(self._recordings))
            turn = min(max(turn, SHORTEST_TURN_SECONDS), LONGEST_TURN_SECONDS)
            woken = self._wake.wait(turn)
            self._wake.clear()
            for recording in self._due(turn, woken):
                if recording.drain():
                    with self._lock:
                        self._recordings.remove(recording)
                    recording.finished()

    def _due(self, turn: float, woken: bool) -> list[Recording]:
        """Whose turn it is and, where somebody waits for it, who is over."""
        with self._lock:
            share = math.ceil(len(self._recordings) * turn / WRITE_EVERY_SECONDS)
            due, later = self._recordings[:share], self._recordings[share:]
            self._recordings = later + due
            return [*due, *(each for each in later if each.closing)] if woken else due
