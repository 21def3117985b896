"""How the tests of calls are run: one scenario over the fakes and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from ringback.calls.assembly import CallLimits
from ringback.calls.dialler import PlaceCall
from ringback.calls.ports import AgentProfile
from unit.calls.fakes import LIMITS, CallLab, call_lab

Scenario = Callable[[CallLab], Awaitable[None]]
DIAL = PlaceCall("sip", "sip:+33612345678@sip.example.com")


def run(
    folder: Path, scenario: Scenario, *agents: AgentProfile, limits: CallLimits = LIMITS
) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), call_lab(folder, *agents, limits=limits) as lab:
            await scenario(lab)

    asyncio.run(bounded())


async def active_call(lab: CallLab, agent_id: str | None = None) -> str:
    leg = await lab.connector.call_in(auto_answer=True, agent_id=agent_id)
    await lab.settle()
    return leg.call_id
