"""Who may open a call stream: the decision, before the WebSocket upgrade is answered."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs, unquote

from ringback.core.errors import Unauthenticated
from ringback.core.http import Authenticator
from ringback.core.http.auth import HOW

CALL_STREAM = re.compile(r"/api/call/([^/]{1,64})/stream/?")
MAX_QUERY_FIELDS = 20


class StreamCalls(Protocol):
    """The part of :class:`ringback.calls.service.CallService` that streams need."""

    async def stream_target(self, account_id: str, call_id: str) -> str: ...

    def attach_stream(self, call_id: str, connection: socket.socket, request: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Knock:
    """An upgrade request for a call stream. ``source`` is the peer's address; header names are
    lower case."""

    call_id: str
    query: bytes
    headers: Mapping[str, str]
    source: str

    @classmethod
    def of(
        cls,
        path: bytes,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        source: str,
    ) -> Knock | None:
        """``None`` where the path is not that of a call stream."""
        match = CALL_STREAM.fullmatch(path.decode("latin-1"))
        if match is None:
            return None
        named = {
            name.decode("latin-1").lower(): value.decode("latin-1").strip()
            for name, value in headers
        }
        return cls(unquote(match[1]), query, named, source_behind(source, named))

    @property
    def api_key(self) -> str | None:
        """As in REST, or the ``api_key`` of the query."""
        if key := self.headers.get("x-api-key"):
            return key
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        try:
            fields = parse_qs(self.query.decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:
            return None
        return fields.get("api_key", [None])[0]


def source_behind(peer: str, headers: Mapping[str, str]) -> str:
    """The client's address: what a proxy on this machine says, else the peer itself."""
    try:
        if not ipaddress.ip_address(peer).is_loopback:
            return peer
        told = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return str(ipaddress.ip_address(told))
    except ValueError:
        return peer


class StreamDoor:
    def __init__(self, authenticator: Authenticator, calls: StreamCalls) -> None:
        self._authenticator = authenticator
        self._calls = calls

    async def admit(self, knock: Knock) -> str:
        """The id of the live call to attach to.

        Raises ``Unauthenticated``, ``LimitReached`` (too many wrong keys), ``NotFound`` (no such
        live call of this account) or ``Conflict`` (its media is not open yet).
        """
        key = knock.api_key
        if not key:
            raise Unauthenticated(
                "This request carries no API key.",
                code="missing_api_key",
                hint=f"{HOW} Or add `?api_key=` to the URL.",
            )
        caller = await self._authenticator.authenticate(key, knock.source)
        return await self._calls.stream_target(caller.account_id, knock.call_id)

    def attach(self, call_id: str, connection: socket.socket, request: bytes) -> None:
        """Hand the connection over; the media side owns it from here on."""
        self._calls.attach_stream(call_id, connection, request)
