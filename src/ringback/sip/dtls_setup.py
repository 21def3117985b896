"""DTLS-SRTP in a session description (RFC 5763, 8122, 4145): who connects, and certificates.

The keys themselves never pass here: the description names the hash of a certificate, and the media
path makes sure that the peer has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.sdp_values import SdpError

HASH_BYTES: dict[str, int] = {
    "sha-1": 20,
    "sha-224": 28,
    "sha-256": 32,
    "sha-384": 48,
    "sha-512": 64,
}
"""Hash functions that may name a certificate; RFC 8122 5 rules out MD5 and MD2."""

MAX_FINGERPRINTS = 8
"""Fingerprints of one description that are kept."""

_HEX = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")


class Setup(StrEnum):
    """``a=setup``: whose part it is to connect (RFC 4145 4)."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"
    HOLDCONN = "holdconn"

    @classmethod
    def parse(cls, text: str) -> Setup:
        try:
            return cls(text.strip().lower())
        except ValueError:
            raise SdpError(f"not an a=setup: {text[:60]!r}") from None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``a=fingerprint:sha-256 4A:AD:…`` (RFC 8122 5): hash name in lower, hex in upper case."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Raises :class:`SdpError` for an unknown hash or a value of another length."""
        words = text.split()
        if len(words) != 2 or _HEX.fullmatch(words[1]) is None:
            raise SdpError(f"not an a=fingerprint: {text[:60]!r}")
        algorithm = words[0].lower()
        if HASH_BYTES.get(algorithm) != (len(words[1]) + 1) // 3:
            raise SdpError(f"a fingerprint that is no {algorithm[:20]!r}")
        return cls(algorithm, words[1].upper())

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


def fingerprints(values: Iterable[str]) -> tuple[Fingerprint, ...]:
    """Those that can be read and whose hash we know, in order, each once."""
    found: dict[Fingerprint, None] = {}
    for value in values:
        if len(found) == MAX_FINGERPRINTS:
            break
        try:
            found[Fingerprint.parse(value)] = None
        except SdpError:
            continue
    return tuple(found)


def active_in_answer(offered: str | None, current: bool | None) -> bool | None:
    """Whether we are the DTLS client when the peer offers ``a=setup:offered``.

    ``current`` is our role in an association that goes on, which a re-offer keeps; ``None``: there
    is none. An offer without the attribute means ``active`` (RFC 4145 4). Returns ``None`` where no
    connection is to be made (``holdconn``, or nonsense).
    """
    match _setup(offered, Setup.ACTIVE):
        case Setup.ACTPASS:
            return True if current is None else current
        case Setup.PASSIVE:
            return True
        case Setup.ACTIVE:
            return False
        case _:
            return None


def active_as_offerer(answered: str | None) -> bool | None:
    """Whether we are the DTLS client when the peer answers our ``actpass``; ``None`` for an
    answer that leaves it open. Without the attribute the answerer is passive."""
    match _setup(answered, Setup.PASSIVE):
        case Setup.PASSIVE:
            return True
        case Setup.ACTIVE:
            return False
        case _:
            return None


def _setup(text: str | None, default: Setup) -> Setup | None:
    if text is None:
        return default
    try:
        return Setup.parse(text)
    except SdpError:
        return None
