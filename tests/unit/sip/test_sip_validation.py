"""What a request with faults is owed."""

from __future__ import annotations

import pytest

from ringback.sip.errors import HeaderError, ParseError, TooManyHeaders
from ringback.sip.message import Request, RequestFragment, Response, parse_message
from ringback.sip.validation import (
    MAX_REASON_CHARS,
    Acceptance,
    Rejection,
    check_form,
    check_response,
    rejection_of,
    response_to_error,
    validate_request,
)

ACCEPTS = Acceptance(
    methods=("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"),
    extensions=frozenset({"100rel", "timer"}),
)


def request(method: str = "INVITE", extra: str = "", body: bytes = b"") -> Request:
    text = (
        f"{method} sip:bob@biloxi.com SIP/2.0\r\n"
        "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: x\r\n"
        f"CSeq: 1 {method}\r\n{extra}\r\n"
    )
    message = parse_message(text.encode() + body)
    assert isinstance(message, Request)
    return message


def rejected(message: Request) -> Rejection:
    rejection = validate_request(message, ACCEPTS)
    assert rejection is not None
    return rejection


def test_a_request_without_faults_is_owed_no_refusal() -> None:
    sdp = "Content-Type: application/sdp\r\nRequire: 100REL\r\nAccept: application/*\r\n"
    assert validate_request(request(extra=sdp, body=b"v=0"), ACCEPTS) is None


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_a_missing_header_is_named_in_the_reason(name: str) -> None:
    message = request()
    message.headers.remove(name)
    assert rejected(message) == Rejection(400, f"{name}: the header is missing")


@pytest.mark.parametrize(
    "name",
    ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type"],
)
def test_a_repeated_header_is_named_in_the_reason(name: str) -> None:
    message = request()
    value = message.headers.get(name) or "1"
    message.headers.set(name, value)
    message.headers.add(name, value)
    assert rejected(message) == Rejection(400, f"{name}: the header must not be repeated")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Via", "SIP/2.0/UDP a,"),
        ("From", "x"),
        ("To", '"'),
        ("CSeq", "1"),
        ("CSeq", "1 BYE"),
        ("Max-Forwards", "x"),
        ("Require", "a b"),
        ("Contact", "<x>"),
        ("Record-Route", "x"),
    ],
)
def test_a_header_that_cannot_be_read_is_named_in_the_reason(name: str, value: str) -> None:
    message = request()
    message.headers.set(name, value)
    rejection = rejected(message)
    assert rejection.status == 400
    assert rejection.reason.startswith(f"{name}: ")


def test_a_contact_that_serves_no_purpose_is_not_looked_at() -> None:
    assert check_form(request("BYE", "Contact: <x>\r\n")) is None


def test_a_body_without_a_type_is_a_fault() -> None:
    assert rejected(request(body=b"x")).reason.startswith("Content-Type: ")
    assert rejected(request(extra="Content-Type: x\r\n", body=b"x")).status == 400


def test_a_request_uri_with_headers_is_a_fault() -> None:
    message = request()
    message.uri = message.uri.with_header("Route", "<sip:x>")
    assert rejected(message).status == 400


@pytest.mark.parametrize(
    ("method", "status"), [("REGISTER", 405), ("PUBLISH", 405), ("FETCH", 501)]
)
def test_a_method_that_is_not_taken_is_refused_with_those_that_are(
    method: str, status: int
) -> None:
    rejection = rejected(request(method))
    assert rejection.status == status
    assert rejection.headers == (("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS"),)


def test_the_form_comes_before_the_method_and_the_method_before_the_extensions() -> None:
    message = request("FETCH", "Require: foo\r\n")
    assert rejected(message).status == 501
    message.headers.set("CSeq", "1 INVITE")
    assert rejected(message).status == 400


def test_unknown_extensions_are_listed_as_they_were_spelled() -> None:
    rejection = rejected(request(extra="Require: Timer, FOO\r\nRequire: bar\r\n"))
    assert rejection == Rejection(420, "Bad Extension", (("Unsupported", "FOO, bar"),))


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_ack_and_cancel_may_require_what_they_like(method: str) -> None:
    assert validate_request(request(method, "Require: foo\r\n"), ACCEPTS) is None


@pytest.mark.parametrize(
    ("extra", "header", "value"),
    [
        ("Content-Type: text/html\r\n", "Accept", "application/sdp"),
        ("Content-Type: application/sdp\r\ne: gzip\r\n", "Accept-Encoding", "identity"),
        (
            "Content-Type: text/html\r\nContent-Disposition: x;handling=required\r\n",
            "Accept",
            "application/sdp",
        ),
        ("Content-Type: text/html\r\nContent-Disposition: ;;\r\n", "Accept", "application/sdp"),
    ],
)
def test_a_body_of_no_use_is_refused_with_what_would_be(
    extra: str, header: str, value: str
) -> None:
    rejection = rejected(request(extra=extra, body=b"x"))
    assert rejection.status == 415
    [(name, values)] = rejection.headers
    assert name == header
    assert value in values.split(", ")


def test_a_body_that_may_be_ignored_is_no_reason_to_refuse() -> None:
    extra = "Content-Type: text/html\r\nContent-Disposition: icon;handling=OPTIONAL\r\n"
    assert validate_request(request(extra=extra, body=b"x"), ACCEPTS) is None
    plain = "Content-Type: application/sdp\r\ne: identity\r\n"
    assert validate_request(request(extra=plain, body=b"x"), ACCEPTS) is None


@pytest.mark.parametrize(
    ("accept", "status"),
    [("text/html", 406), ("text/html, */*", None), ("", None), ("x", None)],
)
def test_an_answer_that_the_caller_cannot_read_is_not_offered(
    accept: str, status: int | None
) -> None:
    rejection = validate_request(request(extra=f"Accept: {accept}\r\n"), ACCEPTS)
    assert (rejection and rejection.status) == status
    assert validate_request(request("OPTIONS", f"Accept: {accept}\r\n"), ACCEPTS) is None


def test_a_refusal_becomes_a_response() -> None:
    response = rejected(request("FETCH")).response_to(request("FETCH"), "tag1")
    assert response is not None
    assert (response.status, response.reason) == (501, "Not Implemented")
    assert response.allow == ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"]
    assert response.to.tag == "tag1"


def test_an_ack_is_never_answered() -> None:
    assert Rejection(400, "x").response_to(request("ACK")) is None


def test_an_error_becomes_a_response_if_there_is_something_to_answer_to() -> None:
    error = ParseError("something is wrong", position=3)
    assert response_to_error(error) is None
    error.fragment = RequestFragment.of("INVITE", request().headers)
    response = response_to_error(error, "tag1")
    assert response is not None
    assert (response.status, response.reason) == (400, "something is wrong")
    assert response.to.tag == "tag1"


def test_an_error_with_a_status_of_its_own_gets_the_words_of_that_status() -> None:
    assert rejection_of(TooManyHeaders(9)) == Rejection(513, "Message Too Large")


def test_a_reason_is_short_and_printable() -> None:
    rejection = rejection_of(HeaderError("To", "\r\nX: y\x00\udce9" + "z" * 500))
    assert rejection.reason.startswith("To: X: yzzz")
    assert len(rejection.reason) == MAX_REASON_CHARS


def answer(extra: str = "") -> Response:
    message = request(extra=extra)
    return Response(200, "OK", message.headers)


def test_a_response_without_faults_is_taken() -> None:
    check_response(answer())


@pytest.mark.parametrize(
    ("name", "value"), [("Via", "x"), ("From", "x"), ("To", "x"), ("CSeq", "x"), ("Call-ID", "")]
)
def test_a_response_whose_headers_cannot_be_read_is_to_be_dropped(name: str, value: str) -> None:
    response = answer()
    response.headers.set(name, value)
    with pytest.raises(HeaderError, match=f"^{name}: "):
        check_response(response)


def test_a_response_with_a_second_via_is_not_for_us() -> None:
    with pytest.raises(HeaderError, match="^Via: "):
        check_response(answer("Via: SIP/2.0/UDP b\r\n"))


def test_a_response_with_a_repeated_header_is_to_be_dropped() -> None:
    with pytest.raises(HeaderError, match="repeated"):
        check_response(answer("To: <sip:x@y>\r\n"))
