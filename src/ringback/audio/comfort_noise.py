"""Quiet background noise, so that a silent line does not sound dead."""

from __future__ import annotations

import numpy as np

from ringback.audio.level import amplitude

DEFAULT_DBFS = -66.0
LOUDEST_DBFS = -40.0
"""What a far end may have us play as its background: beyond that it is no comfort."""
_POOL_SECONDS = 2
_PITCH = 7919
"""Samples by which each lap through the pool is shifted; prime, so that laps differ."""


def described_level(payload: bytes) -> float:
    """The level (dBFS) that a comfort noise payload asks for (RFC 3389 section 3): its first byte
    is the noise in -dBov. What follows describes a spectrum, which is left to our own; no payload
    at all (as older phones send it) is the usual level."""
    if not payload:
        return DEFAULT_DBFS
    return min(-float(payload[0] & 0x7F), LOUDEST_DBFS)


class ComfortNoise:
    """Endless noise of one level, smoothed like room noise. PCM s16le mono.

    A pool of noise is drawn once from ``generator`` and read in laps, so a frame costs a copy.
    """

    def __init__(
        self, sample_rate: int, generator: np.random.Generator, dbfs: float = DEFAULT_DBFS
    ) -> None:
        white = generator.standard_normal(sample_rate * _POOL_SECONDS + 2)
        smooth = white[2:] + white[1:-1] + 0.5 * white[:-2]
        self._unit = (smooth / np.sqrt(np.mean(smooth**2))).astype(np.float32)
        self._position = 0
        self.dbfs = dbfs
        self._pool = self._scaled()

    def set_level(self, dbfs: float) -> None:
        """Go on at another level."""
        if dbfs != self.dbfs:
            self.dbfs = dbfs
            self._pool = self._scaled()

    def _scaled(self) -> bytes:
        scaled = np.rint(self._unit * np.float32(amplitude(self.dbfs)))
        pcm: bytes = np.clip(scaled, -32768, 32767).astype(np.int16).tobytes()
        return pcm

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
