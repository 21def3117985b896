"""Tones: sines, keys, call progress, and a Goertzel detector. PCM s16le mono.

A level is the RMS of one frequency in dBFS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringback.audio.level import FULL_SCALE, SILENCE_DBFS, amplitude

DEFAULT_DBFS = -20.0

_ROWS = (697, 770, 852, 941)
_COLUMNS = (1209, 1336, 1477, 1633)
_KEYPAD = ("123A", "456B", "789C", "*0#D")
DTMF_FREQUENCIES: dict[str, tuple[int, int]] = {
    key: (_ROWS[row], _COLUMNS[column])
    for row, keys in enumerate(_KEYPAD)
    for column, key in enumerate(keys)
}
"""ITU-T Q.23."""


@dataclass(frozen=True, slots=True)
class TonePlan:
    """``cadence`` is ms on and off in turn, forever; none is a steady tone."""

    frequencies: tuple[int, ...]
    cadence: tuple[int, ...] = ()


RINGBACK_EUROPE = TonePlan((425,), (1000, 4000))
BUSY_EUROPE = TonePlan((425,), (500, 500))
CONGESTION_EUROPE = TonePlan((425,), (250, 250))
RINGBACK_NORTH_AMERICA = TonePlan((440, 480), (2000, 4000))
BUSY_NORTH_AMERICA = TonePlan((480, 620), (500, 500))
CONGESTION_NORTH_AMERICA = TonePlan((480, 620), (250, 250))


class ToneGenerator:
    """A plan as an endless stream, without a step from one chunk to the next."""

    def __init__(self, plan: TonePlan, sample_rate: int, dbfs: float = DEFAULT_DBFS) -> None:
        self._plan = plan
        self._sample_rate = sample_rate
        self._peak = amplitude(dbfs) * math.sqrt(2)
        self._position = 0

    def generate(self, samples: int) -> bytes:
        """The next ``samples``; mixtures beyond full scale are clipped."""
        position = np.arange(self._position, self._position + samples)
        self._position += samples
        total = np.zeros(samples)
        for frequency in self._plan.frequencies:
            # Whole seconds are whole periods: the argument stays small and exact forever.
            total += np.sin(
                2 * np.pi * frequency * (position % self._sample_rate) / self._sample_rate
            )
        total *= self._peak
        if self._plan.cadence:
            edges = np.cumsum(self._plan.cadence) * self._sample_rate // 1000
            step = np.searchsorted(edges, position % edges[-1], side="right")
            total[step % 2 == 1] = 0
        pcm: bytes = np.clip(np.rint(total), -32768, 32767).astype(np.int16).tobytes()
        return pcm


def tone(
    frequencies: Sequence[int], ms: int, sample_rate: int, dbfs: float = DEFAULT_DBFS
) -> bytes:
    """A mixture of frequencies, each at ``dbfs``."""
    plan = TonePlan(tuple(frequencies))
    return ToneGenerator(plan, sample_rate, dbfs).generate(sample_rate * ms // 1000)


def sine(frequency: int, ms: int, sample_rate: int, dbfs: float = DEFAULT_DBFS) -> bytes:
    return tone((frequency,), ms, sample_rate, dbfs)


def dtmf(digit: str, ms: int, sample_rate: int, dbfs: float = DEFAULT_DBFS) -> bytes:
    """The two frequencies of a key. Raises ``ValueError`` for what is not a key."""
    frequencies = DTMF_FREQUENCIES.get(digit.upper())
    if frequencies is None:
        raise ValueError(f"{digit!r} is not a key: 0-9, A-D, * or #")
    return tone(frequencies, ms, sample_rate, dbfs)


def silence(ms: int, sample_rate: int) -> bytes:
    return bytes(2 * (sample_rate * ms // 1000))


def goertzel(pcm: bytes, frequency: float, sample_rate: int) -> float:
    """How much of one frequency is in ``pcm``: its RMS in dBFS (as ``sine`` is given it).

    The one Fourier coefficient that Goertzel's recursion computes, as a product.
    """
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    if not samples.size:
        return SILENCE_DBFS
    turn = -2j * np.pi * frequency / sample_rate
    coefficient = samples @ np.exp(turn * np.arange(samples.size))
    level = abs(coefficient) * math.sqrt(2) / samples.size
    if not level:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 20 * math.log10(level / FULL_SCALE))
