"""Bombs against an endpoint that has a live call: each gets the answer that it is owed, is counted,
costs bounded work, leaves nothing behind, and the call goes on."""

from __future__ import annotations

import pytest

from ringback.sip.errors import ParseError
from ringback.sip.events import DropReason
from ringback.sip.limits import MAX_HEADER_BYTES, MAX_HEADER_COUNT, MAX_VIA_COUNT
from ringback.sip.message import parse_message
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow
from unit.sip.call_lab import InboundCall
from unit.sip.sipkit import GIVE_UP, OTHER, T1
from unit.sip.work import calls_in

BOMBER = Flow(OTHER)
MOST_CALLS = 6 * MAX_HEADER_BYTES
"""Functions called for one datagram, Python's and C's: a few for each byte that a head may have."""
MOST_ANSWERED = 2
"""How many times as large as the bomb its answer may be."""


def bomb(*fields: str, body: bytes = b"", method: str = "INVITE") -> bytes:
    head = (
        f"{method} sip:alice@192.0.2.1 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKbomb;rport",
        "Max-Forwards: 70",
        "From: <sip:x@example.net>;tag=x",
        "To: <sip:alice@192.0.2.1>",
        "Call-ID: bomb",
        f"CSeq: 1 {method}",
        "Contact: <sip:x@192.0.2.3>",
        *fields,
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


BOMBS = {
    "thousands of headers": (bomb(*["X-A: b"] * 5000), 513),
    "one giant header": (bomb("X-A: " + "b" * 60_000), 513),
    "a giant header below the limit of all": (bomb("X-A: " + "b" * 20_000), 513),
    "thousands of folded lines": (bomb("X-A: b", *[" c"] * 10_000), 513),
    "more Vias than hops": (bomb(*["Via: SIP/2.0/UDP a"] * (MAX_VIA_COUNT + 1)), 513),
    "a list of Vias": (bomb("Via: " + ",".join(["SIP/2.0/UDP a"] * 400)), 513),
    "too large a body": (bomb("Content-Type: application/sdp", body=b"v" * 300_000), 413),
    "a body that is not there": (bomb().replace(b"Length: 0", b"Length: 4000000000"), 400),
    "a length of a thousand digits": (bomb().replace(b"Length: 0", b"Length: " + b"9" * 1000), 400),
    "an open quote in a list": (bomb('Via: SIP/2.0/UDP a;x="' + "," * 8000), 400),
}


@pytest.mark.requirement("bad.header-bombs")
@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_gets_its_answer_and_the_call_goes_on(what: str) -> None:
    data, status = BOMBS[what]
    call = InboundCall().confirmed()
    node = call.node
    before = node.endpoint.counts
    work = calls_in(lambda: node.endpoint.receive_datagram(data, BOMBER, node.now))
    assert work <= MOST_CALLS
    (sent,) = node.endpoint.transmissions()  # what it repeats of the bomb may be unreadable
    assert sent.destination == BOMBER
    assert sent.data.startswith(b"SIP/2.0 %d " % status)
    assert len(sent.data) <= MOST_ANSWERED * len(data)
    assert node.endpoint.dropped[DropReason.UNPARSABLE] == counted(data)
    assert node.endpoint.counts.sessions == before.sessions
    until(call, GIVE_UP + T1)
    assert node.endpoint.counts.server_transactions <= before.server_transactions
    assert call.session.state is SessionState.CONFIRMED


def counted(data: bytes) -> int:
    """What cannot be taken apart is dropped and counted; the rest is refused like any request."""
    try:
        parse_message(data)
    except ParseError:
        return 1
    return 0


def until(call: InboundCall, seconds: float) -> None:
    """Let time pass without reading what is sent meanwhile."""
    node, end = call.node, call.node.now + seconds
    while (due := node.endpoint.next_timer()) is not None and due <= end:
        node.now = due
        node.endpoint.handle_timeout(due)
        node.endpoint.transmissions()
    node.now = end


@pytest.mark.requirement("bad.header-bombs")
@pytest.mark.parametrize("length", [10_000, 60_000])
def test_a_giant_start_line_is_not_read_but_counted(length: int) -> None:
    call = InboundCall().confirmed()
    call.node.receive(bomb().replace(b"alice@", b"a" * length + b"@", 1), OTHER)
    assert call.node.take_sent() == []
    assert call.node.endpoint.dropped == {DropReason.UNPARSABLE: 1}


@pytest.mark.requirement("bad.header-bombs")
@pytest.mark.parametrize(
    "field",
    [
        "Route: " + ",".join(["<sip:a@b;lr>"] * 500),
        "Record-Route: " + ",".join(["<sip:a@b;lr>"] * 500),
        "Contact: " + ",".join(["<sip:a@b>"] * 700),
        "Supported: " + ",".join(["x"] * 4000),
        "Require: " + ",".join(["x"] * 4000),
        "Accept: " + ",".join(["a/b"] * 2000),
        "Allow: " + "," * 8000,
        "P-Asserted-Identity: " + ",".join(["<sip:a@b>"] * 700),
        "Reason: " + ",".join(["Q.850;cause=1"] * 500),
        'Subject: "' + '\\"' * 4000,
        "Authorization: Digest " + ",".join(["a=b"] * 2000),
        "Replaces: a" + ";to-tag=b" * 700,
        "Diversion: " + '"' * 8000,
    ],
    ids=lambda field: str(field).partition(":")[0],
)
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REFER", "BYE"])
def test_a_deep_list_costs_bounded_work(field: str, method: str) -> None:
    call = InboundCall().confirmed()
    node = call.node
    data = bomb(field, method=method)
    work = calls_in(lambda: node.endpoint.receive_datagram(data, BOMBER, node.now))
    node.drain()
    assert work <= MOST_CALLS
    assert call.session.state is SessionState.CONFIRMED
    node.advance(4000.0)
    assert len(node.endpoint.sessions) <= 2


@pytest.mark.requirement("bad.header-bombs")
def test_as_many_headers_as_are_allowed_are_no_bomb() -> None:
    call = InboundCall().confirmed()
    call.node.receive(bomb(*["X-A: b"] * (MAX_HEADER_COUNT - 8), method="OPTIONS"), OTHER)
    assert call.node.take_sent() == ["200 OPTIONS"]


@pytest.mark.requirement("bad.header-bombs")
def test_a_thousand_bombs_leave_as_much_behind_as_none() -> None:
    call = InboundCall().confirmed()
    before = call.node.endpoint.counts
    for number in range(1000):
        data, _ = BOMBS["a list of Vias" if number % 2 else "an open quote in a list"]
        call.node.endpoint.receive_datagram(data, BOMBER, call.node.now)
        call.node.endpoint.transmissions()
        call.node.endpoint.events()
    assert call.node.endpoint.counts.server_transactions <= before.server_transactions + 2
    assert call.node.endpoint.counts.sessions == before.sessions
    until(call, GIVE_UP + T1)
    assert call.node.endpoint.counts.server_transactions <= before.server_transactions
