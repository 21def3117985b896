"""Keys that are heard as tones (ITU-T Q.23, Q.24), told apart from speech and music.

Every 10 ms the last 20 ms are correlated with the eight frequencies, all at once. They are a key
if one frequency of each group stands out, the two hold nearly all of the energy, neither is much
louder than the other, and both are where they should be: the phase that a tone gains from one
window to the next gives its frequency to a few hertz, which no 20 ms of spectrum can. Speech meets
some of that for a moment; all of it in two windows of the same key it hardly ever does.

A key lasts until four windows in a row are not it, so 40 ms of pause are always enough and a
dropout of 10 ms splits no key. It has to be there in three windows, which 40 ms always fill and
23 ms never do; of a short one the energy tells how long it really was.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ringback.audio.level import amplitude
from ringback.audio.tones import DTMF_FREQUENCIES

FRAME_MS = 20
HOP_MS = 10

MIN_DBFS = -37.0
"""The weaker frequency at least (RMS): -31 dBm0, below the -25 dBm0 that Q.24 asks for."""
HIGH_OVER_LOW_DB = 6.5
LOW_OVER_HIGH_DB = 9.5
"""Twist: Q.24 asks for 4 dB and 8 dB."""
STANDS_OUT_DB = 8.0
"""How far the others of a group are below the one."""
MIN_SHARE = 0.9
"""Of the energy that the two frequencies must hold: noise 15 dB below them leaves 0.97."""
LEAST_SHARE = 0.3
"""The same for one window alone, in which frequencies that are a little off lose some."""
MAX_DEVIATION = 0.022
"""Of a frequency: Q.24 wants 1.5 % accepted and 3.5 % rejected."""
SHORT_MS = 100
"""Up to here energy tells the duration better than counting windows does."""
MIN_SPAN_MS = 40
"""From the start of the first of three windows to the end of the last: Q.24 wants 40 ms accepted
and 23 ms rejected."""
MISSES_TO_END = 4
"""Windows in a row. The first one of a key never counts for it: it only starts to be one."""

_LOW = (697, 770, 852, 941)
_HIGH = (1209, 1336, 1477, 1633)
FREQUENCIES = (*_LOW, *_HIGH)
_KEYS = {pair: key for key, pair in DTMF_FREQUENCIES.items()}
_WINDOW_SECONDS = FRAME_MS / 1000
_HOP_SECONDS = HOP_MS / 1000


def _ratio(db: float) -> float:
    return math.pow(10, db / 10)


STANDS_OUT = _ratio(STANDS_OUT_DB)
_HIGH_OVER_LOW = _ratio(HIGH_OVER_LOW_DB)
_LOW_OVER_HIGH = _ratio(LOW_OVER_HIGH_DB)
MIN_POWER = amplitude(MIN_DBFS) ** 2


@dataclass(frozen=True, slots=True)
class TonePress:
    """A key that was pressed and released. ``start_ms`` counts from the first frame on."""

    digit: str
    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class _Hit:
    """A key in one window, with the phases of its two frequencies."""

    digit: str
    low: complex
    high: complex


class DtmfDetector:
    """One stream of 20 ms frames, PCM s16le mono at ``sample_rate`` (8000 Hz or more)."""

    def __init__(self, sample_rate: int) -> None:
        self._size = sample_rate * FRAME_MS // 1000
        self._hop = sample_rate * HOP_MS // 1000
        if sample_rate < 8000 or sample_rate * HOP_MS % 1000:
            raise ValueError(f"no keys in tones at {sample_rate} Hz")
        self._basis = basis(sample_rate)
        self._samples = np.zeros(self._hop + self._size, np.float32)
        stride = self._samples.strides[0]
        self._windows = np.ndarray(
            (2, self._size), np.float32, self._samples, 0, (self._hop * stride, stride)
        )
        self._least_energy = 2 * MIN_POWER * self._size
        self._before: _Hit | None = None
        self._time_ms = 0
        self._press: str | None = None
        self._started_ms = 0
        self._last_ms = 0
        self._misses = 0
        # Energies of the two windows before this one; of the press, their sum and largest.
        self._recent = (0.0, 0.0)
        self._energy = 0.0
        self._largest = 0.0

    @property
    def busy(self) -> bool:
        """Whether a key may be pressed right now."""
        return self._press is not None or self._before is not None

    def process(self, frame: bytes | None) -> TonePress | None:
        """Take a frame (``None``: silence); a press that is over by now is returned."""
        self._time_ms += FRAME_MS
        samples = self._samples
        samples[: self._hop] = samples[self._size :]
        if frame is None:
            samples[self._hop :] = 0
        else:
            samples[self._hop :] = np.frombuffer(frame, np.int16)
        now_quiet = frame is None or float(samples.dot(samples)) < self._least_energy
        if now_quiet:
            self._before = None
            if self._press is None:
                self._recent = (0.0, 0.0)
                return None
            return self._note(None, 0.0, HOP_MS) or self._note(None, 0.0, 0)
        # Energy and the eight coefficients of both windows.
        parts = (self._windows @ self._basis).tolist()
        energies = np.einsum("ij,ij->i", self._windows, self._windows).tolist()
        first = self._judge(parts[0], energies[0])
        ended = self._note(first, energies[0], HOP_MS)
        second = self._judge(parts[1], energies[1])
        return self._note(second, energies[1], 0) or ended

    # ---- one window -------------------------------------------------------------------------

    def _judge(self, parts: Sequence[float], energy: float) -> str | None:
        """The key of one window, if the window before says the same."""
        before, self._before = self._before, None
        if energy < self._least_energy / 2:
            return None
        powers = [parts[n] ** 2 + parts[n + 8] ** 2 for n in range(8)]
        low = max(range(4), key=powers.__getitem__)
        high = max(range(4, 8), key=powers.__getitem__)
        if not self._plausible(powers, low, high, energy):
            return None
        hit = _Hit(
            _KEYS[FREQUENCIES[low], FREQUENCIES[high]],
            complex(parts[low], parts[low + 8]),
            complex(parts[high], parts[high + 8]),
        )
        self._before = hit
        if before is None or before.digit != hit.digit:
            return None
        return hit.digit if self._exact(before, hit, low, high, energy) else None

    def _plausible(self, powers: list[float], low: int, high: int, energy: float) -> bool:
        """What is told by one window alone, leaving room for frequencies that are a little off."""
        in_low, in_high = powers[low], powers[high]
        if (in_low + in_high) * 2 < energy * self._size * LEAST_SHARE:
            return False
        if any(power * STANDS_OUT > in_low for n, power in enumerate(powers[:4]) if n != low):
            return False
        return not any(
            power * STANDS_OUT > in_high for n, power in enumerate(powers[4:], 4) if n != high
        )

    def _exact(self, before: _Hit, hit: _Hit, low: int, high: int, energy: float) -> bool:
        """Frequencies, levels, twist and share, with what being off took from them given back."""
        in_low = self._power(before.low, hit.low, FREQUENCIES[low])
        in_high = self._power(before.high, hit.high, FREQUENCIES[high])
        return (
            min(in_low, in_high) >= MIN_POWER
            and in_high <= in_low * _HIGH_OVER_LOW
            and in_low <= in_high * _LOW_OVER_HIGH
            and in_low + in_high >= MIN_SHARE * energy / self._size
        )

    def _power(self, before: complex, now: complex, frequency: int) -> float:
        """Mean square of a tone near ``frequency``; 0 if it is too far from it."""
        expected = 2 * math.pi * frequency * _HOP_SECONDS
        gained = cmath.phase(now * before.conjugate() * cmath.exp(-1j * expected))
        off = gained / (2 * math.pi * _HOP_SECONDS)
        if abs(off) > MAX_DEVIATION * frequency:
            return 0.0
        x = math.pi * off * _WINDOW_SECONDS
        scallop = math.sin(x) / x if x else 1.0
        return 2 * abs(now) ** 2 / (self._size * scallop) ** 2

    # ---- over time --------------------------------------------------------------------------

    def _note(self, digit: str | None, energy: float, before_end_ms: int) -> TonePress | None:
        """One window is ``digit`` and ended ``before_end_ms`` before the frame did."""
        now = self._time_ms - before_end_ms
        ended = None
        if self._press is not None and digit != self._press:
            if not self._misses:
                self._energy += min(energy, self._largest)
            self._misses += 1
            if digit is not None or self._misses >= MISSES_TO_END:
                ended = self._finish()
        if digit is not None:
            if self._press is None:
                self._begin(digit, energy, now)
            else:
                self._energy += energy
                self._largest = max(self._largest, energy)
            self._last_ms = now
            self._misses = 0
        self._recent = (self._recent[1], energy)
        return ended

    def _begin(self, digit: str, energy: float, now: int) -> None:
        """Two windows say so: it began with the first one, or already in the one before."""
        self._press = digit
        self._largest = max(energy, self._recent[1])
        self._energy = energy + self._recent[1] + min(self._recent[0], self._largest)
        self._started_ms = now - FRAME_MS - HOP_MS

    def _finish(self) -> TonePress | None:
        """Every sample is in two windows: their energy is twice that of the tone."""
        digit, self._press = self._press, None
        span = self._last_ms - self._started_ms
        if digit is None or span < MIN_SPAN_MS:
            return None
        by_energy = round(self._energy / self._largest * HOP_MS)
        duration = span - HOP_MS // 2 if span > SHORT_MS else min(by_energy, span)
        return TonePress(digit, max(0, self._started_ms), duration)


@lru_cache(maxsize=8)
def basis(sample_rate: int) -> NDArray[np.float32]:
    """What 20 ms are multiplied by: the cosines of the eight frequencies in columns, then their
    negated sines."""
    time = np.arange(sample_rate * FRAME_MS // 1000) / sample_rate
    turns = 2 * np.pi * np.outer(time, FREQUENCIES)
    return np.hstack((np.cos(turns), -np.sin(turns))).astype(np.float32)
