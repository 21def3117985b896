"""Identities, passed headers and DTMF bodies as the connector reads them from SIP."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.connectors.sip.passed_headers import MAX_PASSED_HEADERS, received_headers
from ringback.connectors.sip.terms import (
    caller_of,
    codecs_of,
    confined,
    dtmf_of_info,
    inbound_query,
    tidy_number,
)
from ringback.media.plane import NegotiatedAudio, RtpAddress
from ringback.sip.message import Request, parse_message
from ringback.sip.sdp_values import PCMA, PCMU
from ringback.sip.transport import Flow, Hop

INVITE = (
    "INVITE sip:trunk1;x=y@192.0.2.1;line=token-1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\n"
    'From: "Anna" <sip:0049301234@provider.test>;tag=1\r\n'
    "To: <sip:+33612345678@provider.test>\r\n"
    "Call-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{more}Content-Length: 0\r\n\r\n"
)
FLOW = Flow(Hop("udp", "198.51.100.7", 5060))


def invite(more: str = "") -> Request:
    message = parse_message(INVITE.format(more=more).encode())
    assert isinstance(message, Request)
    return message


def test_a_query_holds_what_the_invite_says() -> None:
    query = inbound_query(invite("P-Called-Party-ID: <sip:+33699999999@p.test>\r\n"), FLOW)
    assert query.source_host == "198.51.100.7"
    assert query.request_user == "trunk1;x=y"
    assert query.to_user == "+33612345678"
    assert query.called_party == "+33699999999"
    assert query.contact_token == "token-1"


def test_an_unreadable_called_party_is_no_reason_to_refuse() -> None:
    assert inbound_query(invite("P-Called-Party-ID: <<>\r\n"), FLOW).called_party == ""


@pytest.mark.requirement("call.caller-identity", "rfc3325.9")
def test_the_caller_is_taken_from_from_unless_a_trunk_asserts_another() -> None:
    more = 'P-Asserted-Identity: "A" <sip:+4930999@p.test>\r\nRemote-Party-ID: <sip:+1@p.test>\r\n'
    assert caller_of(invite(more), trusted=True) == ("+4930999", "A")
    assert caller_of(invite(more), trusted=False) == ("+49301234", "Anna")
    assert caller_of(invite("Remote-Party-ID: <sip:+1555@p.test>\r\n"), trusted=True)[0] == "+1555"


@pytest.mark.parametrize(
    ("user", "tidy"),
    [
        ("0033612345678", "+33612345678"),
        ("+33 6 12-34.56(78)", "+33612345678"),
        ("0612345678", "0612345678"),
        ("anonymous", "anonymous"),
        ("1001", "1001"),
    ],
)
def test_numbers_lose_their_punctuation_and_names_stay(user: str, tidy: str) -> None:
    assert tidy_number(user) == tidy


@pytest.mark.requirement("call.x-headers", "call.diversion")
def test_only_headers_meant_for_others_are_passed_on_and_not_too_many() -> None:
    many = "".join(f"X-{n}: {n}\r\n" for n in range(MAX_PASSED_HEADERS + 5))
    found = received_headers(
        invite("Diversion: <sip:+331@p.test>\r\nX-Long: " + "y" * 600 + "\r\n")
    )
    assert found == {"Diversion": "<sip:+331@p.test>"}
    assert len(received_headers(invite(many))) == MAX_PASSED_HEADERS


@pytest.mark.requirement("media.dtmf-info")
@pytest.mark.parametrize(
    ("content_type", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=240\r\n", ("5", 240)),
        ("application/dtmf-relay", b"Signal= 11\r\n", ("#", 160)),
        ("Application/DTMF-Relay; charset=x", b"signal=a\nduration=80", ("A", 80)),
        ("application/dtmf", b"*", ("*", 160)),
        ("application/dtmf", b" 10 ", ("*", 160)),
        ("application/dtmf-relay", b"Signal=55\r\n", None),
        ("application/dtmf", b"hello", None),
        ("application/dtmf", b"\xff\x00", None),
    ],
)
def test_a_key_is_read_from_either_kind_of_info(
    content_type: str, body: bytes, key: tuple[str, int] | None
) -> None:
    assert dtmf_of_info(content_type, body) == key


@pytest.mark.requirement("media.codecs")
def test_codecs_are_those_that_we_have_in_the_order_asked() -> None:
    assert codecs_of(("PCMU", "G729", "PCMA")) == (PCMU, PCMA)
    assert codecs_of(("G729",)) == (PCMA, PCMU)


def test_sound_for_somebody_else_goes_to_the_caller_alone() -> None:
    there = NegotiatedAudio(
        RtpAddress("203.0.113.9", 4000), "PCMA", 8, remote_rtcp=RtpAddress("203.0.113.9", 4001)
    )
    here = confined(there, "198.51.100.7")
    assert here.remote == RtpAddress("198.51.100.7", 4000)
    assert here.remote_rtcp == RtpAddress("198.51.100.7", 4001)
    assert confined(replace(there, remote_rtcp=None), "::1").remote_rtcp is None
