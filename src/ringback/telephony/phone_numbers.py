"""Phone numbers: the operations on the table. ``Telephony`` tells the rest of the node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.errors import Conflict, InvalidRequest, LimitReached, NotFound
from ringback.core.ids import new_id
from ringback.core.paging import Page, PageRequest, fetch_page
from ringback.telephony.models import PhoneNumber, Trunk
from ringback.telephony.number_schemas import (
    PhoneNumberCreate,
    PhoneNumberUpdate,
    SipFields,
)
from ringback.telephony.schemas import TrunkCreate, TrunkUpdate
from ringback.telephony.trunks import Agents, TrunkService

MAX_NUMBERS_PER_ACCOUNT = 10_000


class PhoneNumberService:
    """``changed`` and ``removed`` are called after the transaction is over."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        agents: Agents,
        trunks: TrunkService,
        changed: Callable[[PhoneNumber], None],
        removed: Callable[[PhoneNumber], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._agents = agents
        self._trunks = trunks
        self._changed = changed
        self._removed = removed

    async def page(self, account_id: str, request: PageRequest) -> Page[PhoneNumber]:
        async with self._database.session() as session:
            statement = select(PhoneNumber).where(PhoneNumber.account_id == account_id)
            return await fetch_page(session, statement, PhoneNumber.id, request)

    async def of_trunk(self, account_id: str, trunk_id: str) -> list[PhoneNumber]:
        """Oldest first; at most :data:`MAX_NUMBERS_PER_ACCOUNT`."""
        async with self._database.session() as session:
            rows = await session.scalars(
                select(PhoneNumber)
                .where(PhoneNumber.account_id == account_id, PhoneNumber.trunk_id == trunk_id)
                .order_by(PhoneNumber.id)
            )
            return list(rows)

    async def get(self, account_id: str, number_id: str) -> PhoneNumber:
        """Raises ``NotFound``."""
        async with self._database.session() as session:
            return await self._mine(session, account_id, number_id)

    async def create(self, account_id: str, values: PhoneNumberCreate) -> PhoneNumber:
        """Add a number. SIP fields in ``values`` make its trunk, or update the one that is
        already this SIP account.

        Raises ``Conflict`` (``number_exists``) and ``InvalidRequest``.
        """
        hosted = await self._is_hosted(account_id, values.agent_id)
        await self._check_trunk(account_id, values.trunk_id)
        await self._refuse_duplicate(account_id, values.number)
        trunk_id = values.trunk_id
        if values.trunk_fields_set():
            trunk_id = (await self._inline_trunk(account_id, values)).id
        now = self._clock.now()
        number = PhoneNumber(
            id=new_id("num"),
            account_id=account_id,
            number=values.number,
            label=values.label,
            provider=values.provider,
            trunk_id=trunk_id,
            agent_id=values.agent_id,
            auto_answer=hosted if values.auto_answer is None else values.auto_answer,
            extra=values.metadata,
            created_at=now,
            updated_at=now,
        )
        try:
            async with self._database.session() as session:
                await self._refuse_too_many(session, account_id)
                session.add(number)
        except IntegrityError:
            await self._refuse_duplicate(account_id, values.number)
            raise
        self._changed(number)
        return number

    async def update(
        self, account_id: str, number_id: str, patch: PhoneNumberUpdate
    ) -> PhoneNumber:
        """Change the fields that ``patch`` was sent."""
        sent = patch.model_fields_set
        hosted = await self._is_hosted(account_id, patch.agent_id)
        await self._check_trunk(account_id, patch.trunk_id)
        async with self._database.session() as session:
            number = await self._mine(session, account_id, number_id)
            for field in sent:
                setattr(number, "extra" if field == "metadata" else field, getattr(patch, field))
            if hosted and "auto_answer" not in sent:
                number.auto_answer = True
            number.updated_at = self._clock.now()
        self._changed(number)
        return number

    async def delete(self, account_id: str, number_id: str) -> None:
        """Calls to it are refused from now on. A trunk that was made for it alone goes too."""
        orphan: str | None = None
        async with self._database.session() as session:
            number = await self._mine(session, account_id, number_id)
            await session.delete(number)
            await session.flush()
            if number.trunk_id is not None and await _is_orphan(session, number.trunk_id):
                orphan = number.trunk_id
        self._removed(number)
        if orphan is not None:
            await self._trunks.delete(account_id, orphan)

    async def _mine(self, session: AsyncSession, account_id: str, number_id: str) -> PhoneNumber:
        number = await session.get(PhoneNumber, number_id)
        if number is None or number.account_id != account_id:
            raise NotFound(
                "There is no such phone number in this account.",
                code="number_not_found",
                hint="List the numbers with GET /api/phone-numbers.",
            )
        return number

    async def _is_hosted(self, account_id: str, agent_id: str | None) -> bool:
        """Whether the agent talks by itself, so that nobody need accept its calls."""
        if agent_id is None:
            return False
        return (await self._agents.require(account_id, agent_id)).mode == "hosted"

    async def _check_trunk(self, account_id: str, trunk_id: str | None) -> None:
        if trunk_id is not None:
            try:
                await self._trunks.get(account_id, trunk_id)
            except NotFound:
                raise InvalidRequest(
                    "`trunk_id` is not a trunk of this account.",
                    code="trunk_not_found",
                    hint="List the trunks with GET /api/trunks.",
                    field="trunk_id",
                ) from None

    async def _refuse_duplicate(self, account_id: str, number: str) -> None:
        async with self._database.session() as session:
            same = (PhoneNumber.account_id == account_id, PhoneNumber.number == number)
            if await session.scalar(select(exists().where(*same))):
                raise _number_exists(number)

    async def _refuse_too_many(self, session: AsyncSession, account_id: str) -> None:
        count = await session.scalar(
            select(func.count(PhoneNumber.id)).where(PhoneNumber.account_id == account_id)
        )
        if (count or 0) >= MAX_NUMBERS_PER_ACCOUNT:
            raise LimitReached(
                f"An account has at most {MAX_NUMBERS_PER_ACCOUNT} phone numbers.",
                code="too_many_numbers",
                hint="Delete one that is no longer used.",
            )

    async def _inline_trunk(self, account_id: str, values: PhoneNumberCreate) -> Trunk:
        if values.trunk_id is not None:
            raise InvalidRequest(
                "`trunk_id` and the SIP fields exclude each other.",
                hint="Name a trunk that exists, or describe one in the sip_ fields.",
                field="trunk_id",
            )
        fields = trunk_fields(values)
        existing = await self._trunks.find(
            account_id, fields["mode"], fields.get("host"), fields.get("username")
        )
        if existing is not None:
            return await self._trunks.update(
                account_id, existing.id, TrunkUpdate.model_validate(fields)
            )
        name = values.label or values.number
        return await self._trunks.create(
            account_id,
            TrunkCreate.model_validate({"name": name, **fields}),
            made_for_number=True,
        )


def trunk_fields(values: SipFields) -> dict[str, Any]:
    """The trunk that the SIP fields of a number describe, by the trunk's own field names."""
    mode = values.sip_mode or ("ip_allowlist" if values.sip_ip else "registration")
    named = {
        "host": values.sip_ip if mode == "ip_allowlist" else values.sip_proxy,
        "port": values.sip_port,
        "transport": values.sip_protocol,
        "username": values.sip_username,
        "password": values.sip_password,
        "auth_username": values.sip_auth_user,
        "outbound_proxy": values.sip_outbound_proxy,
    }
    required = ("host",) if mode == "ip_allowlist" else ("host", "username", "password")
    public = {
        "host": "sip_ip" if mode == "ip_allowlist" else "sip_proxy",
        "username": "sip_username",
        "password": "sip_password",
    }
    for name in required:
        if named[name] is None:
            raise InvalidRequest(
                f"`{public[name]}` is required for a number in sip_mode {mode}.",
                field=public[name],
            )
    return {"mode": mode, **{name: value for name, value in named.items() if value is not None}}


async def _is_orphan(session: AsyncSession, trunk_id: str) -> bool:
    trunk = await session.get(Trunk, trunk_id)
    if trunk is None or not trunk.made_for_number:
        return False
    return not await session.scalar(select(exists().where(PhoneNumber.trunk_id == trunk_id)))


def _number_exists(number: str) -> Conflict:
    return Conflict(
        f"The number {number} is in this account already.",
        code="number_exists",
        hint="Change it with PATCH /api/phone-numbers/{id}.",
        field="number",
    )
