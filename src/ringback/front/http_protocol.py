"""uvicorn's HTTP protocol, with one more way out: a call stream's connection goes to media.

The upgrade request of ``/api/call/{id}/stream`` is authenticated here, with reading paused; then
the TCP connection, the request and whatever bytes followed it are handed over, and the HTTP
server forgets them. Everything else is uvicorn's own.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ringback.core.errors import InvalidRequest, RingbackError, Unavailable
from ringback.core.http import error_content, status_of
from ringback.core.ids import new_id
from ringback.front.stream_door import Knock, StreamDoor
from ringback.media.stream_socket import duplicate_socket

ADMIT_SECONDS = 10.0
"""Until a knock at a call stream must be answered."""
HEAD_SECONDS = 20.0
"""Until the head of a request must be complete: a slow one holds a connection, not a worker."""
MAX_EARLY_BYTES = 256 * 1024
"""What a client may send behind its upgrade request before it has the answer."""

log = structlog.stdlib.get_logger(__name__)


class RingbackHttpProtocol(HttpToolsProtocol):
    """Made per listener by :func:`http_protocol`, which fills in ``door``."""

    door: ClassVar[StreamDoor]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._behind_head = b""
        """Bytes after an upgrade request, which uvicorn itself would drop."""
        self._knocking = False
        self._head_timer: asyncio.TimerHandle | None = None

    # ---- a head that does not come ----------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    # ---- input ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._knocking:
            self._keep(data)
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._behind_head = data[upgrade.args[0] :]
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._refuse(_not_websocket())
        except httptools.HttpParserError:
            self._refuse(_not_http())

    def handle_websocket_upgrade(self) -> None:
        url = httptools.parse_url(self.url)
        peer = self.client[0] if self.client else ""
        knock = Knock.of(url.path or b"", url.query or b"", self.headers, peer)
        if knock is not None:
            self._knock(knock)
            return
        super().handle_websocket_upgrade()
        if self._behind_head:
            successor = self.transport.get_protocol()
            if isinstance(successor, asyncio.Protocol):
                successor.data_received(self._behind_head)

    # ---- a knock at a call stream -----------------------------------------------------------

    def _knock(self, knock: Knock) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(
                InvalidRequest(
                    "An upgrade cannot be pipelined behind another request.",
                    code="pipelined_upgrade",
                )
            )
            return
        self._knocking = True
        self.flow.pause_reading()
        task = self.loop.create_task(self._admit(knock))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _admit(self, knock: Knock) -> None:
        try:
            async with asyncio.timeout(ADMIT_SECONDS):
                call_id = await self.door.admit(knock)
        except RingbackError as error:
            self._refuse(error)
        except TimeoutError:
            self._refuse(Unavailable("The gateway is too busy to answer now.", code="overloaded"))
        except Exception as error:
            log.error("stream_not_admitted", call_id=knock.call_id, exc_info=error)
            self._refuse(RingbackError("Something went wrong here.", code="internal_error"))
        else:
            self._hand_over(call_id)

    def _keep(self, data: bytes) -> None:
        self._behind_head += data
        if len(self._behind_head) > MAX_EARLY_BYTES:
            self.transport.abort()

    def _hand_over(self, call_id: str) -> None:
        """Give the connection away: a copy of its socket survives the closing of the transport."""
        if self.transport.is_closing():
            return
        try:
            connection = duplicate_socket(self.transport)
        except OSError as error:
            log.warning("stream_not_handed_over", call_id=call_id, error=str(error))
            self.transport.abort()
            return
        self.connections.discard(self)
        self.transport.close()
        self.door.attach(call_id, connection, self._request())

    def _request(self) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.scope["method"].encode(), self.url)]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self._behind_head

    # ---- refusals ---------------------------------------------------------------------------

    def _refuse(self, error: RingbackError) -> None:
        """Answer with the error's JSON body and close."""
        if self.transport.is_closing():
            return
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        if error.code != "internal_error":
            status = HTTPStatus(status_of(error))
        content = error_content(error.code, error.message, error.hint, error.retryable)
        body = json.dumps(content).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", new_id("req").encode()),
        ]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()


def http_protocol(door: StreamDoor) -> type[RingbackHttpProtocol]:
    """The protocol class of a listener whose call streams come through ``door``."""
    return type("BoundHttpProtocol", (RingbackHttpProtocol,), {"door": door})


def _not_http() -> RingbackError:
    return InvalidRequest("This is not an HTTP request that can be read.", code="invalid_http")


def _not_websocket() -> RingbackError:
    return InvalidRequest(
        "The only upgrade is to `websocket`.", code="unsupported_upgrade", hint="See RFC 6455."
    )
