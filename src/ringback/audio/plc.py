"""Packet loss concealment after the idea of ITU-T G.711 Appendix I.

The last pitch period is repeated, more periods join in as the gap grows so that it does not
buzz, and the whole fades to silence within 60 ms. Unlike the Recommendation this delays nothing:
the joint is smoothed on its far side.
"""

from __future__ import annotations

from collections import deque

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
        self._fade_start = sample_rate * FADE_START_MS // 1000
        self._fade_end = sample_rate * FADE_END_MS // 1000
        self._history_size = max(
            self._max_lag * _MAX_PERIODS + self._max_lag // 4 + 1,
            self._template + self._max_lag,
        )
        self._played: deque[bytes] = deque(maxlen=_KEPT_FRAMES)
        self._gap: _Gap | None = None

    @property
    def concealing(self) -> bool:
        """The last frame was made up."""
        return self._gap is not None

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
        position = np.arange(gap.position - samples, gap.position, dtype=np.float32)
        span = self._fade_end - self._fade_start
        out *= np.clip((self._fade_end - position) / span, 0.0, 1.0)
        return out

    def _merge(self, pcm: bytes, gap: _Gap) -> bytes:
        good = np.frombuffer(pcm, np.int16).astype(np.float32)
        overlap = self._merge_min * (1 + gap.position // self._block)
        overlap = min(overlap, self._merge_max, good.size)
        weight = np.arange(1, overlap + 1, dtype=np.float32) / (overlap + 1)
        tail = self._continue(gap, overlap)
        good[:overlap] = good[:overlap] * weight + tail * (1 - weight)
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
        weight = np.arange(1, self._overlap + 1, dtype=np.float32) / (self._overlap + 1)
        before = self._history[-length - self._overlap : -length]
        cycle[-self._overlap :] = cycle[-self._overlap :] * (1 - weight) + before * weight
        return cycle

    def generate(self, samples: int, periods: int) -> _Samples:
        """The next ``samples``; a longer cycle is blended in, in phase."""
        out = self._read(self._cycle, samples)
        if periods != self._periods:
            self._periods = periods
            self._cycle = self._make_cycle(periods)
            overlap = min(self._overlap, samples)
            weight = np.ones(samples, np.float32)
            weight[:overlap] = np.arange(1, overlap + 1, dtype=np.float32) / (overlap + 1)
            out += (self._read(self._cycle, samples) - out) * weight
        if self.position < self._overlap:
            ramp = 1 - np.arange(self.position + 1, self.position + samples + 1) / (
                self._overlap + 1
            )
            out += self._step * np.maximum(ramp, 0).astype(np.float32)
        self.position += samples
        return out

    def _read(self, cycle: _Samples, samples: int) -> _Samples:
        where = np.arange(self.position, self.position + samples) % cycle.size
        return cycle[where]


def _best_lag(history: _Samples, template: int, shortest: int, longest: int) -> int:
    """The lag from ``shortest`` to ``longest`` with the highest normalised correlation."""
    past = history[-template - longest : history.size - shortest]
    windows = np.lib.stride_tricks.sliding_window_view(past, template)
    energy = np.einsum("ij,ij->i", windows, windows)
    likeness = (windows @ history[-template:]) / np.sqrt(np.maximum(energy, template))
    return longest - int(np.argmax(likeness))


def _to_pcm(samples: _Samples) -> bytes:
    pcm: bytes = np.clip(np.rint(samples), -32768, 32767).astype(np.int16).tobytes()
    return pcm
