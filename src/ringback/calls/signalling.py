"""The signalling of calls: of live ones from their legs, of finished ones from the database.

What a leg has traced is stored a moment after its call is over, when the last answers are in. It
never makes a call wait, and it is the one thing of a call that may be lost when the database is
away for long: what cannot be stored is tried again a few times, then dropped and counted.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy.dialects import postgresql, sqlite

from ringback.calls.background import Background
from ringback.calls.journal import Journal
from ringback.calls.lifecycle import Schedule
from ringback.calls.models import SignallingRow
from ringback.calls.registry import Entry, Registry
from ringback.connectors.contract import LegControl, TracedMessage
from ringback.core.database import Database

SETTLE_SECONDS = 2.0
"""From the end of a call until its signalling is stored: the answer to a BYE comes late."""
MAX_PENDING = 2000
"""Finished calls whose signalling waits to be stored; beyond that the oldest is dropped."""
ATTEMPTS = 4
RETRY_SECONDS = 5.0
STOP_SECONDS = 5.0
"""How long a stop tries to store what is left."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class SignallingCounters:
    stored: int = 0
    lost: int = 0
    """Calls whose signalling could not be stored, or had too many others before it."""


class Signalling:
    """``take`` is called with each call that is over. ``schedule`` as ``loop.call_later``."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        registry: Registry,
        background: Background,
        schedule: Schedule | None = None,
    ) -> None:
        self.counters = SignallingCounters()
        self._database = database
        self._journal = journal
        self._registry = registry
        self._background = background
        self._schedule = schedule
        self._pending: dict[str, LegControl] = {}
        self._ready: dict[str, int] = {}
        """Those that are due, with the number of the attempt."""
        insert = sqlite.insert if database.is_sqlite else postgresql.insert
        self._insert = insert(SignallingRow).on_conflict_do_nothing()

    async def of(self, call_id: str) -> Sequence[TracedMessage]:
        """What is known of the call's signalling, oldest first; nothing where nothing was kept.
        Whether the asker may know is decided before."""
        entry = self._registry.get(call_id)
        leg = self._pending.get(call_id) or (entry.leg if entry is not None else None)
        if leg is not None:
            return leg.trace()
        async with self._database.session() as session:
            row = await session.get(SignallingRow, call_id)
        return unpacked(row.messages) if row is not None else ()

    def take(self, entry: Entry) -> None:
        """The call is over: store its signalling soon, where there is any."""
        if entry.leg is None or not entry.leg.trace():
            return
        if len(self._pending) >= MAX_PENDING:
            self._drop(next(iter(self._pending)), "too many wait")
        self._pending[entry.call_id] = entry.leg
        self._later(SETTLE_SECONDS, entry.call_id, 1)

    async def stop(self) -> None:
        """Store what is left, for a bounded time."""
        self._ready = dict.fromkeys(self._pending, ATTEMPTS)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._store_ready()
        except TimeoutError:
            log.warning("signalling_not_stored", calls=len(self._pending))
        self.counters.lost += len(self._pending)
        self._pending.clear()

    @property
    def pending(self) -> int:
        return len(self._pending)

    def _later(self, seconds: float, call_id: str, attempt: int) -> None:
        schedule = self._schedule or asyncio.get_running_loop().call_later
        schedule(seconds, partial(self._begin, call_id, attempt))

    def _begin(self, call_id: str, attempt: int) -> None:
        if call_id in self._pending:
            if not self._ready:
                self._background.spawn(self._store_ready(), "signalling")
            self._ready[call_id] = attempt

    async def _store_ready(self) -> None:
        """All that are due by now, in one transaction."""
        await self._journal.written(hurry=False)  # the calls' own records come first
        ready, self._ready = self._ready, {}
        traces = {
            call_id: leg.trace()
            for call_id in ready
            if (leg := self._pending.get(call_id)) is not None
        }
        try:
            await self._write({call_id: trace for call_id, trace in traces.items() if trace})
        except Exception as error:
            for call_id in traces:
                if ready[call_id] >= ATTEMPTS:
                    self._drop(call_id, str(error))
                else:
                    self._later(RETRY_SECONDS, call_id, ready[call_id] + 1)
            return
        for call_id, trace in traces.items():
            self.counters.stored += bool(trace)
            self._pending.pop(call_id, None)

    async def _write(self, traces: Mapping[str, Sequence[TracedMessage]]) -> None:
        if not traces:
            return
        blobs = await asyncio.to_thread(lambda: [packed(trace) for trace in traces.values()])
        rows = [
            {"call_id": call_id, "messages": blob}
            for call_id, blob in zip(traces, blobs, strict=True)
        ]
        async with self._database.session() as session:
            await session.execute(self._insert, rows)

    def _drop(self, call_id: str, why: str) -> None:
        if self._pending.pop(call_id, None) is not None:
            self.counters.lost += 1
            log.warning("signalling_lost", call_id=call_id, why=why)


def packed(messages: Sequence[TracedMessage]) -> bytes:
    """The messages as compressed JSON; their bytes one to one as Latin-1."""
    rows = [
        [
            message.at.isoformat(),
            message.outgoing,
            message.transport,
            message.local,
            message.remote,
            message.data.decode("latin-1"),
        ]
        for message in messages
    ]
    return zlib.compress(json.dumps(rows).encode())


def unpacked(blob: bytes) -> list[TracedMessage]:
    return [
        TracedMessage(
            at=datetime.fromisoformat(at),
            outgoing=outgoing,
            transport=transport,
            local=local,
            remote=remote,
            data=data.encode("latin-1"),
        )
        for at, outgoing, transport, local, remote, data in json.loads(zlib.decompress(blob))
    ]
