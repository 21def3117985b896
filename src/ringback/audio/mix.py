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
