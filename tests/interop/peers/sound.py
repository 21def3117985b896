"""Just enough measuring of recordings to tell speech from silence."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
LOUD_RMS = 300.0
BLOCK_SECONDS = 0.02


def channels(wav: bytes) -> tuple[int, NDArray[np.int16]]:
    with wave.open(io.BytesIO(wav)) as file:
        count, rate = file.getnchannels(), file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return rate, samples.reshape(-1, count)


def mono(wav: bytes) -> tuple[int, Samples]:
    rate, samples = channels(wav)
    return rate, samples[:, 0].astype(np.float64)


def stereo(wav: bytes) -> tuple[tuple[int, Samples], tuple[int, Samples]]:
    """Left and right, each with its rate."""
    rate, samples = channels(wav)
    return (rate, samples[:, 0].astype(np.float64)), (rate, samples[:, 1].astype(np.float64))


def loud_seconds(track: tuple[int, Samples]) -> float:
    """How much of a track is clearly above silence."""
    rate, samples = track
    block = int(rate * BLOCK_SECONDS)
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    return float((np.sqrt((blocks**2).mean(axis=1)) > LOUD_RMS).sum() * BLOCK_SECONDS)
