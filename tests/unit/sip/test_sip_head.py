"""Taking a message apart: lines, framing, the start line and the limits."""

from __future__ import annotations

import pytest

from ringback.sip.errors import (
    BodyTooLarge,
    FramingError,
    HeaderError,
    HeadersTooLarge,
    LimitExceeded,
    LineTooLong,
    StartLineError,
    TooManyHeaders,
    TooManyVias,
    UriError,
    VersionError,
)
from ringback.sip.limits import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADER_COUNT,
    MAX_HEADER_LINE_BYTES,
    MAX_LEADING_BLANK_BYTES,
    MAX_VIA_COUNT,
)
from ringback.sip.message import parse_message, request_fragment
from unit.sip.sip_samples import BASE, refused, request

# ---- taking apart -----------------------------------------------------------------------------


def test_bare_line_feeds_and_leading_line_ends_are_tolerated() -> None:
    data = b"\r\n\n\r\n" + BASE.replace("\r\n", "\n").encode() + b"l: 2\n\nhi"
    assert parse_message(data) == request("", b"hi")


@pytest.mark.requirement("rfc3261.7.3")
def test_folded_lines_are_joined_by_one_space() -> None:
    message = request("Subject: I know \r\n\t you're  there,\r\n   pick up\r\n \r\n")
    assert message.headers.get("s") == "I know you're  there, pick up "[:-1]
    between = request("X-A: one\r\n two\r\nX-B: three\r\n\r\n").headers
    assert (between.get("X-A"), between.get("X-B")) == ("one two", "three")


def test_bytes_of_another_encoding_survive_in_headers_and_bodies() -> None:
    data = BASE.encode() + b"Subject: caf\xe9\r\nContent-Length: 3\r\n\r\n\xff\x00\xfe"
    message = parse_message(data)
    assert message.headers.get("Subject") == "caf\udce9"
    assert message.body == b"\xff\x00\xfe"
    assert b"Subject: caf\xe9\r\n" in bytes(message)


def test_without_a_length_the_body_is_the_rest_of_the_datagram() -> None:
    assert request(body=b"everything\r\n").body == b"everything\r\n"


def test_equal_lengths_twice_frame_the_message() -> None:
    assert request("Content-Length: 2\r\nl: 02\r\n", b"hixx").body == b"hi"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ("l: 3\r\n", b"hi"),
        ("l: 2\r\nl: 1\r\n", b"hi"),
        ("l: -1\r\n", b"hi"),
        ("l:\r\n", b"hi"),
        ("l: 2,2\r\n", b"hi"),
        ("l: " + "9" * 30 + "\r\n", b"hi"),
        ("l: 0x2\r\n", b"hi"),
    ],
)
def test_a_length_that_is_wrong_is_refused(lines: str, body: bytes) -> None:
    error = refused((BASE + lines).encode() + b"\r\n" + body)
    assert isinstance(error, FramingError)
    assert error.header == "Content-Length"
    fragment = request_fragment(error)
    assert fragment is not None
    assert fragment.method == "INVITE"
    assert fragment.top_via.host == "pc33.atlanta.com"


def test_headers_that_do_not_end_are_refused() -> None:
    error = refused(BASE.encode())
    assert isinstance(error, FramingError)
    assert "empty line" in error.message


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\r\n" * 100])
def test_nothing_but_line_ends_is_no_message(data: bytes) -> None:
    assert request_fragment(refused(data)) is None


def test_many_line_ends_before_a_message_are_refused() -> None:
    assert refused(b"\n" * (MAX_LEADING_BLANK_BYTES + 1) + BASE.encode() + b"\r\n").status == 400


@pytest.mark.parametrize(
    "line",
    [
        "INVITE",
        "INVITE sip:a@b",
        "INVITE sip:a@b SIP/2.0 x",
        "INVITE sip:a@b HTTP/1.1",
        "INV@ITE sip:a@b SIP/2.0",
        " INVITE sip:a@b SIP/2.0",
        "SIP/2.0 20 OK",
        "SIP/2.0 099 OK",
        "SIP/2.0 700 OK",
        "SIP/2.0 2000 OK",
        "SIP/2.0",
        "SIP/2.0 200 a\rb",
        "SIP/2.0 200 a\x00b",
        "garbage",
    ],
)
def test_a_malformed_start_line_is_refused(line: str) -> None:
    text = BASE.replace("INVITE sip:bob@biloxi.com SIP/2.0", line, 1)
    assert isinstance(refused(text.encode() + b"\r\n"), StartLineError)


def test_a_malformed_request_uri_is_refused_with_something_to_answer_to() -> None:
    error = refused(BASE.replace("sip:bob@biloxi.com", "sip:@", 1).encode() + b"\r\n")
    assert isinstance(error, UriError)
    assert "Request-URI" in error.message
    fragment = request_fragment(error)
    assert fragment is not None
    assert fragment.headers.get("Call-ID") == "a84b4c76e66710@pc33.atlanta.com"


@pytest.mark.parametrize("line", ["INVITE sip:a@b SIP/3.0", "SIP/1.0 200 OK"])
def test_another_version_is_refused(line: str) -> None:
    text = BASE.replace("INVITE sip:bob@biloxi.com SIP/2.0", line, 1)
    error = refused(text.encode() + b"\r\n")
    assert isinstance(error, VersionError)
    assert error.status == 505


def test_versions_and_compact_spellings_are_read_in_any_case() -> None:
    assert parse_message(BASE.replace("SIP/2.0\r\n", "sip/2.0\r\n", 1).encode() + b"\r\n") == (
        request()
    )


@pytest.mark.parametrize("line", ["no colon", "na me: x", ": x", "a@: x"])
def test_a_line_that_is_no_header_is_refused(line: str) -> None:
    error = refused((BASE + line).encode() + b"\r\n\r\n")
    assert "not a header field" in error.message
    assert request_fragment(error) is not None


@pytest.mark.parametrize("value", ["a\rb", "a\x00b"])
def test_control_characters_in_a_value_are_refused(value: str) -> None:
    error = refused((BASE + f"s: {value}\r\n\r\n").encode())
    assert isinstance(error, HeaderError)
    assert error.header == "s"


def test_the_first_fault_is_the_one_that_is_told() -> None:
    error = refused((BASE + "first\r\nsecond\r\nl: x\r\n\r\n").encode())
    assert "'first'" in error.message


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("INVITE", "ACK") + "broken\r\n\r\n",
        BASE.replace("Via:", "X-Via:") + "broken\r\n\r\n",
        BASE.replace("SIP/2.0/UDP", "nonsense") + "broken\r\n\r\n",
        BASE.replace("INVITE sip:bob@biloxi.com SIP/2.0", "SIP/2.0 200 OK") + "broken\r\n\r\n",
    ],
)
def test_what_gets_no_response_has_no_fragment(text: str) -> None:
    assert refused(text.encode()).fragment is None


# ---- limits -----------------------------------------------------------------------------------


@pytest.mark.requirement("bad.header-bombs")
@pytest.mark.parametrize(
    ("extra", "limit", "maximum"),
    [
        ("X: y\r\n" * MAX_HEADER_COUNT, TooManyHeaders, MAX_HEADER_COUNT),
        (f"X: {'y' * MAX_HEADER_LINE_BYTES}\r\n", LineTooLong, MAX_HEADER_LINE_BYTES),
        ("X: y\r\n" + f" {'z' * 50}\r\n" * 200, LineTooLong, MAX_HEADER_LINE_BYTES),
        (f"X: {'y' * 1000}\r\n" * 40, HeadersTooLarge, MAX_HEADER_BYTES),
        ("v: SIP/2.0/UDP a\r\n" * MAX_VIA_COUNT, TooManyVias, MAX_VIA_COUNT),
        ("v: " + "SIP/2.0/UDP a," * MAX_VIA_COUNT + "\r\n", TooManyVias, MAX_VIA_COUNT),
    ],
)
def test_more_than_a_limit_allows_is_refused_with_its_own_error(
    extra: str, limit: type[LimitExceeded], maximum: int
) -> None:
    error = refused((BASE + extra).encode() + b"\r\n")
    assert isinstance(error, limit)
    assert error.maximum == maximum
    assert str(maximum) in str(error)
    assert error.status == 513
    assert request_fragment(error) is not None


def test_exactly_what_the_limits_allow_is_taken() -> None:
    count = MAX_HEADER_COUNT - len(BASE.splitlines()) + 1
    assert len(request("X: y\r\n" * count).headers) == MAX_HEADER_COUNT
    assert len(request("v: SIP/2.0/UDP a\r\n" * (MAX_VIA_COUNT - 1)).vias) == MAX_VIA_COUNT
    one_more = (BASE + "X: y\r\n" * (count + 1)).encode() + b"\r\n"
    assert isinstance(refused(one_more), TooManyHeaders)
    value = "y" * (MAX_HEADER_LINE_BYTES - 3)
    assert request(f"X: {value}\r\n").headers.get("X") == value
    assert len(request(body=b"x" * MAX_BODY_BYTES).body) == MAX_BODY_BYTES


def test_a_line_that_the_limit_cuts_in_two_is_not_read() -> None:
    padding = f"X: {'y' * 1000}\r\n"
    start = BASE + padding * ((MAX_HEADER_BYTES - len(BASE)) // len(padding))
    rest = MAX_HEADER_BYTES - len(start)
    error = refused((start + "X: " + "z" * (rest + 9)).encode() + b"\r\n\r\n")
    assert isinstance(error, HeadersTooLarge)
    fragment = request_fragment(error)
    assert fragment is not None
    assert all("z" not in value for value in fragment.headers.get_all("X"))


def test_commas_inside_of_quotes_do_not_count_as_vias() -> None:
    extra = 'v: SIP/2.0/UDP a;x="' + "," * 100 + '"\r\n'
    assert len(request(extra).vias) == 2


def test_a_via_line_that_cannot_be_split_is_refused_when_it_is_read() -> None:
    message = request('v: SIP/2.0/UDP a;x="' + "," * 100 + "\r\n")
    with pytest.raises(HeaderError, match="^Via: "):
        _ = message.vias


def test_a_body_beyond_the_limit_is_refused_with_413() -> None:
    error = refused(BASE.encode() + b"\r\n" + b"x" * (MAX_BODY_BYTES + 1))
    assert isinstance(error, BodyTooLarge)
    assert error.status == 413
