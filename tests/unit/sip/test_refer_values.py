"""Refer-To, Subscription-State, Event and sipfrag bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip.errors import HeaderError, ParseError
from ringback.sip.headers import Replaces
from ringback.sip.message import Request
from ringback.sip.refer import EventType, ReferTo, SubscriptionState, sipfrag, sipfrag_status
from ringback.sip.uri import Uri
from unit.sip.sipkit import request_from


def refer(*headers: tuple[str, str]) -> Request:
    return request_from("REFER", headers=headers)


@pytest.mark.requirement("call.refer-out-attended")
def test_replaces_is_escaped_within_refer_to_and_read_back() -> None:
    replaces = Replaces("a84b4c76e66710@gw;x=1&z", "to-7743", "6472")
    written = ReferTo(Uri.parse("sip:bob@192.0.2.4:5070"), replaces)
    text = str(written)
    assert text.startswith("<sip:bob@192.0.2.4:5070?Replaces=")
    inner = text.partition("?Replaces=")[2]
    assert not set(inner.rstrip(">")) & set(";=&@ ,")


def test_the_example_of_rfc_3891_is_understood() -> None:
    text = (
        "<sips:dave@denver.example.org?Replaces=12345%40192.168.118.3%3B"
        "to-tag%3D12345%3Bfrom-tag%3D5FFE-3994>"
    )
    refer_to = ReferTo.parse(text)
    assert str(refer_to.target) == "sips:dave@denver.example.org"
    assert refer_to.replaces == Replaces("12345@192.168.118.3", "12345", "5FFE-3994")
    assert refer_to.method == "INVITE"


@pytest.mark.parametrize(
    ("text", "target", "method"),
    [
        ("sip:carol@example.com", "sip:carol@example.com", "INVITE"),
        (
            '"Carol" <sip:carol@example.com;user=phone>',
            "sip:carol@example.com;user=phone",
            "INVITE",
        ),
        ("<sip:carol@example.com;method=BYE>", "sip:carol@example.com", "BYE"),
        ("<sip:carol@example.com;method=invite>", "sip:carol@example.com", "INVITE"),
        ("<sip:c@example.com?Subject=hello&X=y>", "sip:c@example.com", "INVITE"),
        ("tel:+4930123456", "tel:+4930123456", "INVITE"),
    ],
)
def test_a_target_is_cleaned_of_what_may_not_go_into_a_request_uri(
    text: str, target: str, method: str
) -> None:
    refer_to = ReferTo.parse(text)
    assert str(refer_to.target) == target
    assert refer_to.method == method
    assert refer_to.replaces is None


@pytest.mark.parametrize(
    "text", ["", "<>", "nobody", "<sip:a@b?Replaces=x>", "<sip:a@b?Replaces=x%3Bto-tag%3D1>"]
)
def test_what_cannot_be_read_is_a_header_error(text: str) -> None:
    with pytest.raises(HeaderError):
        ReferTo.parse(text)


def test_a_refer_has_exactly_one_refer_to() -> None:
    one = ("Refer-To", "<sip:a@b>")
    assert ReferTo.of(refer(one)).target.user == "a"
    assert ReferTo.of(refer(("r", "<sip:a@b>"))).target.user == "a"
    for headers in [(), (one, one)]:
        with pytest.raises(HeaderError):
            ReferTo.of(refer(*headers))


_WORDS = st.text("abcXYZ019-_.~@%;=?&+/ ", min_size=1).filter(lambda t: not set(t) & set(" ;,"))
_TAGS = st.text("abcXYZ019-_.~", min_size=1)


@given(call_id=_WORDS, to_tag=_TAGS, from_tag=_TAGS, early=st.booleans())
def test_what_is_written_is_read_back(
    call_id: str, to_tag: str, from_tag: str, early: bool
) -> None:
    replaces = Replaces(call_id, to_tag, from_tag, early)
    written = ReferTo(Uri.parse("sip:bob@example.com"), replaces, display="Bob B")
    assert ReferTo.parse(str(written)) == written


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_a_parse_error(text: str) -> None:
    for parse in (ReferTo.parse, SubscriptionState.parse):
        try:
            parse(text)
        except ParseError:
            continue


@pytest.mark.parametrize(
    ("text", "state", "expires", "reason", "over"),
    [
        ("active;expires=60", "active", 60, "", False),
        ("Terminated;reason=noresource", "terminated", None, "noresource", True),
        ("pending", "pending", None, "", False),
        ("active;expires=soon", "active", None, "", False),
    ],
)
def test_the_state_of_a_subscription_is_read(
    text: str, state: str, expires: int | None, reason: str, over: bool
) -> None:
    found = SubscriptionState.parse(text)
    assert (found.state, found.expires, found.reason, found.is_over) == (
        state,
        expires,
        reason,
        over,
    )


@pytest.mark.parametrize(
    ("text", "package", "event_id"),
    [("refer", "refer", None), ("Refer;id=93", "refer", "93"), ("presence", "presence", None)],
)
def test_an_event_has_a_package_and_may_have_an_id(
    text: str, package: str, event_id: str | None
) -> None:
    event = EventType.of(request_from("NOTIFY", headers=[("o", text)]))
    assert event == EventType(package, event_id)
    assert EventType.of(request_from("NOTIFY")) is None
    assert EventType.of(request_from("NOTIFY", headers=[("Event", "@")])) is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"SIP/2.0 100 Trying\r\n", (100, "Trying")),
        (b"SIP/2.0 200 OK", (200, "OK")),
        (b"sip/2.0 486\r\n", (486, "")),
        (b"\r\nSIP/2.0 603 Decline\r\nTo: <sip:x@y>\r\n", (603, "Decline")),
        (b"SIP/2.0 99 Odd", None),
        (b"HTTP/1.1 200 OK", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_status_in_a_sipfrag_is_read(body: bytes, told: tuple[int, str] | None) -> None:
    assert sipfrag_status(body) == told


def test_a_sipfrag_of_ours_is_a_status_line() -> None:
    assert sipfrag(486) == b"SIP/2.0 486 Busy Here\r\n"
    assert sipfrag(486, "No\r\nX: y") == b"SIP/2.0 486 NoX: y\r\n"
    assert len(sipfrag(500, "x" * 999)) < 200
