"""The SIP connector in virtual time, with everything around it made of paper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest.mock import patch

from ringback.connectors.contract import Cause, DialRequest, InboundOffer, LegControl
from ringback.connectors.sip import connector
from ringback.connectors.sip.connector import SipConnector
from ringback.connectors.sip.directory import OutboundRoute, Refusal, Route, TrunkAccount
from ringback.connectors.sip.leg import SipLeg
from ringback.core.errors import InvalidRequest, RingbackError
from ringback.media.plane import NegotiatedAudio, OpenSession, SessionOpened, SessionReport
from ringback.sip.endpoint import EndpointConfig, SipEndpoint
from ringback.sip.events import Event
from ringback.sip.message import Request, Response
from ringback.sip.transport import Flow, Hop
from unit.sip.sipkit import PEER, Node, Sent, answer_to, request_from

OFFER = (
    b"v=0\r\no=- 7 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
)
TRUNK = TrunkAccount(
    id="trunk",
    account_id="account",
    registers=False,
    host="192.0.2.2",
    port=5060,
    transport="udp",
    domain="192.0.2.2",
    username="me",
    auth_username="me",
    password="",
)
ROUTE = Route("account", None, "+33612345678", True, trunk_id="trunk", trusted=True)
STRANGER = Route("account", None, "demo", True)

_T = TypeVar("_T")


def says(offer: bytes, direction: str) -> bytes:
    return offer + f"a={direction}\r\n".encode()


class Lease:
    def __init__(self) -> None:
        self.released = 0

    def answered(self) -> None: ...

    def release(self) -> None:
        self.released += 1


class Directory:
    """Everything goes over ``TRUNK``; ``route`` is what inbound calls get."""

    def __init__(self, route: Route | Refusal = ROUTE) -> None:
        self.route = route
        self.dialled: list[DialRequest] = []
        self.leases: list[Lease] = []
        self.refuses: RingbackError | None = None

    async def trunks(self) -> Sequence[TrunkAccount]:
        return [TRUNK]

    def on_trunk_change(self, listener: Callable[[], None]) -> None: ...

    def trunk_resolved(self, trunk_id: str, hosts: Sequence[str]) -> None: ...

    async def route_inbound(self, query: object) -> Route | Refusal:
        return self.route

    async def route_outbound(self, request: DialRequest) -> OutboundRoute:
        self.dialled.append(request)
        if self.refuses is not None:
            raise self.refuses
        scheme, colon, rest = request.target.partition(":")
        user, at, host = (rest if colon else request.target).partition("@")
        if scheme == "sip" and at and host != TRUNK.host:
            raise InvalidRequest("no", code="no_trunk_for_host")
        lease = Lease()
        self.leases.append(lease)
        return OutboundRoute(TRUNK, user, None, lease)


class Plane:
    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.negotiated: dict[str, NegotiatedAudio] = {}

    async def open(self, request: OpenSession) -> SessionOpened:
        what = "open" if request.stands_in_for is None else "stand in for"
        self.commands.append((what, request.stands_in_for or request.session_id))
        return SessionOpened(request.session_id, 10_000, 10_001)

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        self.negotiated[session_id] = audio

    def set_hold(self, session_id: str, held: bool) -> None:
        self.commands.append(("set_hold", str(held)))

    def take_leg(self, session_id: str, other: str) -> None:
        self.commands.append(("take_leg", session_id))
        self.negotiated[session_id] = self.negotiated.pop(other)

    async def close(self, session_id: str) -> SessionReport:
        self.commands.append(("close",))
        return SessionReport(session_id)


@dataclass
class Sink:
    """What calls are told, as words."""

    said: list[tuple[str, ...]] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    leg: LegControl | None = None
    offer: InboundOffer | None = None
    refuses: RingbackError | None = None

    def takes_calls(self) -> bool:
        return True

    async def offered(self, offer: InboundOffer, leg: LegControl) -> str:
        self.leg, self.offer = leg, offer
        return "call"

    def leg_ringing(self, call_id: str) -> None: ...

    def leg_early_media(self, call_id: str) -> None:
        self.said.append(("early media", call_id))

    def leg_answered(self, call_id: str) -> None:
        self.said.append(("answered", call_id))

    def leg_held(self, call_id: str, held: bool) -> None:
        self.said.append(("held" if held else "resumed", call_id))

    def leg_dtmf(self, call_id: str, digit: str, duration_ms: int) -> None:
        self.said.append(("key", digit))

    async def leg_transfer_requested(self, call_id: str, target: str) -> None:
        self.said.append(("transfer", target))
        if self.refuses is not None:
            raise self.refuses

    def leg_replaced(self, call_id: str, leg: LegControl, remote: str, name: str) -> None:
        self.leg = leg
        self.said.append(("replaced", call_id, remote, name))

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        self.said.append(("ended", call_id, cause.reason.value))
        self.causes.append(cause)


class Stack:
    """The endpoint of a :class:`Node`, driven by the test."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.addresses = SimpleNamespace(host_for=lambda host: "192.0.2.1")
        self._on_event: Callable[[Event], None] = lambda event: None
        self._seen = 0
        self._pumping = False

    @property
    def endpoint(self) -> SipEndpoint:
        return self.node.endpoint

    async def start(self, on_event: Callable[[Event], None], *more: object) -> None:
        self._on_event = on_event

    async def stop(self) -> None: ...

    def now(self) -> float:
        return self.node.now

    def pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            self.node.drain()
            while self._seen < len(self.node.events):
                self._seen += 1
                self._on_event(self.node.events[self._seen - 1])
                self.node.drain()
        finally:
            self._pumping = False


class Names:
    async def resolve(self, target: object) -> list[Hop]:
        return [PEER]


class Lab:
    """A connector, and the peer at ``PEER`` that the test plays."""

    def __init__(self, route: Route | Refusal = ROUTE, directory: Directory | None = None) -> None:
        self.node = Node(EndpointConfig(transfers=True))
        self.stack = Stack(self.node)
        self.directory = directory or Directory(route)
        self.plane, self.sink = Plane(), Sink()
        self.connector = SipConnector(
            cast(Any, self.stack),
            cast(Any, Names()),
            self.directory,  # type: ignore[arg-type]
            cast(Any, self.plane),
            "127.0.0.1",
        )
        self.invite = request_from("INVITE", body=OFFER)
        self._cseq = 1

    @classmethod
    def run(
        cls,
        test: Callable[[Lab], Awaitable[None]],
        route: Route | Refusal = ROUTE,
        directory: Directory | None = None,
    ) -> None:
        """``test`` with a lab whose connector runs; nothing of it is left afterwards."""

        async def main() -> None:
            lab = cls(route, directory)
            await lab.connector.start(lab.sink)
            try:
                await asyncio.wait_for(test(lab), 20)
            finally:
                await lab.connector.stop()

        with patch.object(connector, "FAREWELL_SECONDS", 0.0):
            asyncio.run(main())

    # ---- time and messages ------------------------------------------------------------------

    async def settle(self) -> None:
        """Let every task do what it can."""
        for _ in range(30):
            await asyncio.sleep(0)
            self.stack.pump()

    async def hear(self, message: Request | Response, flow: Flow | Hop = PEER) -> None:
        self.node.receive(message, flow)
        self.stack.pump()
        await self.settle()

    async def wait(self, seconds: float) -> None:
        self.node.advance(seconds)
        self.stack.pump()
        await self.settle()

    async def answer(self, method: str, status: int, **how: Any) -> None:
        """The peer answers our last request of that method."""
        await self.hear(answer_to(self.node.last_request(method), status, **how))

    def sent(self) -> list[str]:
        return self.node.take_sent()

    def last(self, what: str) -> Sent:
        return self.node.last(what)

    # ---- calls ------------------------------------------------------------------------------

    async def called(self) -> SipLeg:
        """A call from the peer that is answered and acknowledged."""
        await self.hear(self.invite)
        assert self.sink.leg is not None
        await self.sink.leg.accept()
        await self.settle()
        await self.says("ACK", cseq=1)
        self.sent()
        assert isinstance(self.sink.leg, SipLeg)
        return self.sink.leg

    async def says(self, method: str, *, cseq: int | None = None, **how: Any) -> Request:
        """A request of the peer's within that call."""
        if cseq is None:
            self._cseq += 1
            cseq = self._cseq
        tag = self.node.last_response("200 INVITE").to.tag
        request = request_from(
            method,
            cseq=cseq,
            to=f"<sip:alice@192.0.2.1>;tag={tag}",
            branch=f"z9hG4bK{method}{cseq}",
            **how,
        )
        await self.hear(request)
        return request


async def result(work: asyncio.Task[_T]) -> _T:
    return await asyncio.wait_for(work, 5)
