"""Packet loss concealment after the idea of ITU-T G.711 Appendix I.

The last pitch period is repeated, more periods join in as the gap grows so that it does not
buzz, and the whole fades to silence within 60 ms. Unlike the Recommendation this delays nothing:
the joint is smoothed on its far side.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FADE_START_MS = 10
FADE_END_MS = 60
_SHORTEST_PITCH = 1 / 400
_LONGEST_PITCH = 1 / 66
_TEMPLATE = 0.010
_ROUGH_RATE = 4000
_MAX_PERIODS = 3
_BLOCK = 0.010
_MERGE_MIN = 0.004
_MERGE_MAX = 0.010
_KEPT_FRAMES = 12

_MIN = np.float32(-32768)
_MAX = np.float32(32767)

_Samples = NDArray[np.float32]


class Concealer:
    """One stream of PCM s16le mono at ``sample_rate``: every frame that is played goes through
    ``good`` or comes from ``conceal``. ``good`` costs next to nothing while there is no loss."""

    def __init__(self, sample_rate: int) -> None:
        self._min_lag = round(sample_rate * _SHORTEST_PITCH)
        self._max_lag = round(sample_rate * _LONGEST_PITCH)
        self._template = round(sample_rate * _TEMPLATE)
        self._coarse = max(1, round(sample_rate / _ROUGH_RATE))
        self._block = round(sample_rate * _BLOCK)
        self._merge_min = round(sample_rate * _MERGE_MIN)
        self._merge_max = round(sample_rate * _MERGE_MAX)
        self._fade_end = sample_rate * FADE_END_MS // 1000
        self._fade = _fade(sample_rate * FADE_START_MS // 1000, self._fade_end)
        self._history_size = max(
            self._max_lag * _MAX_PERIODS + self._max_lag // 4 + 1,
            self._template + self._max_lag,
        )
        self._played: deque[bytes] = deque(maxlen=_KEPT_FRAMES)
        self.remember = self._played.append
        """``good`` for a frame after one that was good."""
        self._gap: _Gap | None = None

    @property
    def concealing(self) -> bool:
        """The last frame was made up."""
        return self._gap is not None

    @property
    def last(self) -> bytes:
        """What was played last."""
        return self._played[-1] if self._played else b""

    def good(self, pcm: bytes) -> bytes:
        """A frame that came: as it is, or blended with the end of the concealment."""
        if self._gap is not None:
            pcm = self._merge(pcm, self._gap)
            self._gap = None
        self._played.append(pcm)
        return pcm

    def conceal(self, samples: int) -> bytes:
        """``samples`` instead of what did not come; silence once it has faded."""
        if self._gap is None:
            self._gap = self._open_gap()
        if self._gap.position >= self._fade_end:
            self._gap.position += samples
            pcm = bytes(2 * samples)
        else:
            pcm = _to_pcm(self._continue(self._gap, samples))
        self._played.append(pcm)
        return pcm

    def leave_gap(self) -> None:
        """What was made up needs no joint to what comes."""
        self._gap = None

    def reset(self) -> None:
        """What comes next has nothing to do with what was played."""
        self._played.clear()
        self._gap = None

    def _open_gap(self) -> _Gap:
        history = self._recent()
        lag = self._find_pitch(history)
        return _Gap(history, lag)

    def _recent(self) -> _Samples:
        history = np.zeros(self._history_size, np.float32)
        played = np.frombuffer(b"".join(self._played), np.int16)[-self._history_size :]
        if played.size:
            history[-played.size :] = played
        return history

    def _find_pitch(self, history: _Samples) -> int:
        """The lag at which the last 10 ms look most like what was before them: first roughly,
        then to the sample."""
        step = self._coarse
        rough = history[history.size % step :].reshape(-1, step).sum(axis=1)
        lag = step * _best_lag(
            rough, self._template // step, self._min_lag // step, self._max_lag // step
        )
        shortest = max(self._min_lag, lag - step)
        return _best_lag(history, self._template, shortest, min(self._max_lag, lag + step))

    def _continue(self, gap: _Gap, samples: int) -> _Samples:
        out = np.empty(samples, np.float32)
        done = 0
        while done < samples:
            size = min(self._block - gap.position % self._block, samples - done)
            periods = min(gap.position // self._block + 1, _MAX_PERIODS)
            out[done : done + size] = gap.generate(size, periods)
            done += size
        gains = self._fade[gap.position - samples : gap.position]
        out[: gains.size] *= gains
        out[gains.size :] = 0
        return out

    def _merge(self, pcm: bytes, gap: _Gap) -> bytes:
        good = np.frombuffer(pcm, np.int16).astype(np.float32)
        overlap = self._merge_min * (1 + gap.position // self._block)
        overlap = min(overlap, self._merge_max, good.size)
        tail = self._continue(gap, overlap)
        tail += (good[:overlap] - tail) * _rise(overlap)
        good[:overlap] = tail
        return _to_pcm(good)


class _Gap:
    """The endless continuation of ``history`` by its last pitch periods of ``lag`` samples.

    ``position`` counts the samples since the gap began.
    """

    def __init__(self, history: _Samples, lag: int) -> None:
        self._history = history
        self._lag = lag
        self._overlap = max(1, lag // 4)
        self._periods = 1
        self._cycle = self._make_cycle(1)
        self.position = 0
        # Nothing that was played can be smoothed any more: spread the step at the joint.
        self._step = float(history[-1] - history[-lag - 1])

    def _make_cycle(self, periods: int) -> _Samples:
        """The last ``periods``, their end blended into what was before their start."""
        length = self._lag * periods
        cycle = self._history[-length:].copy()
        end = cycle[-self._overlap :]
        end += (self._history[-length - self._overlap : -length] - end) * _rise(self._overlap)
        return cycle

    def generate(self, samples: int, periods: int) -> _Samples:
        """The next ``samples``; a longer cycle is blended in, in phase."""
        out = self._read(self._cycle, samples)
        if periods != self._periods:
            self._periods = periods
            self._cycle = self._make_cycle(periods)
            before, out = out, self._read(self._cycle, samples)
            overlap = min(self._overlap, samples)
            before[:overlap] += (out[:overlap] - before[:overlap]) * _rise(self._overlap)[:overlap]
            out[:overlap] = before[:overlap]
        if self.position < self._overlap:
            ramp = 1 - _rise(self._overlap)[self.position : self.position + samples]
            out[: ramp.size] += self._step * ramp
        self.position += samples
        return out

    def _read(self, cycle: _Samples, samples: int) -> _Samples:
        return cycle.take(np.arange(self.position, self.position + samples), mode="wrap")


def _best_lag(history: _Samples, template: int, shortest: int, longest: int) -> int:
    """The lag from ``shortest`` to ``longest`` with the highest normalised correlation."""
    past = history[history.size - template - longest : history.size - shortest]
    energies = np.zeros(past.size + 1)
    np.cumsum(np.square(past, dtype=np.float64), out=energies[1:])
    energy = energies[template:] - energies[:-template]
    likeness = np.correlate(past, history[-template:], "valid")
    return longest - int((likeness / np.sqrt(np.maximum(energy, template))).argmax())


@lru_cache(maxsize=512)
def _rise(samples: int) -> _Samples:
    """From nearly 0 to nearly 1. Shared: not to be written to."""
    return np.arange(1, samples + 1, dtype=np.float32) / np.float32(samples + 1)


@lru_cache(maxsize=8)
def _fade(start: int, end: int) -> _Samples:
    """1 up to ``start``, then down to 0 at ``end``. Shared: not to be written to."""
    position = np.arange(end, dtype=np.float32)
    gains: _Samples = np.minimum((end - position) / np.float32(end - start), np.float32(1))
    return gains


def _to_pcm(samples: _Samples) -> bytes:
    np.rint(samples, out=samples)
    np.minimum(samples, _MAX, out=samples)
    np.maximum(samples, _MIN, out=samples)
    return samples.astype(np.int16).tobytes()
