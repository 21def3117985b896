from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ringback.accounts.models import Account
from ringback.agents.models import DEMO_AGENT_ID
from ringback.agents.schemas import AgentCreate, AgentUpdate
from ringback.agents.service import AgentService
from ringback.calls.agent_profiles import AgentProfiles
from ringback.core.errors import NotConfigured, NotFound
from unit.calls.fakes import ACCOUNT, FakeTime, open_database


def run(folder: Path, body: Callable[[AgentService], Awaitable[None]]) -> None:
    async def main() -> None:
        database = await open_database(folder)
        time = FakeTime()
        async with database.session() as session:
            session.add(Account(id=ACCOUNT, name="Test", created_at=time.now()))
        try:
            await body(AgentService(database, time))
        finally:
            await database.dispose()

    asyncio.run(main())


def test_a_hosted_agent_brings_its_voice(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        values = AgentCreate(name="Host", mode="hosted", greeting="Hello!", max_duration=90)
        agent = await agents.create(ACCOUNT, values)
        profile = await AgentProfiles(agents, lambda: True, 5).profile(ACCOUNT, agent.id)
        assert profile.voice is not None
        assert profile.voice.settings["greeting"] == "Hello!"
        assert (profile.name, profile.max_seconds, profile.max_calls) == ("Host", 90, None)

    run(tmp_path, body)


def test_an_outside_agent_brings_only_a_mouth(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        agent = await agents.create(ACCOUNT, AgentCreate(name="Out", greeting="Hi", inbound=False))
        profile = await AgentProfiles(agents, lambda: False, 5).profile(ACCOUNT, agent.id)
        assert profile.voice is None
        assert profile.mouth is not None
        assert profile.mouth.settings["listen"] is False
        assert profile.mouth.settings["greeting"] == ""
        assert profile.inbound is False

    run(tmp_path, body)


def test_a_hosted_agent_on_a_node_without_a_voice_takes_no_calls(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        agent = await agents.create(ACCOUNT, AgentCreate(name="Host", mode="hosted"))
        with pytest.raises(NotConfigured, match="no voice"):
            await AgentProfiles(agents, lambda: False, 5).profile(ACCOUNT, agent.id)

    run(tmp_path, body)


def test_the_demo_agent_is_limited(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        await agents.ensure_demo_agent(ACCOUNT)
        profile = await AgentProfiles(agents, lambda: True, 5).profile(ACCOUNT, DEMO_AGENT_ID)
        assert profile.max_calls == 5

    run(tmp_path, body)


def test_another_accounts_agent_is_not_found(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        agent = await agents.create(ACCOUNT, AgentCreate(name="Host"))
        with pytest.raises(NotFound):
            await AgentProfiles(agents, lambda: True, 5).profile("acct_other", agent.id)

    run(tmp_path, body)


def test_a_known_agent_takes_calls_while_the_database_is_stopped(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        loaded = await agents.create(ACCOUNT, AgentCreate(name="Loaded"))
        profiles = AgentProfiles(agents, lambda: True, 5)
        await profiles.load()
        used = await agents.create(ACCOUNT, AgentCreate(name="Used"))
        await profiles.profile(ACCOUNT, used.id)
        agents._database = Stopped()  # type: ignore[assignment]
        for agent in (loaded, used):
            assert (await profiles.profile(ACCOUNT, agent.id)).name == agent.name
        with pytest.raises(NotFound):
            await profiles.profile("acct_other", loaded.id)
        with pytest.raises(OSError, match="stopped"):
            await profiles.profile(ACCOUNT, "agent_unknown")

    run(tmp_path, body)


def test_a_change_of_an_agent_counts_from_the_next_call_on(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        agent = await agents.create(ACCOUNT, AgentCreate(name="Old"))
        profiles = AgentProfiles(agents, lambda: True, 5)
        assert (await profiles.profile(ACCOUNT, agent.id)).name == "Old"
        await agents.update(ACCOUNT, agent.id, AgentUpdate(name="New"))
        assert (await profiles.profile(ACCOUNT, agent.id)).name == "New"
        await agents.delete(ACCOUNT, agent.id)
        with pytest.raises(NotFound):
            await profiles.profile(ACCOUNT, agent.id)

    run(tmp_path, body)


def test_only_so_many_agents_are_kept(tmp_path: Path) -> None:
    async def body(agents: AgentService) -> None:
        made = [await agents.create(ACCOUNT, AgentCreate(name=name)) for name in "ABC"]
        profiles = AgentProfiles(agents, lambda: True, 5, max_kept=2)
        for agent in (made[0], made[1], made[0], made[2]):
            await profiles.profile(ACCOUNT, agent.id)
        agents._database = Stopped()  # type: ignore[assignment]
        for agent in (made[0], made[2]):
            await profiles.profile(ACCOUNT, agent.id)
        with pytest.raises(OSError, match="stopped"):
            await profiles.profile(ACCOUNT, made[1].id)

    run(tmp_path, body)


class Stopped:
    def session(self) -> object:
        raise OSError("the database is stopped")
