"""What was dialled today, durably: calls and cost by account, trunk and day.

The figures are counted in memory and written behind; :meth:`UsageBook.written` is for those who
want to be sure before they go on. With several nodes each sees the others' calls when it starts
and whenever it writes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ringback.core.database import Database
from ringback.telephony.models import OutboundUsage

MAX_UNWRITTEN = 10_000
"""Trunk-days that wait for the database; beyond that new ones are lost, and counted."""

log = structlog.stdlib.get_logger(__name__)

Key = tuple[str, str, str]
"""Account, trunk, day."""


@dataclass(slots=True)
class Usage:
    calls: int = 0
    cost: float = 0.0


class UsageBook:
    """Make it, ``load`` the day, and ``add`` to it from the event loop."""

    def __init__(self, database: Database) -> None:
        self.lost = 0
        self.failures = 0
        self._database = database
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self._counted: dict[Key, Usage] = {}
        self._unwritten: defaultdict[Key, Usage] = defaultdict(Usage)
        self._day = ""
        self._writing = asyncio.Lock()

    async def load(self, day: str) -> None:
        """Read what is known of ``day``. What was counted meanwhile is not counted twice."""
        async with self._writing:
            if day == self._day:
                return
            async with self._database.session() as session:
                rows = await session.scalars(select(OutboundUsage).where(OutboundUsage.day == day))
                found = {
                    (row.account_id, row.trunk_id, row.day): Usage(row.calls, row.cost)
                    for row in rows
                }
            for key, more in self._unwritten.items():
                if key[2] == day:
                    known = found.setdefault(key, Usage())
                    known.calls += more.calls
                    known.cost += more.cost
            self._counted, self._day = found, day

    @property
    def day(self) -> str:
        """The day that is loaded."""
        return self._day

    def of_trunk(self, account_id: str, trunk_id: str) -> Usage:
        return self._counted.get((account_id, trunk_id, self._day)) or Usage()

    def of_account(self, account_id: str) -> Usage:
        mine = [usage for key, usage in self._counted.items() if key[0] == account_id]
        return Usage(sum(usage.calls for usage in mine), sum(usage.cost for usage in mine))

    def add(self, account_id: str, trunk_id: str, day: str, calls: int, cost: float) -> None:
        key = (account_id, trunk_id, day)
        if len(self._unwritten) >= MAX_UNWRITTEN and key not in self._unwritten:
            self.lost += 1
            return
        tables = [self._unwritten[key]]
        if day == self._day:
            tables.append(self._counted.setdefault(key, Usage()))
        for usage in tables:
            usage.calls += calls
            usage.cost += cost

    async def written(self) -> bool:
        """Write what is counted so far; ``False`` if the database would not (it stays counted)."""
        async with self._writing:
            batch, self._unwritten = self._unwritten, defaultdict(Usage)
            if not batch:
                return True
            try:
                await self._write(batch)
            except asyncio.CancelledError:
                self._put_back(batch)
                raise
            except (SQLAlchemyError, OSError) as error:
                self._put_back(batch)
                self.failures += 1
                log.warning("usage_not_written", why=str(error).partition("\n")[0])
                return False
            return True

    async def _write(self, batch: dict[Key, Usage]) -> None:
        table = OutboundUsage.__table__
        async with self._database.session() as session:
            for (account_id, trunk_id, day), usage in batch.items():
                row = self._insert(OutboundUsage).values(
                    account_id=account_id,
                    trunk_id=trunk_id,
                    day=day,
                    calls=usage.calls,
                    cost=usage.cost,
                )
                statement = row.on_conflict_do_update(
                    index_elements=["account_id", "trunk_id", "day"],
                    set_={
                        "calls": table.c.calls + row.excluded.calls,
                        "cost": table.c.cost + row.excluded.cost,
                    },
                ).returning(OutboundUsage.calls, OutboundUsage.cost)
                calls, cost = (await session.execute(statement)).one()
                self._learn((account_id, trunk_id, day), calls, cost)

    def _learn(self, key: Key, calls: int, cost: float) -> None:
        """Take over the database's figures, which hold the other nodes' calls too."""
        if key[2] == self._day:
            since = self._unwritten.get(key) or Usage()
            self._counted[key] = Usage(calls + since.calls, cost + since.cost)

    def _put_back(self, batch: dict[Key, Usage]) -> None:
        for key, usage in batch.items():
            self._unwritten[key].calls += usage.calls
            self._unwritten[key].cost += usage.cost
