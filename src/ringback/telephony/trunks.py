"""Trunks: the operations on the table. ``Telephony`` tells the rest of the node."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

from pydantic import SecretStr
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ringback.agents.models import Agent
from ringback.agents.service import AgentRemoved
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.errors import InvalidRequest, LimitReached, NotFound
from ringback.core.http import merged
from ringback.core.ids import new_id
from ringback.core.paging import Page, PageRequest, fetch_page
from ringback.core.secrets import MASK
from ringback.telephony.limit_schemas import TrunkLimits
from ringback.telephony.models import PhoneNumber, Trunk
from ringback.telephony.presets import PRESETS
from ringback.telephony.schemas import TrunkCreate, TrunkUpdate

MAX_TRUNKS_PER_ACCOUNT = 100

_SECRETS = ("password", "auth_username")


class Agents(Protocol):
    """What telephony needs of the agents."""

    async def require(self, account_id: str, agent_id: str) -> Agent:
        """The agent that a request names. Raises ``InvalidRequest`` for one that is none."""
        ...

    def on_removed(self, listener: Callable[[AgentRemoved], None]) -> None: ...


class TrunkService:
    """``changed`` and ``removed`` are called after the transaction is over."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        agents: Agents,
        changed: Callable[[Trunk], None],
        removed: Callable[[Trunk, list[str]], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._agents = agents
        self._changed = changed
        self._removed = removed

    async def page(self, account_id: str, request: PageRequest) -> Page[Trunk]:
        async with self._database.session() as session:
            statement = select(Trunk).where(Trunk.account_id == account_id)
            return await fetch_page(session, statement, Trunk.id, request)

    async def get(self, account_id: str, trunk_id: str) -> Trunk:
        """Raises ``NotFound``."""
        async with self._database.session() as session:
            return await self._mine(session, account_id, trunk_id)

    async def first(self, account_id: str) -> Trunk | None:
        """The account's oldest trunk: the one that ``/api/sip/trunk`` is about."""
        async with self._database.session() as session:
            mine = select(Trunk).where(Trunk.account_id == account_id).order_by(Trunk.id)
            return await session.scalar(mine.limit(1))

    async def find(
        self, account_id: str, mode: str, host: str | None, username: str | None
    ) -> Trunk | None:
        """The trunk that already is this SIP account."""
        async with self._database.session() as session:
            same = select(Trunk).where(
                Trunk.account_id == account_id,
                Trunk.mode == mode,
                Trunk.host == host,
                Trunk.username == username,
            )
            return await session.scalar(same.order_by(Trunk.id).limit(1))

    async def create(
        self, account_id: str, values: TrunkCreate, *, made_for_number: bool = False
    ) -> Trunk:
        """Raises ``InvalidRequest`` for fields that do not go together or an agent that is none."""
        values = with_preset(values)
        await self._check(account_id, values)
        now = self._clock.now()
        trunk = Trunk(
            id=new_id("trunk"),
            account_id=account_id,
            contact_token=secrets.token_hex(12),
            made_for_number=made_for_number,
            created_at=now,
            updated_at=now,
        )
        _store(trunk, values)
        async with self._database.session() as session:
            count = await session.scalar(
                select(func.count(Trunk.id)).where(Trunk.account_id == account_id)
            )
            if (count or 0) >= MAX_TRUNKS_PER_ACCOUNT:
                raise LimitReached(
                    f"An account has at most {MAX_TRUNKS_PER_ACCOUNT} trunks.",
                    code="too_many_trunks",
                    hint="Delete one that is no longer used.",
                )
            session.add(trunk)
        self._changed(trunk)
        return trunk

    async def update(self, account_id: str, trunk_id: str, patch: TrunkUpdate) -> Trunk:
        """Change the fields that ``patch`` was sent. Takes effect at once; live calls go on."""
        async with self._database.session() as session:
            trunk = await self._mine(session, account_id, trunk_id, for_update=True)
            values = merged(TrunkCreate, _as_values(trunk), _as_sent(patch, trunk))
            await self._check(account_id, values, trunk)
            _store(trunk, values)
            trunk.updated_at = self._clock.now()
        self._changed(trunk)
        return trunk

    async def delete(self, account_id: str, trunk_id: str, *, with_numbers: bool = False) -> None:
        """Its numbers stay, without a trunk; or go too, ``with_numbers``."""
        gone: list[str] = []
        async with self._database.session() as session:
            trunk = await self._mine(session, account_id, trunk_id)
            if with_numbers:
                rows = await session.scalars(
                    delete(PhoneNumber)
                    .where(PhoneNumber.trunk_id == trunk_id, PhoneNumber.account_id == account_id)
                    .returning(PhoneNumber.id)
                )
                gone = list(rows)
            await session.delete(trunk)
        self._removed(trunk, gone)

    async def _mine(
        self, session: AsyncSession, account_id: str, trunk_id: str, *, for_update: bool = False
    ) -> Trunk:
        trunk = await session.get(Trunk, trunk_id, with_for_update=for_update or None)
        if trunk is None or trunk.account_id != account_id:
            raise NotFound(
                "There is no such trunk in this account.",
                code="trunk_not_found",
                hint="List the trunks with GET /api/trunks.",
            )
        return trunk

    async def _check(
        self, account_id: str, values: TrunkCreate, before: Trunk | None = None
    ) -> None:
        check_together(values)
        known = before.agent_id if before is not None else None
        if values.agent_id is not None and values.agent_id != known:
            await self._agents.require(account_id, values.agent_id)


def with_preset(values: TrunkCreate) -> TrunkCreate:
    """``values`` with what was not sent taken from the provider's preset."""
    preset = next(preset for preset in PRESETS if preset.id == values.provider)
    facts: dict[str, Any] = {
        "mode": preset.mode,
        "host": preset.host or None,
        "port": preset.port,
        "realm": preset.realm,
        "dial_format": preset.dial_format,
        "codecs": list(preset.codecs),
    }
    if "transport" in values.model_fields_set and values.transport == "tls":
        facts["port"] = None
    sent = values.model_fields_set
    return values.model_copy(update={k: v for k, v in facts.items() if k not in sent})


def check_together(values: TrunkCreate) -> None:
    """The rules between fields. Raises ``InvalidRequest`` naming the field and the remedy."""
    if values.mode == "registration":
        for field, why in (
            ("host", "the SIP server to register at"),
            ("username", "the SIP user name that the provider gave out"),
            ("password", "the SIP password that goes with the user name"),
        ):
            if getattr(values, field) is None:
                raise InvalidRequest(
                    f"`{field}` is required in registration mode: {why}.",
                    hint="If the provider knows you by your address instead, set mode to "
                    "ip_allowlist.",
                    field=field,
                )
    elif values.host is None and not values.allowed_ips:
        raise InvalidRequest(
            "`host` is required in ip_allowlist mode: the address of your PBX or provider.",
            hint="For inbound calls only, `allowed_ips` alone will do.",
            field="host",
        )


_FIELDS = tuple(TrunkCreate.model_fields)


def _store(trunk: Trunk, values: TrunkCreate) -> None:
    for name in _FIELDS:
        value = getattr(values, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, TrunkLimits):
            value = value.model_dump(mode="json")
        setattr(trunk, name, value)
    trunk.dial_format = values.dial_format.value


def _as_values(trunk: Trunk) -> dict[str, Any]:
    """``trunk`` as the request that would make it."""
    return {name: getattr(trunk, name) for name in _FIELDS}


def _as_sent(patch: TrunkUpdate, trunk: Trunk) -> TrunkUpdate:
    """``patch`` without the secrets that it merely sends back as they were shown, and with the
    limits that it does not name as they are."""
    sent = patch.model_dump(exclude_unset=True)
    for name in _SECRETS:
        value = sent.get(name)
        if isinstance(value, SecretStr) and value.get_secret_value() == MASK:
            del sent[name]
    if "limits" in sent:
        sent["limits"] = {**(trunk.limits or {}), **sent["limits"]}
    return TrunkUpdate.model_validate(sent)
