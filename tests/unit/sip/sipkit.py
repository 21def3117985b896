"""Endpoints and hand-written peers in virtual time, for the tests of ``sip/``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ringback.sip.endpoint import EndpointConfig, SipEndpoint
from ringback.sip.events import ENDING_EVENTS, Event
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import InviteRequest, InviteSession
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.session_states import SessionState
from ringback.sip.timers import Timers
from ringback.sip.transport import Flow, Hop, Transmission
from ringback.sip.uri import Uri

PEER = Hop("udp", "192.0.2.2", 5060)
PEER_TCP = Hop("tcp", "192.0.2.2", 5060)
OTHER = Hop("udp", "192.0.2.3", 5060)
THIRD = Hop("udp", "192.0.2.4", 5060)
US = ("192.0.2.1", 5060)
T1 = Timers().t1
GIVE_UP = Timers().give_up

OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n"
ANSWER = b"v=0\r\no=- 2 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 5000 RTP/AVP 0\r\n"
OFFER_2 = OFFER.replace(b"4000", b"4002")
ANSWER_2 = ANSWER.replace(b"5000", b"5002")

_E = TypeVar("_E")


class Addresses:
    def __init__(self, host: str = US[0], port: int = US[1]) -> None:
        self.address = host, port

    def advertised(self, hop: Hop) -> tuple[str, int]:
        return self.address


class Tokens:
    def __init__(self, prefix: str = "t") -> None:
        self.prefix = prefix
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count}"


@dataclass(frozen=True)
class Sent:
    """One message that the endpoint sent."""

    at: float
    message: Request | Response
    destination: Flow
    transmission: Transmission

    @property
    def what(self) -> str:
        """``INVITE`` or ``200 INVITE``."""
        if isinstance(self.message, Request):
            return self.message.method
        return f"{self.message.status} {self.message.cseq.method}"


class Node:
    """A :class:`SipEndpoint` with a clock that the test moves and a log of all it did."""

    def __init__(
        self,
        config: EndpointConfig | None = None,
        *,
        random: Callable[[], float] = lambda: 0.5,
        host: str = US[0],
        prefix: str = "t",
    ) -> None:
        self.now = 1000.0
        self.endpoint = SipEndpoint(
            config or EndpointConfig(), Addresses(host), Tokens(prefix), random
        )
        self.sent: list[Sent] = []
        """Since the last :meth:`take_sent`."""
        self.log: list[Sent] = []
        """All of it."""
        self.events: list[Event] = []

    # ---- time ---------------------------------------------------------------------------------

    def drain(self) -> None:
        for transmission in self.endpoint.transmissions():
            message = parse_message(transmission.data)
            sent = Sent(self.now, message, transmission.destination, transmission)
            self.sent.append(sent)
            self.log.append(sent)
        self.events += self.endpoint.events()

    def advance(self, seconds: float) -> None:
        """Move the clock, firing every timer at its own time."""
        end = self.now + seconds
        while (due := self.endpoint.next_timer()) is not None and due <= end:
            self.now = due
            self.endpoint.handle_timeout(due)
            self.drain()
        self.now = end
        self.drain()

    def settle(self) -> None:
        """Let everything run out that was begun."""
        self.advance(GIVE_UP * 4)

    # ---- input --------------------------------------------------------------------------------

    def receive(self, message: Request | Response | str | bytes, flow: Flow | Hop = PEER) -> None:
        data = wire(message) if isinstance(message, str) else bytes(message)
        where = Flow(flow) if isinstance(flow, Hop) else flow
        self.endpoint.receive_datagram(data, where, self.now)
        self.drain()

    # ---- what came out ------------------------------------------------------------------------

    def take_sent(self) -> list[str]:
        """What was sent since the last time, as words; forgotten then."""
        found = [sent.what for sent in self.sent]
        self.sent.clear()
        return found

    def last(self, what: str) -> Sent:
        return next(sent for sent in reversed(self.log) if sent.what == what)

    def last_request(self, method: str) -> Request:
        message = self.last(method).message
        if not isinstance(message, Request):
            raise TypeError(method)
        return message

    def last_response(self, what: str) -> Response:
        message = self.last(what).message
        if not isinstance(message, Response):
            raise TypeError(what)
        return message

    def times(self, what: str) -> list[float]:
        """When ``what`` was sent, in seconds after the first time."""
        moments = [sent.at for sent in self.log if sent.what == what]
        return [round(moment - moments[0], 6) for moment in moments]

    def take_events(self) -> list[str]:
        found = [type(event).__name__ for event in self.events]
        self.events.clear()
        return found

    def event(self, kind: type[_E]) -> _E:
        """The only event of its kind so far."""
        found = [event for event in self.events if isinstance(event, kind)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} of {kind.__name__} in {self.events}")
        return found[0]

    def has_event(self, kind: type[object]) -> bool:
        return any(isinstance(event, kind) for event in self.events)

    @property
    def endings(self) -> list[Event]:
        return [event for event in self.events if isinstance(event, ENDING_EVENTS)]

    @property
    def timers(self) -> int:
        return self.endpoint.counts.timers

    @property
    def clean(self) -> bool:
        """Nothing is left of anything."""
        return self.endpoint.is_idle and self.timers == 0


def wire(text: str) -> bytes:
    """A message written as an indented literal; an empty line ends the head."""
    lines = [line.strip() for line in text.strip("\n").split("\n")]
    if "" not in lines:
        lines += ["", ""]
    return "\r\n".join(lines).encode()


def nameaddr(text: str) -> NameAddr:
    return NameAddr.parse(text)


def state(session: InviteSession) -> SessionState:
    """The state now (a call, so that no type checker takes it for the one asserted before)."""
    return session.state


def invite_request(**changes: object) -> InviteRequest:
    values: dict[str, object] = {
        "target": Uri.parse("sip:bob@192.0.2.2"),
        "from_": nameaddr("Alice <sip:alice@example.org>"),
        "sdp": OFFER,
        "contact_user": "alice",
    }
    return InviteRequest(**(values | changes))  # type: ignore[arg-type]  # by name


def answer_to(
    request: Request,
    status: int,
    *,
    tag: str | None = "peer",
    sdp: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    contact: str | None = "<sip:bob@192.0.2.2:5060>",
) -> Response:
    """What a peer answers to a request of ours."""
    extra = list(headers)
    if contact is not None and (status < 300 and status > 100):
        extra.append(("Contact", contact))
    if sdp:
        extra.append(("Content-Type", "application/sdp"))
    return Response.to_request(request, status, to_tag=tag, headers=extra, body=sdp)


def request_from(
    method: str,
    *,
    cseq: int = 1,
    call_id: str = "their-call",
    from_: str = "<sip:bob@example.net>;tag=theirs",
    to: str = "<sip:alice@192.0.2.1>",
    branch: str | None = None,
    uri: str = "sip:alice@192.0.2.1",
    headers: Sequence[tuple[str, str]] = (),
    contact: str | None = "<sip:bob@192.0.2.2:5060>",
    via: str | None = None,
    body: bytes = b"",
    content_type: str = "application/sdp",
) -> Request:
    """A request from a peer."""
    other = "" if call_id == "their-call" else f"-{call_id}"
    mark = branch or f"z9hG4bK-{method}-{cseq}{other}"
    request = Request(method, Uri.parse(uri))
    request.headers.add("Via", via or f"SIP/2.0/UDP 192.0.2.2:5060;branch={mark};rport")
    request.headers.add("Max-Forwards", 70)
    request.headers.add("From", from_)
    request.headers.add("To", to)
    request.headers.add("Call-ID", call_id)
    request.headers.add("CSeq", f"{cseq} {method}")
    if contact is not None:
        request.headers.add("Contact", contact)
    for name, value in headers:
        request.headers.add(name, value)
    if body:
        request.headers.add("Content-Type", content_type)
        request.body = body
    return request
