"""The REST operations over the fakes, as a client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from ringback.calls.assembly import CallLimits
from ringback.calls.routes import call_routes
from ringback.core.errors import Unauthenticated
from ringback.core.http import HttpEdge, Principal, install_error_handlers
from unit.calls.fakes import ACCOUNT, LIMITS, CallLab, call_lab

DIAL = {"platform": "sip", "meeting_url": "sip:+33612345678@sip.example.com"}
KEY = {"X-API-Key": "good"}

Body = Callable[[CallLab, httpx2.AsyncClient], Awaitable[None]]


class OneKey:
    async def authenticate(self, key: str, source: str) -> Principal:
        if key != "good":
            raise Unauthenticated("This API key is not valid.")
        return Principal(ACCOUNT, "key_1")


def run(folder: Path, body: Body, limits: CallLimits = LIMITS) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), call_lab(folder, limits=limits) as lab:
            app = FastAPI(redirect_slashes=False)
            app.state.authenticator = OneKey()
            install_error_handlers(app)
            app.include_router(call_routes(lab.control.service, lab.control.idempotency))
            transport = httpx2.ASGITransport(app=HttpEdge(app))
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://gateway.example:8080", headers=KEY
            ) as api:
                await body(lab, api)

    asyncio.run(bounded())


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"code", "message", "hint", "retryable"}
    return answer.status_code, error["code"]
