"""A node with one registration, for the tests of registrations."""

from __future__ import annotations

from ringback.sip.authentication import Credentials
from ringback.sip.events import ResolveNeeded
from ringback.sip.message import Request
from ringback.sip.registration import Registration, RegistrationChanged, RegistrationRequest
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.sip.sipkit import PEER, Node, answer_to

ALICE = Credentials("alice-auth", "secret")
REALM = 'Digest realm="provider", nonce="{}", qop="auth"'


class Trunk:
    """A node with one registration."""

    def __init__(self, *hops: Hop, random: float = 0.0, **changes: object) -> None:
        self.node = Node(random=lambda: random)
        values: dict[str, object] = {
            "registrar": Uri.parse("sip:provider.example"),
            "aor": Uri.parse("sip:alice@provider.example"),
            "contact_user": "alice",
            "credentials": ALICE,
            "expires": 300,
        }
        request = RegistrationRequest(**(values | changes))  # type: ignore[arg-type]  # by name
        self.registration: Registration = self.node.endpoint.register(
            request, hops, now=self.node.now
        )
        self.node.drain()

    @property
    def register(self) -> Request:
        return self.node.last_request("REGISTER")

    @property
    def binding(self) -> str:
        """Our Contact without parameters."""
        contact = self.register.contact
        return f"<{contact.uri}>" if contact is not None else ""

    def hear(self, status: int, flow: Flow | Hop = PEER, **headers: object) -> None:
        fields = [(name.replace("_", "-"), str(value)) for name, value in headers.items()]
        self.node.receive(answer_to(self.register, status, contact=None, headers=fields), flow)

    def grant(self, expires: int = 300, flow: Flow | Hop = PEER) -> None:
        self.hear(200, flow, Contact=f"{self.binding};expires={expires}")

    def challenge(self, nonce: str = "n1", more: str = "") -> None:
        self.hear(401, WWW_Authenticate=REALM.format(nonce) + more)

    def changes(self) -> list[RegistrationChanged]:
        found = [event for event in self.node.events if isinstance(event, RegistrationChanged)]
        self.node.events.clear()
        return found

    def change(self) -> RegistrationChanged:
        (event,) = self.changes()
        return event

    def next_register(self) -> float:
        """Seconds until the next REGISTER goes out (or the next name is asked for)."""
        began = self.node.now
        self.node.take_sent()
        while not self.node.sent:
            due = self.node.endpoint.next_timer()
            if due is None:
                raise LookupError("nothing will be sent")
            self.node.advance(due - self.node.now)
            if any(isinstance(event, ResolveNeeded) for event in self.node.events):
                break
        return self.node.now - began
