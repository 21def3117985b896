"""Pages: every row exactly once, in order, whatever the limit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from ringback.accounts.models import Account
from ringback.core.database import Database
from ringback.core.errors import InvalidRequest
from ringback.core.ids import new_id
from ringback.core.paging import PageRequest, decode_cursor, encode_cursor, fetch_page
from unit.core.stores import START, with_database


async def all_pages(database: Database, limit: int, newest_first: bool) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor: str | None = None
    async with database.session() as session:
        while True:
            page = await fetch_page(
                session,
                select(Account),
                Account.id,
                PageRequest(limit, cursor),
                newest_first=newest_first,
            )
            pages.append([row.id for row in page.items])
            cursor = page.next_cursor
            if cursor is None:
                return pages


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("limit", "sizes"), [(2, [2, 2, 1]), (5, [5]), (1, [1] * 5), (9, [5])])
def test_pages_hold_every_row_once(
    tmp_path: Path, limit: int, sizes: list[int], newest_first: bool
) -> None:
    async def scenario(database: Database) -> None:
        made = [new_id("acct") for _ in range(5)]
        async with database.session() as session:
            session.add_all(Account(id=i, name="A", created_at=START) for i in reversed(made))
        pages = await all_pages(database, limit, newest_first)
        assert [len(page) for page in pages] == sizes
        assert sum(pages, []) == (made[::-1] if newest_first else made)

    with_database(tmp_path, scenario)


def test_an_empty_list_is_one_empty_page(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        assert await all_pages(database, 3, newest_first=False) == [[]]

    with_database(tmp_path, scenario)


@given(st.sampled_from(["acct", "call", "num"]).map(new_id))
def test_a_cursor_reads_back(last_id: str) -> None:
    assert decode_cursor(encode_cursor(last_id)) == last_id


@given(st.text())
def test_what_is_no_cursor_is_refused_and_never_crashes(text: str) -> None:
    with suppress(InvalidRequest):
        assert decode_cursor(text).isascii()


@pytest.mark.parametrize("text", ["", "%", "é", "a" * 201, encode_cursor("x' OR 1=1")])
def test_a_made_up_cursor_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_cursor(text)
    assert (caught.value.code, caught.value.field) == ("invalid_cursor", "cursor")
