"""libopus by ctypes: the one that PyAV brings along, or else the system's.

PyAV's extension modules link FFmpeg, which links libopus: looking a name up in an extension looks
it up in everything that it loaded, wherever a wheel or a distribution put those files. Where that
FFmpeg has no libopus of its own, ``libopus.so.0`` is tried. Without either there is no Opus here,
and ``load`` returns ``None``.

The functions are those of libopus 1.0, whose binary interface has not changed since.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_int32, c_void_p
from functools import lru_cache

import av  # noqa: F401  (its extension modules are looked through)

APPLICATION_VOIP = 2048

SET_BITRATE = 4002
SET_MAX_BANDWIDTH = 4004
SET_VBR = 4006
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_DTX = 4016
SET_SIGNAL = 4024
SIGNAL_VOICE = 3001

NARROWBAND, MEDIUMBAND, WIDEBAND, SUPERWIDEBAND, FULLBAND = range(1101, 1106)

MAX_PACKET = 1275
"""Bytes of one encoded frame at most (RFC 6716 section 3.4)."""

_NAMES = ("libopus.so.0", "libopus.0.dylib")


class OpusError(ValueError):
    """libopus refused an argument or a packet."""


class OpusLibrary:
    """The functions used here, typed. Raises ``AttributeError`` where one is missing."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.encode = library.opus_encode
        self.encode.argtypes = (c_void_p, c_char_p, c_int, c_char_p, c_int32)
        self.encode.restype = c_int32
        self.decode = library.opus_decode
        self.decode.argtypes = (c_void_p, c_char_p, c_int32, c_char_p, c_int, c_int)
        self.decode.restype = c_int
        self.encoder_size = library.opus_encoder_get_size
        self.encoder_size.argtypes = (c_int,)
        self.decoder_size = library.opus_decoder_get_size
        self.decoder_size.argtypes = (c_int,)
        self.encoder_init = library.opus_encoder_init
        self.encoder_init.argtypes = (c_void_p, c_int32, c_int, c_int)
        self.decoder_init = library.opus_decoder_init
        self.decoder_init.argtypes = (c_void_p, c_int32, c_int)
        # The named arguments of a variadic function, so that the others are passed as such.
        self.encoder_ctl = library.opus_encoder_ctl
        self.encoder_ctl.argtypes = (c_void_p, c_int)
        version = library.opus_get_version_string
        version.argtypes = ()
        version.restype = c_char_p
        self.version: str = version().decode("ascii", "replace")


@lru_cache(maxsize=1)
def load() -> OpusLibrary | None:
    """The library, looked for once."""
    for name in (*_extensions(), *_NAMES):
        try:
            return OpusLibrary(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    return None


def _extensions() -> Iterator[str]:
    """The files of PyAV's extension modules that are loaded."""
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name.startswith("av.") and not file.endswith((".py", ".pyc")) and file:
            yield file


class OpusEncoder:
    """Mono PCM s16le at ``sample_rate`` (8, 12, 16, 24 or 48 kHz), tuned for speech.

    The state is memory of Python's, freed with this object.
    """

    def __init__(self, library: OpusLibrary, sample_rate: int) -> None:
        self._encode = library.encode
        self._ctl = library.encoder_ctl
        self._state = ctypes.create_string_buffer(library.encoder_size(1))
        self._packet = ctypes.create_string_buffer(MAX_PACKET)
        _check(library.encoder_init(self._state, sample_rate, 1, APPLICATION_VOIP))

    def set(self, request: int, value: int) -> None:
        """One of the ``SET_…`` requests. Raises ``OpusError``."""
        _check(self._ctl(self._state, request, c_int32(value)))

    def encode(self, pcm: bytes) -> bytes:
        """One frame of 2.5, 5, 10, 20, 40 or 60 ms. Raises ``OpusError``."""
        size = self._encode(self._state, pcm, len(pcm) // 2, self._packet, MAX_PACKET)
        return ctypes.string_at(self._packet, _check(size))


class OpusDecoder:
    """Packets, mono or stereo, to mono PCM s16le at ``sample_rate``."""

    def __init__(self, library: OpusLibrary, sample_rate: int) -> None:
        self._decode = library.decode
        self._longest = sample_rate * 120 // 1000
        self._state = ctypes.create_string_buffer(library.decoder_size(1))
        self._pcm = ctypes.create_string_buffer(self._longest * 2)
        _check(library.decoder_init(self._state, sample_rate, 1))

    def decode(self, packet: bytes) -> bytes:
        """All frames of a packet. Raises ``OpusError`` for one that is malformed."""
        return self._out(
            self._decode(self._state, packet, len(packet), self._pcm, self._longest, 0)
        )

    def recover(self, packet: bytes, samples: int) -> bytes:
        """``samples`` before ``packet``, from the copy inside it, or else made up."""
        samples = min(samples, self._longest)
        return self._out(self._decode(self._state, packet, len(packet), self._pcm, samples, 1))

    def conceal(self, samples: int) -> bytes:
        """``samples`` (a multiple of 2.5 ms, at most 120 ms) made up for a packet that is lost."""
        samples = min(samples, self._longest)
        return self._out(self._decode(self._state, None, 0, self._pcm, samples, 0))

    def _out(self, samples: int) -> bytes:
        return ctypes.string_at(self._pcm, _check(samples) * 2)


def _check(result: int) -> int:
    if result < 0:
        raise OpusError(f"libopus says {result}")
    return result
