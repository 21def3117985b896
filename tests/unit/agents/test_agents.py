"""Agents over a real database and the real routes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringback.accounts.models import OWNER_ACCOUNT_ID
from ringback.agents import service as agent_service
from ringback.agents.models import DEMO_AGENT_ID
from ringback.agents.service import AgentRemoved, voice_settings
from ringback.core.errors import InvalidRequest
from ringback.core.secrets import MASK
from unit.core.api_lab import ApiLab, with_api

OPENAI = {"base_url": "http://llm.local:8000/v1/", "model": "tiny", "api_key": "sk-hush"}
HOSTED = {"name": "Reception", "mode": "hosted", "brain": "openai", "openai": OPENAI}


def test_the_demo_agent_is_there_from_the_start_and_stays_as_it_is(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        await lab.agents.ensure_demo_agent(OWNER_ACCOUNT_ID)
        (demo,) = (await lab.owner.ok("GET", "/api/agents"))["items"]
        assert demo["id"] == DEMO_AGENT_ID
        assert (demo["mode"], demo["brain"], demo["built_in"]) == ("hosted", "demo", True)
        for method, body in (("PATCH", {"name": "Mine"}), ("DELETE", None)):
            refused = await lab.owner.refused(method, f"/api/agents/{DEMO_AGENT_ID}", body)
            assert refused[:2] == (409, "built_in_agent")

    with_api(tmp_path, scenario)


def test_a_stream_agent_needs_a_name_only(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/agents/", {"name": "Bot"})
        assert (made["mode"], made["silence_timeout"], made["inbound"]) == ("stream", 60.0, True)
        assert made["openai"] is None
        assert await lab.owner.ok("GET", f"/api/agents/{made['id']}/") == made

    with_api(tmp_path, scenario)


def test_a_models_key_is_written_and_never_shown(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/agents", HOSTED)
        shown = {"base_url": "http://llm.local:8000/v1", "model": "tiny", "api_key": MASK}
        assert made["openai"] == shown
        assert "sk-hush" not in str(await lab.owner.ok("GET", "/api/agents"))
        agent = await lab.agents.get(OWNER_ACCOUNT_ID, made["id"])
        assert voice_settings(agent)["openai"]["api_key"] == "sk-hush"

    with_api(tmp_path, scenario)


def test_a_change_leaves_what_it_does_not_name(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/agents", HOSTED)
        lab.clock.pass_by(60)
        path = f"/api/agents/{made['id']}"
        changed = await lab.owner.ok(
            "PATCH", path, {"greeting": "Hi!", "tts": {"voice": "en-gb"}, "silenceTimeout": None}
        )
        assert changed["greeting"] == "Hi!"
        assert changed["tts"] == {
            "provider": "local",
            "voice": "en-gb",
            "rate": None,
            "pitch": None,
        }
        assert changed["silence_timeout"] is None
        assert changed["openai"] == made["openai"]
        assert changed["updated_at"] > made["updated_at"]

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"model": "big"}, "sk-hush"),
        ({"model": "big", "api_key": MASK}, "sk-hush"),
        ({"model": "big", "api_key": "sk-new"}, "sk-new"),
        ({"model": "big", "api_key": None}, None),
    ],
)
def test_a_models_key_changes_only_when_a_new_one_is_sent(
    tmp_path: Path, sent: dict[str, str | None], key: str | None
) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/agents", HOSTED)
        await lab.owner.ok("PATCH", f"/api/agents/{made['id']}", {"openai": sent})
        settings = voice_settings(await lab.agents.get(OWNER_ACCOUNT_ID, made["id"]))
        assert settings["openai"]["model"] == "big"
        assert settings["openai"]["base_url"] == "http://llm.local:8000/v1"
        assert settings["openai"]["api_key"] == key

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"name": "a", "mode": "hosted", "brain": "openai"}, 400, "`openai` is required"),
        ({"mode": "hosted"}, 422, "`name` is required"),
        ({"name": "a", "mode": "phone"}, 422, "`mode`"),
        ({"name": "a", "language": "english"}, 422, "`language` must be a language tag"),
        ({"name": "a", "silence_timeout": 1}, 422, "`silence_timeout`"),
        ({"name": "a", "openai": {"model": "m", "base_url": "llm:8000"}}, 422, "must be an http"),
        ({"name": "a", "openai": {"model": "m", "base_url": "http://h/v1?x=1"}}, 422, "query"),
        ({"name": "a", "openai": {"base_url": "http://h"}}, 422, "`openai.model` is required"),
        ({"name": "a", "stt": {"provider": "elevenlabs"}}, 422, "`stt.provider`"),
        ({"name": "a", "voice": "x"}, 422, "`voice` is not a field"),
    ],
)
def test_an_agent_that_cannot_work_is_refused_with_the_field(
    tmp_path: Path, body: dict[str, object], status: int, message: str
) -> None:
    async def scenario(lab: ApiLab) -> None:
        refused = await lab.owner.refused("POST", "/api/agents", body)
        assert refused[0] == status
        assert message in refused[2]

    with_api(tmp_path, scenario)


@pytest.mark.parametrize(
    ("patch", "status"), [({"name": None}, 422), ({"mode": "hosted", "brain": "openai"}, 400)]
)
def test_a_change_to_what_cannot_work_is_refused_and_changes_nothing(
    tmp_path: Path, patch: dict[str, object], status: int
) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/agents", {"name": "Bot"})
        refused = await lab.owner.refused("PATCH", f"/api/agents/{made['id']}", patch)
        assert refused[0] == status
        assert await lab.owner.ok("GET", f"/api/agents/{made['id']}") == made

    with_api(tmp_path, scenario)


def test_a_deleted_agent_is_gone_and_whoever_asked_is_told(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        told: list[AgentRemoved] = []
        lab.agents.on_removed(told.append)
        made = await lab.owner.ok("POST", "/api/agents", {"name": "Bot"})
        await lab.owner.ok("DELETE", f"/api/agents/{made['id']}")
        assert told == [AgentRemoved(OWNER_ACCOUNT_ID, made["id"])]
        refused = await lab.owner.refused("GET", f"/api/agents/{made['id']}")
        assert refused[:2] == (404, "agent_not_found")

    with_api(tmp_path, scenario)


def test_accounts_never_see_each_others_agents(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        made = await lab.owner.ok("POST", "/api/agents", {"name": "Bot"})
        path = f"/api/agents/{made['id']}"
        assert (await lab.stranger.ok("GET", "/api/agents"))["items"] == []
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            assert (await lab.stranger.refused(method, path, body))[0] == 404
        with pytest.raises(InvalidRequest) as caught:
            await lab.agents.require(lab.stranger_id, made["id"])
        assert caught.value.field == "agent_id"
        assert await lab.owner.ok("GET", path) == made

    with_api(tmp_path, scenario)


def test_agents_are_bounded_per_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_service, "MAX_AGENTS_PER_ACCOUNT", 1)

    async def scenario(lab: ApiLab) -> None:
        refused = await lab.owner.refused("POST", "/api/agents", {"name": "Bot"})
        assert refused[:2] == (429, "too_many_agents")

    with_api(tmp_path, scenario)


def test_the_demo_agents_settings_say_all_that_the_voice_needs(tmp_path: Path) -> None:
    async def scenario(lab: ApiLab) -> None:
        settings = voice_settings(await lab.agents.get(OWNER_ACCOUNT_ID, DEMO_AGENT_ID))
        assert settings["brain"] == "demo"
        assert "demo agent" in settings["greeting"]
        assert settings["openai"] is None
        assert (settings["stt"], settings["tts"]["provider"]) == ({"provider": "local"}, "local")
        assert settings["silence_timeout"] == 60.0

    with_api(tmp_path, scenario)
