"""Lists in pages: a limit and an opaque cursor, over tables whose ids sort by time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from ringback.core.errors import InvalidRequest

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_MAX_CURSOR = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is wanted. ``cursor`` comes from the page before."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: Sequence[T]
    next_cursor: str | None
    """``None`` on the last page."""


def encode_cursor(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode("ascii").rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Raises :class:`InvalidRequest` for anything that no page has given out."""
    try:
        if len(cursor) > _MAX_CURSOR or not cursor.isascii():
            raise ValueError
        padded = cursor + "=" * (-len(cursor) % 4)
        last_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
        if not last_id.replace("_", "").isalnum():
            raise ValueError
    except (ValueError, binascii.Error):
        raise InvalidRequest(
            "`cursor` is not one that this list has given out.",
            code="invalid_cursor",
            hint="Take `next_cursor` of the page before, or leave it out to start at the top.",
            field="cursor",
        ) from None
    return last_id


async def fetch_page(
    session: AsyncSession,
    statement: Select[T],
    key: InstrumentedAttribute[str],
    page: PageRequest,
    *,
    newest_first: bool = False,
) -> Page[T]:
    """One page of ``statement`` (which has no order of its own), by ``key``, an id column."""
    if page.cursor is not None:
        last_id = decode_cursor(page.cursor)
        statement = statement.where(key < last_id if newest_first else key > last_id)
    order: Any = key.desc() if newest_first else key.asc()
    rows = await session.scalars(statement.order_by(order).limit(page.limit + 1))
    items = list(rows)
    more = len(items) > page.limit
    items = items[: page.limit]
    return Page(items, encode_cursor(getattr(items[-1], key.key)) if more else None)
