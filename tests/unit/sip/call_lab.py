"""Calls of both directions, for the tests of sessions."""

from __future__ import annotations

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import IncomingInvite
from ringback.sip.invite_session import InviteSession
from ringback.sip.message import Request
from ringback.sip.transport import Flow, Hop
from unit.sip.sipkit import (
    ANSWER,
    OFFER,
    OFFER_2,
    PEER,
    Node,
    Sent,
    answer_to,
    invite_request,
    request_from,
)


class OutboundCall:
    """A node with one outbound call."""

    def __init__(self, *hops: Hop, **changes: object) -> None:
        self.node = Node()
        self.session: InviteSession = self.node.endpoint.invite(
            invite_request(**changes), hops or (PEER,), now=self.node.now
        )
        self.node.drain()

    @property
    def invite(self) -> Request:
        return self.node.last_request("INVITE")

    def hear(self, status: int, **how: object) -> None:
        self.node.receive(answer_to(self.invite, status, **how))  # type: ignore[arg-type]

    def answered(self, **how: object) -> OutboundCall:
        self.hear(180)
        self.hear(200, sdp=ANSWER, **how)
        return self

    @property
    def ending(self) -> object:
        (event,) = self.node.endings
        return event

    def is_over(self) -> bool:
        """Nothing is left of the call after everything ran out, and it ended once."""
        self.node.settle()
        return self.node.clean and len(self.node.endings) == 1


class InboundCall:
    """A node that was called."""

    def __init__(
        self,
        body: bytes = OFFER,
        config: EndpointConfig | None = None,
        flow: Flow | Hop = PEER,
        **how: object,
    ) -> None:
        self.node = Node(config)
        self.invite = request_from("INVITE", body=body, **how)  # type: ignore[arg-type]
        self.node.receive(self.invite, flow)
        self.flow = flow
        self.session: InviteSession = self.node.event(IncomingInvite).session

    def hear(self, method: str, cseq: int = 2, **how: object) -> None:
        to = f"<sip:alice@192.0.2.1>;tag={self.session.local_tag}"
        request = request_from(method, cseq=cseq, to=to, **how)  # type: ignore[arg-type]
        self.node.receive(request, self.flow)

    def ack(self, **how: object) -> None:
        self.hear("ACK", 1, **how)

    def accepted(self) -> InboundCall:
        assert self.session.accept(ANSWER, now=self.node.now)
        self.node.drain()
        return self

    def confirmed(self) -> InboundCall:
        self.accepted().ack()
        self.node.take_events()
        self.node.take_sent()
        return self

    def is_over(self) -> bool:
        """Nothing is left of the call after everything ran out, and it ended once."""
        self.node.settle()
        return self.node.clean and len(self.node.endings) == 1


Call = InboundCall | OutboundCall


def established(direction: str) -> Call:
    """An answered call of either direction, its log empty."""
    made: Call = InboundCall().confirmed() if direction == "inbound" else OutboundCall().answered()
    made.node.take_events()
    made.node.take_sent()
    return made


def cancel_of(invite: Request, **changes: str) -> Request:
    cancel = Request("CANCEL", invite.uri, invite.headers.copy())
    cancel.headers.set("CSeq", f"{invite.cseq.number} CANCEL")
    cancel.headers.remove("Content-Type")
    cancel.headers.remove("Contact")
    for name, value in changes.items():
        cancel.headers.set(name, value)
    return cancel


def peer_says(call: Call, method: str, cseq: int = 2, **how: object) -> Request:
    """A request of the peer's in the dialog of ``call``."""
    if isinstance(call, InboundCall):
        ids = {"to": f"<sip:alice@192.0.2.1>;tag={call.session.local_tag}"}
    else:
        ids = {
            "to": str(call.invite.from_),
            "from_": "<sip:bob@192.0.2.2>;tag=peer",
            "call_id": call.session.call_id,
        }
    request = request_from(method, cseq=cseq, **(ids | how))  # type: ignore[arg-type]
    call.node.receive(request)
    return request


def reinvited(call: Call, body: bytes = OFFER_2, cseq: int = 2, **how: object) -> Request:
    return peer_says(call, "INVITE", cseq, body=body, branch=f"z9hG4bKre{cseq}", **how)


def offer(call: Call) -> Request:
    assert call.session.reinvite(OFFER_2, now=call.node.now)
    call.node.drain()
    return call.node.last_request("INVITE")


def next_invite(call: Call) -> Sent:
    """The first INVITE within the next four seconds."""
    call.node.take_sent()
    call.node.advance(4.0)
    return next(sent for sent in call.node.sent if sent.what == "INVITE")


def hang_up(call: Call) -> bool:
    """End the call and say whether nothing is left of it."""
    call.session.bye(now=call.node.now)
    call.node.settle()
    return call.node.clean and len(call.node.endings) == 1
