"""How much may be dialled, counted over a real database and a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ringback.core.database import Database
from ringback.core.errors import Forbidden, LimitReached, RingbackError
from ringback.telephony import outbound_limits
from ringback.telephony.destinations import classify
from ringback.telephony.directory import TrunkEntry
from ringback.telephony.outbound_limits import CallLease, DialLimits, NodeLimits, price_of
from ringback.telephony.usage import UsageBook
from unit.core.stores import ManualClock, open_database
from unit.telephony.rows import trunk

PARIS = classify("+33612345678")


def entry(trunk_id: str = "t", **limits: Any) -> TrunkEntry:
    return TrunkEntry.of(trunk(trunk_id, limits=limits))


class Lab:
    def __init__(self, database: Database, node: NodeLimits) -> None:
        self.database, self.node = database, node
        self.clock = ManualClock()
        self.refused: list[str] = []
        self.limits = self._made()

    def _made(self) -> DialLimits:
        book = UsageBook(self.database)
        return DialLimits(self.node, book, self.clock, self.refused.append)

    def restart(self) -> None:
        """As after kill -9: only the database remembers."""
        self.limits = self._made()

    async def dial(self, to: TrunkEntry, user: str = "+33612345678") -> CallLease:
        return await self.limits.reserve(to, classify(user))

    async def code(self, to: TrunkEntry, user: str = "+33612345678") -> str | None:
        try:
            (await self.dial(to, user)).release()
        except RingbackError as error:
            return error.code
        return None


@asynccontextmanager
async def lab(folder: Path, **node: Any) -> AsyncIterator[Lab]:
    async with asyncio.timeout(10), open_database(folder) as database:
        yield Lab(database, NodeLimits(**node))


@pytest.mark.requirement("guard.outbound-concurrent")
def test_a_trunk_carries_its_calls_and_no_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            two, other = entry(max_calls=2), entry("other")
            first, _ = await here.dial(two), await here.dial(two)
            assert here.limits.is_full(two)
            with pytest.raises(LimitReached) as busy:
                await here.dial(two)
            assert (busy.value.code, busy.value.retryable) == ("trunk_busy", True)
            assert "PATCH /api/trunks/t" in busy.value.hint
            await here.dial(other)
            first.release()
            first.release()  # once is enough
            await here.dial(two)
            assert await here.code(two) == "trunk_busy"
            assert await here.code(entry(max_calls=3)) is None  # lifted, at once
            assert here.refused == ["trunk_busy", "trunk_busy"]

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-concurrent")
def test_an_account_has_its_bound_over_all_trunks(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path, account_calls=2, trunk_calls=5) as here:
            await here.dial(entry("one"))
            second = await here.dial(entry("two"))
            assert await here.code(entry("three")) == "account_busy"
            second.release()
            assert await here.code(entry("three")) is None

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-concurrent")
def test_calls_that_are_begun_together_do_not_slip_past(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            five = entry(max_calls=5, calls_per_day=7)
            tries = await asyncio.gather(
                *(here.dial(five) for _ in range(20)), return_exceptions=True
            )
            assert sum(isinstance(found, CallLease) for found in tries) == 5

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-rate")
def test_calls_per_second_are_bounded_for_trunk_and_account(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path, account_calls_per_second=3) as here:
            slow = entry(calls_per_second=1)
            assert await here.code(slow) is None
            assert await here.code(slow) == "rate_exceeded"
            others = [await here.code(entry("other")) for _ in range(3)]
            assert others == [None, None, "rate_exceeded"]
            here.clock.pass_by(1)
            assert await here.code(slow) is None

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-daily")
def test_the_days_calls_are_counted_across_restarts_until_midnight(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            three = entry(calls_per_day=3)
            assert [await here.code(three) for _ in range(2)] == [None, None]
            here.restart()
            assert [await here.code(three) for _ in range(2)] == [None, "daily_limit"]
            here.restart()
            assert await here.code(three) == "daily_limit"
            assert await here.code(entry("other", calls_per_day=3)) is None
            here.clock.pass_by(14 * 3600)  # it was 10:00
            assert await here.code(three) is None

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-daily")
def test_the_day_ends_at_the_midnight_of_the_nodes_own_zone(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path, day_zone=timezone(timedelta(hours=10))) as here:
            one = entry(calls_per_day=1)
            assert [await here.code(one) for _ in range(2)] == [None, "daily_limit"]
            here.clock.pass_by(4 * 3600 - 1)  # it was 20:00 there
            assert await here.code(one) == "daily_limit"
            here.clock.pass_by(1)
            assert await here.code(one) is None

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-daily")
def test_an_accounts_day_is_the_sum_of_its_trunks(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path, account_calls_per_day=2) as here:
            assert await here.code(entry("one")) is None
            assert await here.code(entry("two")) is None
            assert await here.code(entry("three")) == "daily_limit"

    asyncio.run(test())


@pytest.mark.requirement("guard.outbound-daily")
def test_two_nodes_on_one_database_count_together(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            four = entry(calls_per_day=4)
            other = Lab(here.database, here.node)
            assert [await here.code(four), await other.code(four)] == [None, None]
            assert [await here.code(four), await other.code(four)] == [None, None]
            assert await other.code(four) == "daily_limit"

    asyncio.run(test())


@pytest.mark.requirement("guard.cost-and-night")
def test_the_days_money_is_bounded_and_live_calls_count(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            paid = entry(cost_per_day=1.0, rates={"+33": 0.05, "+336": 0.5})
            unanswered = await here.dial(paid)
            here.clock.pass_by(600)
            unanswered.release()
            live = await here.dial(paid)
            live.answered()
            here.clock.pass_by(60)
            assert await here.code(paid) is None  # 0.50 so far
            here.clock.pass_by(60)
            assert await here.code(paid) == "cost_limit"
            live.release()
            await here.limits.stop()
            here.restart()
            assert await here.code(paid) == "cost_limit"
            here.limits.limits = NodeLimits(account_cost_per_day=1.0)
            assert await here.code(entry("other")) == "cost_limit"
            here.limits.limits = NodeLimits(account_cost_per_day=1.5)
            assert await here.code(entry("other")) is None

    asyncio.run(test())


@pytest.mark.parametrize(
    ("rates", "price"),
    [({}, 0.0), ({"+33": 1.0, "+336": 2.0, "+1": 9.0}, 2.0), ({"+33": 1.0}, 1.0), ({"+4": 1.0}, 0)],
)
def test_the_longest_prefix_has_the_price(rates: dict[str, float], price: float) -> None:
    assert price_of(PARIS, rates) == price


@pytest.mark.requirement("guard.outbound-concurrent")
def test_a_trunk_brings_no_more_calls_than_it_may(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            two = entry(max_inbound_calls=2)
            leases = [here.limits.reserve_inbound(two) for _ in range(3)]
            assert [lease is not None for lease in leases] == [True, True, False]
            if leases[0] is not None:
                leases[0].release()
            assert here.limits.reserve_inbound(two) is not None
            assert here.refused == ["trunk_inbound_busy"]

    asyncio.run(test())


def test_a_refused_destination_takes_no_place_and_no_token(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path, account_calls_per_day=1) as here:
            one = entry(max_calls=1)
            with pytest.raises(Forbidden):
                await here.dial(one, "+8816512345678")
            assert await here.code(one) is None
            assert here.refused == ["satellite_denied"]

    asyncio.run(test())


def test_a_database_that_is_away_does_not_stop_calls_and_loses_no_count(tmp_path: Path) -> None:
    async def test() -> None:
        async with lab(tmp_path) as here:
            three = entry(calls_per_day=3)
            assert await here.code(three) is None
            async with here.database.engine.begin() as connection:
                await connection.exec_driver_sql("ALTER TABLE outbound_usage RENAME TO gone")
            assert await here.code(three) is None
            async with here.database.engine.begin() as connection:
                await connection.exec_driver_sql("ALTER TABLE gone RENAME TO outbound_usage")
            assert await here.code(three) is None
            here.restart()
            assert await here.code(three) == "daily_limit"

    asyncio.run(test())


def test_a_database_that_is_slow_delays_no_call_for_long_and_counts_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound_limits, "WRITE_SECONDS", 0.05)

    async def test() -> None:
        async with lab(tmp_path) as here:
            two = entry(calls_per_day=2)
            assert await here.code(entry("other")) is None
            async with here.database.engine.begin() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                assert await here.code(two) is None
            await here.limits.stop()
            here.restart()
            assert await here.code(two) is None
            assert await here.code(two) == "daily_limit"

    asyncio.run(test())


def test_a_database_that_is_stuck_keeps_neither_calls_nor_tasks_nor_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound_limits, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(outbound_limits, "STOP_SECONDS", 0.05)

    async def test() -> None:
        async with lab(tmp_path) as here:
            async with here.database.engine.begin() as connection:
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                before = len(asyncio.all_tasks())
                for number in range(20):
                    assert await here.code(entry(f"t{number}")) is None
                assert len(asyncio.all_tasks()) - before <= 3
                await here.limits.stop()
            monkeypatch.undo()
            await here.limits.stop()
            here.restart()
            assert await here.code(entry("t0", calls_per_day=1)) == "daily_limit"

    asyncio.run(test())
