"""Agents as calls see them."""

from __future__ import annotations

from collections.abc import Callable

from ringback.agents.models import DEMO_AGENT_ID, Agent
from ringback.agents.service import AgentService, voice_settings
from ringback.calls.ports import AgentProfile
from ringback.core.errors import NotConfigured
from ringback.media.plane import VoiceSpec

HOSTED = "hosted"


class AgentProfiles:
    """Implements :class:`ringback.calls.ports.Agents`.

    ``hosted_ready`` says whether this node can listen and speak by itself; ``demo_max_calls`` is
    how many calls the built-in agent takes at once.
    """

    def __init__(
        self, agents: AgentService, hosted_ready: Callable[[], bool], demo_max_calls: int
    ) -> None:
        self._agents = agents
        self._hosted_ready = hosted_ready
        self._demo_max_calls = demo_max_calls

    async def profile(self, account_id: str, agent_id: str) -> AgentProfile:
        agent = await self._agents.get(account_id, agent_id)
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
