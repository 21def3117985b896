"""RFC 4475 section 3.1.1: messages that are valid, however strange they look."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringback.sip.errors import FramingError
from ringback.sip.headers import CSeq, NameAddr, Via
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.stream import MessageReceived, StreamFramer
from ringback.sip.uri import Uri
from ringback.sip.validation import Acceptance, check_response, validate_request

pytestmark = pytest.mark.requirement("bad.torture")

RequestOf = Callable[[str], Request]
ResponseOf = Callable[[str], Response]
Wire = Callable[[str], bytes]

EVERYTHING = Acceptance(
    methods=(
        *("INVITE", "OPTIONS", "REGISTER", "MESSAGE", "RE%47IST%45R"),
        "!interesting-Method0123456789_*+`.%indeed'~",
    )
)

VALID_REQUESTS = (
    *("wsinv", "intmeth", "esc01", "escnull", "esc02", "lwsdisp", "longreq", "dblreq"),
    *("semiuri", "transports", "mpart01"),
)
VALID_RESPONSES = ("unreason", "noreason")


@pytest.mark.parametrize("name", VALID_REQUESTS)
def test_a_valid_request_is_owed_no_refusal(name: str, request_of: RequestOf) -> None:
    assert validate_request(request_of(name), EVERYTHING) is None


@pytest.mark.parametrize("name", VALID_RESPONSES)
def test_a_valid_response_is_taken(name: str, response_of: ResponseOf) -> None:
    check_response(response_of(name))


@pytest.mark.parametrize("name", VALID_REQUESTS + VALID_RESPONSES)
def test_a_valid_message_survives_being_written_and_read_again(name: str, wire: Wire) -> None:
    message = parse_message(wire(name))
    assert parse_message(bytes(message)) == message


def test_rfc4475_3_1_1_1_wsinv(request_of: RequestOf) -> None:
    request = request_of("wsinv")
    assert request.method == "INVITE"
    assert str(request.uri) == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert "unknownparam" in request.uri.params
    assert str(request.to.uri) == "sip:vivekg@chair-dnrc.example.com"
    assert request.to.tag == "1918181833n"
    assert request.from_.display == 'J Rosenberg \\"'
    assert str(request.from_.uri) == "sip:jdrosen@example.com"
    assert request.from_.tag == "98asjd8"
    assert request.max_forwards == 68
    assert request.call_id == "wsinv.ndaksdj@192.0.2.1"
    assert request.cseq == CSeq(9, "INVITE")
    assert [via.sent_by for via in request.vias] == [
        "192.0.2.2",
        "spindle.example.com",
        "192.168.255.111",
    ]
    assert [via.transport for via in request.vias] == ["UDP", "TCP", "UDP"]
    assert [via.branch for via in request.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert request.headers.get("Subject") == ""
    assert request.headers.get("newfangledheader") == (
        "newfangled value continued newfangled value"
    )
    assert request.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    [route] = request.routes
    assert route.uri.host == "services.example.com"
    assert list(route.uri.params) == [
        ("lr", None),
        ("unknownwith", "value"),
        ("unknown-no-value", None),
    ]
    contact = request.contact
    assert contact is not None
    assert contact.display == 'Quoted string ""'
    assert list(contact.params) == [
        ("newparam", "newvalue"),
        ("secondparam", None),
        ("q", "0.33"),
    ]
    assert len(request.body) == 150


def test_rfc4475_3_1_1_2_intmeth(request_of: RequestOf) -> None:
    request = request_of("intmeth")
    assert request.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert request.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert request.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert request.uri.host == "example.com"
    assert request.top_via.branch == "z9hG4bK-.!%66*_+`'~"
    assert request.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert request.to.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert request.from_.display == "token1~` token2'+_ token3*%!.-"
    assert request.from_.params.get("fromParam''~+*_!.-%") == "работающий"
    assert request.from_.tag == "_token~1'+`*%!-."
    assert request.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert request.cseq == CSeq(139122385, request.method)
    assert request.max_forwards == 255
    assert request.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_rfc4475_3_1_1_3_esc01(request_of: RequestOf) -> None:
    request = request_of("esc01")
    assert request.uri.user == "sips:user@example.com"
    assert request.uri.host == "example.net"
    assert str(request.uri) == "sip:sips%3Auser%40example.com@example.net"
    assert request.to.uri.equivalent(Uri.parse("sip:user@example.com"))
    assert request.from_.uri.user == "I have spaces"
    contact = request.contact
    assert contact is not None
    assert contact.uri.user == "caller"
    # The escapes of parameters stay as they are for whoever made them, and mean "lr" and
    # "name=value%41": %25 is not unescaped twice.
    assert list(contact.uri.params) == [("%6C%72", None), ("n%61me", "v%61lue%25%34%31")]
    assert contact.uri.params.get("n%61me") == "value%41"
    assert contact.uri.equivalent(Uri.parse("sip:caller@host5.example.net;lr;name=value%2541"))


def test_rfc4475_3_1_1_4_escnull(request_of: RequestOf) -> None:
    request = request_of("escnull")
    assert request.to.uri.user == "null-\x00-null"
    assert request.from_.uri.user == "null-\x00-null"
    contacts = request.contacts
    assert isinstance(contacts, list)
    assert [contact.uri.user for contact in contacts] == ["\x00", "\x00\x00"]
    assert str(contacts[1]) == "<sip:%00%00@host5.example.com>"


def test_rfc4475_3_1_1_5_esc02(request_of: RequestOf) -> None:
    """Percent signs outside of URIs are no escapes."""
    request = request_of("esc02")
    assert request.method == "RE%47IST%45R"
    assert request.cseq == CSeq(29344, "RE%47IST%45R")
    assert request.to.display == "%Z%45"
    assert request.top_via.branch == "z9hG4bK209%fzsnel234"
    contacts = request.contacts
    assert isinstance(contacts, list)
    assert [contact.uri.user for contact in contacts] == ["alias1", "alias3"]
    assert request.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"


def test_rfc4475_3_1_1_5_esc02_is_an_unknown_method(request_of: RequestOf) -> None:
    rejection = validate_request(request_of("esc02"), Acceptance(methods=("REGISTER",)))
    assert rejection is not None
    assert rejection.status == 501


def test_rfc4475_3_1_1_6_lwsdisp(request_of: RequestOf) -> None:
    sender = request_of("lwsdisp").from_
    assert sender.display == "caller"
    assert str(sender.uri) == "sip:caller@example.com"
    assert sender.tag == "323"


def test_rfc4475_3_1_1_7_longreq(request_of: RequestOf) -> None:
    request = request_of("longreq")
    assert len(request.vias) == 34
    assert request.vias[0] == Via("TCP", "sip33.example.com")
    assert request.vias[-1].received == "192.0.2.5"
    assert request.vias[-1].branch == f"very{'long' * 50}branchvalue"
    assert request.to.display == f"I have a user name of {'extreme' * 10} proportion"
    assert request.to.uri.port == 6000
    assert request.to.uri.params.get("unknownparam1") == f"very{'long' * 20}value"
    assert request.from_.uri.user == "amazinglylongcallername" * 5
    assert request.from_.tag == f"12{'982' * 50}424"
    assert request.call_id == f"longreq.one{'really' * 20}longcallid"
    assert len(request.body) == 150


def test_rfc4475_3_1_1_8_dblreq_in_a_datagram(request_of: RequestOf) -> None:
    """What lies behind Content-Length in a datagram is cut off."""
    request = request_of("dblreq")
    assert request.method == "REGISTER"
    assert request.call_id == "dblreq.0ha0isndaksdj99sdfafnl3lk233412"
    assert request.body == b""


def test_rfc4475_3_1_1_8_dblreq_on_a_stream(wire: Wire) -> None:
    events = StreamFramer().feed(wire("dblreq"))
    methods = [
        event.message.method
        for event in events
        if isinstance(event, MessageReceived) and isinstance(event.message, Request)
    ]
    assert methods == ["REGISTER", "INVITE"]


def test_rfc4475_3_1_1_9_semiuri(request_of: RequestOf) -> None:
    request = request_of("semiuri")
    assert request.uri.user == "user;par=u@example.net"
    assert request.uri.host == "example.com"
    assert len(request.uri.params) == 0
    assert [str(media_type) for media_type in request.accept or []] == [
        "application/sdp",
        "application/pkcs7-mime",
        "multipart/mixed",
        "multipart/signed",
        "message/sip",
        "message/sipfrag",
    ]


def test_rfc4475_3_1_1_10_transports(request_of: RequestOf) -> None:
    vias = request_of("transports").vias
    assert [via.transport for via in vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    assert vias[3] == Via.parse("SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en")


def test_rfc4475_3_1_1_11_mpart01(request_of: RequestOf) -> None:
    request = request_of("mpart01")
    content_type = request.content_type
    assert content_type is not None
    assert content_type.essence == "multipart/mixed"
    assert content_type.params.get("boundary") == "7a9cbec02ceef655"
    assert len(request.body) == 553
    parts = request.body.split(b"--7a9cbec02ceef655")
    assert parts[1].endswith(b"\r\n\r\nHello\r\n")
    assert parts[2].count(b"\x00") == 2
    assert len(parts[2].partition(b"\r\n\r\n")[2]) == 342 + 2


def test_rfc4475_3_1_1_12_unreason(response_of: ResponseOf) -> None:
    response = response_of("unreason")
    assert response.status == 200
    assert response.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert response.contact == NameAddr(Uri.parse("sip:user@host198.example.com"))


def test_rfc4475_3_1_1_13_noreason(response_of: ResponseOf) -> None:
    response = response_of("noreason")
    assert response.status == 100
    assert response.reason == ""
    assert bytes(response).startswith(b"SIP/2.0 100 \r\n")


def test_a_valid_request_cut_short_is_no_message(wire: Wire) -> None:
    whole = wire("wsinv")
    with pytest.raises(FramingError):
        parse_message(whole[:-1])
