"""Requests and responses: reading, writing and answering."""

from __future__ import annotations

import pytest

from ringback.sip.errors import (
    HeaderError,
    UnsafeValue,
)
from ringback.sip.headers import (
    STAR,
    CSeq,
    Headers,
    MediaType,
    NameAddr,
    RAck,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    Via,
)
from ringback.sip.message import Request, RequestFragment, Response
from ringback.sip.status import REASON_PHRASES, default_reason
from ringback.sip.uri import Uri
from unit.sip.sip_samples import request, response

# ---- reading ----------------------------------------------------------------------------------


def test_what_every_request_carries_is_read() -> None:
    message = request()
    assert message.method == "INVITE"
    assert message.uri == Uri("sip", user="bob", host="biloxi.com")
    assert (
        message.top_via
        == message.vias[0]
        == Via.parse("SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds")
    )
    assert message.to == NameAddr(message.uri, "Bob")
    assert message.from_.tag == "1928301774"
    assert message.call_id == "a84b4c76e66710@pc33.atlanta.com"
    assert message.cseq == CSeq(314159, "INVITE")
    assert message.max_forwards == 70
    assert message.body == b""


def test_what_a_request_lacks_is_none_or_empty() -> None:
    message = request()
    assert message.contacts == []
    assert (message.routes, message.record_routes, message.reasons) == ([], [], [])
    assert (message.require, message.supported) == ([], [])
    optional = (
        *(message.contact, message.expires, message.min_expires, message.content_type),
        *(message.accept, message.allow, message.session_expires, message.min_se),
        *(message.rack, message.replaces, message.refer_to),
    )
    assert optional == (None,) * 11


def test_every_typed_header_is_read() -> None:
    message = request(
        "m: <sip:a@b>;expires=5, sip:c@d\r\n"
        "Route: <sip:p1;lr>,<sip:p2;lr>\r\nRecord-Route: <sip:r;lr>\r\n"
        "Expires: 60\r\nMin-Expires: 30\r\nc: Application/SDP;x=1\r\nAccept: a/b, c/*\r\n"
        "Allow: INVITE,ACK\r\nRequire: 100REL\r\nk: timer, Replaces\r\nSupported:\r\n"
        'Reason: SIP;cause=486, Q.850;cause=17;text="Busy"\r\n'
        "x: 1800;refresher=uac\r\nMin-SE: 90;x\r\n"
        "RAck: 1 2 INVITE\r\nReplaces: c;to-tag=t;from-tag=f\r\nr: <sip:x@y>\r\n"
        'P-Asserted-Identity: "A, B" <sip:a@b>, <tel:+1>\r\n'
    )
    assert [str(address) for address in message.name_addrs("P-Asserted-Identity")] == [
        '"A, B" <sip:a@b>',
        "<tel:+1>",
    ]
    contacts = message.contacts
    assert isinstance(contacts, list)
    assert [str(contact.uri) for contact in contacts] == ["sip:a@b", "sip:c@d"]
    assert message.contact == contacts[0]
    assert [route.uri.host for route in message.routes] == ["p1", "p2"]
    assert [route.uri.host for route in message.record_routes] == ["r"]
    assert (message.expires, message.min_expires, message.min_se) == (60, 30, 90)
    assert message.content_type == MediaType.parse("application/sdp;x=1")
    assert message.accept == [MediaType("a", "b"), MediaType("c", "*")]
    assert message.allow == ["INVITE", "ACK"]
    assert (message.require, message.supported) == (["100rel"], ["timer", "replaces"])
    assert message.reasons == [Reason("SIP", 486), Reason("Q.850", 17, "Busy")]
    assert message.session_expires == SessionExpires(1800, "uac")
    assert message.rack == RAck(1, CSeq(2, "INVITE"))
    assert message.replaces == Replaces("c", "t", "f")
    assert message.refer_to == NameAddr(Uri.parse("sip:x@y"))


def test_what_only_responses_carry_is_read() -> None:
    message = response(
        "RSeq: 7\r\nRetry-After: 18 (later)\r\n"
        'WWW-Authenticate: Digest realm="a", nonce="1", Digest realm="b", nonce="2"\r\n'
        'WWW-Authenticate: Digest realm="c", nonce="3"\r\n'
        'Proxy-Authenticate: Digest realm="p", nonce="4"\r\n',
        status="401 Unauthorized",
    )
    assert message.rseq == 7
    assert message.retry_after == RetryAfter(18, "later")
    assert [challenge.realm for challenge in message.challenges] == ["a", "b", "c"]
    message.status = 407
    assert [challenge.realm for challenge in message.challenges] == ["p"]
    assert response().retry_after is None
    assert response().rseq is None


@pytest.mark.parametrize(
    ("status", "provisional", "success", "final"),
    [
        (100, True, False, False),
        (199, True, False, False),
        (200, False, True, True),
        (299, False, True, True),
        (300, False, False, True),
        (699, False, False, True),
    ],
)
def test_the_class_of_a_status(status: int, provisional: bool, success: bool, final: bool) -> None:
    message = Response(status, "x")
    assert (message.is_provisional, message.is_success, message.is_final) == (
        provisional,
        success,
        final,
    )


def test_a_star_stands_for_all_contacts_and_is_no_address() -> None:
    message = request("Contact: *\r\n")
    assert message.contacts == STAR
    assert str(message.contacts) == "*"
    assert message.contact is None


@pytest.mark.parametrize(
    ("extra", "accessor"),
    [
        ("Contact: <sip:a@b>, *\r\n", "contacts"),
        ("Contact: <sip:a@b>,\r\n", "contacts"),
        ("Route: x\r\n", "routes"),
        ("Supported: a b\r\n", "supported"),
        ("Allow: INVITE ACK\r\n", "allow"),
        ("Accept: x\r\n", "accept"),
        ("Expires: x\r\n", "expires"),
        ("Content-Type: x\r\n", "content_type"),
        ('Reason: "\r\n', "reasons"),
        ("RAck: x\r\n", "rack"),
    ],
)
def test_an_accessor_names_the_header_that_it_cannot_read(extra: str, accessor: str) -> None:
    name = extra.partition(":")[0]
    with pytest.raises(HeaderError) as caught:
        getattr(request(extra), accessor)
    assert caught.value.header == name


@pytest.mark.parametrize(
    ("name", "accessor"),
    [
        ("Via", "vias"),
        ("Via", "top_via"),
        ("From", "from_"),
        ("To", "to"),
        ("CSeq", "cseq"),
        ("Call-ID", "call_id"),
    ],
)
def test_a_missing_header_is_named(name: str, accessor: str) -> None:
    message = request()
    message.headers.remove(name)
    with pytest.raises(HeaderError, match=f"^{name}: the header is missing"):
        getattr(message, accessor)


@pytest.mark.parametrize("value", ["", "a b", "a\tb"])
def test_a_call_id_is_one_word(value: str) -> None:
    message = request()
    message.headers.set("Call-ID", value)
    with pytest.raises(HeaderError, match="^Call-ID: "):
        _ = message.call_id


@pytest.mark.parametrize("value", ["256", "-1", "x", ""])
def test_max_forwards_is_a_byte(value: str) -> None:
    message = request()
    message.headers.set("Max-Forwards", value)
    with pytest.raises(HeaderError, match="^Max-Forwards: "):
        _ = message.max_forwards


def test_the_top_via_is_read_though_one_below_it_is_broken() -> None:
    message = request()
    message.headers.set("Via", "SIP/2.0/UDP a;branch=1, nonsense")
    assert message.top_via.branch == "1"
    with pytest.raises(HeaderError, match="^Via: "):
        _ = message.vias
    message.headers.set("Via", 'SIP/2.0/UDP a;branch=1, "')
    with pytest.raises(HeaderError, match="^Via: "):
        _ = message.top_via


# ---- writing ----------------------------------------------------------------------------------


def test_a_request_is_written_with_the_length_of_its_body() -> None:
    message = Request("BYE", Uri.parse("sip:a@b"), Headers([("l", "99"), ("To", "x")]), b"hi")
    assert bytes(message) == b"BYE sip:a@b SIP/2.0\r\nTo: x\r\nContent-Length: 2\r\n\r\nhi"


def test_a_response_is_written_with_the_length_of_its_body() -> None:
    assert bytes(Response(200, "OK")) == b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "message",
    [
        Request("BYE\r\nX: y", Uri.parse("sip:a@b")),
        Request("", Uri.parse("sip:a@b")),
        Response(200, "OK\r\nX: y"),
        Response(200, "OK\n"),
        Response(99, "x"),
        Response(700, "x"),
    ],
)
def test_a_start_line_that_would_break_the_message_is_not_written(
    message: Request | Response,
) -> None:
    with pytest.raises(UnsafeValue):
        bytes(message)


def test_messages_compare_by_content_and_not_by_content_length() -> None:
    assert request("l: 0\r\n") == request()
    assert request() != request("X: y\r\n")
    assert request() != response()
    assert response() != request()
    assert response() == response("l: 0\r\n")


def test_a_copy_has_headers_of_its_own() -> None:
    first, second = request(), response()
    for message, twin in ((first, first.copy()), (second, second.copy())):
        assert twin == message
        twin.headers.add("X", "y")
        assert twin != message


# ---- answering --------------------------------------------------------------------------------


def test_a_response_copies_what_the_rules_say() -> None:
    original = request(
        "v: SIP/2.0/UDP b, SIP/2.0/UDP c\r\nRecord-Route: <sip:p;lr>\r\nTimestamp: 5\r\n"
        "Contact: <sip:a@b>\r\nSubject: x\r\n"
    )
    answer = Response.to_request(
        original, 180, to_tag="tag1", headers=[("Contact", "<sip:us>")], body=b"x"
    )
    assert (answer.status, answer.reason, answer.body) == (180, "Ringing", b"x")
    assert answer.headers.names() == [
        *("Via", "From", "To", "Call-ID", "CSeq", "Record-Route", "Contact")
    ]
    assert answer.headers.get_all("Via") == original.headers.get_all("Via")
    assert answer.headers.get("From") == original.headers.get("From")
    assert answer.to == original.to.with_tag("tag1")
    assert answer.record_routes == original.record_routes


def test_a_100_has_the_timestamp_and_no_tag() -> None:
    answer = Response.to_request(request("Timestamp: 5\r\n"), 100, to_tag="tag1")
    assert answer.headers.get("Timestamp") == "5"
    assert answer.to.tag is None


@pytest.mark.parametrize(
    ("status", "copied"), [(101, True), (200, True), (300, False), (486, False)]
)
def test_the_route_is_returned_where_a_dialog_may_come_of_it(status: int, copied: bool) -> None:
    answer = Response.to_request(request("Record-Route: <sip:p;lr>\r\n"), status)
    assert ("Record-Route" in answer.headers) is copied


def test_no_other_request_gets_its_route_back() -> None:
    message = request("Record-Route: <sip:p;lr>\r\n")
    message.method = "OPTIONS"
    assert "Record-Route" not in Response.to_request(message, 200).headers


def test_a_tag_that_is_there_stays() -> None:
    message = request()
    message.headers.set("To", "<sip:b@c>;tag=theirs")
    assert Response.to_request(message, 200, to_tag="ours").to.tag == "theirs"


def test_a_to_that_cannot_be_read_goes_back_as_it_came() -> None:
    message = request()
    message.headers.set("To", "nonsense")
    assert Response.to_request(message, 400, to_tag="ours").headers.get("To") == "nonsense"


def test_a_reason_of_ones_own_is_taken() -> None:
    assert Response.to_request(request(), 400, "Missing Contact").reason == "Missing Contact"
    assert Response.to_request(request(), 400, "").reason == ""


def test_a_fragment_can_be_answered() -> None:
    fragment = RequestFragment.of("INVITE", request().headers)
    assert fragment is not None
    assert Response.to_request(fragment, 400).call_id == "a84b4c76e66710@pc33.atlanta.com"
    assert RequestFragment.of(None, request().headers) is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, "OK"),
        (486, "Busy Here"),
        (199, "Early Dialog Terminated"),
        (299, "OK"),
        (499, "Bad Request"),
        (599, "Server Failure"),
        (699, "Global Failure"),
        (999, "Unknown"),
    ],
)
def test_every_status_has_a_reason(status: int, reason: str) -> None:
    assert default_reason(status) == reason
    assert all(100 <= known <= 699 for known in REASON_PHRASES)
