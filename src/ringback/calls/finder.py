"""Finding the live call that an operation is about, in the state that the operation needs."""

from __future__ import annotations

from ringback.calls.registry import Entry, Registry
from ringback.calls.states import CallState, Direction
from ringback.connectors.contract import Capability
from ringback.core.errors import Conflict, InvalidRequest, NotFound


class Finder:
    """Every method raises ``NotFound`` (``call_not_found``) for a call that is not the account's
    or, but for :meth:`known`, not live."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def known(self, account_id: str, call_id: str) -> Entry | None:
        """The call where this node still holds it, live or just over."""
        entry = self._registry.get(call_id)
        if entry is None or entry.account_id != account_id or entry.draft:
            return None
        return entry

    def live(self, account_id: str, call_id: str) -> Entry:
        entry = self.known(account_id, call_id)
        if entry is None or entry.call.final:
            raise not_found()
        return entry

    def ringing(self, account_id: str, call_id: str) -> Entry:
        """Raises ``Conflict`` for a call that is not inbound and ringing."""
        entry = self.live(account_id, call_id)
        inbound = entry.call.facts.direction is Direction.INBOUND
        if not inbound or entry.call.state is not CallState.RINGING:
            raise Conflict(
                f"Only an inbound call that rings can be accepted or refused; this one is "
                f"{entry.call.facts.direction.value} and {entry.call.state.value}.",
                code="call_not_ringing",
            )
        return entry

    def answered(self, account_id: str, call_id: str, capability: Capability) -> Entry:
        """Raises ``InvalidRequest`` where the call cannot do it, ``Conflict`` where not yet."""
        entry = self.live(account_id, call_id)
        require(entry, capability)
        if not entry.call.answered:
            raise Conflict(
                f"The call is {entry.call.state.value}, not answered yet.",
                code="call_not_active",
                hint="Wait for `call_state` to say `active`.",
            )
        return entry


def require(entry: Entry, capability: Capability) -> None:
    """Raises ``InvalidRequest`` (``capability_missing``) naming what the call can do."""
    if capability not in entry.call.facts.capabilities:
        able = ", ".join(sorted(entry.call.facts.capabilities))
        raise InvalidRequest(
            f"Calls on {entry.call.facts.platform} do not have the capability `{capability}`.",
            code="capability_missing",
            hint=f"This call has: {able}.",
        )


def not_found() -> NotFound:
    return NotFound(
        "Call not found: it does not exist, or it has ended.",
        code="call_not_found",
        hint="GET /api/calls lists the live calls.",
    )
