"""``Idempotency-Key``: the same write, sent again, is answered again instead of done again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from ringback.calls.models import IdempotencyRow
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.errors import Conflict

log = structlog.stdlib.get_logger(__name__)

KEPT_FOR = timedelta(hours=24)

Answer = tuple[int, dict[str, Any]]
"""A status and a JSON body."""


@dataclass(slots=True)
class _Turn:
    """Who writes under one key now, and how many wait to."""

    lock: asyncio.Lock
    users: int = 0


class IdempotencyStore:
    """Answers are kept for 24 hours. Failures are not: the same key may try again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._turns: dict[tuple[str, str], _Turn] = {}

    async def once(
        self,
        account_id: str,
        key: str | None,
        request: Mapping[str, Any],
        action: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """What ``action`` answers, or what it answered to this key before.

        ``request`` is what must be the same: raises ``Conflict`` where it is not. A second
        request that comes while the first is at work waits for it.
        """
        if key is None:
            return await action()
        turn = self._turns.setdefault((account_id, key), _Turn(asyncio.Lock()))
        turn.users += 1
        try:
            async with turn.lock:
                return await self._once(account_id, key, _fingerprint(request), action)
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[account_id, key]

    async def _once(
        self,
        account_id: str,
        key: str,
        fingerprint: str,
        action: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        known = await self._known(account_id, key)
        if known is not None:
            if known.fingerprint != fingerprint:
                raise Conflict(
                    "This Idempotency-Key was used for another request.",
                    code="idempotency_key_reused",
                    hint="Use a new key for a new request; a repeat must have the same body.",
                )
            return known.status, known.answer
        status, answer = await action()
        row = IdempotencyRow(
            account_id=account_id,
            key=key,
            fingerprint=fingerprint,
            status=status,
            answer=answer,
            created_at=self._clock.now(),
        )
        try:
            async with self._database.session() as session:
                session.add(row)
        except SQLAlchemyError as error:
            # It is done: to say that it failed would invite the very repeat that this prevents.
            log.error("idempotency_key_not_kept", account_id=account_id, error=str(error))
        return status, answer

    async def _known(self, account_id: str, key: str) -> IdempotencyRow | None:
        oldest = self._clock.now() - KEPT_FOR
        async with self._database.session() as session:
            await session.execute(delete(IdempotencyRow).where(IdempotencyRow.created_at < oldest))
            return await session.get(IdempotencyRow, (account_id, key))


def _fingerprint(request: Mapping[str, Any]) -> str:
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
