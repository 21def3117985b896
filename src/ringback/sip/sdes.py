"""SRTP keys in a session description (SDES, RFC 4568; AES-GCM suites: RFC 7714 14).

Keys are master key and master salt, joined. What a line asks for and we cannot honour makes the
line unusable, never the description: the peer lists several so that one of them fits.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ringback.sip.sdp_values import Crypto, SdpError, decimal

SUITES: dict[str, int] = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""Crypto suites and the bytes of their key and salt, in the order in which we offer them: first
the one that everybody has (RFC 4568 6.2.1)."""

MAX_LINES = 32
"""``a=crypto`` lines of one section that are looked at."""
MAX_LIFETIME = 2**48
"""Packets under one master key (RFC 3711 9.2)."""

_POWER = re.compile(r"2\^([0-9]{1,2})")
_IGNORABLE = re.compile(r"(?i)(WSH=[0-9]{1,4}|KDR=0|-.*)")


@dataclass(frozen=True, slots=True)
class InlineKey:
    """``inline:<key||salt>|lifetime|MKI:length`` (RFC 4568 6.1); the last two may be absent."""

    material: bytes = field(repr=False)
    lifetime: int | None = None
    mki: tuple[int, int] | None = None
    """Master key identifier and the bytes that it takes in every packet."""

    @classmethod
    def parse(cls, text: str) -> InlineKey:
        """Raises :class:`SdpError`. Padding that was left out is no fault."""
        method, _, info = text.partition(":")
        if method.strip().lower() != "inline":
            raise SdpError("an SRTP key that is not inline")
        encoded, *more = info.strip().split("|")
        if len(more) > 2:
            raise SdpError("an SRTP key with more than a lifetime and an MKI")
        if not encoded:
            raise SdpError("an SRTP key without a key")
        try:
            padded = encoded + "=" * (-len(encoded) % 4)
            material = base64.b64decode(padded, validate=True)
        except (binascii.Error, ValueError):
            raise SdpError("an SRTP key that is not base64") from None
        mki = _mki(more.pop()) if more and ":" in more[-1] else None
        if len(more) > 1:
            raise SdpError("an SRTP key with two lifetimes")
        return cls(material, _lifetime(more[0]) if more else None, mki)

    def __str__(self) -> str:
        parts = ["inline:" + base64.b64encode(self.material).decode("ascii")]
        if self.lifetime is not None:
            power = self.lifetime.bit_length() - 1
            parts.append(f"2^{power}" if self.lifetime == 1 << power else str(self.lifetime))
        if self.mki is not None:
            parts.append(f"{self.mki[0]}:{self.mki[1]}")
        return "|".join(parts)


def _lifetime(text: str) -> int:
    power = _POWER.fullmatch(text)
    packets = 1 << int(power[1]) if power else decimal(text, 1, MAX_LIFETIME, "key lifetime")
    if packets > MAX_LIFETIME:
        raise SdpError("a key lifetime beyond what SRTP can count")
    return packets


def _mki(text: str) -> tuple[int, int]:
    value, _, length = text.partition(":")
    return decimal(value, 0, 10**19, "MKI"), decimal(length, 1, 128, "MKI length")


def key_of(crypto: Crypto) -> bytes | None:
    """The master key and salt of a line that we can honour, else ``None``.

    Not honoured: an unknown suite, a key of another length, several keys or one with an MKI (which
    would be in every packet), and session parameters that change the packets or are unknown (RFC
    4568 6.3), unless they are marked as optional with ``-``.
    """
    length = SUITES.get(crypto.suite.upper())
    if length is None or len(crypto.keys) != 1:
        return None
    if not all(_IGNORABLE.fullmatch(text) for text in crypto.parameters):
        return None
    try:
        key = InlineKey.parse(crypto.keys[0])
    except SdpError:
        return None
    return key.material if key.mki is None and len(key.material) == length else None


def first_usable(lines: Sequence[Crypto]) -> tuple[Crypto, bytes] | None:
    """The peer's most preferred line that we can honour, and its key."""
    for crypto in lines[:MAX_LINES]:
        key = key_of(crypto)
        if key is not None:
            return crypto, key
    return None


def line(tag: int, suite: str, key: bytes) -> Crypto:
    """Our own ``a=crypto``."""
    return Crypto(tag, suite, (str(InlineKey(key)),))
