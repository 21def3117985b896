"""Adding PCM s16le mono frames of equal length, with saturation instead of wrap-around."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SAMPLE = np.dtype(np.int16)
_MIN = np.int32(-32768)
_MAX = np.int32(32767)


def mix(frames: Sequence[bytes]) -> bytes:
    """The sum of ``frames``; one frame comes back as it is, none is ``b""``.

    Raises ``ValueError`` when the lengths differ.
    """
    if len(frames) < 2:
        return frames[0] if frames else b""
    return _saturate(_sum(frames))


def mix_minus(frames: Sequence[bytes]) -> list[bytes]:
    """For each participant the sum of all the others (never an echo of itself).

    ``frames[i]`` is what participant ``i`` says; the result at ``i`` is what it hears, and is
    the other's frame untouched when there are two. Alone one hears silence.
    """
    if len(frames) < 2:
        return [bytes(len(frame)) for frame in frames]
    if len(frames) == 2:
        return [frames[1], frames[0]]
    total = _sum(frames)
    return [_saturate(total - np.frombuffer(frame, _SAMPLE)) for frame in frames]


class Mix:
    """What is said in one tick, and what each participant hears of it.

    Sums are made when they are asked for, and the total once; up to two speakers cost nothing for
    each other. Raises ``ValueError`` when the lengths differ and numbers have to be added.
    """

    __slots__ = ("_everybody", "_frames", "_total")

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = frames
        self._total: NDArray[np.int32] | None = None
        self._everybody: bytes | None = None

    def without(self, index: int) -> bytes | None:
        """All but ``frames[index]``; a negative ``index`` is a listener who says nothing and hears
        everybody. ``None`` when nobody else speaks."""
        frames = self._frames
        count = len(frames)
        if index < 0:
            if count < 2:
                return frames[0] if count else None
            if self._everybody is None:
                self._everybody = _saturate(self._sum().copy())
            return self._everybody
        if count < 3:
            return frames[1 - index] if count == 2 else None
        return _saturate(self._sum() - np.frombuffer(frames[index], _SAMPLE))

    def _sum(self) -> NDArray[np.int32]:
        if self._total is None:
            self._total = _sum(self._frames)
        return self._total


def _sum(frames: Sequence[bytes]) -> NDArray[np.int32]:
    total = np.frombuffer(frames[0], _SAMPLE).astype(np.int32)
    for frame in frames[1:]:
        if len(frame) != len(frames[0]):
            raise ValueError(f"frames of {len(frames[0])} and {len(frame)} bytes do not mix")
        total += np.frombuffer(frame, _SAMPLE)
    return total


def _saturate(samples: NDArray[np.int32]) -> bytes:
    np.minimum(samples, _MAX, out=samples)
    np.maximum(samples, _MIN, out=samples)
    return samples.astype(_SAMPLE).tobytes()
