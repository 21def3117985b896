"""Whether a call may begin: the bounds that protect the node, the account and the agent."""

from __future__ import annotations

from ringback.calls.journal import Journal
from ringback.calls.metrics import CallMetrics
from ringback.calls.ports import AgentProfile
from ringback.calls.registry import Registry
from ringback.calls.states import Direction
from ringback.core.errors import LimitReached, RingbackError, Unavailable
from ringback.core.load import Shortage
from ringback.core.load_watch import LoadWatch

NODE_OVERLOADED = "node_overloaded"
_BUSY = {
    Shortage.CONTROL: "This node's processor has no room for another call.",
    Shortage.MEDIA: "No media process of this node has room for another call.",
    Shortage.RAMP: "This node has just begun as many calls as it has room for.",
}


class Admission:
    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        metrics: CallMetrics,
        max_calls: int,
        load: LoadWatch | None = None,
    ) -> None:
        if load is not None:
            load.follow(registry.counts)
        self._load = load
        self._registry = registry
        self._journal = journal
        self._metrics = metrics
        self.max_calls = max_calls
        """Calls that the node carries at once; also the bound of each account."""
        self.closed = False
        """The node is shutting down: no new call begins."""

    def check(
        self,
        direction: Direction,
        account_id: str,
        profile: AgentProfile | None = None,
        *,
        continues: bool = False,
    ) -> None:
        """``continues``: a call that lives goes on in this one, which no load keeps from beginning.
        Raises ``Unavailable`` or ``LimitReached``."""
        self._check_node()
        if not continues:
            self._check_load()
        if self._registry.live >= self.max_calls:
            raise LimitReached(
                f"Concurrent call limit reached: {self.max_calls} calls are live.",
                code="concurrent_call_limit",
                hint="End an active call first, or retry shortly.",
            )
        if profile is not None and profile.max_calls is not None:
            self._check_agent(profile, profile.max_calls)

    def takes_calls(self) -> bool:
        """Whether an inbound call is worth a look; one that is not counts as turned away."""
        try:
            self._check_node()
            self._check_load()
        except Unavailable as error:
            self.turned_away(Direction.INBOUND, error)
            return False
        return True

    def _check_load(self) -> None:
        shortage = self._load.shortage() if self._load is not None else None
        if shortage is not None:
            raise Unavailable(
                _BUSY[shortage],
                code=NODE_OVERLOADED,
                hint="Try again in a few seconds, or on another node.",
            )

    def _check_node(self) -> None:
        if self.closed:
            raise Unavailable(
                "This node is shutting down and takes no new calls.",
                code="shutting_down",
                hint="Try again in a few seconds, or on another node.",
            )
        if self._journal.overloaded:
            raise Unavailable(
                "The database cannot keep up, so that no new call can be recorded.",
                code="database_overloaded",
                hint="Try again in a minute. The node's log and /metrics say more.",
            )

    def _check_agent(self, profile: AgentProfile, limit: int) -> None:
        live = sum(
            entry.call.facts.agent_id == profile.agent_id and not entry.call.final
            for entry in self._registry
        )
        if live >= limit:
            raise LimitReached(
                f"The agent {profile.name or profile.agent_id} has {live} calls, its limit.",
                code="agent_call_limit",
                hint="End one of them first, or retry shortly.",
            )

    def turned_away(self, direction: Direction, error: RingbackError) -> None:
        self._metrics.turned_away(direction, error.code)
