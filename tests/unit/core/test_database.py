"""The database: schema upgrades, faults in one sentence, sessions and times."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, StatementError

from ringback.accounts.models import Account, ApiKey
from ringback.agents.models import Agent
from ringback.core import database as database_module
from ringback.core.database import Base, Database, alembic_config, parse_database_url
from ringback.core.errors import StartupError
from ringback.core.secrets import EncryptedText, SecretBox, generate_key
from unit.core.stores import START, TABLES, open_database, run

KEY = generate_key()


def database_at(path: Path) -> Database:
    return Database(f"sqlite:///{path}", SecretBox([KEY]))


def upgrade(path: Path) -> None:
    async def scenario() -> None:
        database = database_at(path)
        try:
            await database.upgrade_to_head()
            await database.check()
        finally:
            await database.dispose()

    run(scenario())


def refusal(path: Path) -> StartupError:
    with pytest.raises(StartupError) as caught:
        upgrade(path)
    return caught.value


@contextmanager
def connection_to(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


# ---- schema -------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_models(tmp_path: Path) -> None:
    assert TABLES
    path = tmp_path / "deep" / "new.db"
    upgrade(path)
    with connection_to(path) as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": _types_differ, "render_as_batch": True},
        )
        assert compare_metadata(context, Base.metadata) == []


def _types_differ(
    context: MigrationContext,
    inspected_column: object,
    metadata_column: object,
    inspected_type: object,
    metadata_type: object,
) -> bool | None:
    return False if isinstance(metadata_type, EncryptedText) else None


def schema_of(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT sql FROM sqlite_master").fetchall()


def test_an_upgrade_of_what_is_new_already_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ringback.db"
    upgrade(path)
    before = schema_of(path)
    upgrade(path)
    assert schema_of(path) == before


def test_every_migration_can_be_taken_back(tmp_path: Path) -> None:
    from alembic import command

    path = tmp_path / "ringback.db"
    upgrade(path)
    with connection_to(path) as connection:
        command.downgrade(alembic_config(connection), "base")
        connection.commit()
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_a_path_may_hold_any_sign(tmp_path: Path) -> None:
    upgrade(tmp_path / "100% mine" / "rïng.db")


# ---- faults -------------------------------------------------------------------------------------


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ringback.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    error = refusal(path)
    assert "newer Ringback" in error.message
    assert "9999" in error.message


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ringback.db"
    path.write_text("dear diary, " * 100)
    assert refusal(path).message == f"The file {path} is not a SQLite database."


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path).message


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refusal(tmp_path / "file" / "ringback.db").message


def test_a_locked_database_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "SQLITE_BUSY_TIMEOUT", 0.0)
    path = tmp_path / "ringback.db"
    upgrade(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        error = refusal(path)
    finally:
        holder.close()
    assert "is locked by another program" in error.message
    assert "another Ringback" in error.hint


def test_a_database_server_that_is_not_there_is_named_without_its_password() -> None:
    async def scenario() -> None:
        database = Database("postgresql://ringback:hunter2@127.0.0.1:1/ringback", SecretBox([KEY]))
        try:
            with pytest.raises(StartupError) as caught:
                await database.upgrade_to_head()
        finally:
            await database.dispose()
        assert "does not answer" in caught.value.message
        assert "hunter2" not in caught.value.message

    run(scenario())


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////data/x.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:////data/x.db", "sqlite+aiosqlite"),
        ("postgresql://u@h/n", "postgresql+psycopg"),
        ("postgres://u@h/n", "postgresql+psycopg"),
    ],
)
def test_a_url_gets_the_driver_that_does_not_block(url: str, driver: str) -> None:
    assert parse_database_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://u@h/n", "data.db", "", "://"])
def test_a_url_of_anything_else_is_one_sentence(url: str) -> None:
    with pytest.raises(StartupError, match="RINGBACK_DATABASE_URL"):
        parse_database_url(url)


# ---- sessions and types -------------------------------------------------------------------------


def account(account_id: str, at: datetime = START) -> Account:
    return Account(id=account_id, name="A", created_at=at)


def test_a_session_commits_at_its_end_and_rolls_back_on_an_exception(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            async with database.session() as session:
                session.add(account("kept"))

            async def change_of_mind() -> None:
                async with database.session() as session:
                    session.add(account("lost"))
                    await session.flush()
                    raise RuntimeError

            with pytest.raises(RuntimeError):
                await change_of_mind()
            async with database.session() as session:
                assert list(await session.scalars(select(Account.id))) == ["kept"]

    run(scenario())


def test_a_writer_that_is_cut_off_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "SQLITE_BUSY_TIMEOUT", 0.5)

    async def write(database: Database, name: str) -> None:
        row = insert(Account).values(id=name, name="A", created_at=START)
        async with database.session() as session:
            await session.execute(row.returning(Account.id))

    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            await write(database, "first")
            with closing(sqlite3.connect(tmp_path / "test.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                cut_off = asyncio.create_task(write(database, "cut off"))
                await asyncio.wait({cut_off}, timeout=0.1)
                cut_off.cancel()
                other.rollback()
                await asyncio.wait({cut_off})
            await write(database, "second")

    gc.disable()
    try:
        run(scenario())
    finally:
        gc.enable()


def test_sqlite_writes_ahead_and_keeps_references_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            async with database.engine.connect() as connection:
                assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
                assert await connection.scalar(text("PRAGMA foreign_keys")) == 1
                assert await connection.scalar(text("PRAGMA busy_timeout")) == 5000
            stray = ApiKey(
                id="k",
                account_id="nobody",
                name="",
                prefix="",
                lookup="",
                key_hash="",
                created_at=START,
            )
            with pytest.raises(IntegrityError):
                async with database.session() as session:
                    session.add(stray)

    run(scenario())


def test_times_come_back_in_utc_whatever_they_were_given_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        elsewhere = START.astimezone(timezone(timedelta(hours=-7)))
        async with open_database(tmp_path) as database:
            async with database.session() as session:
                session.add(account("a", elsewhere))
            async with database.session() as session:
                found = await session.get(Account, "a")
            assert found is not None
            assert found.created_at == START
            assert found.created_at.tzinfo is UTC
            with pytest.raises(StatementError, match="without a timezone"):
                async with database.session() as session:
                    session.add(account("b", START.replace(tzinfo=None)))

    run(scenario())


def test_an_encrypted_column_is_plain_in_memory_and_unreadable_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_database(tmp_path) as database:
            async with database.session() as session:
                session.add(account("a"))
                await session.flush()
                session.add(
                    Agent(
                        id="agent",
                        account_id="a",
                        name="",
                        mode="hosted",
                        brain="openai",
                        greeting="",
                        prompt="",
                        language="en",
                        llm_api_key="sk-hush",
                        stt={},
                        tts={},
                        inbound=True,
                        built_in=False,
                        created_at=START,
                        updated_at=START,
                    )
                )
            async with database.session() as session:
                agent = await session.get(Agent, "agent")
            assert agent is not None
            assert agent.llm_api_key == "sk-hush"
            raw = (tmp_path / "test.db").read_bytes() + (tmp_path / "test.db-wal").read_bytes()
            assert b"sk-hush" not in raw

    run(scenario())
