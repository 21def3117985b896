"""From, To, Contact and the like, and Via."""

from __future__ import annotations

import pytest

from ringback.sip.errors import HeaderError, UnsafeValue
from ringback.sip.headers import NameAddr, Params, Via
from ringback.sip.uri import Uri

BOB = Uri.parse("sip:bob@biloxi.com")


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        ("sip:bob@biloxi.com", "", "sip:bob@biloxi.com", ""),
        ("<sip:bob@biloxi.com;lr>;tag=1", "", "sip:bob@biloxi.com;lr", ";tag=1"),
        ("sip:bob@biloxi.com;tag=1", "", "sip:bob@biloxi.com", ";tag=1"),
        ("sip:bob@biloxi.com ; tag = 1", "", "sip:bob@biloxi.com", ";tag=1"),
        ("Bob<sip:bob@biloxi.com>", "Bob", "sip:bob@biloxi.com", ""),
        ("Bob  the \t Builder <sip:bob@biloxi.com>", "Bob the Builder", str(BOB), ""),
        ('"Bob, \\"B\\" <x>" <sip:bob@biloxi.com>;q=0.5', 'Bob, "B" <x>', str(BOB), ";q=0.5"),
        ('""<sip:bob@biloxi.com>', "", str(BOB), ""),
        ("Jürgen <tel:+49>", "Jürgen", "tel:+49", ""),
        ('<sip:a@b>;+sip.instance="<urn:uuid:1>"', "", "sip:a@b", ';+sip.instance="<urn:uuid:1>"'),
    ],
)
def test_an_address_is_read_in_every_form(text: str, display: str, uri: str, params: str) -> None:
    address = NameAddr.parse(text)
    assert (address.display, str(address.uri), str(address.params)) == (display, uri, params)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        '"Bob" sip:bob@biloxi.com',
        '"Bob <sip:bob@biloxi.com>',
        "<sip:bob@biloxi.com",
        "Bob <>",
        "<sip:bob@biloxi.com> x",
        "<sip:bob@biloxi.com>;;",
        "sip:bob@biloxi.com?a=b",
        "sip:bob,x@biloxi.com",
        'Bob "B" <sip:bob@biloxi.com>',
        "<<sip:bob@biloxi.com>>",
    ],
)
def test_a_malformed_address_is_refused_with_the_name_of_its_header(text: str) -> None:
    with pytest.raises(HeaderError, match="^Refer-To: ") as caught:
        NameAddr.parse(text, "Refer-To")
    assert caught.value.header == "Refer-To"


@pytest.mark.parametrize(
    ("display", "written"),
    [
        ("", "<sip:bob@biloxi.com>"),
        ("Bob Builder", "Bob Builder <sip:bob@biloxi.com>"),
        ("Bob, B.", '"Bob, B." <sip:bob@biloxi.com>'),
        ("Zoë", '"Zoë" <sip:bob@biloxi.com>'),
        (" two  spaces ", '" two  spaces " <sip:bob@biloxi.com>'),
    ],
)
def test_an_address_is_written_with_brackets_and_quotes_where_due(
    display: str, written: str
) -> None:
    assert str(NameAddr(BOB, display)) == written


@pytest.mark.parametrize("display", ["a\r\nX: y", "a\n", "\r"])
def test_a_line_end_in_a_display_name_is_refused(display: str) -> None:
    with pytest.raises(UnsafeValue):
        str(NameAddr(BOB, display))


def test_tags_are_set_and_taken_away_in_copies() -> None:
    address = NameAddr(BOB).with_tag("a")
    assert address.tag == "a"
    assert address.with_tag("b").tag == "b"
    assert address.without_tag() == NameAddr(BOB)


@pytest.mark.parametrize(
    ("params", "expires"),
    [("", None), (";expires=60", 60), (";expires=x", None), (f";expires={'9' * 50}", 2**32 - 1)],
)
def test_the_expiry_of_a_contact(params: str, expires: int | None) -> None:
    assert NameAddr.parse(f"<sip:a@b>{params}").expires == expires


def test_a_via_is_read_with_all_its_parameters() -> None:
    via = Via.parse(
        "sip / 2.0/udp  [2001:db8::9:1] : 5070 ; rport=6000;received=2001:db8::9:255"
        ";branch=z9hG4bKas3-111;ttl=16;maddr=[ff02::1];x"
    )
    assert (via.transport, via.host, via.port) == ("UDP", "2001:db8::9:1", 5070)
    assert via.sent_by == "[2001:db8::9:1]:5070"
    assert (via.branch, via.rport, via.wants_rport) == ("z9hG4bKas3-111", 6000, True)
    assert (via.received, via.maddr, via.ttl) == ("2001:db8::9:255", "ff02::1", 16)
    assert "x" in via.params


def test_brackets_around_received_are_taken_off() -> None:
    assert Via.parse("SIP/2.0/UDP a;received=[2001:db8::1]").received == "2001:db8::1"


def test_what_a_via_lacks_is_none() -> None:
    via = Via.parse("SIP/2.0/TCP pc33.atlanta.com")
    assert (via.port, via.branch, via.rport, via.received, via.ttl, via.maddr) == (None,) * 6
    assert not via.wants_rport
    assert str(via) == "SIP/2.0/TCP pc33.atlanta.com"


@pytest.mark.parametrize("params", [";rport", ";rport=x", ";rport=70000"])
def test_an_rport_that_is_only_asked_for_or_malformed_is_none(params: str) -> None:
    via = Via.parse(f"SIP/2.0/UDP a{params}")
    assert via.rport is None
    assert via.wants_rport


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDPhost",
        "SIP/2.0 UDP host",
        "SIP/3.0/UDP host",
        "HTTP/2.0/UDP host",
        "SIP/2.0/UDP host:",
        "SIP/2.0/UDP host:70000",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP [::1::2]",
        "SIP/2.0/UDP [192.0.2.1]",
        "SIP/2.0/UDP host;;branch=x",
        "SIP/2.0/UDP host x",
        "SIP/2.0/UDP ;branch=x",
    ],
)
def test_a_malformed_via_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Via: "):
        Via.parse(text)


@pytest.mark.parametrize(("transport", "host"), [("U DP", "a"), ("UDP", ""), ("UDP", "a\r\nb")])
def test_parts_of_a_via_that_would_not_read_back_are_refused(transport: str, host: str) -> None:
    with pytest.raises(UnsafeValue):
        Via(transport, host)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
        ),
        (
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport",
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport=6000;received=192.0.2.1",
        ),
        ("SIP/2.0/UDP a.example", "SIP/2.0/UDP a.example;received=192.0.2.1"),
    ],
)
def test_a_server_writes_the_source_into_a_via(text: str, written: str) -> None:
    assert str(Via.parse(text).with_source("192.0.2.1", 6000)) == written


@pytest.mark.parametrize(
    ("text", "salvaged"),
    [
        ("SIP/7.0/UDP c.example;branch=z9hG4bK1", "SIP/2.0/UDP c.example;branch=z9hG4bK1"),
        ("SIP/2.0/tcp 192.0.2.15:99;;,;,,", "SIP/2.0/TCP 192.0.2.15:99"),
        ("SIP/2.0/UDP h;;rport;x=;branch=b", "SIP/2.0/UDP h;rport;branch=b"),
        ("SIP/2.0/UDP [::1]:5;", "SIP/2.0/UDP [::1]:5"),
        ("SIP/2.0/UDP bad!host", None),
        ("garbage", None),
        ("", None),
    ],
)
def test_what_is_needed_to_answer_is_salvaged_from_a_broken_via(
    text: str, salvaged: str | None
) -> None:
    via = Via.salvage(text)
    assert (via and str(via)) == salvaged


def test_a_via_gets_parameters_in_copies() -> None:
    via = Via("UDP", "a", params=Params((("branch", "x"),)))
    assert str(via.with_param("rport")) == "SIP/2.0/UDP a;branch=x;rport"
    assert str(via) == "SIP/2.0/UDP a;branch=x"
