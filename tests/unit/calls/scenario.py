"""How the tests of calls are run: one scenario over the fakes and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from ringback.calls.assembly import CallLimits
from ringback.calls.dialler import PlaceCall
from ringback.calls.ports import AgentProfile
from unit.calls.fakes import ACCOUNT, LIMITS, CallLab, call_lab

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


async def turns(count: int = 8) -> None:
    """Let the event loop turn a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def placed_call(lab: CallLab) -> str:
    """An outbound call that is answered."""
    call_id = (await lab.control.service.place(ACCOUNT, DIAL)).call.call_id
    lab.control.service.sink.leg_answered(call_id)
    return call_id
