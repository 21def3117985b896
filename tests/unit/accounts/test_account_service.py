"""Accounts and keys over a real database and the real routes."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from ringback.accounts import service as account_service
from ringback.accounts.failures import BURST
from ringback.accounts.models import OWNER_ACCOUNT_ID
from ringback.accounts.service import AccountService
from ringback.core.database import Database
from ringback.core.errors import LimitReached, NotFound, Unauthenticated
from ringback.core.paging import PageRequest
from unit.core.api_lab import ApiLab, with_api
from unit.core.stores import ManualClock, with_database

CHOSEN = "a-key-the-operator-chose"


async def opened(database: Database, clock: ManualClock | None = None) -> AccountService:
    return await AccountService.open(database, clock or ManualClock())


# ---- first start --------------------------------------------------------------------------------


def test_the_first_start_makes_the_owner_and_shows_the_key_once(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        accounts = await opened(database)
        setup = await accounts.ensure_owner()
        assert setup.new_key is not None
        assert (await accounts.authenticate(setup.new_key, "")).account_id == OWNER_ACCOUNT_ID
        again = await (await opened(database)).ensure_owner()
        assert again.new_key is None
        assert (await accounts.get_account(OWNER_ACCOUNT_ID)).name == "Owner"

    with_database(tmp_path, scenario)


def test_the_operator_may_choose_the_first_key(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        accounts = await opened(database)
        assert (await accounts.ensure_owner(CHOSEN)).new_key == CHOSEN
        assert (await accounts.authenticate(CHOSEN, "")).account_id == OWNER_ACCOUNT_ID
        assert not (await accounts.ensure_owner(CHOSEN)).configured_key_unknown

    with_database(tmp_path, scenario)


def test_a_key_that_is_configured_too_late_is_reported(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        accounts = await opened(database)
        await accounts.ensure_owner()
        late = await accounts.ensure_owner(CHOSEN)
        assert late.configured_key_unknown
        with pytest.raises(Unauthenticated):
            await accounts.authenticate(CHOSEN, "")

    with_database(tmp_path, scenario)


def test_keys_survive_a_restart_and_are_not_stored_in_clear(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        key = (await (await opened(database)).ensure_owner()).new_key or ""
        assert (await (await opened(database)).authenticate(key, "")).key_id
        files = (tmp_path / "test.db", tmp_path / "test.db-wal")
        assert key.split("_")[-1].encode() not in b"".join(f.read_bytes() for f in files)

    with_database(tmp_path, scenario)


def test_an_unknown_account_is_not_found(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        with pytest.raises(NotFound):
            await (await opened(database)).get_account("acct_nobody")

    with_database(tmp_path, scenario)


# ---- authentication -----------------------------------------------------------------------------


def test_a_key_is_looked_up_once_and_then_known(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        clock = ManualClock()
        accounts = await opened(database, clock)
        key = (await accounts.ensure_owner()).new_key or ""
        queries: list[object] = []
        event.listen(
            database.engine.sync_engine, "before_cursor_execute", lambda *args: queries.append(args)
        )
        for _ in range(100):
            await accounts.authenticate(key, "1.2.3.4")
        assert len(queries) == 1
        clock.pass_by(31)
        await accounts.authenticate(key, "1.2.3.4")
        assert len(queries) == 2

    with_database(tmp_path, scenario)


def test_wrong_keys_are_limited_per_source_and_known_keys_are_not(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        clock = ManualClock()
        accounts = await opened(database, clock)
        key = (await accounts.ensure_owner()).new_key or ""
        await accounts.authenticate(key, "1.2.3.4")
        for attempt in range(BURST):
            with pytest.raises(Unauthenticated):
                await accounts.authenticate(f"guess-number-{attempt:06}", "1.2.3.4")
        with pytest.raises(LimitReached) as caught:
            await accounts.authenticate("guess-number-once-more", "1.2.3.4")
        assert caught.value.code == "too_many_wrong_keys"
        assert (await accounts.authenticate(key, "1.2.3.4")).key_id
        with pytest.raises(Unauthenticated):
            await accounts.authenticate("guess-from-elsewhere", "5.6.7.8")
        clock.pass_by(120)
        with pytest.raises(Unauthenticated):
            await accounts.authenticate("guess-number-later", "1.2.3.4")

    with_database(tmp_path, scenario)


# ---- /api/api-keys ------------------------------------------------------------------------------


def test_a_new_key_works_at_once_and_its_secret_is_shown_once(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        created = await lab.owner.ok("POST", "/api/api-keys/", {"name": "My bot"})
        assert created["name"] == "My bot"
        assert created["key"].startswith(created["prefix"])
        listed = await lab.client(created["key"]).ok("GET", "/api/api-keys")
        assert [item["name"] for item in listed["items"]] == ["First key", "My bot"]
        assert created["key"] not in str(listed)
        assert set(listed["items"][0]) == {"id", "name", "prefix", "created_at", "last_used_at"}

    with_api(tmp_path, scenario)


def test_a_revoked_key_stops_working_at_once(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        created = await lab.owner.ok("POST", "/api/api-keys", {})
        bot = lab.client(created["key"])
        await bot.ok("GET", "/api/api-keys")
        await lab.owner.ok("DELETE", f"/api/api-keys/{created['id']}")
        assert (await bot.refused("GET", "/api/api-keys"))[:2] == (401, "invalid_api_key")
        again = await lab.owner.refused("DELETE", f"/api/api-keys/{created['id']}")
        assert again[:2] == (404, "key_not_found")

    with_api(tmp_path, scenario)


def test_the_last_key_cannot_be_revoked(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        (item,) = (await lab.owner.ok("GET", "/api/api-keys"))["items"]
        refused = await lab.owner.refused("DELETE", f"/api/api-keys/{item['id']}")
        assert refused[:2] == (409, "last_api_key")
        await lab.owner.ok("GET", "/api/api-keys")

    with_api(tmp_path, scenario)


def test_the_time_of_last_use_is_written_lazily(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        lab.clock.pass_by(5)
        (item,) = (await lab.owner.ok("GET", "/api/api-keys"))["items"]
        assert item["last_used_at"] == "2026-03-13T10:00:05Z"
        assert item["created_at"] == "2026-03-13T10:00:00Z"

    with_api(tmp_path, scenario)


def test_the_time_of_last_use_waits_for_a_database_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> NoReturn:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    async def scenario(database: Database) -> None:
        accounts = await opened(database)
        await accounts.ensure_owner(CHOSEN)
        await accounts.authenticate(CHOSEN, "192.0.2.1")
        with monkeypatch.context() as outage, capture_logs() as logs:
            outage.setattr(database, "session", refuse)
            await accounts.flush_usage()
        assert [entry["event"] for entry in logs] == ["key_usage_not_written"]
        page = await accounts.list_keys(OWNER_ACCOUNT_ID, PageRequest(10))
        assert page.items[0].last_used_at is not None

    with_database(tmp_path, scenario)


def test_accounts_never_see_or_revoke_each_others_keys(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        created = await lab.owner.ok("POST", "/api/api-keys", {})
        listed = await lab.stranger.ok("GET", "/api/api-keys")
        assert [item["name"] for item in listed["items"]] == ["k"]
        refused = await lab.stranger.refused("DELETE", f"/api/api-keys/{created['id']}")
        assert refused[0] == 404
        await lab.client(created["key"]).ok("GET", "/api/api-keys")

    with_api(tmp_path, scenario)


def test_keys_are_bounded_per_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_service, "MAX_KEYS_PER_ACCOUNT", 2)

    async def scenario(lab: ApiLab) -> None:
        await lab.owner.ok("POST", "/api/api-keys", {})
        refused = await lab.owner.refused("POST", "/api/api-keys", {})
        assert refused[:2] == (429, "too_many_api_keys")

    with_api(tmp_path, scenario)


def test_keys_are_listed_in_pages(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        for number in range(4):
            await lab.owner.ok("POST", "/api/api-keys", {"name": f"bot {number}"})
        first = await lab.owner.ok("GET", "/api/api-keys?limit=3")
        assert len(first["items"]) == 3
        rest = await lab.owner.ok("GET", f"/api/api-keys?limit=3&cursor={first['next_cursor']}")
        assert [item["name"] for item in rest["items"]] == ["bot 2", "bot 3"]
        assert rest["next_cursor"] is None
        refused = await lab.owner.refused("GET", "/api/api-keys?cursor=%25")
        assert refused[:2] == (400, "invalid_cursor")

    with_api(tmp_path, scenario)
