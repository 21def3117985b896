"""A registration against a model registrar: lossy ways, outages, short grants, stale nonces.

What we believe is what the registrar has, and a registrar that can be reached has us.
"""

from __future__ import annotations

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringback.sip.auth import Credentials as DigestCredentials
from ringback.sip.authentication import Credentials
from ringback.sip.digest_server import DigestServer, Verdict
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.events import ResolveNeeded
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.registration import (
    Registration,
    RegistrationChanged,
    RegistrationRequest,
    RegistrationStatus,
)
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from sim.network import Address, Conditions, Network, World

US, REGISTRAR = "10.0.0.1", "10.0.0.9"
HOP = Hop("udp", REGISTRAR, 5060)
PASSWORD = "secret"
LONGEST_RETRY = 3700.0
"""Seconds within which a registration that failed is tried again, whatever the back-off."""


class ModelRegistrar:
    """Grants what it likes, challenges everybody, and keeps the bindings that it granted."""

    def __init__(self, network: Network) -> None:
        self.bindings: dict[str, float] = {}
        self.expires = 300
        self.minimum = 0
        self.password = PASSWORD
        self.down = False
        self.grants = 0
        self._network = network
        self._nonces = 0
        self._new_server()
        network.listen(REGISTRAR, self._receive)

    def _new_server(self) -> None:
        self._nonces += 1
        self._digest = DigestServer("sip.example.net", f"key{self._nonces}".encode() * 4)

    def restart(self) -> None:
        """Bindings and nonces are forgotten."""
        self.bindings.clear()
        self._new_server()

    def has(self, now: float) -> bool:
        return any(until > now for until in self.bindings.values())

    def _receive(self, data: bytes, source: Address, target: Address) -> None:
        request = parse_message(data)
        if self.down or not isinstance(request, Request):
            return
        response = self._answer(request)
        self._network.send(bytes(response), target, source)

    def _answer(self, request: Request) -> Response:
        now = self._network.world.now
        given = request.headers.get("Authorization")
        if given is None:
            return self._challenge(request, stale=False)
        verdict = self._digest.verify(
            DigestCredentials.parse(given), "REGISTER", self.password, now
        )
        if verdict is not Verdict.ACCEPTED:
            return self._challenge(request, stale=verdict is Verdict.STALE)
        contact = request.contact
        wanted = request.expires
        assert contact is not None
        assert wanted is not None
        if 0 < wanted < self.minimum:
            headers = (("Min-Expires", self.minimum),)
            return Response.to_request(request, 423, to_tag="r", headers=headers)
        return self._grant(request, str(contact.uri), wanted, now)

    def _grant(self, request: Request, binding: str, wanted: int, now: float) -> Response:
        granted = min(wanted, max(self.expires, self.minimum))
        if granted:
            self.bindings[binding] = now + granted
            self.grants += 1
            contact = f"<{binding}>;expires={granted}"
            return Response.to_request(request, 200, to_tag="r", headers=[("Contact", contact)])
        self.bindings.pop(binding, None)
        return Response.to_request(request, 200, to_tag="r")

    def _challenge(self, request: Request, *, stale: bool) -> Response:
        challenges = self._digest.challenges(self._network.world.now, stale=stale)
        headers = [("WWW-Authenticate", challenge) for challenge in challenges]
        return Response.to_request(request, 401, to_tag="r", headers=headers)


class OurSide:
    """An endpoint with one registration."""

    def __init__(self, network: Network, seed: int) -> None:
        self.changes: list[RegistrationChanged] = []
        self._network = network
        self._tokens = 0
        self.endpoint = SipEndpoint(EndpointConfig(), self, self._token, Random(seed).random)
        network.listen(US, self._receive)
        network.world.attach(self)
        self.registration: Registration = self.endpoint.register(
            RegistrationRequest(
                registrar=Uri.parse("sip:sip.example.net"),
                aor=Uri.parse("sip:trunk@sip.example.net"),
                contact_user="trunk",
                credentials=Credentials("trunk", PASSWORD),
                expires=300,
            ),
            [HOP],
            now=network.world.now,
        )
        self.drain()

    def _token(self) -> str:
        self._tokens += 1
        return f"r{self._tokens}"

    def advertised(self, hop: Hop) -> tuple[str, int]:
        return US, 5060

    def next_timer(self) -> float | None:
        return self.endpoint.next_timer()

    def handle_timeout(self, now: float) -> None:
        self.endpoint.handle_timeout(now)
        self.drain()

    def _receive(self, data: bytes, source: Address, target: Address) -> None:
        self.endpoint.receive_datagram(data, Flow(Hop("udp", *source)), self._network.world.now)
        self.drain()

    def drain(self) -> None:
        busy = True
        while busy:
            for sent in self.endpoint.transmissions():
                to = sent.destination.hop
                self._network.send(sent.data, (US, 5060), (to.host, to.port))
            events = self.endpoint.events()
            busy = bool(events)
            for event in events:
                if isinstance(event, RegistrationChanged):
                    self.changes.append(event)
                elif isinstance(event, ResolveNeeded):
                    self.endpoint.resolved(event.key, [HOP], self._network.world.now)

    @property
    def status(self) -> RegistrationStatus:
        return self.registration.status


class RegistrationAgainstAModel(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**16), loss=st.sampled_from([0.0, 0.1, 0.3]))
    def begin(self, seed: int, loss: float) -> None:
        self.world = World(seed)
        self.network = Network(self.world, Conditions(loss=loss, duplicate=loss / 2, jitter=0.05))
        self.registrar = ModelRegistrar(self.network)
        self.ours = OurSide(self.network, seed)
        self.forgot = False
        """The registrar lost what it had granted, and we cannot know before the next refresh."""

    @rule(seconds=st.sampled_from([0.05, 1.0, 20.0, 150.0, 400.0]))
    def wait(self, seconds: float) -> None:
        grants = self.registrar.grants
        self.world.run(seconds)
        if self.registrar.grants > grants:
            self.forgot = False

    @rule(expires=st.sampled_from([5, 30, 60, 300, 3600]))
    def grant_otherwise(self, expires: int) -> None:
        self.registrar.expires = expires

    @rule(minimum=st.sampled_from([0, 60, 600]))
    def want_at_least(self, minimum: int) -> None:
        self.registrar.minimum = minimum

    @rule()
    def go_down(self) -> None:
        self.registrar.down = True

    @rule()
    def come_up(self) -> None:
        self.registrar.down = False

    @rule()
    def restart(self) -> None:
        self.registrar.restart()
        self.forgot = True

    @rule(right=st.booleans())
    def change_the_password(self, right: bool) -> None:
        self.registrar.password = PASSWORD if right else "another"

    @invariant()
    def what_we_believe_is_so(self) -> None:
        ours = getattr(self, "ours", None)
        if ours is None or self.forgot:
            return
        if ours.status is RegistrationStatus.REGISTERED:
            assert self.registrar.has(self.world.now)

    @invariant()
    def a_change_is_told_once(self) -> None:
        ours = getattr(self, "ours", None)
        told = [(c.status, c.reason) for c in ours.changes] if ours is not None else []
        assert all(before != after for before, after in zip(told, told[1:], strict=False))

    @invariant()
    def little_is_held(self) -> None:
        ours = getattr(self, "ours", None)
        if ours is not None:
            assert ours.endpoint.counts.client_transactions <= 8
            assert ours.endpoint.counts.timers <= 24

    def teardown(self) -> None:
        if not hasattr(self, "ours"):
            return
        self.network.usual = Conditions()
        self.registrar.down = False
        self.registrar.password = PASSWORD
        self.registrar.expires, self.registrar.minimum = 300, 0
        self.world.run(LONGEST_RETRY)
        assert self.ours.status is RegistrationStatus.REGISTERED
        assert self.registrar.has(self.world.now)
        self.ours.registration.unregister(now=self.world.now)
        self.ours.drain()
        self.world.run(100.0)
        assert not self.registrar.has(self.world.now)
        assert self.ours.endpoint.is_idle
        assert self.ours.endpoint.counts.timers == 0


TestRegistrationAgainstAModel = RegistrationAgainstAModel.TestCase
TestRegistrationAgainstAModel.settings = settings(
    max_examples=50, stateful_step_count=15, deadline=None
)
