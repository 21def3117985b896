"""``WS /api/events``: everything that happens in an account, as it happens."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping

from fastapi import APIRouter, WebSocket
from starlette.responses import JSONResponse

from ringback.core.bus import Bus, Subscription
from ringback.core.errors import LimitReached, RingbackError
from ringback.core.http import authenticate_websocket, error_content, status_of

MAX_LISTENERS = 100
"""Event streams of one account at once."""
QUEUE_CAPACITY = 1000
"""Events that wait for a listener; beyond, the oldest go and it is told (``lost_events``)."""
MAX_CLIENT_MESSAGE = 1024


def event_routes(bus: Bus) -> APIRouter:
    """The event stream over ``bus``."""
    router = APIRouter()
    listeners: Counter[str] = Counter()

    @router.websocket("/api/events")
    async def account_events(websocket: WebSocket) -> None:
        try:
            account_id = (await authenticate_websocket(websocket)).account_id
            if listeners[account_id] >= MAX_LISTENERS:
                raise LimitReached(
                    f"This account has {MAX_LISTENERS} event streams, the most there may be.",
                    code="too_many_event_streams",
                    hint="Close one that is no longer read.",
                )
        except RingbackError as error:
            content = error_content(error.code, error.message, error.hint, error.retryable)
            await websocket.send_denial_response(JSONResponse(content, status_of(error)))
            return
        listeners[account_id] += 1
        try:
            async with await bus.subscribe(account_id, capacity=QUEUE_CAPACITY) as events:
                await websocket.accept()
                await _serve(websocket, events)
        finally:
            listeners[account_id] -= 1
            if not listeners[account_id]:
                del listeners[account_id]

    return router


async def _serve(websocket: WebSocket, events: Subscription) -> None:
    """Send until the client goes, the bus closes, or sending fails."""
    sending = asyncio.create_task(_send(websocket, events))
    reading = asyncio.create_task(_read(websocket))
    try:
        await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, reading):
            task.cancel()
        await asyncio.gather(sending, reading, return_exceptions=True)


async def _send(websocket: WebSocket, events: Subscription) -> None:
    await _send_json(websocket, {"type": "ready"})
    async for event in events:
        await _send_json(websocket, event)
    await websocket.close(1012, "the gateway is shutting down")


async def _read(websocket: WebSocket) -> None:
    """A client has nothing to say but ``{"type": "ping"}``, which gets its ``pong``."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if _is_ping(message.get("text") or ""):
            await _send_json(websocket, {"type": "pong"})


def _is_ping(text: str) -> bool:
    if len(text) > MAX_CLIENT_MESSAGE:
        return False
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "ping"


async def _send_json(websocket: WebSocket, message: Mapping[str, object]) -> None:
    await websocket.send_text(json.dumps(message, separators=(",", ":")))
