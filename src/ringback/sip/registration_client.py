"""How a registration reaches its registrar: REGISTER requests, challenges, hops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ringback.sip.authentication import Authenticator, AuthRound
from ringback.sip.dialog import MAX_FORWARDS
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.exchange import Exchange, Outcome, Verdict
from ringback.sip.headers import CSeq, Headers, NameAddr, Params
from ringback.sip.message import Request
from ringback.sip.registration import Registration, RegistrationChanged, RegistrationRequest
from ringback.sip.registration_outcome import RegisterResult, RegistrationFailure
from ringback.sip.transport import Flow, Hop

_FAILURES = {
    Verdict.TIMEOUT: RegistrationFailure.TIMEOUT,
    Verdict.UNREACHABLE: RegistrationFailure.UNREACHABLE,
}


class RegistrationClient:
    """Call-ID and From tag stay the same and CSeq grows over all REGISTERs (10.2).

    The hop that answered last is asked first. When none answers, the next try asks for the
    registrar's hops anew.
    """

    def __init__(
        self, core: EndpointCore, request: RegistrationRequest, hops: Sequence[Hop]
    ) -> None:
        self.registration = Registration(core.new_token(), request, self, core.queue, core.random)
        self._core = core
        self._request = request
        self._hops = tuple(hops)
        self._flow: Flow | None = None
        self._authenticator = Authenticator(request.credentials, core.new_token)
        self._address = NameAddr(request.aor, request.display_name)
        self._from = self._address.with_tag(core.new_token())
        self._call_id = core.new_token()
        self._cseq = 0
        self._contact: NameAddr | None = None
        self._exchange: Exchange | None = None

    # ---- what the machine asks for ------------------------------------------------------------

    def send(self, expires: int, now: float) -> None:
        flows = self._destinations()
        if flows:
            self._register(expires, flows, now)
            return

        def resolved(hops: Sequence[Hop], failure: str, later: float) -> None:
            self._hops = tuple(hops)
            if hops:
                self._register(expires, self._destinations(), later)
            else:
                missing = RegistrationFailure.NAME_NOT_FOUND
                self.registration.completed(RegisterResult(None, None, missing, failure), later)

        first = self._request.routes[0].uri if self._request.routes else self._request.registrar
        self._core.resolve(first, resolved, now, key=self.registration.id)

    def abandon(self) -> None:
        self._core.forget_resolution(self.registration.id)
        if self._exchange is not None:
            self._exchange.stop()
            self._exchange = None

    def use_hops(self, hops: Sequence[Hop]) -> None:
        self._hops, self._flow = tuple(hops), None

    def report(self, event: RegistrationChanged) -> None:
        self._core.emit(event)

    # ---- connections --------------------------------------------------------------------------

    def connection_closed(self, connection: int, now: float) -> None:
        """The registrar could reach us over that connection only: register again."""
        if self._flow is not None and self._flow.connection == connection:
            self._flow = Flow(self._flow.hop)
            self.registration.refresh(now=now)

    # ---- sending ------------------------------------------------------------------------------

    def _destinations(self) -> tuple[Flow, ...]:
        last = self._flow
        others = tuple(Flow(hop) for hop in self._hops if last is None or hop != last.hop)
        return others if last is None else (last, *others)

    def _register(self, expires: int, flows: Sequence[Flow], now: float) -> None:
        credentials = self._authenticator.round()

        def build(destination: Flow) -> Request:
            return self._build(expires, destination)

        def done(outcome: Outcome, later: float) -> None:
            self._exchange = None
            self._done(outcome, credentials, later)

        self._exchange = Exchange(self._core, build, credentials, done)
        self._exchange.start(flows, now)

    def _build(self, expires: int, destination: Flow) -> Request:
        wish = self._request
        self._cseq += 1
        secure = wish.registrar.scheme == "sips"
        self._contact = self._core.contact(
            destination.hop, wish.contact_user, wish.contact_params, secure=secure
        )
        binding = replace(self._contact, params=Params((("expires", str(expires)),)))
        headers = Headers(("Route", route) for route in wish.routes)
        headers.add("Max-Forwards", MAX_FORWARDS)
        headers.add("From", self._from)
        headers.add("To", self._address)
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", CSeq(self._cseq, "REGISTER"))
        headers.add("Contact", binding)
        headers.add("Expires", expires)
        headers.add("Allow", self._core.config.allow)
        for name, value in wish.headers:
            headers.add(name, value)
        return Request("REGISTER", wish.registrar, headers)

    def _done(self, outcome: Outcome, credentials: AuthRound, now: float) -> None:
        if outcome.response is None:
            self._hops, self._flow = (), None
        else:
            self._flow = outcome.flow
            self._authenticator.learn(outcome.response)
        result = RegisterResult(
            self._contact,
            outcome.response,
            _FAILURES.get(outcome.verdict),
            outcome.detail,
            refusal=credentials.refusal,
        )
        self.registration.completed(result, now)
