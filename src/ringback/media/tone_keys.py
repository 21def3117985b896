"""Keys as tones in the audio, for peers that take no telephone events."""

from __future__ import annotations

from ringback.audio.tones import DTMF_FREQUENCIES, ToneGenerator, TonePlan
from ringback.media.plane import FRAME_MS
from ringback.rtp.dtmf import DIGITS, PAUSE

TONE_FRAMES = 8
GAP_FRAMES = 5
PAUSE_FRAMES = 25
MAX_KEYS = 128
LEVEL_DBFS = -14.0
"""Of each of the two frequencies: -8 dBm0, what a telephone sends."""


class ToneKeys:
    """Frames to send instead of what is said, while there are keys."""

    def __init__(self) -> None:
        self._queue: list[str] = []
        self._frames = 0
        self._generator: ToneGenerator | None = None
        self._sample_rate = 0
        self._key: str | None = None

    @property
    def busy(self) -> bool:
        return self._frames > 0 or bool(self._queue)

    def send(self, digits: str) -> int:
        """Queue keys and pauses; how many of them are keys. Raises ``ValueError`` on anything
        else, or beyond ``MAX_KEYS``; nothing of ``digits`` is queued then."""
        keys = digits.upper()
        for key in keys:
            if key not in DIGITS and key != PAUSE:
                raise ValueError(f"{key!r} is not a key: 0-9, A-D, *, # or a comma for a pause")
        if len(self._queue) + len(keys) > MAX_KEYS:
            raise ValueError(f"more than {MAX_KEYS} keys are waiting")
        self._queue.extend(keys)
        return len(keys) - keys.count(PAUSE)

    def take(self, sample_rate: int) -> bytes:
        """The next frame; only while ``busy``."""
        samples = sample_rate * FRAME_MS // 1000
        if not self._frames:
            self._begin(self._queue.pop(0))
        self._frames -= 1
        if self._key is None or self._frames < GAP_FRAMES:
            return bytes(2 * samples)
        if self._generator is None or self._sample_rate != sample_rate:
            self._sample_rate = sample_rate
            plan = TonePlan(DTMF_FREQUENCIES[self._key])
            self._generator = ToneGenerator(plan, sample_rate, LEVEL_DBFS)
        return self._generator.generate(samples)

    def _begin(self, key: str) -> None:
        self._generator = None
        self._key = None if key == PAUSE else key
        self._frames = PAUSE_FRAMES if key == PAUSE else TONE_FRAMES + GAP_FRAMES
