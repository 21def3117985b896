"""Values that were read before: a call repeats its addresses in every message."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

LONGEST = 256
"""Characters; longer texts are read anew, so that nobody fills the memory with them."""
REMEMBERED = 4096
REMEMBERED_OFFERS = 64
"""Lists of formats, of any length that a description may have: a trunk offers the same few."""

T = TypeVar("T")


def remembered(parse: Callable[[str], T]) -> Callable[[str], T]:
    """``parse``, which gives immutable values and depends on its argument alone, with a memory."""
    known = lru_cache(REMEMBERED)(parse)

    def read(text: str) -> T:
        return known(text) if len(text) <= LONGEST else parse(text)

    return read
