"""Identifiers: ``call_01k…``, ``trunk_01k…``: a prefix that says what it names, then 26 characters.

The characters are 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32 (lower
case, no ``i l o u``), so that identifiers sort by the time they were made, are safe in a URL and
a file name, and can be read out over a phone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BODY_LENGTH = 26
_TIME_BITS = 48
_RANDOM_BITS = 80
_FIRST_RANDOM_BITS = _RANDOM_BITS - 1
_STEP_BITS = 64


class IdSource:
    """Makes identifiers that strictly increase within this source, also within a millisecond."""

    def __init__(
        self,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._last = 0

    def new(self, prefix: str) -> str:
        """``prefix`` is a word without ``_``: ``call`` gives ``call_01k…``."""
        now = self._now_ms() & ((1 << _TIME_BITS) - 1)
        value = (now << _RANDOM_BITS) | self._random_bits(_FIRST_RANDOM_BITS)
        if value <= self._last:
            value = self._last + 1 + self._random_bits(_STEP_BITS)
        self._last = value
        return f"{prefix}_{_encode(value)}"


def _encode(value: int) -> str:
    return "".join(_ALPHABET[(value >> (5 * i)) & 31] for i in reversed(range(_BODY_LENGTH)))


_source = IdSource()


def new_id(prefix: str) -> str:
    """A new identifier from the process-wide source."""
    return _source.new(prefix)


def is_id(text: str, prefix: str) -> bool:
    """Whether ``text`` has the shape of an identifier with this prefix."""
    head, _, body = text.partition("_")
    return head == prefix and len(body) == _BODY_LENGTH and set(body) <= set(_ALPHABET)
