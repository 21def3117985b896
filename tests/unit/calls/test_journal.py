from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from ringback.calls import journal as journal_module
from ringback.calls.journal import Journal
from ringback.calls.live_call import CallFacts, LiveCall, inbound
from ringback.calls.models import CallRow, TranscriptRow
from ringback.calls.rows import Row, call_of, call_row, line_row
from ringback.calls.states import CallState, Direction
from ringback.calls.transcript import Line
from ringback.core.database import Database
from ringback.core.secrets import SecretBox, generate_key
from unit.calls.fakes import open_database

NOW = datetime(2026, 3, 13, 10, 0, tzinfo=UTC)


def call(number: int = 1) -> LiveCall:
    facts = CallFacts(
        f"call_{number}",
        "acct_1",
        "sip",
        Direction.INBOUND,
        "+331",
        "+332",
        NOW,
        headers={"X": "1"},
    )
    return inbound(facts)


def row(number: int = 1, **changes: object) -> Row:
    return call_row(call(number), "node_1", None) | changes


def line(index: int, number: int = 1) -> Row:
    return line_row(f"call_{number}", Line(index, "caller", f"line {index}", 0, 10))


class FailingDatabase(Database):
    """Refuses the first ``failures`` transactions."""

    failures = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        if self.failures:
            self.failures -= 1
            raise OperationalError("INSERT", {}, Exception("database is locked"))
        async with super().session() as session:
            yield session


async def count(database: Database, table: type[CallRow] | type[TranscriptRow]) -> int:
    async with database.session() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Journal, FailingDatabase]]:
    await (await open_database(folder)).dispose()
    url = f"sqlite:///{folder / 'test.db'}"
    database = FailingDatabase(url, SecretBox([generate_key()]))
    journal = Journal(database, folder / "spill.jsonl", retry_seconds=0.001)
    await journal.start()
    try:
        yield journal, database
    finally:
        database.failures = 0
        await journal.stop(5)
        await database.dispose()


def run(folder: Path, body: Callable[[Journal, FailingDatabase], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), opened(folder) as (journal, database):
            await body(journal, database)

    asyncio.run(bounded())


def test_the_newest_state_of_a_call_is_what_is_kept(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        journal.record(row(state="ringing"))
        await journal.written()
        journal.record(row(state="active"))
        number = journal.record(row(state="ended", end_reason="caller_hangup"))
        await journal.written(number)
        assert journal.pending == 0
        async with database.session() as session:
            stored = await session.get_one(CallRow, "call_1")
        assert stored.state == "ended"
        assert call_of(stored).state is CallState.ENDED

    run(tmp_path, body)


def test_a_record_reads_back_as_the_call_that_was_written(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        journal.record(row())
        await journal.written()
        async with database.session() as session:
            assert call_of(await session.get_one(CallRow, "call_1")) == call()

    run(tmp_path, body)


def test_nothing_is_lost_while_the_database_does_not_answer(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        database.failures = 5
        journal.record(row(state="ringing"))
        for index in range(20):
            journal.add_line(line(index))
        waiting = asyncio.create_task(journal.written())
        await asyncio.sleep(0)
        journal.record(row(state="active"))
        await waiting
        await journal.written()
        assert journal.failures == 5
        assert await count(database, TranscriptRow) == 20
        async with database.session() as session:
            assert (await session.get_one(CallRow, "call_1")).state == "active"

    run(tmp_path, body)


def test_who_can_wait_lets_others_into_the_transaction(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        journal.record(row(1))
        patient = asyncio.create_task(journal.written(hurry=False))
        await asyncio.sleep(0)
        last = journal.record(row(2))
        await journal.written(last, hurry=False)
        assert patient.done()
        assert await count(database, CallRow) == 2

    run(tmp_path, body)


def test_who_gives_up_waiting_for_the_database_is_forgotten(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        database.failures = 10**9
        journal.record(row(1))
        waiting = [asyncio.create_task(journal.written()) for _ in range(5)]
        await asyncio.sleep(0)
        assert journal.readers == 5
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert journal.readers == 0

    run(tmp_path, body)


def test_a_row_that_can_never_be_written_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        journal.record(row(1))
        journal.record(row(2, platform=None))
        journal.record(row(3))
        journal.add_line(line(0, number=3))
        journal.add_line(line(0, number=99))
        await journal.written()
        assert journal.rejected == 2
        assert await count(database, CallRow) == 2
        assert await count(database, TranscriptRow) == 1

    run(tmp_path, body)


def test_a_repeated_line_is_written_once(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        journal.record(row())
        for _ in range(2):
            journal.add_line(line(0))
            await journal.written()
        assert await count(database, TranscriptRow) == 1

    run(tmp_path, body)


def test_a_stop_writes_everything_first(tmp_path: Path) -> None:
    async def body(journal: Journal, database: FailingDatabase) -> None:
        for number in range(50):
            journal.record(row(number))
        await journal.stop(5)
        assert await count(database, CallRow) == 50
        assert not (tmp_path / "spill.jsonl").exists()

    run(tmp_path, body)


def test_what_a_stop_cannot_write_is_taken_up_at_the_next_start(tmp_path: Path) -> None:
    spill_file = tmp_path / "spill.jsonl"

    async def without_database(journal: Journal, database: FailingDatabase) -> None:
        database.failures = 1_000_000
        journal.record(row(state="ended", answered_at=NOW, ended_at=NOW))
        journal.add_line(line(0))
        await journal.stop(0.01)
        assert journal.pending == 2

    async def with_database(journal: Journal, database: FailingDatabase) -> None:
        await journal.written()
        async with database.session() as session:
            stored = await session.get_one(CallRow, "call_1")
        assert stored.ended_at == NOW
        assert await count(database, TranscriptRow) == 1
        assert not spill_file.exists()

    run(tmp_path, without_database)
    assert spill_file.exists()
    run(tmp_path, with_database)


def test_a_damaged_spill_file_costs_only_the_damaged_lines(tmp_path: Path) -> None:
    async def without_database(journal: Journal, database: FailingDatabase) -> None:
        database.failures = 1_000_000
        journal.record(row(1))
        journal.record(row(2))
        await journal.stop(0.01)

    async def with_database(journal: Journal, database: FailingDatabase) -> None:
        await journal.written()
        assert await count(database, CallRow) == 2

    run(tmp_path, without_database)
    spill_file = tmp_path / "spill.jsonl"
    text = spill_file.read_text()
    spill_file.write_text("{nonsense\n" + text + '{"table": "call", "row": {"id": "x"}}\n[]\n')
    run(tmp_path, with_database)


def test_the_journal_says_when_it_is_overloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_PENDING", 3)

    async def body(journal: Journal, database: FailingDatabase) -> None:
        database.failures = 1_000_000
        seen = []
        for number in range(4):
            journal.record(row(number))
            seen.append(journal.overloaded)
        database.failures = 0
        await journal.written()
        seen.append(journal.overloaded)
        assert seen == [False, False, False, True, False]

    run(tmp_path, body)
