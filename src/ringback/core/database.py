"""The database: engine, sessions, types and the upgrade of the schema.

SQLite (``sqlite+aiosqlite``) is the embedded default; PostgreSQL (``postgresql+psycopg``) is for
several nodes. Sessions commit at the end of their block and roll back on any exception.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import DateTime, MetaData, create_engine, event, text
from sqlalchemy.engine import URL, Connection, Dialect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.types import TypeDecorator

from ringback.core.errors import StartupError
from ringback.core.secrets import SecretBox, attach_secret_box

MIGRATIONS = Path(__file__).parent / "migrations"

SQLITE_BUSY_TIMEOUT = 5.0
"""Seconds that a writer waits for another one."""

_WRITE_PROBE = text("UPDATE alembic_version SET version_num = version_num WHERE 1 = 0")
"""Fails where the database is read-only: SQLite lets even ``BEGIN IMMEDIATE`` pass there."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


class Base(DeclarativeBase):
    """All tables. The naming convention lets migrations name every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware instant, stored as UTC. A naive value is a programming error."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a timezone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def parse_database_url(url: str) -> URL:
    """``url`` with the asynchronous driver filled in. Raises :class:`StartupError`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StartupError(
            "RINGBACK_DATABASE_URL cannot be read.",
            hint="It looks like sqlite:////path/ringback.db or postgresql://user:pw@host/name.",
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgres":
        backend = "postgresql"
    if backend not in _DRIVERS:
        raise StartupError(
            f"RINGBACK_DATABASE_URL names {backend!r}, but only sqlite and postgresql are "
            f"supported."
        )
    return parsed.set(drivername=_DRIVERS[backend])


class Database:
    """One engine and its sessions. ``secret_box`` opens the encrypted columns."""

    def __init__(self, url: str, secret_box: SecretBox) -> None:
        self.url = parse_database_url(url)
        self._secret_box = secret_box
        self.engine: AsyncEngine = create_async_engine(self.url, **_engine_options(self.url))
        attach_secret_box(self.engine.dialect, secret_box)
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def safe_url(self) -> str:
        """The URL without its password, for messages."""
        return self.url.render_as_string(hide_password=True)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        async with self._sessions() as session, session.begin():
            yield session

    async def upgrade_to_head(self) -> None:
        """Create or upgrade the schema, off the event loop.

        Raises :class:`StartupError` with one sentence when the database cannot be used: not
        reachable, not writable, locked, not a database, or written by a newer Ringback.
        """
        await asyncio.to_thread(self._upgrade)

    def _upgrade(self) -> None:
        engine = create_engine(
            self.url.set(drivername=self.url.drivername.replace("+aiosqlite", "")),
            poolclass=NullPool,
        )
        attach_secret_box(engine.dialect, self._secret_box)
        if self.is_sqlite:
            self._make_folder()
            event.listen(engine, "connect", _prepare_sqlite_for_ddl)
            event.listen(engine, "begin", _begin_immediate)
        try:
            with engine.begin() as connection:
                self._refuse_newer_schema(connection)
                command.upgrade(alembic_config(connection), "head")
                connection.execute(_WRITE_PROBE)
        except DBAPIError as error:
            raise self._explain(error) from error
        except OSError as error:
            raise StartupError(f"The database {self.safe_url} cannot be used: {error}.") from error
        finally:
            engine.dispose()

    def _make_folder(self) -> None:
        if self.url.database and self.url.database != ":memory:":
            try:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StartupError(
                    f"The folder of the database {self.url.database} cannot be made: "
                    f"{error.strerror or error}.",
                ) from error

    def _refuse_newer_schema(self, connection: Connection) -> None:
        current = MigrationContext.configure(connection).get_current_revision()
        if current is None:
            return
        known = {script.revision for script in _scripts().walk_revisions()}
        if current not in known:
            raise StartupError(
                f"The database {self.safe_url} was written by a newer Ringback "
                f"(its schema is {current}, which this version does not know).",
                hint="Upgrade the program, or restore the backup made before the upgrade.",
            )

    def _explain(self, error: DBAPIError) -> StartupError:
        cause = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        lowered = cause.lower()
        where = self.url.database if self.is_sqlite else self.safe_url
        for sign, sentence, hint in _DATABASE_FAULTS:
            if sign in lowered:
                return StartupError(sentence.format(where=where), hint=hint)
        return StartupError(f"The database {where} cannot be used: {cause}.")

    async def check(self) -> None:
        """Raises :class:`StartupError` unless a query gets through."""
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise self._explain(error) from error

    async def dispose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


_DATABASE_FAULTS = (
    (
        "unable to open database file",
        "The database {where} cannot be opened: the path is not a file that may be written.",
        "Check the path and the permissions of its folder.",
    ),
    (
        "readonly database",
        "The database {where} cannot be written: it is read-only for this user.",
        "Give the user that runs Ringback write permission on the file and its folder.",
    ),
    (
        "database is locked",
        "The database {where} is locked by another program.",
        "Is another Ringback running on the same data directory?",
    ),
    (
        "file is not a database",
        "The file {where} is not a SQLite database.",
        "Move it away, or set RINGBACK_DATABASE_URL to another path.",
    ),
    (
        "malformed",
        "The database {where} is damaged.",
        "Restore a backup.",
    ),
    (
        "disk is full",
        "The disk that holds the database {where} is full.",
        "Free some space and start again.",
    ),
    (
        "password authentication failed",
        "The database {where} refuses the user or the password.",
        "Check RINGBACK_DATABASE_URL.",
    ),
    (
        "connection refused",
        "The database server of {where} does not answer.",
        "Check that it runs and that RINGBACK_DATABASE_URL has its host and port.",
    ),
)


def alembic_config(connection: Connection, metadata: MetaData | None = None) -> Config:
    """Alembic's configuration for this connection; no ini file is involved."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _engine_options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": SQLITE_BUSY_TIMEOUT, "factory": _UnlockingConnection}}
    return {"pool_pre_ping": True}


class _UnlockingConnection(sqlite3.Connection):
    """Gives its locks up when it is closed.

    A connection that is closed with a statement half read lives on, locks and all, until that
    statement is collected (https://sqlite.org/c3ref/close.html); a task that is cancelled while
    it writes leaves just that.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.rollback()
        super().close()


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(SQLITE_BUSY_TIMEOUT * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _prepare_sqlite_for_ddl(connection: Any, entry: ConnectionPoolEntry) -> None:
    """The driver's own BEGIN leaves DDL outside the transaction; ours takes it in."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(SQLITE_BUSY_TIMEOUT * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
