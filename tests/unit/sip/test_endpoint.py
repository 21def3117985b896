"""What the endpoint does with what concerns no call: malformed input, OPTIONS, overload."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.events import (
    Dropped,
    DropReason,
    IncomingInvite,
    OutOfDialogRequest,
    ResponseReceived,
)
from ringback.sip.message import Response
from ringback.sip.out_of_dialog import OutgoingRequest
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.sip.sipkit import (
    ANSWER,
    GIVE_UP,
    OFFER,
    OTHER,
    PEER,
    Node,
    answer_to,
    invite_request,
    nameaddr,
    request_from,
)


def options(node: Node, *hops: Hop) -> OutgoingRequest:
    wish = OutgoingRequest(
        "OPTIONS", Uri.parse("sip:bob@192.0.2.2"), nameaddr("<sip:me@example.org>")
    )
    node.endpoint.request(wish, hops or (PEER,), now=node.now)
    node.drain()
    return wish


ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE"


# ---- OPTIONS and other requests -----------------------------------------------------------------


@pytest.mark.requirement("trunk.keepalive", "rfc3261.11")
def test_options_is_answered_with_what_we_can_do() -> None:
    node = Node()
    node.receive(request_from("OPTIONS"))
    response = node.last_response("200 OPTIONS")
    assert response.headers.get("Allow") == ALLOW
    assert response.headers.get("Accept") is not None
    assert response.supported == ["100rel", "timer"]
    assert response.to.tag is not None
    assert node.take_events() == []


@pytest.mark.requirement("rfc3261.8.2")
@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("REGISTER", 405),
        ("MESSAGE", 405),
        ("REFER", 405),
        ("PUBLISH", 405),
        ("SUBSCRIBE", 489),
        ("NOTIFY", 489),
        ("BYE", 481),
        ("INFO", 481),
        ("UPDATE", 481),
        ("PRACK", 481),
        ("DANCE", 501),
    ],
)
def test_what_has_no_place_outside_of_a_call_is_refused_truthfully(
    method: str, status: int
) -> None:
    node = Node()
    node.receive(request_from(method))
    response = node.last_response(f"{status} {method}")
    if status in (405, 501):
        assert response.headers.get("Allow") == ALLOW
    node.settle()
    assert node.clean


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS", "REFER"])
def test_any_request_in_an_unknown_dialog_is_481(method: str) -> None:
    node = Node()
    node.receive(request_from(method, to="<sip:alice@192.0.2.1>;tag=gone"))
    assert node.take_sent() == [f"481 {method}"]
    assert not node.has_event(IncomingInvite)


def test_methods_of_interest_are_delivered_and_answered_by_their_owner() -> None:
    node = Node(EndpointConfig(interests=frozenset({"MESSAGE", "OPTIONS"})))
    node.receive(request_from("MESSAGE", body=b"hello", content_type="text/plain"))
    incoming = node.event(OutOfDialogRequest).incoming
    assert incoming.request.body == b"hello"
    assert incoming.flow.hop == PEER
    assert incoming.respond(
        200, body=b"hi", content_type="text/plain", headers=(("X-A", "b"),), now=node.now
    )
    node.drain()
    response = node.last_response("200 MESSAGE")
    assert (response.body, response.headers.get("X-A")) == (b"hi", "b")
    node.receive(request_from("OPTIONS"))
    assert node.take_sent() == ["200 MESSAGE"]


def test_a_delivered_request_that_is_never_answered_is_forgotten() -> None:
    node = Node(EndpointConfig(interests=frozenset({"MESSAGE"})))
    node.receive(request_from("MESSAGE"))
    incoming = node.event(OutOfDialogRequest).incoming
    node.advance(GIVE_UP)
    assert node.clean
    assert not incoming.respond(200, now=node.now)


def test_a_delivered_request_can_be_ignored() -> None:
    node = Node(EndpointConfig(interests=frozenset({"OPTIONS"})))
    node.receive(request_from("OPTIONS"))
    assert node.event(OutOfDialogRequest).incoming.ignore(now=node.now)
    node.drain()
    assert node.clean
    assert node.take_sent() == []


@pytest.mark.requirement("call.refusals")
def test_while_no_new_calls_are_taken_invite_and_options_get_503_and_calls_go_on() -> None:
    node = Node(EndpointConfig(overload_retry_after=30))
    node.receive(request_from("INVITE", body=OFFER))
    session = node.event(IncomingInvite).session
    node.endpoint.accepting_new_calls = False
    assert not node.endpoint.accepting_new_calls
    node.receive(request_from("INVITE", call_id="second", body=OFFER))
    node.receive(request_from("OPTIONS", call_id="third"))
    assert node.take_sent() == ["503 INVITE", "503 OPTIONS"]
    assert node.last_response("503 INVITE").headers.get("Retry-After") == "30"
    assert session.accept(ANSWER, now=node.now)
    node.drain()
    assert node.take_sent() == ["200 INVITE"]
    node.endpoint.accepting_new_calls = True
    node.receive(request_from("OPTIONS", call_id="fourth"))
    assert node.take_sent() == ["200 OPTIONS"]


# ---- requests of ours ---------------------------------------------------------------------------


def test_a_response_to_our_request_is_reported_with_it() -> None:
    node = Node()
    wish = options(node)
    request = node.last_request("OPTIONS")
    assert request.contact is None
    assert request.headers.get("Accept") is not None
    node.receive(answer_to(request, 100))
    assert node.take_events() == []
    node.receive(answer_to(request, 486))
    received = node.event(ResponseReceived)
    assert (received.request, received.status, received.reason) == (wish, 486, "Busy Here")
    node.settle()
    assert node.clean


def test_a_message_of_ours_carries_body_and_headers() -> None:
    node = Node()
    wish = OutgoingRequest(
        "MESSAGE",
        Uri.parse("sip:bob@192.0.2.2"),
        nameaddr("<sip:me@example.org>"),
        to=nameaddr("Bob <sip:bob@example.net>;tag=dropped"),
        body=b"hi",
        content_type="text/plain",
        contact_user="me",
        headers=(("X-A", "b"),),
        routes=(nameaddr("<sip:192.0.2.3;lr>"),),
    )
    node.endpoint.request(wish, [OTHER], now=node.now)
    node.drain()
    request = node.last_request("MESSAGE")
    assert (request.body, request.headers.get("X-A")) == (b"hi", "b")
    assert request.headers.get("Content-Type") == "text/plain"
    assert str(request.to) == "Bob <sip:bob@example.net>"
    assert str(request.contact) == "<sip:me@192.0.2.1:5060>"
    assert [str(route) for route in request.routes] == ["<sip:192.0.2.3;lr>"]


def test_no_response_is_408_and_an_unreachable_peer_is_503() -> None:
    node = Node()
    options(node)
    node.advance(GIVE_UP)
    received = node.event(ResponseReceived)
    assert (received.status, received.response) == (408, None)
    node.events.clear()
    options(node)
    node.endpoint.transport_failed(node.last("OPTIONS").transmission, node.now)
    node.drain()
    assert node.event(ResponseReceived).status == 503


def test_our_request_tries_the_next_hop_after_503_and_a_transport_error() -> None:
    node = Node()
    options(node, PEER, OTHER)
    node.receive(answer_to(node.last_request("OPTIONS"), 503))
    assert node.last("OPTIONS").destination.hop == OTHER
    assert node.take_events() == []


def test_without_any_hop_our_request_is_unreachable() -> None:
    node = Node()
    node.endpoint.request(
        OutgoingRequest("OPTIONS", Uri.parse("sip:x@y"), nameaddr("<sip:me@here>")),
        (),
        now=node.now,
    )
    node.drain()
    assert node.event(ResponseReceived).status == 503
    assert node.clean


# ---- malformed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\x00\x01\x02", b"hello", b"SIP/2.0 200", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_sip_is_dropped_and_counted(data: bytes) -> None:
    node = Node()
    node.endpoint.receive_datagram(data, Flow(PEER), node.now)
    node.drain()
    assert node.take_sent() == []
    assert node.endpoint.dropped[DropReason.UNPARSABLE] == 1
    assert node.event(Dropped).flow == Flow(PEER)
    assert node.clean


def test_a_request_whose_length_is_wrong_is_told_so() -> None:
    node = Node()
    node.receive(
        """
        OPTIONS sip:alice@192.0.2.1 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1;rport
        From: <sip:bob@example.net>;tag=1
        To: <sip:alice@192.0.2.1>
        Call-ID: x
        CSeq: 1 OPTIONS
        Content-Length: 999

        short
        """
    )
    assert node.take_sent() == ["400 OPTIONS"]
    assert node.last("400 OPTIONS").destination == Flow(PEER)
    assert node.clean


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"From": "<<<"}, 400),
        ({"To": "nobody"}, 400),
        ({"CSeq": "x OPTIONS"}, 400),
        ({"CSeq": "1 INVITE"}, 400),
        ({"Max-Forwards": "many"}, 400),
        ({"Require": "teleport"}, 420),
        ({"Content-Type": "nonsense"}, 400),
        ({"Via": "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1;rport, nonsense"}, 400),
    ],
)
def test_a_request_with_faults_gets_what_it_is_owed(change: dict[str, str], status: int) -> None:
    node = Node()
    request = request_from("OPTIONS", body=b"x")
    for name, value in change.items():
        request.headers.set(name, value)
    node.receive(request)
    (sent,) = node.sent
    assert isinstance(sent.message, Response)
    assert sent.message.status == status
    assert sum(node.endpoint.dropped.values()) == 1
    node.settle()
    assert node.clean


@pytest.mark.requirement("rfc3261.8.2")
def test_a_foreign_scheme_is_416() -> None:
    node = Node()
    node.receive(request_from("OPTIONS", uri="mailto:alice@example.com"))
    assert node.take_sent() == ["416 OPTIONS"]


def test_a_broken_ack_is_never_answered() -> None:
    node = Node()
    ack = request_from("ACK")
    ack.headers.set("From", "<<<")
    node.receive(ack)
    assert node.take_sent() == []


@pytest.mark.requirement("rfc3261.8.2")
def test_an_invite_with_a_body_we_cannot_read_is_415() -> None:
    node = Node()
    node.receive(request_from("INVITE", body=b"x", content_type="application/pkcs7-mime"))
    assert node.last_response("415 INVITE").headers.get("Accept") is not None
    assert not node.has_event(IncomingInvite)


def test_a_body_where_none_belongs_is_ignored() -> None:
    node = Node()
    node.receive(request_from("OPTIONS", body=b"\x01\x02", content_type="application/qsig"))
    assert node.take_sent() == ["200 OPTIONS"]


def test_an_unreadable_response_is_dropped_and_counted() -> None:
    node = Node()
    options(node)
    response = answer_to(node.last_request("OPTIONS"), 200)
    response.headers.set("CSeq", "nonsense")
    node.receive(response)
    assert node.endpoint.dropped[DropReason.INVALID] == 1
    assert not node.has_event(ResponseReceived)


def _pieces() -> st.SearchStrategy[bytes]:
    return st.sampled_from(
        [
            b"",
            b"\r\n",
            b"<",
            b">",
            b'"',
            b";",
            b",",
            b":",
            b"\x00",
            b"\xff\xfe",
            b"sip:",
            b"*",
            b"0",
        ]
    ) | st.binary(max_size=6)


@pytest.mark.requirement("bad.fuzz")
@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "X"]),
    in_dialog=st.booleans(),
    edits=st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 12), _pieces()), min_size=1, max_size=4
    ),
)
def test_no_damage_to_a_request_makes_the_endpoint_raise(
    method: str, in_dialog: bool, edits: list[tuple[int, int, bytes]]
) -> None:
    node = Node()
    node.receive(request_from("INVITE", body=OFFER))
    session = node.event(IncomingInvite).session
    session.accept(ANSWER, now=node.now)
    node.drain()
    to = f"<sip:alice@192.0.2.1>;tag={session.local_tag}" if in_dialog else "<sip:a@192.0.2.1>"
    data = bytes(
        request_from(
            method,
            cseq=2,
            to=to,
            body=OFFER,
            headers=[("Record-Route", "<sip:192.0.2.7;lr>"), ("Reason", "SIP;cause=200")],
        )
    )
    for position, length, piece in edits:
        data = data[:position] + piece + data[position + length :]
    node.receive(data)
    for event in list(node.events):
        if isinstance(event, IncomingInvite):
            event.session.accept(ANSWER, now=node.now)
            event.session.hang_up(now=node.now)
    node.settle()
    assert node.endpoint.is_idle


@settings(max_examples=400, deadline=None)
@given(
    status=st.sampled_from([100, 180, 183, 200, 302, 401, 407, 486, 503]),
    edits=st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 12), _pieces()), min_size=1, max_size=4
    ),
)
def test_no_damage_to_a_response_makes_the_endpoint_raise(
    status: int, edits: list[tuple[int, int, bytes]]
) -> None:
    node = Node()
    session = node.endpoint.invite(invite_request(), [PEER, OTHER], now=node.now)
    node.drain()
    response = answer_to(
        node.last_request("INVITE"),
        status,
        sdp=ANSWER,
        headers=[
            ("Record-Route", "<sip:192.0.2.7;lr>"),
            ("WWW-Authenticate", 'Digest realm="r", nonce="n"'),
            ("Reason", "Q.850;cause=16"),
        ],
    )
    data = bytes(response)
    for position, length, piece in edits:
        data = data[:position] + piece + data[position + length :]
    node.receive(data)
    session.hang_up(now=node.now)
    node.settle()
    assert node.endpoint.is_idle
    assert len(node.endings) == 1


def test_the_counts_say_what_is_held() -> None:
    node = Node()
    node.receive(request_from("INVITE", body=OFFER))
    counts = node.endpoint.counts
    assert (counts.server_transactions, counts.dialogs, counts.sessions) == (1, 1, 1)
    assert counts.client_transactions == 0
    assert counts.timers == 1
