"""How much may be dialled: at once, per second, per day and for how much money.

Every call out takes a :class:`CallLease` here before a byte is sent, whoever asked for it, and
gives it back when its leg is over; calls in take one too, so that no trunk takes the whole node.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

import structlog

from ringback.core.clock import Clock
from ringback.core.errors import LimitReached, RingbackError
from ringback.net.token_bucket import TokenBucket
from ringback.telephony.destinations import Destination
from ringback.telephony.directory import TrunkEntry
from ringback.telephony.outbound_policy import check_destination
from ringback.telephony.usage import UsageBook

WRITE_SECONDS = 2.0
"""How long a call waits for its count to be in the database; then it goes on, counted in memory."""
STOP_SECONDS = 10.0
"""How long a stop waits for the database."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """``account_…`` hold for each account; ``trunk_…`` for a trunk that names no own limit."""

    account_calls: int = 500
    account_calls_per_second: float = 50.0
    account_calls_per_day: int = 10_000
    account_cost_per_day: float | None = None
    trunk_calls: int = 200
    trunk_inbound_calls: int = 500
    denied_prefixes: tuple[str, ...] = ()
    day_zone: tzinfo = UTC


class CallLease:
    """Implements :class:`ringback.connectors.sip.directory.Lease`."""

    def __init__(
        self, give_back: Callable[[CallLease], None], trunk_id: str, rate: float, clock: Clock
    ) -> None:
        self.trunk_id = trunk_id
        self._give_back: Callable[[CallLease], None] | None = give_back
        self._rate = rate
        self._clock = clock
        self._answered_at: float | None = None

    def answered(self) -> None:
        if self._answered_at is None:
            self._answered_at = self._clock.monotonic()

    @property
    def cost(self) -> float:
        """So far."""
        if self._answered_at is None:
            return 0.0
        return (self._clock.monotonic() - self._answered_at) / 60.0 * self._rate

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self)


class DialLimits:
    """``refused`` is told the code of each refusal, for the metrics."""

    def __init__(
        self,
        limits: NodeLimits,
        usage: UsageBook,
        clock: Clock,
        refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        self.limits = limits
        self.refused = refused
        self._usage = usage
        self._clock = clock
        self._live: Counter[str] = Counter()
        self._live_in: Counter[str] = Counter()
        self._running: dict[str, set[CallLease]] = {}
        self._account_buckets: dict[str, TokenBucket] = {}
        self._trunk_buckets: dict[str, tuple[float, TokenBucket]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._turn = asyncio.Lock()
        self._next_write: asyncio.Task[object] | None = None
        """Has not begun, so that it takes what is counted until then."""
        self._loading: asyncio.Task[object] | None = None

    def is_full(self, trunk: TrunkEntry) -> bool:
        """Whether another trunk had better be taken."""
        return self._live[trunk.id] >= self._trunk_calls(trunk)

    def check(self, trunk: TrunkEntry, destination: Destination) -> None:
        """Whether this may be dialled at all. Raises ``Forbidden``."""
        try:
            check_destination(
                destination,
                trunk.limits,
                trunk.id,
                self._clock.now(),
                self.limits.denied_prefixes,
            )
        except RingbackError as error:
            self.refused(error.code)
            raise

    async def reserve(self, trunk: TrunkEntry, destination: Destination) -> CallLease:
        """A place for one call out. Raises ``Forbidden`` and ``LimitReached``."""
        self.check(trunk, destination)
        await self._open_day()
        try:
            self._check_live(trunk)
            self._check_day(trunk)
            self._check_rate(trunk)
        except RingbackError as error:
            self.refused(error.code)
            raise
        lease = self._take(trunk, price_of(destination, trunk.limits.rates))
        try:
            await self._waited_for(self._write_behind())
        except BaseException:
            lease.release()
            raise
        return lease

    def reserve_inbound(self, trunk: TrunkEntry) -> CallLease | None:
        """A place for one call in; ``None`` if the trunk has as many as it may."""
        own = trunk.limits.max_inbound_calls
        if self._live_in[trunk.id] >= (self.limits.trunk_inbound_calls if own is None else own):
            self.refused("trunk_inbound_busy")
            return None
        self._live_in[trunk.id] += 1

        def give_back(lease: CallLease) -> None:
            _uncount(self._live_in, trunk.id)

        return CallLease(give_back, trunk.id, 0.0, self._clock)

    async def stop(self) -> None:
        """Write what is counted, for a bounded time."""
        self._write_behind()
        _, left = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        if left:
            log.error("usage_not_written", hint="The database did not take today's last calls.")

    # ---- the books --------------------------------------------------------------------------

    def _take(self, trunk: TrunkEntry, rate: float) -> CallLease:
        account_id, trunk_id, day = trunk.account_id, trunk.id, self._today()
        self._live[trunk_id] += 1
        self._live[account_id] += 1
        self._usage.add(account_id, trunk_id, day, 1, 0.0)

        def give_back(lease: CallLease) -> None:
            _uncount(self._live, trunk_id)
            _uncount(self._live, account_id)
            running = self._running.get(account_id, set())
            running.discard(lease)
            if not running:
                self._running.pop(account_id, None)
            if lease.cost:
                self._usage.add(account_id, trunk_id, self._today(), 0, lease.cost)
                self._write_behind()

        lease = CallLease(give_back, trunk_id, rate, self._clock)
        self._running.setdefault(account_id, set()).add(lease)
        return lease

    def _write_behind(self) -> asyncio.Task[object]:
        if self._next_write is None:
            self._next_write = self._in_background(self._write())
        return self._next_write

    async def _write(self) -> None:
        async with self._turn:
            self._next_write = None
            await self._usage.written()

    def _in_background(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _waited_for(self, task: asyncio.Task[object]) -> None:
        """For a while, without stopping it: what is cut off may be stored already."""
        await asyncio.wait({task}, timeout=WRITE_SECONDS)
        if not task.done():
            log.warning("usage_database_slow", hint="Calls are counted in memory meanwhile.")
        elif (error := task.exception()) is not None:
            log.warning("usage_database_failed", why=str(error).partition("\n")[0])

    def _today(self) -> str:
        return self._clock.now().astimezone(self.limits.day_zone).date().isoformat()

    async def _open_day(self) -> None:
        day = self._today()
        if day == self._usage.day:
            return
        if self._loading is None or self._loading.done():
            self._loading = self._in_background(self._usage.load(day))
        await self._waited_for(self._loading)

    # ---- the limits -------------------------------------------------------------------------

    def _trunk_calls(self, trunk: TrunkEntry) -> int:
        own = trunk.limits.max_calls
        return self.limits.trunk_calls if own is None else own

    def _check_live(self, trunk: TrunkEntry) -> None:
        if self.is_full(trunk):
            raise LimitReached(
                f"The trunk {trunk.name} has {self._live[trunk.id]} calls out, its limit.",
                code="trunk_busy",
                hint=f"Retry when one has ended, or raise `limits.max_calls`: {_where(trunk)}.",
            )
        if self._live[trunk.account_id] >= self.limits.account_calls:
            raise LimitReached(
                f"The account has {self._live[trunk.account_id]} calls out, its limit.",
                code="account_busy",
                hint="Retry when one has ended, or raise RINGBACK_OUTBOUND_MAX_CALLS.",
            )

    def _check_day(self, trunk: TrunkEntry) -> None:
        account = self._usage.of_account(trunk.account_id)
        of_trunk, limits = self._usage.of_trunk(trunk.account_id, trunk.id), trunk.limits
        if limits.calls_per_day is not None and of_trunk.calls >= limits.calls_per_day:
            raise _day_is_full("calls", "The trunk", f"`limits.calls_per_day`: {_where(trunk)}")
        if account.calls >= self.limits.account_calls_per_day:
            raise _day_is_full("calls", "The account", "RINGBACK_OUTBOUND_CALLS_PER_DAY")
        running = self._running.get(trunk.account_id, set())
        here = sum(lease.cost for lease in running if lease.trunk_id == trunk.id)
        if limits.cost_per_day is not None and of_trunk.cost + here >= limits.cost_per_day:
            raise _day_is_full("cost", "The trunk", f"`limits.cost_per_day`: {_where(trunk)}")
        cap = self.limits.account_cost_per_day
        if cap is not None and account.cost + sum(lease.cost for lease in running) >= cap:
            raise _day_is_full("cost", "The account", "RINGBACK_OUTBOUND_COST_PER_DAY")

    def _check_rate(self, trunk: TrunkEntry) -> None:
        now = self._clock.monotonic()
        rate = self.limits.account_calls_per_second
        bucket = self._account_buckets.get(trunk.account_id)
        if bucket is None:
            bucket = self._account_buckets[trunk.account_id] = _bucket(rate, now)
        own = self._trunk_bucket(trunk, now)
        if own is not None and own.wait(now) > 0:
            raise _too_fast("The trunk", f"`limits.calls_per_second`: {_where(trunk)}")
        if not bucket.take(now):
            raise _too_fast("The account", "RINGBACK_OUTBOUND_CALLS_PER_SECOND")
        if own is not None:
            own.take(now)

    def _trunk_bucket(self, trunk: TrunkEntry, now: float) -> TokenBucket | None:
        rate = trunk.limits.calls_per_second
        if rate is None:
            self._trunk_buckets.pop(trunk.id, None)
            return None
        known = self._trunk_buckets.get(trunk.id)
        if known is None or known[0] != rate:
            known = self._trunk_buckets[trunk.id] = (rate, _bucket(rate, now))
        return known[1]


def price_of(destination: Destination, rates: Mapping[str, float]) -> float:
    """Per minute: that of the longest prefix, the dearest of several readings."""
    texts = (destination.user, *destination.numbers)
    found = [max((p for p in rates if t.startswith(p)), key=len, default="") for t in texts]
    return max((rates[prefix] for prefix in found if prefix), default=0.0)


def _bucket(rate: float, now: float) -> TokenBucket:
    return TokenBucket(rate, max(1, math.ceil(rate)), now)


def _where(trunk: TrunkEntry) -> str:
    return f"PATCH /api/trunks/{trunk.id}"


def _day_is_full(what: str, whose: str, setting: str) -> LimitReached:
    code = "daily_limit" if what == "calls" else "cost_limit"
    words = "made as many calls" if what == "calls" else "spent as much money"
    return LimitReached(
        f"{whose} has {words} today as it may.",
        code=code,
        hint=f"Wait until tomorrow, or raise {setting}.",
    )


def _too_fast(whose: str, setting: str) -> LimitReached:
    return LimitReached(
        f"{whose} begins more calls per second than it may.",
        code="rate_exceeded",
        hint=f"Retry in a second, or raise {setting}.",
    )


def _uncount(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
