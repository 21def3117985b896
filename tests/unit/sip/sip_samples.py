"""One request and one response to vary, and what is made of broken ones."""

from __future__ import annotations

import pytest

from ringback.sip.errors import ParseError
from ringback.sip.message import Request, Response, parse_message

BASE = (
    "INVITE sip:bob@biloxi.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds\r\n"
    "Max-Forwards: 70\r\n"
    'To: "Bob" <sip:bob@biloxi.com>\r\n'
    "From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
    "Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n"
    "CSeq: 314159 INVITE\r\n"
)


def request(extra: str = "", body: bytes = b"") -> Request:
    message = parse_message((BASE + extra).encode() + b"\r\n" + body)
    assert isinstance(message, Request)
    return message


def response(extra: str = "", status: str = "200 OK") -> Response:
    text = BASE.replace("INVITE sip:bob@biloxi.com SIP/2.0", f"SIP/2.0 {status}")
    message = parse_message((text + extra).encode() + b"\r\n")
    assert isinstance(message, Response)
    return message


def refused(data: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    return caught.value
