"""A whole SIP endpoint, with a call in each direction, at the mercy of a peer.

The input is a row of datagrams, each behind two bytes: the time that passes before it (in steps of
50 ms, the high bit: of 4 s) and where it comes from. ``{…}`` in a datagram stands for the live
tag, branch or Call-ID of the calls, so that mutations keep hitting them. Nothing may escape, what
is held stays within bounds, and in the end, when the owner has hung up and time has passed,
nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringback.sip.endpoint import SipEndpoint
from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.errors import ParseError
from ringback.sip.events import (
    Event,
    IncomingInvite,
    InDialogRequest,
    OfferReceived,
    OutOfDialogRequest,
    ReferReceived,
    ResolveNeeded,
)
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import InviteRequest, InviteSession
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from ringback_fuzz.targets import require

SDP = b"v=0\r\no=- 2 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
OFFER = SDP + b"m=audio 5000 RTP/AVP 0\r\n"
PEER = Hop("udp", "192.0.2.2", 5060)
SOURCES = (
    Flow(PEER),
    Flow(Hop("udp", "203.0.113.9", 5061)),
    Flow(Hop("tcp", "192.0.2.2", 5060), 7),
)
SEPARATOR = b"\x00\xff\x00"
MAX_DATAGRAMS = 24
CONFIG = EndpointConfig(transfers=True, interests=frozenset({"MESSAGE"}))
SILENCE = 4000.0
"""Seconds after which everything that had a timer is over, session timers too."""


class _Addresses:
    def advertised(self, hop: Hop) -> tuple[str, int]:
        return "192.0.2.1", 5060


class _Tokens:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"t{self.count}"


class _Owner:
    """Plays the part of the connector: answers, agrees, and hangs up in the end."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.endpoint = SipEndpoint(CONFIG, _Addresses(), _Tokens(), lambda: 0.5)
        self.live: dict[bytes, bytes] = {}
        self.read: set[bytes] = set()
        self.calls: list[InviteSession] = []

    def call(self) -> None:
        request = InviteRequest(
            target=Uri.parse("sip:bob@192.0.2.2"),
            from_=NameAddr.parse("<sip:alice@example.org>"),
            sdp=OFFER,
        )
        self.calls.append(self.endpoint.invite(request, [PEER], now=self.now))
        self.drain()

    def drain(self) -> None:
        while True:
            sent, events = self.endpoint.transmissions(), self.endpoint.events()
            if not sent and not events:
                return
            for transmission in sent:
                self._read(transmission.data)
            for event in events:
                self._act(event)

    def _read(self, data: bytes) -> None:
        """What we send can be read, and its names are what a peer would answer with."""
        if data in self.read:
            return
        self.read.add(data)
        try:
            self._remember(parse_message(data))
        except ParseError:  # the answer to what had too little, or too much, has that, too
            require(data.startswith(b"SIP/2.0 "), "a request of ours is malformed")

    def _remember(self, message: Request | Response) -> None:
        ours = message.to if isinstance(message, Response) else message.from_
        names = {
            b"{branch}": message.top_via.branch,
            b"{call}": message.call_id,
            b"{tag}": ours.tag,
            b"{cseq}": str(message.cseq.number),
        }
        for name, value in names.items():
            if value:
                self.live[name] = value.encode("utf-8", "surrogateescape")

    def _act(self, event: Event) -> None:
        match event:
            case IncomingInvite():
                self.calls.append(event.session)
                event.session.progress(180, now=self.now)
                event.session.accept(OFFER, now=self.now)
            case OfferReceived():
                event.session.respond_offer(OFFER, now=self.now)
            case ReferReceived():
                event.referral.accept(now=self.now)
                event.referral.report(200, now=self.now)
            case OutOfDialogRequest() | InDialogRequest():
                event.incoming.respond(200, now=self.now)
            case ResolveNeeded():
                self.endpoint.resolved(event.key, [PEER], self.now)
            case _:
                str(event)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.endpoint.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.endpoint.handle_timeout(self.now)
            self.drain()
        self.now = end

    def receive(self, data: bytes, flow: Flow) -> None:
        for name, value in self.live.items():
            data = data.replace(name, value)
        self.endpoint.receive_datagram(data, flow, self.now)
        self.drain()

    def hang_up(self) -> None:
        for session in self.calls:
            session.hang_up(status=480, now=self.now)
        self.drain()


def run(data: bytes) -> None:
    owner = _Owner()
    owner.call()
    datagrams = 0
    for wait, flow, datagram in _script(data):
        owner.advance(wait)
        owner.receive(datagram, flow)
        datagrams += 1
    counts = owner.endpoint.counts
    most = 4 * (datagrams + 2)
    require(counts.sessions <= datagrams + 1, "more calls than INVITEs")
    require(counts.dialogs <= datagrams + 1, "more dialogs than messages")
    require(counts.server_transactions <= datagrams, "more transactions than requests")
    require(counts.client_transactions <= most, "requests of ours without bound")
    require(counts.timers <= 4 * most, "timers without bound")
    owner.hang_up()
    owner.advance(SILENCE)
    owner.hang_up()
    owner.advance(SILENCE)
    require(owner.endpoint.is_idle, f"something is left: {owner.endpoint.counts}")


def _script(data: bytes) -> Iterator[tuple[float, Flow, bytes]]:
    for part in data.split(SEPARATOR)[:MAX_DATAGRAMS]:
        if len(part) < 3:
            continue
        wait = (part[0] & 0x7F) * (4.0 if part[0] & 0x80 else 0.05)
        yield wait, SOURCES[part[1] % len(SOURCES)], part[2:]
