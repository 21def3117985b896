"""Telephony as the rest of Ringback sees it: trunks, numbers, their status, and routing.

Routing reads memory only (:class:`~ringback.telephony.directory.Directory`); every change of a
table goes through here, so that it takes effect at once and without a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select

from ringback.agents.service import AgentRemoved
from ringback.connectors.sip.directory import (
    InboundQuery,
    OutboundRoute,
    Refusal,
    Route,
    TrunkAccount,
)
from ringback.core.bus import Bus
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.errors import InvalidRequest, NotFound
from ringback.telephony import routing
from ringback.telephony.destinations import Destination, classify
from ringback.telephony.directory import Directory, TrunkEntry
from ringback.telephony.models import PhoneNumber, Trunk
from ringback.telephony.number_schemas import (
    DidCreate,
    PhoneNumberCreate,
    PhoneNumberUpdate,
    SipTrunkConnect,
)
from ringback.telephony.outbound_limits import DialLimits, NodeLimits
from ringback.telephony.phone_numbers import PhoneNumberService
from ringback.telephony.routing import DemoLine, OutboundQuery
from ringback.telephony.schemas import TrunkCreate, TrunkUpdate
from ringback.telephony.status import (
    DISABLED,
    DOES_NOT_REGISTER,
    TRYING,
    RegistrationBoard,
    RegistrationStatus,
    TrunkStatus,
)
from ringback.telephony.trunks import Agents, TrunkService
from ringback.telephony.usage import UsageBook


class Telephony:
    """``trunks`` and ``numbers`` are the operations on each; every one takes an account.

    Make it, then :meth:`load` before calls are routed.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        agents: Agents,
        demo: DemoLine | None = None,
        limits: DialLimits | None = None,
    ) -> None:
        self.limits = limits or DialLimits(NodeLimits(), UsageBook(database), clock)
        self._database = database
        self._bus = bus
        self._demo = demo
        self._directory = Directory()
        self._listeners: list[Callable[[], None]] = []
        self._board = RegistrationBoard(clock, self._publish_status)
        self.trunks = TrunkService(
            database, clock, agents, self._trunk_changed, self._trunk_removed
        )
        self.numbers = PhoneNumberService(
            database, clock, agents, self.trunks, self._number_changed, self._number_removed
        )
        agents.on_removed(self._agent_removed)

    async def load(self) -> None:
        """Read all trunks and numbers into memory."""
        async with self._database.session() as session:
            trunks = await session.scalars(select(Trunk).order_by(Trunk.id))
            numbers = await session.scalars(select(PhoneNumber).order_by(PhoneNumber.id))
            self._directory.load(trunks.all(), numbers.all())

    # ---- status -----------------------------------------------------------------------------

    def status_of(self, trunk: Trunk) -> TrunkStatus:
        """What is known about the trunk's registration now."""
        if not trunk.enabled:
            return TrunkStatus(RegistrationStatus.UNKNOWN, DISABLED, trunk.updated_at)
        if trunk.mode != "registration":
            return TrunkStatus(RegistrationStatus.UNKNOWN, DOES_NOT_REGISTER, trunk.created_at)
        return self._board.get(trunk.id)

    def set_registration_status(
        self,
        trunk_id: str,
        status: RegistrationStatus,
        reason: str = "",
        expires_in: float | None = None,
    ) -> None:
        """Note how a trunk fares; a change is published as a ``registration`` event."""
        if trunk_id in self._directory.trunks:
            self._board.report(trunk_id, status, reason, expires_in)

    def _publish_status(self, trunk_id: str, status: TrunkStatus) -> None:
        trunk = self._directory.trunks.get(trunk_id)
        if trunk is None:
            return
        self._bus.publish(
            trunk.account_id,
            {
                "type": "registration",
                "trunk_id": trunk_id,
                "name": trunk.name,
                "status": status.status.value,
                "reason": status.reason,
                "since": _iso(status.since),
                "expires_in": status.expires_in,
            },
        )

    # ---- /api/sip/trunk: the account's first trunk ------------------------------------------

    async def sip_trunk(self, account_id: str) -> Trunk:
        """Raises ``NotFound`` (``no_sip_trunk``)."""
        trunk = await self.trunks.first(account_id)
        if trunk is None:
            raise NotFound(
                "No SIP trunk is connected.",
                code="no_sip_trunk",
                hint="Connect one with POST /api/sip/trunk.",
            )
        return trunk

    async def connect_sip_trunk(self, account_id: str, values: SipTrunkConnect) -> Trunk:
        """Make the account's first trunk, or give it these values."""
        wanted = {
            "mode": "registration",
            "host": values.sip_host,
            "port": values.sip_port,
            "username": values.sip_username,
            "password": values.sip_password,
            "realm": values.sip_realm,
            "caller_id": values.sip_caller_id,
            "enabled": True,
        }
        trunk = await self.trunks.first(account_id)
        if trunk is None:
            named = {"name": "SIP trunk", **wanted}
            return await self.trunks.create(account_id, TrunkCreate.model_validate(named))
        return await self.trunks.update(account_id, trunk.id, TrunkUpdate.model_validate(wanted))

    async def disconnect_sip_trunk(self, account_id: str) -> None:
        """Delete the first trunk and release its DIDs."""
        trunk = await self.sip_trunk(account_id)
        await self.trunks.delete(account_id, trunk.id, with_numbers=True)

    async def add_did(self, account_id: str, values: DidCreate) -> PhoneNumber:
        trunk = await self.sip_trunk(account_id)
        return await self.numbers.create(
            account_id,
            PhoneNumberCreate(
                number=values.number,
                label=values.label,
                auto_answer=values.auto_answer,
                trunk_id=trunk.id,
            ),
        )

    async def dids(self, account_id: str, trunk: Trunk) -> list[PhoneNumber]:
        return await self.numbers.of_trunk(account_id, trunk.id)

    async def set_did(self, account_id: str, did_id: str, auto_answer: bool) -> PhoneNumber:
        return await self.numbers.update(
            account_id, did_id, PhoneNumberUpdate(auto_answer=auto_answer)
        )

    # ---- routing ----------------------------------------------------------------------------

    def enabled_trunks(self) -> list[TrunkAccount]:
        """Every enabled trunk of every account, with its secrets in clear."""
        return [entry.account for entry in self._directory.trunks.values()]

    def on_trunk_change(self, listener: Callable[[], None]) -> None:
        """``listener`` is called on the event loop after trunks were added, edited or removed."""
        self._listeners.append(listener)

    def is_trunk(self, host: str) -> bool:
        """Whether a trunk of anybody calls from this IP address, or has its server there."""
        return routing.is_trunk_source(host, self._directory)

    def knows_token(self, token: str) -> bool:
        """Whether it is that of a contact which an enabled trunk registers."""
        return self._directory.trunk_with_token(token) is not None

    def is_open_to_all(self, user: str) -> bool:
        """Whether strangers may call this user: the demo agent."""
        return self._demo is not None and user.lower() == routing.DEMO_USER

    def resolve_inbound(self, query: InboundQuery) -> Route | Refusal:
        """Whose call it is, or why it may not come in."""
        return routing.route_inbound(query, self._directory, self._demo)

    def pick_outbound(
        self,
        account_id: str,
        target: str,
        caller_id: str | None = None,
        trunk_id: str | None = None,
    ) -> OutboundRoute:
        """Which trunk carries a call. Raises ``NotConfigured`` and ``InvalidRequest``."""
        return routing.route_outbound(
            OutboundQuery(account_id, target, caller_id, trunk_id),
            self._directory,
            self._had_better_not,
        )

    async def reserve_outbound(
        self,
        account_id: str,
        target: str,
        caller_id: str | None = None,
        trunk_id: str | None = None,
    ) -> OutboundRoute:
        """:meth:`pick_outbound`, with a lease on the trunk. Raises ``Forbidden`` and
        ``LimitReached``, too; what ``trunk_id`` may not call is forbidden at any host."""
        try:
            route = self.pick_outbound(account_id, target, caller_id, trunk_id)
        except InvalidRequest as error:
            if error.code == "no_trunk_for_host":
                self._check_elsewhere(account_id, target, trunk_id)
            raise
        trunk = self._directory.trunks[route.trunk.id]
        lease = await self.limits.reserve(trunk, _destination(target, trunk))
        return replace(route, lease=lease)

    def _check_elsewhere(self, account_id: str, target: str, trunk_id: str | None) -> None:
        """A far end that is sent to another host may well dial what our trunk would have."""
        trunk = self._directory.trunks.get(trunk_id or "")
        if trunk is not None and trunk.account_id == account_id:
            self.limits.check(trunk, _destination(target, trunk))

    def admit_inbound(self, route: Route) -> Route | Refusal:
        """``route`` with a lease on its trunk, or 503 if the trunk has as many calls as it may."""
        trunk = self._directory.trunks.get(route.trunk_id or "")
        if trunk is None:
            return route
        lease = self.limits.reserve_inbound(trunk)
        if lease is None:
            return Refusal(503, "Service Unavailable", f"trunk {trunk.id} has its limit of calls")
        return replace(route, lease=lease)

    def _had_better_not(self, trunk_id: str) -> bool:
        """Whether another trunk should carry the call, if there is one."""
        trunk = self._directory.trunks.get(trunk_id)
        return self._board.is_down(trunk_id) or (trunk is not None and self.limits.is_full(trunk))

    def set_trunk_addresses(self, trunk_id: str, hosts: Sequence[str]) -> None:
        """The IP addresses behind a trunk's host name, as last resolved."""
        self._directory.set_addresses(trunk_id, hosts)

    # ---- keeping in step --------------------------------------------------------------------

    def _trunk_changed(self, trunk: Trunk) -> None:
        before = self._directory.trunks.get(trunk.id)
        self._directory.put_trunk(trunk)
        after = self._directory.trunks.get(trunk.id)
        if after is None:
            self._board.forget(trunk.id)
        elif before is None or before.account != after.account:
            self._board.forget(trunk.id)
            if after.account.registers:
                self._board.report(trunk.id, RegistrationStatus.UNKNOWN, TRYING)
        self._tell()

    def _trunk_removed(self, trunk: Trunk, numbers: list[str]) -> None:
        self._board.forget(trunk.id)
        self._directory.remove_trunk(trunk.id)
        for number_id in numbers:
            self._directory.remove_number(number_id)
        self._directory.detach_numbers(trunk.id)
        self._tell()

    def _number_changed(self, number: PhoneNumber) -> None:
        self._directory.put_number(number)

    def _number_removed(self, number: PhoneNumber) -> None:
        self._directory.remove_number(number.id)

    def _agent_removed(self, event: AgentRemoved) -> None:
        self._directory.forget_agent(event.agent_id)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _destination(target: str, trunk: TrunkEntry) -> Destination:
    return classify(routing.dialled_text(target), trunk.region)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None
