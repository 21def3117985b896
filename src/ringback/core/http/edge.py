"""The outermost ASGI layer: path, request id, body limit and the last word on exceptions."""

from __future__ import annotations

import asyncio
import re

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringback.core.http.errors import error_content
from ringback.core.ids import new_id

MAX_BODY_BYTES = 1_048_576
BODY_SECONDS = 30.0
"""Until a body must be complete: a slow one would hold its connection for nothing."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")

log = structlog.stdlib.get_logger(__name__)


class HttpEdge:
    """Wraps the whole application.

    - ``/api/call/`` and ``/api/call`` are the same route, without a redirect (a client that
      follows one would repeat its POST as a GET).
    - ``X-Request-Id`` is taken from the request where it is sane, else made, sent back, and
      bound to every log line of the request.
    - A body beyond ``max_body`` bytes is answered with 413, one that takes longer than
      ``body_seconds`` with 408.
    - An exception that nothing handled is logged once; the answer to it has gone out already.
    """

    def __init__(
        self, app: ASGIApp, max_body: int = MAX_BODY_BYTES, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope = without_trailing_slash(scope)
        request_id = _request_id(scope)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["type"] == "websocket":
                await self._guarded(scope, receive, send)
                return
            reply = _with_request_id(send, request_id)
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, reply)
                return
            await self._guarded(scope, self._bounded(receive), reply)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("unhandled_exception", path=scope["path"], method=scope.get("method"))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if "\x00" in scope["path"]:
            content = error_content("invalid_path", "The path holds a NUL character.")
            return JSONResponse(content, 400)
        length = Headers(scope=scope).get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self._max_body:
            content = error_content("body_too_large", self._too_large())
            return JSONResponse(content, 413, {"Connection": "close"})
        return None

    def _too_large(self) -> str:
        return f"The body is larger than {self._max_body} bytes."

    def _bounded(self, receive: Receive) -> Receive:
        seen = 0
        complete = False
        deadline = asyncio.get_running_loop().time() + self._body_seconds

        async def bounded() -> Message:
            nonlocal seen, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408,
                    f"The body was not complete within {self._body_seconds:g} s.",
                    {"Connection": "close"},
                ) from None
            complete = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self._max_body:
                raise HTTPException(413, self._too_large())
            return message

        return bounded


def without_trailing_slash(scope: Scope) -> Scope:
    """``scope`` with ``/a/b/`` read as ``/a/b``; the root stays ``/``."""
    path: str = scope["path"]
    if path == "/" or not path.endswith("/"):
        return scope
    raw_path = scope.get("raw_path")
    return {
        **scope,
        "path": path.rstrip("/") or "/",
        "raw_path": (raw_path.rstrip(b"/") or b"/") if raw_path else raw_path,
    }


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_id("req")


def _with_request_id(send: Send, request_id: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Request-Id"] = request_id
        await send(message)

    return sending
