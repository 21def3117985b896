"""Keys in the audio of many calls, at the price of a few operations for all of them together.

Listening for tones (``dtmf_detector``) costs more than all the rest of a frame's way, and hardly
any frame holds one. So the frames of all calls are gathered, and what one window tells of a key is
asked of all of them at once; only around those that may hold one the detector is woken. A key lasts
at least 40 ms, so one frame at least is all key, wherever it begins: what the detector would have
found it finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from ringback.audio.dtmf_detector import (
    FRAME_MS,
    LEAST_SHARE,
    MIN_POWER,
    STANDS_OUT,
    DtmfDetector,
    TonePress,
    basis,
)

JUDGE_SECONDS = 0.02
EARLIER_FRAMES = 2
"""What the detector is given of the time before the first frame that may hold a key."""
AWAKE_FRAMES = 4
"""How long it stays awake after the last such frame."""


class ToneEar:
    """One stream of 20 ms frames, PCM s16le mono. ``tell`` hears of every key that is over."""

    def __init__(self, sample_rate: int, tell: Callable[[TonePress], None]) -> None:
        self._sample_rate = sample_rate
        self._tell = tell
        self._detector: DtmfDetector | None = None
        self._awake = 0
        self._earlier: deque[bytes] = deque(maxlen=EARLIER_FRAMES)

    def hear(self, frame: bytes, suspect: bool) -> None:
        """``suspect``: the frame may hold a key."""
        if suspect:
            self._awake = AWAKE_FRAMES
        elif not self._awake:
            self._earlier.append(frame)
            return
        detector = self._detector
        if detector is None:
            detector = self._detector = DtmfDetector(self._sample_rate)
            for earlier in self._earlier:
                detector.process(earlier)
        key = detector.process(frame)
        if not detector.busy:
            self._awake -= 1
        if not self._awake:
            self._detector = None
            self._earlier.clear()
        if key is not None:
            self._tell(key)


class ToneWatch:
    """Gathers what ``note`` brings until ``judge`` asks for all of it, in its order."""

    def __init__(self) -> None:
        self._noted: dict[int, list[tuple[ToneEar, bytes]]] = {}
        self._judged_at = 0.0

    def note(self, ear: ToneEar, frame: bytes) -> None:
        noted = self._noted.get(len(frame))
        if noted is None:
            noted = self._noted[len(frame)] = []
        noted.append((ear, frame))

    def tick(self, now: float) -> None:
        """``judge`` when it is time."""
        if now - self._judged_at >= JUDGE_SECONDS:
            self._judged_at = now
            self.judge()

    def judge(self) -> None:
        """Let every ear hear what was noted for it."""
        noted_by_size, self._noted = self._noted, {}
        for noted in noted_by_size.values():
            verdicts = suspects([frame for _, frame in noted])
            for (ear, frame), suspect in zip(noted, verdicts, strict=True):
                ear.hear(frame, suspect)


def suspects(frames: list[bytes]) -> list[bool]:
    """For each of ``frames``, all of one length, whether it may hold a key: one frequency of each
    group stands out, and the two hold a good part of the energy."""
    samples = len(frames[0]) // 2
    pcm = np.frombuffer(b"".join(frames), np.int16).reshape(len(frames), samples)
    windows = pcm.astype(np.float32)
    energy = np.einsum("ij,ij->i", windows, windows)
    parts = windows @ basis(samples * 1000 // FRAME_MS)
    parts *= parts
    powers = (parts[:, :8] + parts[:, 8:]).reshape(-1, 2, 4)
    powers.sort(axis=2)
    strongest = powers[:, :, 3]
    stand_out = (powers[:, :, 2] * STANDS_OUT <= strongest).all(axis=1)
    share = strongest.sum(axis=1) * 2 >= energy * (samples * LEAST_SHARE)
    loud = energy >= MIN_POWER * samples
    verdicts: list[bool] = (stand_out & share & loud).tolist()
    return verdicts
