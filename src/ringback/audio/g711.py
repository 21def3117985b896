"""G.711 µ-law and A-law (ITU-T G.711), between payload bytes and PCM s16le.

The 8-bit codes stand for 14-bit (µ-law) and 13-bit (A-law) numbers, which sit in the upper bits
of the 16-bit samples here. Tables are computed once from the arithmetic; a frame is one lookup.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5

_CODE = np.dtype(np.uint8)
_PATTERN = np.dtype(np.uint16)

_ULAW_BIAS = 33 << 2
_ULAW_CLIP = 8158 << 2
"""The largest magnitude before the bias: G.711 table 2, 8159 less a quantum, in 16-bit steps."""


def _ulaw_decode_table() -> NDArray[np.int16]:
    code = ~np.arange(256) & 0xFF
    exponent = (code >> 4) & 0x07
    magnitude = ((((code & 0x0F) << 3) + _ULAW_BIAS) << exponent) - _ULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _ulaw_encode_table() -> NDArray[np.uint8]:
    """Indexed by the sample's unsigned 16-bit pattern."""
    sample = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), _ULAW_CLIP) + _ULAW_BIAS
    exponent = np.floor(np.log2(biased)).astype(np.int32) - 7
    mantissa = (biased >> (exponent + 3)) & 0x0F
    sign = np.where(sample < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8)
    return codes


def _alaw_decode_table() -> NDArray[np.int16]:
    code = np.arange(256) ^ 0x55
    exponent = (code >> 4) & 0x07
    linear = ((code & 0x0F) << 4) + 8
    segment = (linear + 0x100) << np.maximum(exponent - 1, 0)
    magnitude = np.where(exponent == 0, linear, segment)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _alaw_encode_table() -> NDArray[np.uint8]:
    """Indexed by the sample's unsigned 16-bit pattern."""
    sample = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample)
    exponent = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 7, 0)
    mantissa = (magnitude >> np.maximum(exponent + 3, 4)) & 0x0F
    sign = np.where(sample < 0, 0, 0x80)
    codes: NDArray[np.uint8] = ((sign | exponent << 4 | mantissa) ^ 0x55).astype(np.uint8)
    return codes


_ULAW_TO_PCM = _ulaw_decode_table()
_PCM_TO_ULAW = _ulaw_encode_table()
_ALAW_TO_PCM = _alaw_decode_table()
_PCM_TO_ALAW = _alaw_encode_table()


def decode_ulaw(payload: bytes) -> bytes:
    """One byte a sample in, two bytes a sample out."""
    return _ULAW_TO_PCM.take(np.frombuffer(payload, _CODE)).tobytes()


def encode_ulaw(pcm: bytes) -> bytes:
    """Two bytes a sample in, one byte a sample out. Raises ``ValueError`` on half a sample."""
    return _PCM_TO_ULAW.take(np.frombuffer(pcm, _PATTERN)).tobytes()


def decode_alaw(payload: bytes) -> bytes:
    """One byte a sample in, two bytes a sample out."""
    return _ALAW_TO_PCM.take(np.frombuffer(payload, _CODE)).tobytes()


def encode_alaw(pcm: bytes) -> bytes:
    """Two bytes a sample in, one byte a sample out. Raises ``ValueError`` on half a sample."""
    return _PCM_TO_ALAW.take(np.frombuffer(pcm, _PATTERN)).tobytes()
