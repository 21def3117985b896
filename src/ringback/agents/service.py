"""Agents: the operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from ringback.agents.models import DEMO_AGENT_ID, Agent
from ringback.agents.schemas import AgentCreate, AgentUpdate
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.errors import Conflict, InvalidRequest, LimitReached, NotFound
from ringback.core.http import merged
from ringback.core.ids import new_id
from ringback.core.paging import Page, PageRequest, fetch_page
from ringback.core.secrets import MASK

MAX_AGENTS_PER_ACCOUNT = 1000

DEMO_GREETING = (
    "Hello, this is the demo agent of Ringback. Ask me something, or say goodbye to hang up."
)


@dataclass(frozen=True, slots=True)
class AgentRemoved:
    account_id: str
    agent_id: str


class AgentService:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._listeners: list[Callable[[AgentRemoved], None]] = []
        self._change_listeners: list[Callable[[str], None]] = []

    def on_removed(self, listener: Callable[[AgentRemoved], None]) -> None:
        """``listener`` is called on the event loop after an agent was deleted."""
        self._listeners.append(listener)

    def on_changed(self, listener: Callable[[str], None]) -> None:
        """``listener`` is called with an agent's id after it was changed or deleted."""
        self._change_listeners.append(listener)

    def _changed(self, agent_id: str) -> None:
        for listener in self._change_listeners:
            listener(agent_id)

    async def all(self, limit: int) -> list[Agent]:
        """The agents of all accounts, at most ``limit``, for those who keep them at hand."""
        async with self._database.session() as session:
            return list(await session.scalars(select(Agent).order_by(Agent.id).limit(limit)))

    async def ensure_demo_agent(self, account_id: str) -> None:
        """At the first start, make the built-in agent ``agent_demo`` of the owner account."""
        values = AgentCreate(
            name="Demo", mode="hosted", brain="demo", greeting=DEMO_GREETING, language="en"
        )
        try:
            async with self._database.session() as session:
                if await session.get(Agent, DEMO_AGENT_ID) is None:
                    agent = self._new_row(DEMO_AGENT_ID, account_id, values)
                    agent.built_in = True
                    session.add(agent)
        except IntegrityError:
            pass  # another node was faster

    async def page(self, account_id: str, request: PageRequest) -> Page[Agent]:
        async with self._database.session() as session:
            statement = select(Agent).where(Agent.account_id == account_id)
            return await fetch_page(session, statement, Agent.id, request)

    async def get(self, account_id: str, agent_id: str) -> Agent:
        """Raises ``NotFound``."""
        async with self._database.session() as session:
            agent = await session.get(Agent, agent_id)
        if agent is None or agent.account_id != account_id:
            raise _not_found()
        return agent

    async def require(self, account_id: str, agent_id: str) -> Agent:
        """The agent that a request names in its field ``agent_id``. Raises ``InvalidRequest``."""
        try:
            return await self.get(account_id, agent_id)
        except NotFound as error:
            raise InvalidRequest(
                "`agent_id` is not an agent of this account.",
                code=error.code,
                hint=error.hint,
                field="agent_id",
            ) from None

    async def create(self, account_id: str, values: AgentCreate) -> Agent:
        """Raises ``InvalidRequest`` for settings that do not go together."""
        _check(values)
        agent = self._new_row(new_id("agent"), account_id, values)
        async with self._database.session() as session:
            count = await session.scalar(
                select(func.count(Agent.id)).where(Agent.account_id == account_id)
            )
            if (count or 0) >= MAX_AGENTS_PER_ACCOUNT:
                raise LimitReached(
                    f"An account has at most {MAX_AGENTS_PER_ACCOUNT} agents.",
                    code="too_many_agents",
                    hint="Delete one that is no longer used.",
                )
            session.add(agent)
        return agent

    async def update(self, account_id: str, agent_id: str, patch: AgentUpdate) -> Agent:
        """Change the fields that ``patch`` was sent. Live calls keep what they began with."""
        async with self._database.session() as session:
            agent = await session.get(Agent, agent_id, with_for_update=True)
            if agent is None or agent.account_id != account_id:
                raise _not_found()
            _refuse_built_in(agent)
            values = merged(AgentCreate, _as_values(agent), _with_stored_key(agent, patch))
            _check(values)
            _store(agent, values)
            agent.updated_at = self._clock.now()
        self._changed(agent_id)
        return agent

    async def delete(self, account_id: str, agent_id: str) -> None:
        """Numbers and trunks that named it go without an agent."""
        async with self._database.session() as session:
            agent = await session.get(Agent, agent_id)
            if agent is None or agent.account_id != account_id:
                raise _not_found()
            _refuse_built_in(agent)
            await session.delete(agent)
        self._changed(agent_id)
        for listener in self._listeners:
            listener(AgentRemoved(account_id, agent_id))

    def _new_row(self, agent_id: str, account_id: str, values: AgentCreate) -> Agent:
        now = self._clock.now()
        agent = Agent(
            id=agent_id, account_id=account_id, built_in=False, created_at=now, updated_at=now
        )
        _store(agent, values)
        return agent


def voice_settings(agent: Agent) -> Mapping[str, Any]:
    """What the hosted pipeline needs to know, for ``media.plane.VoiceSpec.settings``.

    Plain data. Holds the model's API key in clear: never log it. Keys: ``name``, ``brain``,
    ``greeting``, ``prompt``, ``language``, ``openai`` (``base_url``, ``model``, ``api_key``; or
    ``None``), ``stt`` (``provider``), ``tts`` (``provider``, ``voice``, ``rate``,
    ``pitch``), ``silence_timeout`` and ``max_duration`` (seconds or ``None``).
    """
    openai: dict[str, Any] | None = None
    if agent.brain == "openai":
        openai = {
            "base_url": agent.llm_base_url,
            "model": agent.llm_model,
            "api_key": agent.llm_api_key,
        }
    return {
        "name": agent.name,
        "brain": agent.brain,
        "greeting": agent.greeting,
        "prompt": agent.prompt,
        "language": agent.language,
        "openai": openai,
        "stt": dict(agent.stt),
        "tts": dict(agent.tts),
        "silence_timeout": agent.silence_timeout,
        "max_duration": agent.max_duration,
    }


_PLAIN = (
    "name",
    "mode",
    "brain",
    "greeting",
    "prompt",
    "language",
    "silence_timeout",
    "max_duration",
    "inbound",
)


def _store(agent: Agent, values: AgentCreate) -> None:
    for name in _PLAIN:
        setattr(agent, name, getattr(values, name))
    agent.stt = values.stt.model_dump()
    agent.tts = values.tts.model_dump()
    model = values.openai
    agent.llm_base_url = model.base_url if model else None
    agent.llm_model = model.model if model else None
    agent.llm_api_key = model.api_key.get_secret_value() if model and model.api_key else None


def _as_values(agent: Agent) -> dict[str, Any]:
    """``agent`` as the request that would make it."""
    values: dict[str, Any] = {name: getattr(agent, name) for name in _PLAIN}
    values |= {"stt": dict(agent.stt), "tts": dict(agent.tts)}
    if agent.llm_model is not None:
        values["openai"] = {
            "base_url": agent.llm_base_url,
            "model": agent.llm_model,
            "api_key": agent.llm_api_key,
        }
    return values


def _with_stored_key(agent: Agent, patch: AgentUpdate) -> AgentUpdate:
    """``patch`` with the parts of ``openai`` that it leaves out, or sends masked, filled in."""
    if patch.openai is None:
        return patch
    sent = patch.openai.model_dump(exclude_unset=True)
    key = sent.get("api_key")
    if isinstance(key, SecretStr) and key.get_secret_value() == MASK:
        del sent["api_key"]
    filled = {**(_as_values(agent).get("openai") or {}), **sent}
    return patch.model_copy(update={"openai": patch.openai.model_validate(filled)})


def _check(values: AgentCreate) -> None:
    if values.mode == "hosted" and values.brain == "openai" and values.openai is None:
        raise InvalidRequest(
            "`openai` is required when `brain` is openai.",
            hint="Give at least openai.model; openai.base_url where it is not OpenAI itself.",
            field="openai",
        )


def _refuse_built_in(agent: Agent) -> None:
    if agent.built_in:
        raise Conflict(
            "The demo agent cannot be changed or deleted.",
            code="built_in_agent",
            hint="Make an agent of your own with brain demo, or start with "
            "RINGBACK_DEMO_AGENT=false.",
        )


def _not_found() -> NotFound:
    return NotFound(
        "There is no such agent in this account.",
        code="agent_not_found",
        hint="List the agents with GET /api/agents.",
    )
