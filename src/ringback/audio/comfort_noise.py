"""Quiet background noise, so that a silent line does not sound dead."""

from __future__ import annotations

import numpy as np

from ringback.audio.level import amplitude

DEFAULT_DBFS = -66.0
_POOL_SECONDS = 2
_PITCH = 7919
"""Samples by which each lap through the pool is shifted; prime, so that laps differ."""


class ComfortNoise:
    """Endless noise of one level, smoothed like room noise. PCM s16le mono.

    A pool of noise is drawn once from ``generator`` and read in laps, so a frame costs a copy.
    """

    def __init__(
        self, sample_rate: int, generator: np.random.Generator, dbfs: float = DEFAULT_DBFS
    ) -> None:
        white = generator.standard_normal(sample_rate * _POOL_SECONDS + 2)
        smooth = white[2:] + white[1:-1] + 0.5 * white[:-2]
        scaled = smooth * (amplitude(dbfs) / np.sqrt(np.mean(smooth**2)))
        self._pool: bytes = np.clip(np.round(scaled), -32768, 32767).astype(np.int16).tobytes()
        self._position = 0

    def generate(self, samples: int) -> bytes:
        size = samples * 2
        start = self._position
        chunk = self._pool[start : start + size]
        self._position = start + size
        while len(chunk) < size:
            offset = (self._position + 2 * _PITCH) % (len(self._pool) // 2) & ~1
            rest = self._pool[offset : offset + size - len(chunk)]
            chunk += rest
            self._position = offset + len(rest)
        return chunk
