"""The codecs of a call leg, by the encoding names of RFC 3551 and RFC 7587."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.audio import g711, opus, opus_library
from ringback.audio.g722 import G722


class UnknownCodec(LookupError):
    """No codec of this name is built in, or what it needs is not on this machine."""


class Codec(Protocol):
    """Both directions of one stream: a codec keeps state, so each leg (and, of what is received,
    each payload type) has its own, and every packet goes through it once and in order."""

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

    def packet_ms(self, wanted_ms: int) -> int:
        """The longest packet of at most ``wanted_ms`` (10 at least) that this codec can make."""
        ...

    def encode(self, pcm: bytes) -> bytes:
        """PCM s16le mono, of a length that ``packet_ms`` gave, to an RTP payload; empty when
        nothing has to be sent (DTX)."""
        ...

    def silence(self, samples: int) -> bytes:
        """As ``encode`` of so many samples (at ``sample_rate``) of silence, but cheaper if it
        can be."""
        ...

    def expect_loss(self, percent: int) -> None:
        """So much of what is sent gets lost: an encoder may protect it better."""
        ...

    def duration(self, payload: bytes) -> int:
        """What a payload is long, in units of ``clock_rate``, without decoding it. Raises
        ``ValueError`` on a payload that cannot be."""
        ...

    def decode(self, payload: bytes) -> bytes:
        """RTP payload to PCM s16le mono. Raises ``ValueError`` on a payload that cannot be."""
        ...

    def conceal(self, samples: int) -> bytes | None:
        """PCM of ``samples`` (at ``sample_rate``) in place of a payload that is lost, from the
        decoder's own state; ``None``: this codec knows nothing better than its caller."""
        ...

    def recover(self, following: bytes, samples: int) -> bytes | None:
        """The lost ``samples`` before the payload ``following``, which is decoded afterwards as
        usual, from what it repeats of them (in-band FEC); ``None``: nothing can be."""
        ...


class _G711:
    """One byte is one sample of 8000 a second."""

    clock_rate = 8000
    sample_rate = 8000

    def packet_ms(self, wanted_ms: int) -> int:
        return wanted_ms

    def expect_loss(self, percent: int) -> None:
        pass

    def duration(self, payload: bytes) -> int:
        return len(payload)

    def conceal(self, samples: int) -> bytes | None:
        return None

    def recover(self, following: bytes, samples: int) -> bytes | None:
        return None


class Pcmu(_G711):
    """G.711 µ-law, static payload type 0."""

    name = "PCMU"

    def decode(self, payload: bytes) -> bytes:
        return g711.decode_ulaw(payload)

    def encode(self, pcm: bytes) -> bytes:
        return g711.encode_ulaw(pcm)

    def silence(self, samples: int) -> bytes:
        return bytes((g711.ULAW_SILENCE,)) * samples


class Pcma(_G711):
    """G.711 A-law, static payload type 8."""

    name = "PCMA"

    def decode(self, payload: bytes) -> bytes:
        return g711.decode_alaw(payload)

    def encode(self, pcm: bytes) -> bytes:
        return g711.encode_alaw(pcm)

    def silence(self, samples: int) -> bytes:
        return bytes((g711.ALAW_SILENCE,)) * samples


_FIXED: dict[str, Callable[[], Codec]] = {"G722": G722, "PCMA": Pcma, "PCMU": Pcmu}

_RATES = {"opus": (48_000, 48_000), "G722": (8000, 16_000), "PCMA": (8000, 8000)}
_RATES["PCMU"] = _RATES["PCMA"]

OPUS_MISSING = "no libopus was found: neither PyAV nor the system (Debian: libopus0) has one"


def names() -> tuple[str, ...]:
    """The encoding names that ``create`` knows on this machine, the best first."""
    return tuple(_FIXED) if opus_library.load() is None else ("opus", *_FIXED)


def missing() -> dict[str, str]:
    """The codecs that this machine cannot do, and why."""
    return {} if opus_library.load() is not None else {"opus": OPUS_MISSING}


def sample_rate_of(name: str) -> int:
    """Hz of the audio that a codec carries: 48000, 16000 or 8000. Raises ``UnknownCodec``."""
    return _RATES[_known(name)][1]


def clock_rate_of(name: str) -> int:
    """Hz of the RTP timestamp of a codec. Raises ``UnknownCodec``."""
    return _RATES[_known(name)][0]


def create(name: str, *, fmtp: str = "", sample_rate: int | None = None) -> Codec:
    """A fresh codec for one leg; ``name`` in any case. Raises ``UnknownCodec``.

    ``fmtp`` is what the peer wants to get (``a=fmtp`` of its SDP). ``sample_rate`` is the rate of
    the PCM that the caller would like; a codec that has only one ignores it.
    """
    known = _known(name)
    if known != "opus":
        return _FIXED[known]()
    library = opus_library.load()
    if library is None:
        raise UnknownCodec(OPUS_MISSING)
    rate = sample_rate if sample_rate in opus.SAMPLE_RATES else _RATES[known][1]
    return opus.Opus(library, fmtp, rate)


def _known(name: str) -> str:
    for known in _RATES:
        if known.lower() == name.lower():
            return known
    raise UnknownCodec(f"no codec {name!r}; built in are {', '.join(names())}")
