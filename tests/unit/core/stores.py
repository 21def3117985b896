"""A real database in a temporary folder, a clock that stands still, and a bounded run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import ringback.accounts.models
import ringback.agents.models
import ringback.calls.models
import ringback.telephony.models
from ringback.core import vault
from ringback.core.database import Base, Database
from ringback.core.secrets import SecretBox, generate_key

START = datetime(2026, 3, 13, 10, 0, tzinfo=UTC)
TABLES = (
    ringback.accounts.models,
    ringback.agents.models,
    ringback.calls.models,
    ringback.telephony.models,
    vault,
)
"""The modules that define tables; importing them puts these into ``Base.metadata``."""

T = TypeVar("T")


class ManualClock:
    """Stands still until ``pass_by`` moves it."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def monotonic(self) -> float:
        return self.elapsed

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def pass_by(self, seconds: float) -> None:
        self.elapsed += seconds


@asynccontextmanager
async def open_database(folder: Path, box: SecretBox | None = None) -> AsyncIterator[Database]:
    """All tables, empty, in ``folder/test.db``."""
    database = Database(f"sqlite:///{folder / 'test.db'}", box or SecretBox([generate_key()]))
    try:
        async with database.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield database
    finally:
        await database.dispose()


def run(coroutine: Coroutine[object, object, T]) -> T:
    """``asyncio.run`` with an end."""

    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())


def with_database(folder: Path, scenario: Callable[[Database], Awaitable[T]]) -> T:
    async def scene() -> T:
        async with open_database(folder) as database:
            return await scenario(database)

    return run(scene())
