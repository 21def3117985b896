"""Sending a request outside of any dialog (RFC 3261 8.1)."""

from __future__ import annotations

from collections.abc import Sequence

from ringback.sip.authentication import Authenticator
from ringback.sip.dialog import MAX_FORWARDS
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.events import ResponseReceived
from ringback.sip.exchange import Exchange, Outcome
from ringback.sip.headers import CSeq, Headers, NameAddr
from ringback.sip.message import Request
from ringback.sip.out_of_dialog import OutgoingRequest
from ringback.sip.transport import Flow, Hop


class RequestClient:
    def __init__(self, core: EndpointCore, wish: OutgoingRequest) -> None:
        self._core = core
        self._wish = wish
        self._from = wish.from_.with_tag(core.new_token())
        self._to = (wish.to or NameAddr(wish.target)).without_tag()
        self._call_id = core.new_token()
        self._cseq = 0

    def start(self, hops: Sequence[Hop], now: float) -> None:
        authenticator = Authenticator(self._wish.credentials, self._core.new_token)
        exchange = Exchange(self._core, self._build, authenticator.round(), self._done)
        exchange.start([Flow(hop) for hop in hops], now)

    def _build(self, destination: Flow) -> Request:
        wish = self._wish
        self._cseq += 1
        headers = Headers(("Route", route) for route in wish.routes)
        headers.add("Max-Forwards", MAX_FORWARDS)
        headers.add("From", self._from)
        headers.add("To", self._to)
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", CSeq(self._cseq, wish.method))
        if wish.contact_user is not None:
            headers.add("Contact", self._core.contact(destination.hop, wish.contact_user))
        if wish.method == "OPTIONS":
            headers.add("Accept", self._core.config.accept)
        for name, value in wish.headers:
            headers.add(name, value)
        if wish.content_type is not None:
            headers.add("Content-Type", wish.content_type)
        return Request(wish.method, wish.target, headers, wish.body)

    def _done(self, outcome: Outcome, now: float) -> None:
        self._core.emit(
            ResponseReceived(self._wish, outcome.status, outcome.reason, outcome.response)
        )
