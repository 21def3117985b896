"""Write-behind persistence of calls: the event path never waits for the database.

``record`` and ``add_line`` only remember what is to be written and return. One task writes it in
batches, each in one transaction, a call's newest state standing for all that it had in between.
What cannot be written now is kept and tried again, so nothing is lost while the node lives; the
journal reports ``overloaded`` long before memory would run out, and new calls are refused then.
What is still unwritten when the node stops goes to a spill file and is taken up at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog
from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from ringback.calls import spill
from ringback.calls.models import CallRow, TranscriptRow
from ringback.calls.rows import Batch, Row
from ringback.core.database import Base, Database

MAX_PENDING = 20_000
"""Rows that may wait for the database before the node takes no new calls."""
GATHER_SECONDS = 0.05
"""How long a row may wait for others that go into the same transaction."""
RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 0.1
"""Between tries while the node stops, until it cuts them off."""

_CALLS: Table = Base.metadata.tables[CallRow.__tablename__]
_LINES: Table = Base.metadata.tables[TranscriptRow.__tablename__]

log = structlog.stdlib.get_logger(__name__)


class Journal:
    def __init__(
        self, database: Database, spill_file: Path, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._database = database
        self._spill_file = spill_file
        self._retry_seconds = retry_seconds
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self._upsert = _upsert(insert(_CALLS))
        self._add_lines = insert(_LINES).on_conflict_do_nothing()
        self._waiting = Batch()
        self._writing = Batch()
        self._accepted = 0
        self._durable = 0
        self._hurried = 0
        """Up to where somebody waits who cannot go on."""
        self._readers: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._spilled = False
        self._outage = False
        self.failures = 0
        """Batches that the database did not take at the first try."""
        self.rejected = 0
        """Rows that it will never take; each is in the log."""

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._writing)

    @property
    def overloaded(self) -> bool:
        return self.pending > MAX_PENDING

    @property
    def readers(self) -> int:
        """Who waits for a row to be in the database."""
        return len(self._readers)

    def record(self, row: Row) -> int:
        """Remember the newest state of a call. The number is for :meth:`written`."""
        self._waiting.calls[row["id"]] = row
        return self._accept()

    def add_line(self, row: Row) -> int:
        """Remember a transcript line. Its call was recorded before."""
        self._waiting.lines[row["call_id"], row["line"]] = row
        return self._accept()

    def _accept(self) -> int:
        self._accepted += 1
        self._wake.set()
        return self._accepted

    async def written(self, number: int | None = None, *, hurry: bool = True) -> None:
        """Return when everything up to ``number`` (default: up to now) is in the database; without
        ``hurry`` others may still come into the same transaction."""
        number = self._accepted if number is None else number
        if number <= self._durable:
            return
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (number, reader)
        self._readers.append(waiting)
        if hurry:
            self._hurried = max(self._hurried, number)
            self._hurry.set()
        try:
            await reader
        finally:
            if waiting in self._readers:
                self._readers.remove(waiting)

    async def start(self) -> None:
        """Take up what the last run could not write, and begin."""
        self._waiting = await asyncio.to_thread(spill.load, self._spill_file)
        if len(self._waiting):
            log.info("journal_taken_up", rows=len(self._waiting))
            self._spilled = True
            self._accept()
        self._task = asyncio.create_task(self._run(), name="call-journal")

    async def stop(self, seconds: float) -> None:
        """Write what is left, for at most ``seconds``; the rest goes to the spill file."""
        self._stopping.set()
        self._hurry.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._waiting.put_back(self._writing)
        self._writing = Batch()
        await self._spill()
        for _, reader in self._readers:
            reader.cancel()
        self._readers = []

    async def _spill(self) -> None:
        where = {"rows": len(self._waiting), "file": str(self._spill_file)}
        try:
            await asyncio.to_thread(spill.save, self._spill_file, self._waiting)
        except OSError as error:
            log.critical("journal_lost", error=str(error), **where)
        else:
            if len(self._waiting):
                log.error("journal_spilled", **where)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while len(self._waiting):
                await self._gather()
                await self._write_waiting()
            if self._stopping.is_set():
                return

    async def _gather(self) -> None:
        """Let some more rows come, unless somebody waits for those that are there."""
        if self._hurried <= self._durable and not self._stopping.is_set():
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._hurry.wait()

    async def _write_waiting(self) -> None:
        number = self._accepted
        self._writing, self._waiting = self._waiting, Batch()
        try:
            await self._write_or_split(self._writing)
            if self._spilled:
                await asyncio.to_thread(spill.save, self._spill_file, Batch())
                self._spilled = False
        except Exception as error:
            await self._try_later(error)
            return
        if self._outage:
            self._outage = False
            log.info("journal_recovered", rows=len(self._writing))
        self._writing = Batch()
        self._settle(number)

    async def _write_or_split(self, batch: Batch) -> None:
        """Write ``batch``; if one of its rows is at fault, all others. Raises what may pass."""
        try:
            await self._write(batch)
            return
        except Exception as error:
            if not _is_fault_of_a_row(error):
                raise
        for part in batch.split():
            try:
                await self._write(part)
            except Exception as error:
                if not _is_fault_of_a_row(error):
                    raise
                self.rejected += 1
                log.error("journal_row_refused", rows=str(part), error=str(error))

    async def _write(self, batch: Batch) -> None:
        async with self._database.session() as session:
            if batch.calls:
                await session.execute(self._upsert, list(batch.calls.values()))
            if batch.lines:
                await session.execute(self._add_lines, list(batch.lines.values()))

    async def _try_later(self, error: Exception) -> None:
        self.failures += 1
        if not self._outage:
            self._outage = True
            log.warning("journal_delayed", rows=len(self._writing), error=str(error))
        self._waiting.put_back(self._writing)
        self._writing = Batch()
        if self._stopping.is_set():
            await asyncio.sleep(min(self._retry_seconds, LAST_RETRY_SECONDS))
            return
        try:
            async with asyncio.timeout(self._retry_seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _settle(self, number: int) -> None:
        self._durable = number
        waiting = []
        for wanted, reader in self._readers:
            if wanted > number:
                waiting.append((wanted, reader))
            elif not reader.done():
                reader.set_result(None)
        self._readers = waiting


def _upsert(statement: sqlite.Insert | postgresql.Insert) -> Insert:
    newer = {name: value for name, value in statement.excluded.items() if name != "id"}
    return statement.on_conflict_do_update(index_elements=["id"], set_=newer)


def _is_fault_of_a_row(error: Exception) -> bool:
    """Whether writing the same row again can never work (anything else may pass)."""
    if isinstance(error, StatementError):
        return isinstance(error, IntegrityError | DataError) or not isinstance(error, DBAPIError)
    return isinstance(error, ValueError | TypeError | OverflowError)
