"""``/api/agents``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, status

from ringback.agents.schemas import AgentCreate, AgentUpdate, AgentView
from ringback.agents.service import AgentService
from ringback.core.http import CurrentAccount, PageOf, Paging, errors, page_of

AgentId = Annotated[str, Path(description="The agent's `id`.", max_length=64)]


def agent_routes(agents: AgentService) -> APIRouter:
    """The routes over ``agents``."""
    router = APIRouter(prefix="/api/agents", tags=["Agents"])

    @router.get(
        "",
        summary="List agents",
        response_model=PageOf[AgentView],
        responses=errors(400, 401, 422, 429),
    )
    async def list_agents(caller: CurrentAccount, paging: Paging) -> object:
        """All agents of the account, oldest first."""
        return page_of(await agents.page(caller.account_id, paging), AgentView.of)

    @router.post(
        "",
        summary="Create an agent",
        status_code=status.HTTP_201_CREATED,
        responses=errors(400, 401, 408, 413, 422, 429),
    )
    async def create_agent(body: AgentCreate, caller: CurrentAccount) -> AgentView:
        """An agent answers the numbers that name it in `agent_id`, and can place calls."""
        return AgentView.of(await agents.create(caller.account_id, body))

    @router.get("/{agent_id}", summary="Get an agent", responses=errors(401, 404, 422, 429))
    async def get_agent(agent_id: AgentId, caller: CurrentAccount) -> AgentView:
        """One agent. The model's API key is masked."""
        return AgentView.of(await agents.get(caller.account_id, agent_id))

    @router.patch(
        "/{agent_id}",
        summary="Change an agent",
        responses=errors(400, 401, 404, 408, 409, 413, 422, 429),
    )
    async def update_agent(
        agent_id: AgentId, body: AgentUpdate, caller: CurrentAccount
    ) -> AgentView:
        """Only the fields that are sent change. Calls that are live keep what they began with."""
        return AgentView.of(await agents.update(caller.account_id, agent_id, body))

    @router.delete(
        "/{agent_id}",
        summary="Delete an agent",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=errors(401, 404, 409, 422, 429),
    )
    async def delete_agent(agent_id: AgentId, caller: CurrentAccount) -> None:
        """Numbers and trunks that named it are left without an agent."""
        await agents.delete(caller.account_id, agent_id)

    return router
