"""Requests of strangers: the answer that they are owed, and not a byte of memory.

A stateless server (RFC 3261 8.2.7) puts the same tag on every answer to the same request, never
sends a 100, ignores ACK and forgets at once. Nothing here looks at whom the request is for, so
the answer tells nobody which numbers exist.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import Protocol

from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.events import DropReason
from ringback.sip.incoming_requests import capabilities, method_refusal
from ringback.sip.invite_session import ExtraHeaders
from ringback.sip.message import Request
from ringback.sip.transaction_layer import ReceivedRequest
from ringback.sip.transport import Flow, Transmission
from ringback.sip.validation import Rejection

_TAG_BYTES = 8


class Gatekeeper(Protocol):
    def refusal(self, request: Request, flow: Flow, now: float) -> int:
        """0 if a request that belongs to no call may come in, else the status that an INVITE gets
        (other methods get what they are owed). It is answered here then, and reported as
        ``Dropped`` unless the answer is a success."""
        ...


class StrangerDesk:
    def __init__(self, core: EndpointCore) -> None:
        self._core = core
        self._secret = core.new_token().encode()

    def answer(
        self, received: ReceivedRequest, refusal: int, rejection: Rejection | None, busy: bool
    ) -> None:
        """``rejection`` is what is wrong with the request itself; ``busy``: no new calls are
        taken by anybody."""
        status, headers = self._status_of(received, refusal, busy)
        reason: str | None = None
        if rejection is not None:
            status, reason, headers = rejection.status, rejection.reason, rejection.headers
        if status >= 300:
            why = DropReason.STRANGER if rejection is None else DropReason.INVALID
            self._core.drop(why, received.flow, f"{received.method}: {status}")
        self.send(received, status, reason, headers)

    def send(
        self,
        received: ReceivedRequest,
        status: int,
        reason: str | None = None,
        headers: ExtraHeaders = (),
    ) -> None:
        response = self._core.response(
            received.request, status, reason, to_tag=self._tag(received), headers=headers
        )
        self._core.send(Transmission(received.reply_to, bytes(response)))

    def _status_of(
        self, received: ReceivedRequest, refusal: int, busy: bool
    ) -> tuple[int, ExtraHeaders]:
        method = received.method
        if method == "CANCEL" or received.to.tag is not None:
            return 481, ()
        if busy and method in ("INVITE", "OPTIONS"):
            return 503, (self._core.retry_after,)
        if method == "INVITE":
            return refusal, ()
        if method == "OPTIONS":
            return 200, capabilities(self._core.config)
        return method_refusal(self._core.config, method)

    def _tag(self, received: ReceivedRequest) -> str:
        """The same for every copy of a request, and for nobody else to foretell."""
        parts = (received.call_id, received.from_.tag or "", str(received.cseq.number))
        named = "\0".join((*parts, received.via.branch or "")).encode("utf-8", "surrogateescape")
        return blake2s(named, key=self._secret[:32], digest_size=_TAG_BYTES).hexdigest()
