"""What calls need from other features, in the fewest words. ``app.py`` supplies it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ringback.connectors.contract import CallConnector
from ringback.media.plane import VoiceSpec


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform whose calls this node carries. ``sample_rate`` is that of its audio, in Hz."""

    connector: CallConnector
    sample_rate: int


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What a call must know about the agent that takes it."""

    agent_id: str
    name: str
    voice: VoiceSpec | None = None
    """The hosted pipeline to run; ``None`` for an agent outside (on the call WebSocket)."""
    mouth: VoiceSpec | None = None
    """What speaks for an agent outside when it asks Ringback to ``say`` something."""
    inbound: bool = True
    """Whether it takes calls that come in."""
    records: bool = True
    max_seconds: float | None = None
    max_calls: int | None = None
    """Calls that the agent takes at once; ``None`` for no limit of its own."""


class Agents(Protocol):
    async def profile(self, account_id: str, agent_id: str) -> AgentProfile:
        """Raises ``NotFound`` for an agent that the account does not have, ``NotConfigured`` for
        one that cannot take calls as it is."""
        ...
