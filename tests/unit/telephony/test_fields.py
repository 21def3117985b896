"""Single fields of a trunk: what is tidied, what is refused, and the remedy in the complaint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ringback.telephony import fields


def adapter(kind: Any) -> Callable[[object], object]:
    return TypeAdapter(kind).validate_python


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("sip.example.com", "sip.example.com"),
        (" SIP.Example.COM. ", "sip.example.com"),
        ("203.0.113.10", "203.0.113.10"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("pbx", "pbx"),
        ("pbx_1.local", "pbx_1.local"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_a_host_is_tidied(text: str, host: str) -> None:
    assert adapter(fields.Host)(text) == host


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sip:sip.example.com", "without a scheme, such as sip.example.com"),
        ("sip:bob@sip.example.com", "without a scheme, such as sip.example.com"),
        ("https://sip.example.com", "without a scheme, such as sip.example.com"),
        ("sip:sip.example.com:5060", "without a scheme, such as sip.example.com [type"),
        (
            "sip:bob@sip.example.com;transport=tcp",
            "without a scheme, such as sip.example.com [type",
        ),
        ("sip.example.com:5080", "must not carry a port: write sip.example.com, and 5080"),
        ("bob@sip.example.com", "must be a host name alone, such as sip.example.com"),
        ("sip example com", "must be a host name or an IP address"),
        ("-x.com", "must be a host name or an IP address"),
        ("300.1.2.3", "must be a host name or an IP address"),
        ("a..b", "must be a host name or an IP address"),
        ("host/path", "must be a host name or an IP address"),
        ("x" * 64 + ".com", "must be a host name or an IP address"),
    ],
)
def test_a_bad_host_is_answered_with_the_remedy(text: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        adapter(fields.Host)(text)
    assert complaint in str(caught.value)


@given(st.text(min_size=1, max_size=300))
def test_no_text_crashes_a_field(text: str) -> None:
    for kind in (
        fields.Host,
        fields.HostPort,
        fields.SipUser,
        fields.CallerId,
        fields.E164,
        fields.Country,
        fields.AllowedIp,
        fields.TechPrefix,
        fields.Realm,
    ):
        try:
            value = adapter(kind)(text)
        except ValidationError:
            continue
        assert adapter(kind)(value) == value
        assert "\n" not in str(value)
        assert "\r" not in str(value)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("outbound.example.com", "outbound.example.com"),
        ("Outbound.example.com:5080", "outbound.example.com:5080"),
        ("[2001:db8::1]:5080", "[2001:db8::1]:5080"),
        ("2001:db8::1", "[2001:db8::1]"),
    ],
)
def test_a_proxy_may_have_a_port(text: str, tidy: str) -> None:
    assert adapter(fields.HostPort)(text) == tidy


@pytest.mark.parametrize("text", ["sip:proxy", "proxy;lr", "proxy:0", "proxy:70000", "proxy:x"])
def test_a_proxy_is_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        adapter(fields.HostPort)(text)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("203.0.113.10", "203.0.113.10"),
        ("203.0.113.10/32", "203.0.113.10"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_addresses_and_networks_may_be_allowed(text: str, tidy: str) -> None:
    assert adapter(fields.AllowedIp)(text) == tidy


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("203.0.113.10/24", "did you mean 203.0.113.0/24 or 203.0.113.10?"),
        ("203.0.113.0/33", "write addresses or networks"),
        ("sip.example.com", "write addresses or networks"),
        ("0.0.0.0/0", "nearly everybody"),
        ("::/0", "nearly everybody"),
    ],
)
def test_a_bad_network_is_answered_with_the_remedy(text: str, complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        adapter(fields.AllowedIp)(text)
    assert complaint in str(caught.value)


def test_codecs_go_by_any_of_their_names_and_once_each() -> None:
    assert adapter(fields.Codecs)(["ulaw", "G711a", "PCMU"]) == ["PCMU", "PCMA"]
    names = ["OPUS/48000/2", "g.722", "G722", "Opus"]
    assert adapter(fields.Codecs)(names) == ["opus", "G722"]


@pytest.mark.parametrize("names", [[], ["G729"], ["PCMA", "speex"], [""]])
def test_codecs_that_are_not_there_are_refused(names: list[str]) -> None:
    with pytest.raises(ValidationError):
        adapter(fields.Codecs)(names)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("+33 6 12 34 56 78", "+33612345678"), ("0033612345678", "+33612345678"), ("2001", "2001")],
)
def test_a_caller_id_is_a_number_or_an_extension(text: str, shown: str) -> None:
    assert adapter(fields.CallerId)(text) == shown


@pytest.mark.parametrize("text", ["+33 6", "my phone", "<sip:x>"])
def test_a_caller_id_is_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        adapter(fields.CallerId)(text)


@pytest.mark.parametrize("text", ["bob@host", "sip:bob", "bob smith", "x" * 61])
def test_a_user_name_is_a_sip_user_of_at_most_60_characters(text: str) -> None:
    with pytest.raises(ValidationError):
        adapter(fields.SipUser)(text)


def test_a_secret_is_one_line_and_not_shown() -> None:
    secret = adapter(fields.Secret)("pässword with spaces")
    assert "pässword" not in repr(secret)
    with pytest.raises(ValidationError) as caught:
        adapter(fields.Secret)("pass\r\nword")
    assert "control characters" in str(caught.value)


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": [value]} if levels % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"a": "x" * 20_000}, "16384 bytes"),
        ({"a": "\x00"}, "NUL"),
        ({"\x00": 1}, "NUL"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": [float("nan")]}, "NaN"),
        ({"a": float("inf")}, "NaN or infinite"),
        (nested(17), "16 levels deep"),
        (nested(5000), "16 levels deep"),
    ],
)
def test_metadata_is_bounded_and_can_be_sent_back(value: object, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        adapter(fields.Metadata)(value)


def test_any_other_metadata_is_kept() -> None:
    for value in ({}, {"a": {"b": [1, None, 0.5, "é😀"]}}, nested(16)):
        assert adapter(fields.Metadata)(value) == value


def test_a_country_is_two_letters_that_exist() -> None:
    assert adapter(fields.Country)("fr") == "FR"
    with pytest.raises(ValidationError):
        adapter(fields.Country)("XX")
