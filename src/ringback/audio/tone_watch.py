"""Keys in the audio of many calls, at the price of a few operations for all of them together.

Listening for tones (``dtmf_detector``) costs more than all the rest of a frame's way, and hardly
any frame holds one. So the frames of all calls are gathered, and what one window tells of a key is
asked of all of them at once; only around those that may hold one the detector is woken. A key lasts
at least 40 ms, so one frame at least is all key, wherever it begins: what the detector would have
found it finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

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
KEPT_ROUNDS = 4
"""Of those that were judged, for the frames of a stream that does not come evenly."""
MOST_ROUNDS = 50
"""For which one stays awake of whom nothing comes."""


class ToneEar:
    """One stream of 20 ms frames, PCM s16le mono. ``tell`` hears of every key that is over."""

    def __init__(self, sample_rate: int, tell: Callable[[TonePress], None]) -> None:
        self._sample_rate = sample_rate
        self._tell = tell
        self._detector: DtmfDetector | None = None
        self._awake = 0

    @property
    def awake(self) -> bool:
        return self._detector is not None

    def fall_silent(self) -> None:
        """Nothing comes: a key that was being pressed is over."""
        silence = bytes(self._sample_rate * FRAME_MS // 1000 * 2)
        for _ in range(2 * AWAKE_FRAMES):
            self.hear(silence, False)
        self._detector, self._awake = None, 0

    def wake(self, earlier: Iterable[bytes]) -> None:
        """From sleep: the next frame may hold a key; ``earlier`` are the ones before it."""
        self._detector = DtmfDetector(self._sample_rate)
        for frame in earlier:
            self._detector.process(frame)

    def hear(self, frame: bytes, suspect: bool) -> None:
        """``suspect``: the frame may hold a key. Who sleeps hears nothing."""
        detector = self._detector
        if detector is None:
            return
        if suspect:
            self._awake = AWAKE_FRAMES
        key = detector.process(frame)
        if not detector.busy:
            self._awake -= 1
        if self._awake <= 0:
            self._detector = None
        if key is not None:
            self._tell(key)


Noted = tuple[ToneEar, bytes]


class ToneWatch:
    """Gathers what is noted until ``judge`` asks for all of it, in its order. ``at_once``: with
    each frame, for who has no others."""

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._noted: dict[int, list[Noted]] = {}
        self._before: dict[int, deque[list[tuple[int, bytes]]]] = {}
        """What was judged last, by the ``id`` of its ear, for one that wakes."""
        self._awake: dict[ToneEar, int] = {}
        """Rounds since each was heard."""
        self._judged_at = 0.0

    def note(self, ear: ToneEar, frame: bytes) -> None:
        self.notes(len(frame))((ear, frame))

    def notes(self, size: int) -> Callable[[Noted], None]:
        """As ``note``, for frames of ``size`` bytes; good for as long as the watch is."""
        noted = self._noted.get(size)
        if noted is None:
            noted = self._noted[size] = []
            self._before[size] = deque(maxlen=KEPT_ROUNDS)
        return self._note_and_judge if self._at_once else noted.append

    def _note_and_judge(self, noted: Noted) -> None:
        self._noted[len(noted[1])].append(noted)
        self.judge()

    def tick(self, now: float) -> None:
        """``judge`` when it is time."""
        if now - self._judged_at >= JUDGE_SECONDS:
            self._judged_at = now
            self.judge()

    def judge(self) -> None:
        """Let every ear that is awake, or has to be, hear what was noted for it."""
        self._forget_the_silent()
        for size, noted in list(self._noted.items()):
            before = self._before[size]
            round_ = [each for each in noted if len(each[1]) == size]
            noted.clear()
            if round_:
                self._hear(round_, suspects([frame for _, frame in round_]), before)
                before.append([(id(ear), frame) for ear, frame in round_])
            elif before:
                before.popleft()

    def _forget_the_silent(self) -> None:
        for ear, rounds in list(self._awake.items()):
            self._awake[ear] = rounds + 1
            if rounds >= MOST_ROUNDS:
                del self._awake[ear]
                ear.fall_silent()

    def _hear(
        self,
        noted: list[Noted],
        verdicts: list[bool],
        before: Iterable[list[tuple[int, bytes]]],
    ) -> None:
        suspected = {ear for (ear, _), suspect in zip(noted, verdicts, strict=True) if suspect}
        if not suspected and not self._awake:
            return
        awake = self._awake
        for index, (ear, frame) in enumerate(noted):
            if ear in awake or ear in suspected:
                if verdicts[index] and not ear.awake:
                    now = [(id(other), its) for other, its in noted[:index]]
                    ear.wake(_earlier(ear, (*before, now)))
                ear.hear(frame, verdicts[index])
                if ear.awake:
                    awake[ear] = 0
                else:
                    awake.pop(ear, None)


def _earlier(ear: ToneEar, rounds: Iterable[list[tuple[int, bytes]]]) -> list[bytes]:
    """The last frames of ``ear``."""
    return [frame for noted in rounds for its, frame in noted if its == id(ear)][-EARLIER_FRAMES:]


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
