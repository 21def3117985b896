"""URIs: RFC 3261 19.1, RFC 3966, RFC 5118 for IPv6."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.errors import UnsafeValue, UriError
from ringback.sip.params import UriParams
from ringback.sip.uri import Uri


def test_every_part_of_a_sip_uri_is_read() -> None:
    uri = Uri.parse("sip:alice:secret@atlanta.com:5061;transport=tcp;lr?subject=project%20x&a=b")
    assert uri == Uri(
        "sip",
        user="alice",
        password="secret",
        host="atlanta.com",
        port=5061,
        params=UriParams((("transport", "tcp"), ("lr", None))),
        headers=(("subject", "project%20x"), ("a", "b")),
    )
    assert uri.params.get("Transport") == "tcp"
    assert "LR" in uri.params
    assert uri.params.get("lr") is None
    assert uri.header("Subject") == "project x"
    assert uri.header("missing") is None
    assert uri.host_port == "atlanta.com:5061"


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@atlanta.com",
        "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:1212@gateway.com",
        "sip:alice@192.0.2.4",
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:[2001:db8::10]:5070",
        "sip:user@[2001:db8::192.0.2.1]",
        "sip:under_score.example",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "tel:863-1234;phone-context=+1-914-555",
        "tel:*31#;phone-context=+34",
        "urn:service:sos",
        "mailto:a@b.example",
    ],
)
def test_what_is_read_is_written_as_it_came(text: str) -> None:
    assert str(Uri.parse(text)) == text


def test_an_ipv6_host_has_no_brackets_inside() -> None:
    uri = Uri.parse("sip:user@[2001:DB8::10]:5070")
    assert (uri.host, uri.port) == ("2001:DB8::10", 5070)
    assert str(uri) == "sip:user@[2001:DB8::10]:5070"


def test_a_user_part_is_unescaped_and_escaped_again() -> None:
    uri = Uri("sip", user="a b@c:d%é", host="x.example")
    assert str(uri) == "sip:a%20b%40c%3Ad%25%C3%A9@x.example"
    assert Uri.parse(str(uri)).user == "a b@c:d%é"


def test_octets_that_are_no_utf_8_survive_in_a_user_part() -> None:
    uri = Uri.parse("sip:%FF%fe@x.example")
    assert str(uri) == "sip:%FF%fe@x.example"
    assert str(replace(uri, spelling=None)) == "sip:%FF%FE@x.example"


def test_a_user_part_goes_back_to_its_maker_as_it_was_escaped() -> None:
    uri = Uri.parse("sip:%61lice%3Bx@atlanta.com")
    assert uri.user == "alice;x"
    assert str(uri) == "sip:%61lice%3Bx@atlanta.com"
    assert uri == Uri("sip", user="alice;x", host="atlanta.com")


def test_another_user_is_not_written_with_the_old_spelling() -> None:
    uri = replace(Uri.parse("sip:%61lice@atlanta.com"), user="bob")
    assert str(uri) == "sip:bob@atlanta.com"


@pytest.mark.parametrize("spelling", ["alice>", 'a"', "a b"])
def test_a_spelling_that_is_no_user_part_is_not_written(spelling: str) -> None:
    uri = Uri("sip", user=spelling, host="x.example", spelling=spelling)
    assert Uri.parse(str(uri)).user == spelling


def test_a_user_part_that_breaks_the_grammar_is_written_by_the_grammar() -> None:
    assert str(Uri.parse("sip:caf\u00e9^@x.example")) == "sip:caf%C3%A9%5E@x.example"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "begins with a scheme"),
        ("alice@atlanta.com", "begins with a scheme"),
        ("1sip:x", "begins with a scheme"),
        ("sip:", "not a host"),
        ("sip:@atlanta.com", "user part"),
        ("sip:alice@", "not a host"),
        ("sip:alice@bad host", "must not stand"),
        ("sip:alice@host>", "must not stand"),
        ("sip:a\x00b@host", "must not stand"),
        ("sip:alice@ho%st", "not a host"),
        ("sip:a%zz@host", "hexadecimal"),
        ("sip:host:", "port"),
        ("sip:host:abc", "port"),
        ("sip:host:65536", "port"),
        ("sip:host:99999999999999999999", "port"),
        ("sip:[::1", "IPv6"),
        ("sip:[192.0.2.1]", "IPv6"),
        ("sip:[::1]x", "unexpected"),
        ("sip:[::g]", "IPv6"),
        ("sip:2001:db8::1", "port"),
        ("sip:host;a=b;;c", "parameter"),
        ("sip:host;=b", "parameter"),
        ("sip:host?", "header"),
        ("sip:host?a", "header"),
        ("sip:host?=b", "header"),
        ("tel:", "telephone"),
        ("tel:+", "telephone"),
        ("tel:---", "telephone"),
        ("tel:12x", "telephone"),
        ("tel:+1;;", "parameter"),
        ("urn:", "cannot stand"),
    ],
)
def test_a_malformed_uri_is_refused_in_words(text: str, fault: str) -> None:
    with pytest.raises(UriError, match=fault):
        Uri.parse(text)


def test_the_place_of_a_forbidden_character_is_named() -> None:
    with pytest.raises(UriError) as caught:
        Uri.parse("sip:a b@host")
    assert caught.value.position == 5
    assert "(at character 5)" in str(caught.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Uri("SIP", host="x"),
        lambda: Uri("sip", host="x\r\ny"),
        lambda: Uri("sip", host="[::1]"),
        lambda: Uri("sip", host="::g"),
        lambda: Uri("sip"),
        lambda: Uri("sip", host="x", port=70000),
        lambda: Uri("sip", host="x", user=""),
        lambda: Uri("sip", host="x", password="p"),
        lambda: Uri("sip", host="x", headers=(("a", "b>"),)),
        lambda: Uri("sip", host="x", headers=(("", "b"),)),
        lambda: Uri("tel", user="12 34"),
        lambda: Uri("tel"),
        lambda: Uri("urn", opaque="a\r\nb"),
        lambda: Uri("urn"),
        lambda: UriParams((("a", "b;c"),)),
        lambda: UriParams((("a=", "b"),)),
        lambda: UriParams((("a", "b\r\n"),)),
    ],
)
def test_parts_that_would_not_read_back_are_refused(build: object) -> None:
    assert callable(build)
    with pytest.raises(UnsafeValue):
        build()


@pytest.mark.requirement("rfc3261.19.1.4")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        # RFC 3261 19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8:0::1]", "sip:a@[2001:DB8::1]"),
        ("SIP:a@b", "sip:a@b"),
        # RFC 3966 section 4
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("tel:7042;phone-context=example.com;ext=1", "tel:70-42;ext=1;phone-context=Example.com"),
        ("tel:863-1234;phone-context=+1-914", "tel:8631234;phone-context=+1914"),
        ("urn:service:sos", "URN:service:sos"),
    ],
)
def test_equivalent_uris(first: str, second: str) -> None:
    assert Uri.parse(first).equivalent(Uri.parse(second))
    assert Uri.parse(second).equivalent(Uri.parse(first))


@pytest.mark.requirement("rfc3261.19.1.4")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        # RFC 3261 19.1.4
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("sip:b", "sip:a@b"),
        ("sip:a:p@b", "sip:a@b"),
        ("sip:a@b;user=ip", "sip:a@b"),
        ("sip:a@b;maddr=192.0.2.1", "sip:a@b"),
        ("sip:a%3Bx@b", "sip:a;x@b"),
        ("tel:+12015550123", "tel:12015550123"),
        ("tel:7042;phone-context=a.example", "tel:7042;phone-context=b.example"),
        ("urn:service:sos", "urn:service:fire"),
    ],
)
def test_uris_that_are_not_equivalent(first: str, second: str) -> None:
    assert not Uri.parse(first).equivalent(Uri.parse(second))
    assert not Uri.parse(second).equivalent(Uri.parse(first))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("tel:+1-201-555-0123", "+12015550123"),
        ("tel:(020)7946.0123;phone-context=+44", "02079460123"),
        ("sip:+34911234567@gw.example;user=phone", "+34911234567"),
        ("sip:+1-(212)555.1212@gw.example", "+12125551212"),
        ("sip:+358-555-1234567;postd=pp22@foo.com;user=phone", "+3585551234567"),
        ("sip:1000@pbx.example", "1000"),
        ("sip:*97#@pbx.example", "*97#"),
        ("sip:john.doe@x.example", None),
        ("sip:x.example", None),
        ("urn:service:sos", None),
    ],
)
def test_the_number_of_a_uri(text: str, number: str | None) -> None:
    assert Uri.parse(text).number == number


def test_the_context_of_a_local_number() -> None:
    assert Uri.parse("tel:7042;phone-context=example.com").phone_context == "example.com"
    assert Uri.parse("tel:+1").phone_context is None


def test_parameters_and_headers_can_be_added_to_a_copy() -> None:
    uri = Uri("sip", host="x.example")
    changed = uri.with_param("lr").with_param("x", "a;b").with_header("Replaces", "id;to-tag=1")
    assert str(changed) == "sip:x.example;lr;x=a%3Bb?Replaces=id%3Bto-tag%3D1"
    assert changed.header("replaces") == "id;to-tag=1"
    assert changed.params.get("x") == "a;b"
    assert str(changed.without_param("X")) == "sip:x.example;lr?Replaces=id%3Bto-tag%3D1"
    assert str(uri) == "sip:x.example"


def test_uris_serve_as_keys() -> None:
    assert len({Uri.parse("sip:a@b"), Uri.parse("sip:%61@b"), Uri.parse("sip:a@c")}) == 2
