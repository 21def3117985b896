"""A call that is over must not be left to the garbage collector, which stops all other calls."""

from __future__ import annotations

import gc
from itertools import count

from ringback.sip.endpoint import EndpointConfig, SipEndpoint
from ringback.sip.events import IncomingInvite
from ringback.sip.transport import Flow, Hop

FLOW = Flow(Hop("udp", "192.0.2.9", 5060))
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\n"
    b"t=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
)


class Addresses:
    def advertised(self, hop: Hop) -> tuple[str, int]:
        return "192.0.2.1", 5060


def request(method: str, call: int, cseq: int, to_tag: str = "", body: bytes = b"") -> bytes:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    head = (
        f"{method} sip:a@192.0.2.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{method}{call};rport\r\n"
        f"From: <sip:b@192.0.2.9>;tag=b{call}\r\nTo: <sip:a@192.0.2.1>{to_tag}\r\n"
        f"Call-ID: call{call}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:b@192.0.2.9>\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def whole_call(endpoint: SipEndpoint, call: int) -> bytes:
    """Returns the answer to the BYE."""
    endpoint.receive_datagram(request("INVITE", call, 1, body=SDP), FLOW, 0.0)
    event = endpoint.events()[0]
    assert isinstance(event, IncomingInvite)
    event.session.accept(SDP, now=0.0)
    answer = endpoint.transmissions()[-1].data
    tag = f";tag={event.session.local_tag}"
    assert tag.encode() in answer
    endpoint.receive_datagram(request("ACK", call, 1, tag), FLOW, 0.0)
    endpoint.receive_datagram(request("BYE", call, 2, tag), FLOW, 0.0)
    endpoint.events()
    last = endpoint.transmissions()[-1].data
    endpoint.receive_datagram(request("BYE", call, 2, tag), FLOW, 0.1)
    assert endpoint.transmissions()[-1].data == last
    return last


def test_a_call_that_is_over_leaves_the_collector_nothing() -> None:
    numbers = count()
    endpoint = SipEndpoint(
        EndpointConfig(), Addresses(), lambda: f"token{next(numbers)}", lambda: 0.5
    )
    whole_call(endpoint, 0)
    gc.collect()
    gc.disable()
    try:
        for call in range(1, 11):
            assert whole_call(endpoint, call).startswith(b"SIP/2.0 200 OK")
        assert gc.collect() < 10
    finally:
        gc.enable()
    assert not endpoint.sessions
    endpoint.handle_timeout(100.0)
    assert endpoint.is_idle
