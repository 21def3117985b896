"""Requests within a call other than offers: INFO, OPTIONS, REFER and what we do not do."""

from __future__ import annotations

import pytest

from ringback.sip.endpoint import EndpointConfig
from ringback.sip.errors import UnsafeValue
from ringback.sip.events import (
    EndCause,
    Ended,
    InDialogRequest,
    InfoReceived,
    RequestCompleted,
    ResolveNeeded,
)
from ringback.sip.message import Request
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.sip.call_lab import Call, InboundCall, OutboundCall, established, peer_says
from unit.sip.sipkit import GIVE_UP, PEER, answer_to

DTMF = b"Signal=5\r\nDuration=160\r\n"


@pytest.fixture(params=["inbound", "outbound"])
def call(request: pytest.FixtureRequest) -> Call:
    return established(str(request.param))


# ---- INFO ---------------------------------------------------------------------------------------


def test_an_info_with_dtmf_is_answered_and_delivered(call: Call) -> None:
    peer_says(call, "INFO", body=DTMF, content_type="application/dtmf-relay; x=1")
    assert call.node.take_sent() == ["200 INFO"]
    event = call.node.event(InfoReceived)
    assert (event.session, event.content_type, event.body) == (
        call.session,
        "application/dtmf-relay",
        DTMF,
    )


def test_an_info_without_body_is_delivered(call: Call) -> None:
    peer_says(call, "INFO")
    assert call.node.take_sent() == ["200 INFO"]
    assert call.node.event(InfoReceived).body == b""


@pytest.mark.requirement("rfc3261.8.2")
def test_an_info_with_a_body_we_do_not_read_is_told_what_we_do(call: Call) -> None:
    peer_says(call, "INFO", body=b"<x/>", content_type="application/media_control+xml")
    assert call.node.last_response("415 INFO").headers.get("Accept") == (
        "application/dtmf-relay, application/dtmf"
    )
    assert not call.node.has_event(InfoReceived)


def test_our_info_reports_what_became_of_it(call: Call) -> None:
    assert call.session.info("application/dtmf-relay", DTMF, now=call.node.now)
    call.node.drain()
    info = call.node.last_request("INFO")
    assert info.body == DTMF
    assert info.headers.get("Content-Type") == "application/dtmf-relay"
    call.node.receive(answer_to(info, 415))
    completed = call.node.event(RequestCompleted)
    assert (completed.method, completed.status) == ("INFO", 415)
    assert call.session.state is SessionState.CONFIRMED


def test_an_info_that_times_out_does_not_end_the_call(call: Call) -> None:
    call.session.info("application/dtmf-relay", DTMF, now=call.node.now)
    call.node.advance(GIVE_UP)
    completed = call.node.event(RequestCompleted)
    assert (completed.status, completed.response) == (408, None)
    assert call.session.state is SessionState.CONFIRMED


def test_a_481_to_a_request_of_ours_ends_the_call(call: Call) -> None:
    call.session.info("application/dtmf-relay", DTMF, now=call.node.now)
    call.node.drain()
    call.node.receive(answer_to(call.node.last_request("INFO"), 481))
    assert call.node.event(Ended).cause is EndCause.DIALOG_LOST
    assert call.node.last("BYE")
    assert call.is_over()


def test_requests_of_ours_in_flight_are_bounded(call: Call) -> None:
    accepted = [call.session.info("application/dtmf", b"1", now=call.node.now) for _ in range(40)]
    call.node.drain()
    assert accepted.count(True) == 32
    call.node.receive(answer_to(call.node.last_request("INFO"), 200))
    assert call.session.info("application/dtmf", b"1", now=call.node.now)


def test_no_event_of_a_request_comes_after_the_end_of_its_call(call: Call) -> None:
    call.session.info("application/dtmf", b"1", now=call.node.now)
    call.session.bye(now=call.node.now)
    call.node.drain()
    call.node.receive(answer_to(call.node.last_request("INFO"), 481))
    assert not call.node.has_event(RequestCompleted)
    assert call.is_over()


def test_a_request_with_headers_that_would_break_it_is_refused_at_once(call: Call) -> None:
    with pytest.raises(UnsafeValue):
        call.session.request("INFO", headers=(("X", "a\r\nb"),), now=call.node.now)
    call.node.drain()
    assert call.node.take_sent() == []


# ---- others -------------------------------------------------------------------------------------


@pytest.mark.requirement("rfc3261.11")
def test_options_in_a_call_is_answered_with_what_we_can_do(call: Call) -> None:
    peer_says(call, "OPTIONS")
    response = call.node.last_response("200 OPTIONS")
    assert response.allow is not None
    assert "INVITE" in response.allow
    assert response.accept is not None
    assert response.supported == ["100rel", "timer"]


@pytest.mark.requirement("rfc3261.8.2")
@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("REFER", 405),
        ("MESSAGE", 405),
        ("REGISTER", 405),
        ("PUBLISH", 405),
        ("SUBSCRIBE", 489),
        ("NOTIFY", 489),
        ("PRACK", 481),
        ("DANCE", 501),
    ],
)
def test_what_we_do_not_do_is_refused_truthfully(call: Call, method: str, status: int) -> None:
    peer_says(call, method)
    response = call.node.last_response(f"{status} {method}")
    assert ("Allow" in response.headers) == (status != 481)
    assert call.session.state is SessionState.CONFIRMED


def test_methods_of_interest_are_delivered_with_a_way_to_respond() -> None:
    call = InboundCall(config=EndpointConfig(interests=frozenset({"REFER"}))).confirmed()
    peer_says(call, "REFER", headers=[("Refer-To", "<sip:carol@example.com>")])
    event = call.node.event(InDialogRequest)
    assert event.session is call.session
    assert event.incoming.respond(202, now=call.node.now)
    assert not event.incoming.respond(400, now=call.node.now)
    assert not event.incoming.ignore(now=call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["202 REFER"]
    call.session.bye(now=call.node.now)
    assert call.is_over()


def test_a_refer_of_ours_has_a_contact(call: Call) -> None:
    call.session.request("REFER", headers=(("Refer-To", "<sip:c@x>"),), now=call.node.now)
    call.node.drain()
    refer = call.node.last_request("REFER")
    assert refer.contact is not None
    assert refer.headers.get("Refer-To") == "<sip:c@x>"


@pytest.mark.requirement("rfc3261.8.2")
def test_a_require_that_we_cannot_meet_is_420_and_names_it(call: Call) -> None:
    peer_says(call, "INVITE", body=b"v=0", headers=[("Require", "100rel, foo, bar")])
    response = call.node.last_response("420 INVITE")
    assert response.headers.get("Unsupported") == "foo, bar"
    assert call.session.state is SessionState.CONFIRMED


@pytest.mark.requirement("rfc3261.12")
def test_a_wrong_tag_is_another_dialog(call: Call) -> None:
    peer_says(call, "BYE", to="<sip:alice@192.0.2.1>;tag=wrong")
    assert call.node.take_sent() == ["481 BYE"]
    assert call.session.state is SessionState.CONFIRMED


# ---- names for addresses ------------------------------------------------------------------------


def named(host: str = "sbc.example.net") -> InboundCall:
    call = InboundCall(headers=[("Record-Route", f"<sip:{host};lr>")]).confirmed()
    call.session.bye(now=call.node.now)
    call.node.drain()
    return call


def test_a_route_by_name_is_resolved_before_the_request_is_sent() -> None:
    call = named()
    assert call.node.take_sent() == []
    needed = call.node.event(ResolveNeeded)
    assert str(needed.uri) == "sip:sbc.example.net;lr"
    call.node.endpoint.resolved(needed.key, (Hop("tcp", "192.0.2.88", 5060),), call.node.now)
    call.node.drain()
    assert call.node.last("BYE").destination == Flow(Hop("tcp", "192.0.2.88", 5060))
    assert call.node.last_request("BYE").top_via.transport == "TCP"
    call.node.endpoint.resolved(needed.key, (PEER,), call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["BYE"]
    assert call.is_over()


def test_a_name_that_resolves_to_nothing_makes_the_request_unreachable() -> None:
    call = named()
    call.node.endpoint.resolved(
        call.node.event(ResolveNeeded).key, (), call.node.now, failure="no such name"
    )
    assert call.is_over()


def test_a_name_that_nobody_resolves_is_given_up() -> None:
    assert named().is_over()


def test_a_failed_hop_of_a_resolved_name_gives_way_to_the_next() -> None:
    call = named()
    hops = (Hop("udp", "192.0.2.88", 5060), Hop("udp", "192.0.2.89", 5060))
    call.node.endpoint.resolved(call.node.event(ResolveNeeded).key, hops, call.node.now)
    call.node.drain()
    call.node.endpoint.transport_failed(call.node.last("BYE").transmission, call.node.now)
    call.node.drain()
    assert call.node.last("BYE").destination.hop.host == "192.0.2.89"


def test_the_name_that_the_call_was_placed_to_is_where_it_was_answered_from() -> None:
    call = OutboundCall(target=Uri.parse("sip:bob@provider.example"))
    call.hear(200, contact="<sip:bob@Provider.example>")
    ack = call.node.last("ACK")
    assert ack.destination == Flow(PEER)
    assert isinstance(ack.message, Request)
    assert ack.message.uri.host == "Provider.example"


def test_an_ack_to_a_name_is_sent_when_it_is_resolved_and_again_for_each_2xx() -> None:
    call = OutboundCall()
    call.hear(200, contact="<sip:bob@pbx.example>")
    call.hear(200, contact="<sip:bob@pbx.example>")
    assert call.node.take_sent() == ["INVITE"]
    needed = call.node.event(ResolveNeeded)
    call.node.endpoint.resolved(needed.key, (PEER,), call.node.now)
    call.node.drain()
    call.hear(200, contact="<sip:bob@pbx.example>")
    assert call.node.take_sent() == ["ACK", "ACK"]


def test_an_ack_to_a_route_that_was_not_found_is_tried_again_with_the_next_2xx() -> None:
    call = OutboundCall()
    route = [("Record-Route", "<sip:pbx.example;lr>")]
    call.hear(200, headers=route)
    first = call.node.event(ResolveNeeded)
    call.node.endpoint.resolved(first.key, (), call.node.now)
    call.node.events.clear()
    call.hear(200, headers=route)
    second = call.node.event(ResolveNeeded)
    call.node.endpoint.resolved(second.key, (PEER,), call.node.now)
    call.node.drain()
    assert call.node.take_sent() == ["INVITE", "ACK"]


def test_a_peer_whose_contact_cannot_be_looked_up_is_hung_up_on_where_it_is_heard() -> None:
    call = InboundCall(contact="<sip:bob@laptop.lan>").confirmed()
    assert call.session.bye(now=call.node.now)
    call.node.drain()
    call.node.endpoint.resolved(call.node.event(ResolveNeeded).key, (), call.node.now)
    call.node.drain()
    bye = call.node.last("BYE")
    assert bye.destination.hop == PEER
    assert str(call.node.last_request("BYE").uri) == "sip:bob@laptop.lan"


def test_an_answer_whose_contact_cannot_be_looked_up_is_acknowledged_where_it_came_from() -> None:
    call = OutboundCall()
    call.hear(200, contact="<sip:bob@laptop.lan>")
    call.node.endpoint.resolved(call.node.event(ResolveNeeded).key, (), call.node.now)
    call.node.drain()
    assert call.node.last("ACK").destination == Flow(PEER)
    assert str(call.node.last_request("ACK").uri) == "sip:bob@laptop.lan"


def test_a_hold_reaches_a_peer_whose_contact_cannot_be_looked_up() -> None:
    call = InboundCall(contact="<sip:bob@laptop.lan>").confirmed()
    assert call.session.reinvite(b"v=0\r\n", now=call.node.now)
    call.node.drain()
    call.node.endpoint.resolved(call.node.event(ResolveNeeded).key, (), call.node.now)
    call.node.drain()
    assert call.node.last("INVITE").destination.hop == PEER
