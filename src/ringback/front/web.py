"""The web application: every feature's routes behind one edge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.types import ASGIApp

from ringback import __version__
from ringback.accounts.routes import account_routes
from ringback.accounts.service import AccountService
from ringback.agents.routes import agent_routes
from ringback.agents.service import AgentService
from ringback.calls.idempotency import IdempotencyStore
from ringback.calls.routes import call_routes
from ringback.calls.service import CallService
from ringback.connectors.sip.guard import SipGuard
from ringback.core.bus import Bus
from ringback.core.http import HttpEdge, errors, install_error_handlers
from ringback.core.metrics import Metrics
from ringback.front.account import Speech, overview_routes
from ringback.front.docs_page import HEADERS, docs_page
from ringback.front.event_stream import event_routes
from ringback.front.guard_routes import guard_routes
from ringback.front.node_routes import Readiness, node_routes
from ringback.front.stream_docs import stream_routes
from ringback.telephony.routes import telephony_routes
from ringback.telephony.service import Telephony

TITLE = "Ringback API"
DESCRIPTION = """\
A phone line for your agent. Every request carries an API key, as `X-API-Key` or as \
`Authorization: Bearer`.

Live audio and events of one call are on its WebSocket, `/api/call/{call_id}/stream`; all events \
of the account are on `/api/events`. Browsers and simple clients may give the key there as \
`?api_key=`.

Every error has the body `{"error": {"code", "message", "hint", "retryable"}}`."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes are made over."""

    accounts: AccountService
    agents: AgentService
    telephony: Telephony
    calls: CallService
    idempotency: IdempotencyStore
    guard: SipGuard
    bus: Bus
    metrics: Metrics
    readiness: Readiness
    speech: Callable[[], Speech]


def routers(services: Services) -> Iterable[APIRouter]:
    yield call_routes(services.calls, services.idempotency)
    yield stream_routes()
    yield event_routes(services.bus)
    yield telephony_routes(services.telephony)
    yield guard_routes(services.guard)
    yield agent_routes(services.agents)
    yield account_routes(services.accounts)
    yield overview_routes(services.accounts, services.calls, services.telephony, services.speech)


def api(services: Services) -> FastAPI:
    """The routes and their OpenAPI document, without the edge."""
    app = FastAPI(
        title=TITLE,
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.authenticator = services.accounts
    install_error_handlers(app)
    for router in routers(services):
        app.include_router(router, responses=errors(503))
    app.include_router(node_routes(services.readiness, services.metrics, services.accounts))

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi(), str(request.base_url)), headers=HEADERS)

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    return app


def web(services: Services) -> ASGIApp:
    """What the listener serves."""
    return HttpEdge(api(services))
