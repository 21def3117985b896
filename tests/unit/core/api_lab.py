"""Accounts, agents and telephony over a real database, behind their real routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from ringback.accounts.models import OWNER_ACCOUNT_ID
from ringback.accounts.routes import account_routes
from ringback.accounts.service import AccountService
from ringback.agents.models import DEMO_AGENT_ID
from ringback.agents.routes import agent_routes
from ringback.agents.service import AgentService
from ringback.core.bus import LocalBus, LocalSubscription
from ringback.core.database import Database
from ringback.core.http import HttpEdge, install_error_handlers
from ringback.telephony.routes import telephony_routes
from ringback.telephony.routing import DemoLine
from ringback.telephony.service import Telephony
from unit.core.stores import ManualClock, open_database, run


@dataclass
class Client:
    """Requests with one key. Answers are ``(status, body)``."""

    http: httpx2.AsyncClient
    key: str

    async def __call__(
        self, method: str, path: str, body: object = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"X-API-Key": self.key} if self.key else {}
        response = await self.http.request(method, path, json=body, headers=headers)
        return response.status_code, response.json() if response.content else {}

    async def ok(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        status, answer = await self(method, path, body)
        assert status in (200, 201, 204), answer
        return answer

    async def refused(self, method: str, path: str, body: object = None) -> tuple[int, str, str]:
        """Status, code and message."""
        status, answer = await self(method, path, body)
        assert status >= 400, answer
        return status, answer["error"]["code"], answer["error"]["message"]


@dataclass
class ApiLab:
    app: FastAPI
    http: httpx2.AsyncClient
    database: Database
    clock: ManualClock
    bus: LocalBus
    accounts: AccountService
    agents: AgentService
    telephony: Telephony
    owner: Client
    stranger: Client
    """A key of another account."""
    stranger_id: str
    events: LocalSubscription
    """What the owner's account is told."""

    def client(self, key: str) -> Client:
        return Client(self.http, key)


@asynccontextmanager
async def api_lab(folder: Path) -> AsyncIterator[ApiLab]:
    async with open_database(folder) as database:
        clock, bus = ManualClock(), LocalBus()
        accounts = await AccountService.open(database, clock)
        setup = await accounts.ensure_owner()
        agents = AgentService(database, clock)
        await agents.ensure_demo_agent(OWNER_ACCOUNT_ID)
        demo = DemoLine(OWNER_ACCOUNT_ID, DEMO_AGENT_ID)
        telephony = Telephony(database, clock, bus, agents, demo)
        await telephony.load()
        app = FastAPI(redirect_slashes=False)
        app.state.authenticator = accounts
        install_error_handlers(app)
        for router in (account_routes(accounts), agent_routes(agents), telephony_routes(telephony)):
            app.include_router(router)
        other = await accounts.create_account("Other")
        other_key = await accounts.create_key(other.id, "k")
        transport = httpx2.ASGITransport(app=HttpEdge(app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as http:
            yield ApiLab(
                app=app,
                http=http,
                database=database,
                clock=clock,
                bus=bus,
                accounts=accounts,
                agents=agents,
                telephony=telephony,
                owner=Client(http, setup.new_key or ""),
                stranger=Client(http, other_key.key),
                stranger_id=other.id,
                events=await bus.subscribe(OWNER_ACCOUNT_ID),
            )
        await bus.close()


def with_api(folder: Path, scenario: Callable[[ApiLab], Awaitable[None]]) -> None:
    async def scene() -> None:
        async with api_lab(folder) as lab:
            await scenario(lab)

    run(scene())
