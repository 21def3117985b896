"""RFC 4475 section 3.1.2: messages that are malformed, and what they are owed.

Where the RFC leaves it to the element, Ringback is lenient about white space around the pieces of
the start line (``lwsstart``, ``trws``), about a display name that lacks its quotes (``baddn``)
and about a Date that it never reads (``baddate``). It is strict about everything that decides
where a message goes or ends: the Request-URI, addresses, CSeq and Content-Length.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from ringback.sip.errors import FramingError, HeaderError, ParseError, StartLineError, VersionError
from ringback.sip.headers import Via
from ringback.sip.message import Request, RequestFragment, Response, parse_message, request_fragment
from ringback.sip.stream import StreamBroken, StreamFramer
from ringback.sip.validation import (
    Acceptance,
    check_response,
    response_to_error,
    validate_request,
)

pytestmark = pytest.mark.requirement("bad.torture")

RequestOf = Callable[[str], Request]
ResponseOf = Callable[[str], Response]
Wire = Callable[[str], bytes]

SERVER = Acceptance(methods=("INVITE", "OPTIONS", "REGISTER"))


def request_from(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def answer_to(data: bytes) -> Response | None:
    """What a server sends back for a datagram, if it refuses it."""
    try:
        request = request_from(data)
    except ParseError as error:
        return response_to_error(error, to_tag="t")
    rejection = validate_request(request, SERVER)
    return None if rejection is None else rejection.response_to(request, to_tag="t")


@pytest.mark.parametrize(
    ("name", "status", "fault"),
    [
        ("badinv01", 400, "Via"),
        ("clerr", 400, "Content-Length"),
        ("ncl", 400, "Content-Length"),
        ("scalar02", 400, "CSeq"),
        ("quotbal", 400, "To"),
        ("ltgtruri", 400, "Request-URI"),
        ("lwsruri", 400, "request line"),
        ("escruri", 400, "Request-URI"),
        ("regbadct", 400, "Contact"),
        ("badaspec", 400, "To"),
        ("badvers", 505, "Version Not Supported"),
        ("mismatch01", 400, "CSeq"),
        ("mismatch02", 400, "CSeq"),
    ],
)
def test_a_malformed_request_is_refused_with_the_fault_in_words(
    name: str, status: int, fault: str, wire: Wire
) -> None:
    response = answer_to(wire(name))
    assert response is not None
    assert response.status == status
    assert fault in response.reason
    assert parse_message(bytes(response)) == response


@pytest.mark.parametrize(
    "name",
    [
        *(
            "badinv01",
            "badvers",
            "clerr",
            "ncl",
            "scalar02",
            "quotbal",
            "ltgtruri",
            "lwsruri",
            "escruri",
            "regbadct",
        ),
        *("badaspec", "mismatch01", "mismatch02"),
    ],
)
def test_a_refusal_carries_what_the_sender_matches_it_by(name: str, wire: Wire) -> None:
    response = answer_to(wire(name))
    assert response is not None
    text = re.sub(": +", ": ", wire(name).decode("utf-8"))
    for header in ("Via", "From", "Call-ID", "CSeq"):
        value = response.headers.get(header)
        assert value is not None
        assert f"{header}: {value}\r\n" in text


def test_rfc4475_3_1_2_1_badinv01_has_empty_parameters_in_its_contact_too(
    request_of: RequestOf,
) -> None:
    with pytest.raises(HeaderError, match="Contact"):
        _ = request_of("badinv01").contacts


def test_rfc4475_3_1_2_2_clerr_on_a_stream_waits_for_the_rest(wire: Wire) -> None:
    framer = StreamFramer()
    assert framer.feed(wire("clerr")) == []
    assert framer.buffered == 154


@pytest.mark.parametrize("length", [b"-999", b"five", b"", b"1e3", b"150, 150"])
def test_rfc4475_3_1_2_3_ncl_on_a_stream_ends_the_connection(length: bytes, wire: Wire) -> None:
    [event] = StreamFramer().feed(wire("ncl").replace(b"-999", length))
    assert isinstance(event, StreamBroken)
    assert isinstance(event.error, FramingError)
    response = response_to_error(event.error)
    assert response is not None
    assert response.status == 400


def test_rfc4475_3_1_2_4_scalar02_each_field_alone(request_of: RequestOf) -> None:
    """CSeq and Max-Forwards are out of range; an Expires beyond 32 bits counts as the greatest
    value, which a registrar cuts down anyway."""
    request = request_of("scalar02")
    with pytest.raises(HeaderError, match="CSeq"):
        _ = request.cseq
    with pytest.raises(HeaderError, match="Max-Forwards"):
        _ = request.max_forwards
    assert request.expires == 2**32 - 1
    contact = request.contact
    assert contact is not None
    assert contact.expires == 2**32 - 1


def test_rfc4475_3_1_2_5_scalarlg_is_dropped(response_of: ResponseOf) -> None:
    response = response_of("scalarlg")
    with pytest.raises(HeaderError, match="CSeq"):
        check_response(response)
    retry_after = response.retry_after
    assert retry_after is not None
    assert retry_after.seconds == 2**32 - 1


@pytest.mark.parametrize("name", ["lwsstart", "trws"])
def test_rfc4475_3_1_2_9_and_10_white_space_in_the_start_line_is_tolerated(
    name: str, wire: Wire
) -> None:
    assert answer_to(wire(name)) is None
    request = request_from(wire(name))
    start = f"{request.method} {request.uri} SIP/2.0\r\n"
    assert bytes(request).startswith(start.encode())


def test_rfc4475_3_1_2_12_baddate_is_ignored(wire: Wire) -> None:
    assert answer_to(wire("baddate")) is None


def test_rfc4475_3_1_2_15_baddn_is_read_as_if_it_were_quoted(request_of: RequestOf) -> None:
    request = request_of("baddn")
    assert request.from_.display == "Bell, Alexander"
    assert request.from_.tag == "43"
    assert str(request.to) == '"Watson, Thomas" <sip:t.watson@example.org>'
    assert validate_request(request, SERVER) is None


def test_rfc4475_3_1_2_1_and_16_a_broken_via_still_says_where_to_answer(wire: Wire) -> None:
    fragment = RequestFragment.of("INVITE", request_from(wire("badinv01")).headers)
    assert fragment is not None
    assert fragment.top_via == Via("UDP", "192.0.2.15")
    with pytest.raises(VersionError) as caught:
        parse_message(wire("badvers"))
    answerable = request_fragment(caught.value)
    assert answerable is not None
    assert str(answerable.top_via) == "SIP/2.0/UDP c.example.com;branch=z9hG4bKkdjuw"


def test_rfc4475_3_1_2_19_bigcode_is_dropped(wire: Wire) -> None:
    with pytest.raises(StartLineError) as caught:
        parse_message(wire("bigcode"))
    assert response_to_error(caught.value) is None
