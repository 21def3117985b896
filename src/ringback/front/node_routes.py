"""``/healthz``, ``/readyz`` and ``/metrics``: the node, for whoever operates it."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from ringback.core.errors import Unauthenticated
from ringback.core.http import ApiModel, Authenticator, errors
from ringback.core.http.auth import HOW
from ringback.core.metrics import Metrics

Readiness = Callable[[], Awaitable[dict[str, str]]]
"""What keeps the node from taking calls, by part; nothing when it is ready."""

_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")


class Health(ApiModel):
    status: str = Field(examples=["ok"])


class Ready(ApiModel):
    status: str = Field(description="`ready` or `not_ready`.", examples=["ready"])
    problems: dict[str, str] = Field(description="A sentence for each part that is not ready.")


def node_routes(readiness: Readiness, metrics: Metrics, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(tags=["Node"])

    @router.get("/healthz", summary="Whether the process lives")
    async def healthz() -> Health:
        """200 as long as the process answers at all."""
        return Health(status="ok")

    @router.get(
        "/readyz",
        summary="Whether the node takes calls",
        response_model=Ready,
        responses={503: {"model": Ready, "description": "Not now; `problems` says why."}},
    )
    async def readyz() -> JSONResponse:
        """200 when the database answers and new calls are taken, else 503."""
        problems = await readiness()
        ready = Ready(status="not_ready" if problems else "ready", problems=problems)
        return JSONResponse(ready.model_dump(), 503 if problems else 200)

    @router.get(
        "/metrics",
        summary="Metrics",
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus text format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **errors(401, 429),
        },
    )
    async def show_metrics(request: Request) -> Response:
        """From this machine without a key; from elsewhere with any API key."""
        if not _from_this_machine(request):
            await _authenticate(authenticator, request)
        body, content_type = metrics.render()
        return Response(body, headers={"Content-Type": content_type})

    return router


async def _authenticate(authenticator: Authenticator, request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    key = request.headers.get("x-api-key") or bearer
    if not key:
        raise Unauthenticated("This request carries no API key.", code="missing_api_key", hint=HOW)
    await authenticator.authenticate(key, request.client.host if request.client else "")


def _from_this_machine(request: Request) -> bool:
    """Loopback, and not through a proxy on this machine, which would hide where it is from."""
    if request.client is None or any(name in request.headers for name in _PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
