"""G.711 µ-law and A-law (ITU-T G.711), between payload bytes and PCM s16le.

The 8-bit codes stand for 14-bit (µ-law) and 13-bit (A-law) numbers, which sit in the upper bits
of the 16-bit samples here. Decoding and A-law encoding are ``audioop``'s, which does what the
Recommendation says for every code and sample. Its µ-law encoder puts 381 samples to the other side
of a decision value, so for that there is a table, computed once from the arithmetic.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings():
    # Of the standard library until Python 3.12, of audioop-lts from 3.13 on.
    warnings.filterwarnings("ignore", "'audioop' is deprecated", DeprecationWarning)
    import audioop

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5

_SAMPLE_BYTES = 2
_PATTERN = np.dtype(np.uint16)

_ULAW_BIAS = 33 << 2
_ULAW_CLIP = 8158 << 2
"""The largest magnitude before the bias: G.711 table 2, 8159 less a quantum, in 16-bit steps."""


def _ulaw_encode_table() -> NDArray[np.uint8]:
    """Indexed by the sample's unsigned 16-bit pattern."""
    sample = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), _ULAW_CLIP) + _ULAW_BIAS
    exponent = np.floor(np.log2(biased)).astype(np.int32) - 7
    mantissa = (biased >> (exponent + 3)) & 0x0F
    sign = np.where(sample < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8)
    return codes


_PCM_TO_ULAW = _ulaw_encode_table()


def decode_ulaw(payload: bytes) -> bytes:
    """One byte a sample in, two bytes a sample out."""
    return audioop.ulaw2lin(payload, _SAMPLE_BYTES)


def encode_ulaw(pcm: bytes) -> bytes:
    """Two bytes a sample in, one byte a sample out. Raises ``ValueError`` on half a sample."""
    return _PCM_TO_ULAW.take(np.frombuffer(pcm, _PATTERN)).tobytes()


def decode_alaw(payload: bytes) -> bytes:
    """One byte a sample in, two bytes a sample out."""
    return audioop.alaw2lin(payload, _SAMPLE_BYTES)


def encode_alaw(pcm: bytes) -> bytes:
    """Two bytes a sample in, one byte a sample out. Raises ``ValueError`` on half a sample."""
    try:
        return audioop.lin2alaw(pcm, _SAMPLE_BYTES)
    except audioop.error:
        raise ValueError(f"{len(pcm)} bytes are not whole samples") from None
