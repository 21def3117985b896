"""Whether a frame is speech: WebRTC's voice activity detector, kept honest by the noise floor."""

from __future__ import annotations

from collections import deque

import webrtcvad

from ringback.audio.level import dbfs

SAMPLE_RATES = (8000, 16000, 32000, 48000)
FRAME_LENGTHS_MS = (10, 20, 30)

ABOVE_FLOOR_DB = 6.0
"""Speech is at least this much louder than the line's own noise."""

LOWEST_SPEECH_DBFS = -55.0
"""Nothing below this is speech, however quiet the line."""

PERIOD_MS = 1000
PERIODS = 3
"""The noise floor is the quietest frame of the last three seconds: speech always has pauses in
them, line noise has none."""

_ASSUMED_FLOOR_DBFS = -60.0


class VoiceGate:
    """One bool a frame, with no memory beyond the noise floor: hangover is the caller's.

    ``aggressiveness`` 0 to 3 as in WebRTC. Frames are PCM s16le mono of ``frame_ms``.
    """

    def __init__(self, sample_rate: int, frame_ms: int = 20, aggressiveness: int = 2) -> None:
        if sample_rate not in SAMPLE_RATES or frame_ms not in FRAME_LENGTHS_MS:
            raise ValueError(f"no voice detection in {frame_ms} ms at {sample_rate} Hz")
        if not 0 <= aggressiveness <= 3:
            raise ValueError(f"aggressiveness {aggressiveness} is not 0 to 3")
        self._detector = webrtcvad.Vad(aggressiveness)
        self._sample_rate = sample_rate
        self._frame_bytes = sample_rate * frame_ms // 1000 * 2
        self._period = PERIOD_MS // frame_ms
        self._frames = 0
        # A line is taken to be quiet for its first two seconds, so that a first word counts.
        self._minima = deque((0.0, _ASSUMED_FLOOR_DBFS, 0.0), PERIODS)
        self._minimum = 0.0

    @property
    def noise_floor(self) -> float:
        """dBFS."""
        return min(self._minima)

    def is_speech(self, frame: bytes) -> bool:
        """Raises ``ValueError`` for a frame of another length."""
        if len(frame) != self._frame_bytes:
            raise ValueError(f"a frame of {len(frame)} bytes, not {self._frame_bytes}")
        level = dbfs(frame)
        self._minimum = min(self._minimum, level)
        self._frames += 1
        if self._frames % self._period == 0:
            self._minima.append(self._minimum)
            self._minimum = 0.0
        voiced: bool = self._detector.is_speech(frame, self._sample_rate)
        return voiced and level >= max(LOWEST_SPEECH_DBFS, self.noise_floor + ABOVE_FLOOR_DB)
