"""Just enough measuring of recordings to tell speech from silence."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
WAV_HEADER = 44
LOUD_RMS = 300.0
BLOCK_SECONDS = 0.02
TONE_BLOCK_SECONDS = 0.1


def is_whole(path: Path) -> bool:
    """Whether a WAV file holds what its header says, which is written when it is closed."""
    try:
        with wave.open(str(path)) as file:
            size: int = file.getnframes() * file.getnchannels() * file.getsampwidth()
    except (wave.Error, EOFError):
        return False
    return path.stat().st_size == WAV_HEADER + size


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


def sine(frequency: float, seconds: float, rate: int, amplitude: float = 6000.0) -> bytes:
    """A tone as PCM s16le mono."""
    times = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * times)).astype("<i2").tobytes()


def write_wav(path: Path, pcm: bytes, rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return path


def level(samples: Samples, frequency: float, rate: int) -> float:
    """The amplitude of one frequency in ``samples``."""
    times = np.arange(len(samples)) / rate
    turned = samples * np.exp(-2j * np.pi * frequency * times)
    return float(2 * abs(turned.mean()))


def tone_seconds(track: tuple[int, Samples], frequency: float, threshold: float = 1000.0) -> float:
    """How much of a track carries this frequency clearly."""
    rate, samples = track
    block = int(rate * TONE_BLOCK_SECONDS)
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    return sum(level(each, frequency, rate) > threshold for each in blocks) * TONE_BLOCK_SECONDS
