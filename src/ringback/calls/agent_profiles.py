"""Agents as calls see them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ringback.agents.models import DEMO_AGENT_ID, Agent
from ringback.agents.service import AgentService, voice_settings
from ringback.calls.ports import AgentProfile
from ringback.core.errors import NotConfigured, NotFound
from ringback.media.plane import VoiceSpec

HOSTED = "hosted"
MAX_KEPT = 10_000
"""Agents kept in memory; the one that was used least recently goes first."""


class AgentProfiles:
    """Implements :class:`ringback.calls.ports.Agents`.

    ``hosted_ready`` says whether this node can listen and speak by itself; ``demo_max_calls`` is
    how many calls the built-in agent takes at once.

    Agents are kept in memory, so that no call waits for the database, or needs it: it may be
    stopped while people call. A change of an agent counts from the next call on.
    """

    def __init__(
        self,
        agents: AgentService,
        hosted_ready: Callable[[], bool],
        demo_max_calls: int,
        max_kept: int = MAX_KEPT,
    ) -> None:
        self._agents = agents
        self._hosted_ready = hosted_ready
        self._demo_max_calls = demo_max_calls
        self._max_kept = max_kept
        self._kept: OrderedDict[str, Agent] = OrderedDict()
        self._changes = 0
        agents.on_changed(self._forget)

    async def load(self) -> None:
        """Get to know the agents before the first call comes."""
        for agent in await self._agents.all(self._max_kept):
            self._keep(agent)

    async def profile(self, account_id: str, agent_id: str) -> AgentProfile:
        agent = self._kept.get(agent_id)
        if agent is None:
            agent = await self._read(account_id, agent_id)
        else:
            self._kept.move_to_end(agent_id)
        if agent.account_id != account_id:
            raise NotFound("There is no such agent in this account.", code="agent_not_found")
        return self._profile(agent)

    async def _read(self, account_id: str, agent_id: str) -> Agent:
        changes = self._changes
        agent = await self._agents.get(account_id, agent_id)
        if changes == self._changes:  # else it may be what it was before
            self._keep(agent)
        return agent

    def _keep(self, agent: Agent) -> None:
        self._kept[agent.id] = agent
        if len(self._kept) > self._max_kept:
            self._kept.popitem(last=False)

    def _forget(self, agent_id: str) -> None:
        self._changes += 1
        self._kept.pop(agent_id, None)

    def _profile(self, agent: Agent) -> AgentProfile:
        hosted = agent.mode == HOSTED
        if hosted and not self._hosted_ready():
            raise NotConfigured(
                f"The agent {agent.name} is hosted, but this node has no voice.",
                code="voice_not_configured",
                hint='Install one: pip install "ringback[local-voice]".',
            )
        return AgentProfile(
            agent_id=agent.id,
            name=agent.name,
            voice=VoiceSpec(agent.id, voice_settings(agent)) if hosted else None,
            mouth=_mouth(agent),
            inbound=agent.inbound,
            max_seconds=agent.max_duration,
            max_calls=self._demo_max_calls if agent.id == DEMO_AGENT_ID else None,
        )


def _mouth(agent: Agent) -> VoiceSpec:
    """The agent's voice without its ears: it says what it is told to, and nothing else."""
    return VoiceSpec(agent.id, {**voice_settings(agent), "listen": False, "greeting": ""})
