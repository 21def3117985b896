"""Who is asking: the API key in ``X-API-Key`` or ``Authorization: Bearer``, and its account.

The composition root sets ``app.state.authenticator``; routes declare ``CurrentAccount``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request, WebSocket
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from ringback.core.errors import Unauthenticated

HOW = "Send your key as `X-API-Key: rb_live_…` or `Authorization: Bearer rb_live_…`."


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller of the API."""

    account_id: str
    key_id: str


class Authenticator(Protocol):
    async def authenticate(self, key: str, source: str) -> Principal:
        """The caller that ``key`` belongs to. ``source`` is the peer's address.

        Raises ``Unauthenticated`` for a key that is not valid and ``LimitReached`` when the
        source has tried too many of them.
        """
        ...


_api_key = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="ApiKey", description="Your API key."
)
_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="Your API key.")


async def _principal(
    request: Request,
    api_key: Annotated[str | None, Depends(_api_key)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    return await _authenticate(request, api_key or (bearer.credentials if bearer else None))


CurrentAccount = Annotated[Principal, Depends(_principal)]
"""The dependency of a route that needs a key."""


async def authenticate_websocket(websocket: WebSocket) -> Principal:
    """The caller of a WebSocket: the headers as in REST, or the ``api_key`` query parameter."""
    header = websocket.headers.get("x-api-key")
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    return await _authenticate(websocket, header or bearer or websocket.query_params.get("api_key"))


async def _authenticate(connection: HTTPConnection, key: str | None) -> Principal:
    if not key:
        raise Unauthenticated("This request carries no API key.", code="missing_api_key", hint=HOW)
    authenticator = cast(Authenticator, connection.app.state.authenticator)
    source = connection.client.host if connection.client else ""
    return await authenticator.authenticate(key, source)
