"""Telephony as the SIP connector asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringback.connectors.contract import DialRequest
from ringback.connectors.sip.directory import (
    InboundQuery,
    OutboundRoute,
    Refusal,
    Route,
    TrunkAccount,
)
from ringback.telephony.service import Telephony
from ringback.telephony.status import RegistrationStatus


class TrunkDirectory:
    """Implements :class:`ringback.connectors.sip.directory.SipDirectory` and
    :class:`ringback.connectors.sip.guard.Doorlist`."""

    def __init__(self, telephony: Telephony) -> None:
        self._telephony = telephony

    async def trunks(self) -> Sequence[TrunkAccount]:
        return self._telephony.enabled_trunks()

    def on_trunk_change(self, listener: Callable[[], None]) -> None:
        self._telephony.on_trunk_change(listener)

    async def route_inbound(self, query: InboundQuery) -> Route | Refusal:
        route = self._telephony.resolve_inbound(query)
        return self._telephony.admit_inbound(route) if isinstance(route, Route) else route

    async def route_outbound(self, request: DialRequest) -> OutboundRoute:
        return await self._telephony.reserve_outbound(
            request.account_id, request.target, request.caller_id, request.trunk_id
        )

    def is_trunk(self, host: str) -> bool:
        return self._telephony.is_trunk(host)

    def knows_token(self, token: str) -> bool:
        return self._telephony.knows_token(token)

    def has_number(self, query: InboundQuery) -> bool:
        route = self._telephony.resolve_inbound(query)
        return not isinstance(route, Refusal) or route.status != 404

    def is_open_to_all(self, user: str) -> bool:
        return self._telephony.is_open_to_all(user)

    def trunk_resolved(self, trunk_id: str, hosts: Sequence[str]) -> None:
        self._telephony.set_trunk_addresses(trunk_id, hosts)

    def registration_changed(
        self, trunk_id: str, status: str, reason: str, expires_in: float | None
    ) -> None:
        self._telephony.set_registration_status(
            trunk_id, RegistrationStatus(status), reason, expires_in
        )
