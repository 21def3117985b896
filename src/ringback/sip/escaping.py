"""Percent escapes of SIP URIs (RFC 3261 19.1.2 and 25.1).

Escaped octets are UTF-8; octets that are not survive as lone surrogates (``surrogateescape``).
"""

from __future__ import annotations

import re

from ringback.sip.grammar import ENCODING, ENCODING_ERRORS, encode

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
RESERVED = frozenset(b";/?:@&=+$,")
USER_ALLOWED = UNRESERVED | frozenset(b"&=+$,;?/")
PASSWORD_ALLOWED = UNRESERVED | frozenset(b"&=+$,")
PARAM_ALLOWED = UNRESERVED | frozenset(b"[]/:&+$")
HEADER_ALLOWED = UNRESERVED | frozenset(b"[]/?:+$")

_ESCAPES = re.compile(rb"%([0-9A-Fa-f]{2})")
_ANY_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def escape(text: str, allowed: frozenset[int]) -> str:
    """``text`` with every octet outside ``allowed`` as ``%HH``."""
    return "".join(chr(octet) if octet in allowed else f"%{octet:02X}" for octet in encode(text))


def unescape(text: str) -> str:
    """``text`` with every ``%HH`` decoded. A ``%`` that starts no escape stays as it is."""
    if "%" not in text:
        return text
    octets = _ESCAPES.sub(lambda found: bytes((int(found.group(1), 16),)), encode(text))
    return octets.decode(ENCODING, ENCODING_ERRORS)


def has_broken_escape(text: str) -> bool:
    """Whether a ``%`` is not followed by two hexadecimal digits."""
    return "%" in text and _ANY_ESCAPE.search(text) is not None


def normalised(text: str) -> str:
    """``text`` with the escapes undone that RFC 3261 19.1.4 calls equivalent to the character.

    Escapes of reserved characters stay, in upper case: ``%3b`` is not ``;``.
    """

    def decoded(found: re.Match[bytes]) -> bytes:
        octet = int(found.group(1), 16)
        return found.group().upper() if octet in RESERVED or octet == 0x25 else bytes((octet,))

    return _ESCAPES.sub(decoded, encode(text)).decode(ENCODING, ENCODING_ERRORS)
