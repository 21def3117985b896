"""WAV files: 16-bit PCM written as a stream; that and G.711 read as mono."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ringback.audio import g711

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM = 1
_ALAW = 6
_ULAW = 7
_EXTENSIBLE = 0xFFFE
MAX_DATA = 0xFFFFFFFF - _HEADER.size
"""The most that a WAV file's 32-bit sizes can say: 37 hours of stereo at 8 kHz."""


class WavError(ValueError):
    """Not a WAV file of 16-bit PCM or G.711 with one or two channels."""


def header(sample_rate: int, channels: int, data_bytes: int) -> bytes:
    """The 44 bytes before ``data_bytes`` of s16le samples."""
    frame = 2 * channels
    return _HEADER.pack(
        b"RIFF",
        _HEADER.size - 8 + data_bytes,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        channels,
        sample_rate,
        sample_rate * frame,
        frame,
        16,
        b"data",
        data_bytes,
    )


class WavWriter:
    """Writes a file that can be played at any moment, even after a crash: the sizes in the header
    are brought up to date every ``patch_every`` bytes, never ahead of the data. Blocking: not for
    the media path. Raises ``OSError``."""

    def __init__(
        self, path: Path, sample_rate: int, channels: int = 2, patch_every: int = 64_000
    ) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.channels = channels
        self._patch_every = patch_every
        self._written = 0
        self._patched = 0
        self._file = path.open("wb")
        self._file.write(header(sample_rate, channels, 0))
        self._file.flush()

    @property
    def duration_ms(self) -> int:
        return self._written * 1000 // (2 * self.channels * self.sample_rate)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, pcm: bytes) -> None:
        """Append interleaved samples. Raises ``ValueError`` for a part of a sample frame, and
        when the file would outgrow the format."""
        if len(pcm) % (2 * self.channels):
            raise ValueError(f"{len(pcm)} bytes are not whole frames of {self.channels} channels")
        if self._written + len(pcm) > MAX_DATA:
            raise ValueError("a WAV file cannot be longer than 4 GiB")
        self._file.write(pcm)
        self._written += len(pcm)
        if self._written - self._patched >= self._patch_every:
            self.flush()

    def write_stereo(self, left: bytes, right: bytes) -> None:
        """Append two mono streams side by side; the shorter one is filled with silence."""
        self.write(interleave(left, right))

    def flush(self) -> None:
        """Make what was written so far readable by others."""
        self._file.flush()
        os.pwrite(self._file.fileno(), header(self.sample_rate, self.channels, self._written), 0)
        self._patched = self._written

    def close(self) -> None:
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def interleave(left: bytes, right: bytes) -> bytes:
    """Two mono s16le streams as one of stereo; the shorter one is filled with silence."""
    stereo = np.zeros((max(len(left), len(right)) // 2, 2), np.int16)
    stereo[: len(left) // 2, 0] = np.frombuffer(left, np.int16)
    stereo[: len(right) // 2, 1] = np.frombuffer(right, np.int16)
    return stereo.tobytes()


@dataclass(frozen=True, slots=True)
class WavAudio:
    """PCM s16le mono (two channels are averaged)."""

    sample_rate: int
    pcm: bytes

    @property
    def duration_ms(self) -> int:
        return len(self.pcm) * 500 // self.sample_rate


def read(path: Path) -> WavAudio:
    """Raises ``WavError`` and ``OSError``."""
    return parse(path.read_bytes())


def parse(data: bytes) -> WavAudio:
    """Read a whole WAV file of any sample rate. A data chunk that promises more than there is
    (a recording that was cut off) gives what is there. Raises ``WavError``."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("not a RIFF/WAVE file")
    layout: tuple[int, int, int] | None = None
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + size]
        if kind == b"fmt ":
            layout = _read_format(body)
        elif kind == b"data":
            if layout is None:
                raise WavError("the samples come before the format")
            encoding, sample_rate, channels = layout
            return WavAudio(sample_rate, _to_mono(_decode(body, encoding), channels))
        position += 8 + size + (size & 1)
    raise WavError("the file has no samples")


def _read_format(body: bytes) -> tuple[int, int, int]:
    """Encoding, sample rate and channels."""
    if len(body) < 16:
        raise WavError("the format chunk is cut short")
    encoding, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if encoding == _EXTENSIBLE and len(body) >= 26:
        encoding = int.from_bytes(body[24:26], "little")
    if (encoding, bits) not in ((_PCM, 16), (_ALAW, 8), (_ULAW, 8)):
        raise WavError(f"encoding {encoding} with {bits} bits, neither 16-bit PCM nor G.711")
    if channels not in (1, 2) or not sample_rate:
        raise WavError(f"{channels} channels at {sample_rate} Hz")
    return encoding, sample_rate, channels


def _decode(body: bytes, encoding: int) -> bytes:
    """The interleaved samples as PCM s16le."""
    if encoding == _ALAW:
        return g711.decode_alaw(body)
    return g711.decode_ulaw(body) if encoding == _ULAW else body


def _to_mono(body: bytes, channels: int) -> bytes:
    body = body[: len(body) - len(body) % (2 * channels)]
    if channels == 1:
        return body
    pairs = np.frombuffer(body, np.int16).reshape(-1, 2).astype(np.int32)
    mono: bytes = (pairs.sum(axis=1) >> 1).astype(np.int16).tobytes()
    return mono
