"""How loud a frame is. PCM s16le mono; levels in dB relative to full scale (dBFS, 0 to -96)."""

from __future__ import annotations

import math

import numpy as np

FULL_SCALE = 32768.0
SILENCE_DBFS = -96.0
"""The floor of 16-bit audio, and what digital silence is reported as."""

QUIET_DBFS = -45.0
"""Below this a frame can be left out or repeated without anybody noticing."""


def rms(pcm: bytes) -> float:
    """Root mean square in sample units (0 to 32768); 0 for no samples."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    return math.sqrt(float(samples.dot(samples)) / samples.size) if samples.size else 0.0


def dbfs(pcm: bytes) -> float:
    """RMS level: a full-scale sine is -3.01 dBFS, digital silence ``SILENCE_DBFS``."""
    level = rms(pcm)
    return max(SILENCE_DBFS, 20.0 * math.log10(level / FULL_SCALE)) if level else SILENCE_DBFS


def amplitude(level: float) -> float:
    """The RMS in sample units of a level in dBFS."""
    return FULL_SCALE * math.pow(10.0, level / 20.0)


_QUIET_RMS = amplitude(QUIET_DBFS)


def is_quiet(pcm: bytes) -> bool:
    """Whether the frame is background: RMS under ``QUIET_DBFS``."""
    return rms(pcm) < _QUIET_RMS
