"""The codecs of a call leg, by the encoding names of RFC 3551."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.audio import g711


class UnknownCodec(LookupError):
    """No codec of this name is built in."""


class Codec(Protocol):
    """One direction pair of one stream: a codec may keep state, so each leg has its own."""

    @property
    def name(self) -> str:
        """The encoding name as SDP writes it: ``PCMU``."""
        ...

    @property
    def clock_rate(self) -> int:
        """Hz of the RTP timestamp (not always the sample rate: G.722 says 8000)."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hz of the PCM on this side."""
        ...

    def decode(self, payload: bytes) -> bytes:
        """RTP payload to PCM s16le mono. Raises ``ValueError`` on a payload that cannot be."""
        ...

    def encode(self, pcm: bytes) -> bytes:
        """PCM s16le mono to RTP payload."""
        ...

    def silence(self, samples: int) -> bytes:
        """The payload of ``samples`` (at ``sample_rate``) of silence."""
        ...


class Pcmu:
    """G.711 µ-law, static payload type 0."""

    name = "PCMU"
    clock_rate = 8000
    sample_rate = 8000

    def decode(self, payload: bytes) -> bytes:
        return g711.decode_ulaw(payload)

    def encode(self, pcm: bytes) -> bytes:
        return g711.encode_ulaw(pcm)

    def silence(self, samples: int) -> bytes:
        return bytes((g711.ULAW_SILENCE,)) * samples


class Pcma:
    """G.711 A-law, static payload type 8."""

    name = "PCMA"
    clock_rate = 8000
    sample_rate = 8000

    def decode(self, payload: bytes) -> bytes:
        return g711.decode_alaw(payload)

    def encode(self, pcm: bytes) -> bytes:
        return g711.encode_alaw(pcm)

    def silence(self, samples: int) -> bytes:
        return bytes((g711.ALAW_SILENCE,)) * samples


_CODECS: dict[str, Callable[[], Codec]] = {"PCMU": Pcmu, "PCMA": Pcma}


def names() -> tuple[str, ...]:
    """The encoding names that ``create`` knows."""
    return tuple(_CODECS)


def create(name: str) -> Codec:
    """A fresh codec for one leg; ``name`` in any case. Raises ``UnknownCodec``."""
    factory = _CODECS.get(name.upper())
    if factory is None:
        raise UnknownCodec(f"no codec {name!r}; built in are {', '.join(_CODECS)}")
    return factory()
