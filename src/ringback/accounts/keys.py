"""API keys as strings: how they look and how they are hashed.

A key is ``rb_live_<id>_<secret>``: the id (8 characters) may be shown and logged, the secret (32
characters, 190 bits) is shown once. An operator may also choose any other string of at least 16
printable characters (``RINGBACK_API_KEY``); it is treated alike.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass

PREFIX = "rb_live_"
MAX_KEY_LENGTH = 256
LOOKUP_LENGTH = 16

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SECRET_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 8
_SECRET_LENGTH = 32
_FORMAT = re.compile(rf"{PREFIX}[0-9a-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{{_SECRET_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class KeyDigest:
    """What identifies a key without giving it away."""

    lookup: str
    full: str

    def matches(self, stored: str) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(self.full, stored)


def generate_key() -> str:
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    return f"{PREFIX}{key_id}_{secret}"


def plausible(key: str) -> bool:
    """Whether ``key`` can be a key at all. An operator's own may begin like ours and go on
    differently, so the format is not asked for."""
    return len(key) <= MAX_KEY_LENGTH and key.isascii() and key.isprintable()


def visible_prefix(key: str) -> str:
    """``rb_live_<id>`` of a key in our format, the first four characters of another."""
    if _FORMAT.fullmatch(key):
        return key[: len(PREFIX) + _ID_LENGTH]
    return f"{key[:4]}…"


def digest(key: str, pepper: bytes) -> KeyDigest:
    """The keyed hash (HMAC-SHA-256). ``pepper`` is a secret of the node, not of the database."""
    full = hmac.new(pepper, key.encode(), hashlib.sha256).hexdigest()
    return KeyDigest(full[:LOOKUP_LENGTH], full)
