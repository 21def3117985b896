"""Accounts and API keys: the operations."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import aliased

from ringback.accounts import keys
from ringback.accounts.cache import KeyCache
from ringback.accounts.failures import FailureLimiter
from ringback.accounts.models import OWNER_ACCOUNT_ID, Account, ApiKey
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.errors import Conflict, LimitReached, NotFound, Unauthenticated
from ringback.core.http import Principal
from ringback.core.ids import new_id
from ringback.core.paging import Page, PageRequest, fetch_page
from ringback.core.vault import node_secret

log = structlog.stdlib.get_logger(__name__)

MAX_KEYS_PER_ACCOUNT = 100
USAGE_FLUSH_SECONDS = 60.0
"""How often the times of last use are written."""


@dataclass(frozen=True, slots=True)
class OwnerSetup:
    """What :meth:`AccountService.ensure_owner` found or made."""

    account_id: str
    new_key: str | None
    """The owner's first key, in full; only at the first start."""
    configured_key_unknown: bool
    """``RINGBACK_API_KEY`` is set, but the owner's keys were made earlier without it."""


@dataclass(frozen=True, slots=True)
class CreatedKey:
    record: ApiKey
    key: str


class AccountService:
    """Implements :class:`ringback.core.http.Authenticator`. Make it with :meth:`open`."""

    def __init__(self, database: Database, clock: Clock, pepper: bytes) -> None:
        self._database = database
        self._clock = clock
        self._pepper = pepper
        self._cache = KeyCache()
        self._used: dict[str, datetime] = {}
        self.failures = FailureLimiter()

    @classmethod
    async def open(cls, database: Database, clock: Clock) -> AccountService:
        """Raises ``StartupError`` when the secret keys do not fit the database."""
        return cls(database, clock, await node_secret(database, "api_key_pepper"))

    # ---- accounts ---------------------------------------------------------------------------

    async def ensure_owner(self, configured_key: str | None = None) -> OwnerSetup:
        """At the first start, make the owner account and its key (``configured_key`` if given)."""
        key = configured_key or keys.generate_key()
        try:
            async with self._database.session() as session:
                if await session.get(Account, OWNER_ACCOUNT_ID) is None:
                    now = self._clock.now()
                    session.add(Account(id=OWNER_ACCOUNT_ID, name="Owner", created_at=now))
                    await session.flush()
                    session.add(self._new_row(OWNER_ACCOUNT_ID, "First key", key))
                    await session.flush()
                    return OwnerSetup(OWNER_ACCOUNT_ID, key, configured_key_unknown=False)
        except IntegrityError:
            pass  # another node was faster
        unknown = configured_key is not None and await self._find(configured_key) is None
        return OwnerSetup(OWNER_ACCOUNT_ID, None, configured_key_unknown=unknown)

    async def create_account(self, name: str) -> Account:
        account = Account(id=new_id("acct"), name=name, created_at=self._clock.now())
        async with self._database.session() as session:
            session.add(account)
        return account

    async def get_account(self, account_id: str) -> Account:
        async with self._database.session() as session:
            account = await session.get(Account, account_id)
        if account is None:
            raise NotFound("There is no such account.", code="account_not_found")
        return account

    # ---- keys -------------------------------------------------------------------------------

    async def list_keys(self, account_id: str, page: PageRequest) -> Page[ApiKey]:
        await self.flush_usage()
        async with self._database.session() as session:
            statement = select(ApiKey).where(ApiKey.account_id == account_id)
            return await fetch_page(session, statement, ApiKey.id, page)

    async def create_key(self, account_id: str, name: str) -> CreatedKey:
        """Raises ``LimitReached`` beyond :data:`MAX_KEYS_PER_ACCOUNT`."""
        key = keys.generate_key()
        async with self._database.session() as session:
            count = await session.scalar(
                select(func.count()).select_from(ApiKey).where(ApiKey.account_id == account_id)
            )
            if (count or 0) >= MAX_KEYS_PER_ACCOUNT:
                raise LimitReached(
                    f"An account has at most {MAX_KEYS_PER_ACCOUNT} API keys.",
                    code="too_many_api_keys",
                    hint="Revoke one that is no longer used.",
                )
            record = self._new_row(account_id, name, key)
            session.add(record)
        return CreatedKey(record, key)

    async def revoke_key(self, account_id: str, key_id: str) -> None:
        """Takes effect at once. Raises ``NotFound``, and ``Conflict`` for the last key."""
        sibling = aliased(ApiKey)
        count = select(func.count(sibling.id)).where(sibling.account_id == account_id)
        async with self._database.session() as session:
            mine = (ApiKey.id == key_id, ApiKey.account_id == account_id)
            if not await session.scalar(select(exists().where(*mine))):
                raise NotFound("There is no such API key in this account.", code="key_not_found")
            gone = await session.execute(
                delete(ApiKey).where(*mine, count.scalar_subquery() > 1).returning(ApiKey.id)
            )
            if gone.first() is None:
                raise Conflict(
                    "This is the last API key of the account.",
                    code="last_api_key",
                    hint="Make another key first; this one can be revoked with it.",
                )
        self._cache.remove_key(key_id)
        self._used.pop(key_id, None)

    # ---- authentication ---------------------------------------------------------------------

    async def authenticate(self, key: str, source: str) -> Principal:
        """The caller behind ``key``. Raises ``Unauthenticated`` or ``LimitReached``."""
        now = self._clock.monotonic()
        digest = keys.digest(key, self._pepper)
        principal = self._cache.get(digest.full, now)
        if principal is None:
            if not self.failures.allows(source, now):
                raise LimitReached(
                    "Too many wrong API keys came from this address.",
                    code="too_many_wrong_keys",
                    hint="Wait a minute, and check the key.",
                )
            generation = self._cache.generation
            row = await self._find(key)
            if row is None:
                self.failures.failed(source, now)
                raise Unauthenticated(
                    "This API key is not valid.",
                    hint="Check that it is complete and has not been revoked.",
                )
            principal = Principal(account_id=row.account_id, key_id=row.id)
            self._cache.put(digest.full, principal, now, generation)
        self._used[principal.key_id] = self._clock.now()
        return principal

    async def _find(self, key: str) -> ApiKey | None:
        if not keys.plausible(key):
            return None
        digest = keys.digest(key, self._pepper)
        async with self._database.session() as session:
            rows = await session.scalars(select(ApiKey).where(ApiKey.lookup == digest.lookup))
            return next((row for row in rows if digest.matches(row.key_hash)), None)

    # ---- time of last use -------------------------------------------------------------------

    async def flush_usage(self) -> None:
        """Write when the keys were last used; what the database does not take now, next time."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            async with self._database.session() as session:
                for key_id, at in used.items():
                    await session.execute(
                        update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=at)
                    )
        except SQLAlchemyError as error:
            self._used = used | self._used
            log.warning("key_usage_not_written", keys=len(used), error=str(error))

    async def run(self) -> None:
        """Write the times of last use every :data:`USAGE_FLUSH_SECONDS`, until cancelled."""
        while True:
            await asyncio.sleep(USAGE_FLUSH_SECONDS)
            await self.flush_usage()

    def _new_row(self, account_id: str, name: str, key: str) -> ApiKey:
        digest = keys.digest(key, self._pepper)
        return ApiKey(
            id=new_id("key"),
            account_id=account_id,
            name=name,
            prefix=keys.visible_prefix(key),
            lookup=digest.lookup,
            key_hash=digest.full,
            created_at=self._clock.now(),
            last_used_at=None,
        )
