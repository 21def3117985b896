"""The header map and the small typed headers."""

from __future__ import annotations

import pytest

from ringback.sip.errors import HeaderError, UnsafeValue
from ringback.sip.headers import (
    COMPACT_FORMS,
    CSeq,
    Headers,
    MediaType,
    NameAddr,
    RAck,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    canonical_name,
    parse_delta_seconds,
)
from ringback.sip.uri import Uri


@pytest.mark.requirement("rfc3261.7.3")
def test_compact_long_and_oddly_spelled_names_are_the_same_header() -> None:
    headers = Headers([("v", "1"), ("VIA", "2"), ("Via", "3")])
    assert headers.get_all("via") == ["1", "2", "3"]
    assert headers.get("V") == "1"
    assert "vIA" in headers
    assert headers.names() == ["Via"]


@pytest.mark.parametrize(("short", "long"), COMPACT_FORMS.items())
def test_every_compact_form_has_its_long_name(short: str, long: str) -> None:
    assert canonical_name(short) == canonical_name(short.upper()) == long


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("cseq", "CSeq"), ("www-authenticate", "WWW-Authenticate"), ("X-ABC-id", "X-ABC-id")],
)
def test_known_names_get_their_usual_spelling_and_others_keep_theirs(
    name: str, canonical: str
) -> None:
    assert canonical_name(name) == canonical


def test_headers_compare_by_name_value_and_order() -> None:
    headers = Headers([("x-a", "1"), ("To", "2")])
    assert headers == Headers([("X-A", "1"), ("t", "2")])
    assert headers != Headers([("To", "2"), ("X-A", "1")])
    assert headers != [("x-a", "1"), ("To", "2")]
    assert repr(headers) == "Headers([('x-a', '1'), ('To', '2')])"


@pytest.mark.requirement("rfc3261.7.3")
def test_a_list_is_split_over_fields_and_commas() -> None:
    headers = Headers([("Route", "<sip:a;lr>, <sip:b>"), ("Route", ""), ("Route", "<sip:c,d>,")])
    assert headers.values("Route") == ["<sip:a;lr>", "<sip:b>", "<sip:c,d>"]
    assert headers.elements("Route") == ["<sip:a;lr>", "<sip:b>", "", "<sip:c,d>", ""]
    assert headers.values("Missing") == []


def test_an_unbalanced_list_names_its_header() -> None:
    with pytest.raises(HeaderError, match="Route"):
        Headers([("Route", '"a, b')]).values("route")


def test_setting_a_header_replaces_the_first_and_drops_the_others() -> None:
    headers = Headers([("X-A", "1"), ("X-B", "2"), ("x-a", "3")])
    headers.set("x-a", 9)
    assert headers.items() == [("x-a", "9"), ("X-B", "2")]
    headers.set("X-C", "3")
    assert list(headers) == [("x-a", "9"), ("X-B", "2"), ("X-C", "3")]


def test_a_header_is_put_before_the_others_of_its_name() -> None:
    headers = Headers([("To", "x"), ("Via", "2")])
    headers.prepend("Via", "1")
    headers.prepend("Max-Forwards", 70)
    assert headers.items() == [("Max-Forwards", "70"), ("To", "x"), ("Via", "1"), ("Via", "2")]


def test_the_topmost_value_of_a_line_can_be_replaced_or_removed() -> None:
    headers = Headers([("Via", "a, b"), ("Via", "c")])
    headers.set_first("Via", "x")
    assert headers.get_all("Via") == ["x, b", "c"]
    headers.remove_first("Via")
    assert headers.get_all("Via") == ["b", "c"]
    headers.remove_first("Via")
    headers.remove_first("Via")
    headers.remove_first("Via")
    assert "Via" not in headers
    headers.add("To", "x")
    headers.set_first("Via", "y")
    assert headers.items() == [("Via", "y"), ("To", "x")]


def test_a_copy_is_independent() -> None:
    headers = Headers([("To", "x")])
    twin = headers.copy()
    twin.remove("to")
    assert len(headers) == 1
    assert len(twin) == 0
    assert headers.without("To") == twin


def test_typed_values_are_written_by_their_str() -> None:
    headers = Headers()
    headers.add("To", NameAddr(Uri.parse("sip:a@b")))
    headers.add("cseq", CSeq(1, "BYE"))
    assert bytes(headers) == b"To: <sip:a@b>\r\nCSeq: 1 BYE\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\x00b", "\n", "x\r"])
def test_a_value_that_would_end_its_line_is_refused(value: str) -> None:
    headers = Headers([("X-A", "1")])
    for change in (headers.add, headers.set, headers.prepend, headers.set_first):
        with pytest.raises(UnsafeValue, match="the value of Subject"):
            change("s", value)
    assert headers.items() == [("X-A", "1")]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\n", "a\x00", "é"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(UnsafeValue, match="name of a header"):
        Headers([(name, "x")])


def test_a_nul_is_let_through_as_a_quoted_pair_only() -> None:
    assert Headers([("To", '"\\\x00" <sip:a@b>')]).get("To") == '"\\\x00" <sip:a@b>'


@pytest.mark.parametrize(
    ("text", "cseq"), [("1 INVITE", CSeq(1, "INVITE")), (" 0009\t x ", CSeq(9, "x"))]
)
def test_a_cseq_is_read(text: str, cseq: CSeq) -> None:
    assert CSeq.parse(text) == cseq


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "x INVITE", "1 IN VITE", "2147483648 BYE", "1 a@b"]
)
def test_a_malformed_cseq_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^CSeq: "):
        CSeq.parse(text)


@pytest.mark.parametrize(("number", "method"), [(-1, "BYE"), (2**31, "BYE"), (1, "B YE"), (1, "")])
def test_parts_of_a_cseq_out_of_range_are_refused(number: int, method: str) -> None:
    with pytest.raises(UnsafeValue):
        CSeq(number, method)


def test_a_rack_is_read_and_written() -> None:
    rack = RAck.parse("776656 1 INVITE")
    assert rack == RAck(776656, CSeq(1, "INVITE"))
    assert str(rack) == "776656 1 INVITE"


@pytest.mark.parametrize("text", ["", "1", "1 1", "x 1 INVITE", "4294967296 1 INVITE"])
def test_a_malformed_rack_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="RAck|CSeq"):
        RAck.parse(text)


def test_a_reason_is_read_and_written() -> None:
    reason = Reason.parse('Q.850 ;cause=16 ;text="Terminated; \\"ok\\"";x=1')
    assert (reason.protocol, reason.cause, reason.text) == ("Q.850", 16, 'Terminated; "ok"')
    assert str(reason) == 'Q.850;cause=16;text="Terminated; \\"ok\\"";x=1'
    assert str(Reason("SIP", 200, "Call completed elsewhere")) == (
        'SIP;cause=200;text="Call completed elsewhere"'
    )
    assert Reason.parse("SIP") == Reason("SIP")


@pytest.mark.parametrize("text", ["", ";cause=1", "SIP;cause=x", "SIP;cause=-1", "SIP x"])
def test_a_malformed_reason_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Reason: "):
        Reason.parse(text)


def test_a_replaces_is_read_and_written() -> None:
    replaces = Replaces.parse("98732@sip.example.com ;from-tag=r33th4x0r ;to-tag=ff87ff")
    assert replaces == Replaces("98732@sip.example.com", "ff87ff", "r33th4x0r")
    assert str(replaces) == "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r"
    assert Replaces.parse("a;to-tag=1;from-tag=2;early-only").early_only


@pytest.mark.parametrize("text", ["", "a", "a;to-tag=1", "a;from-tag=1", "a b;to-tag=1;from-tag=2"])
def test_a_malformed_replaces_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Replaces: "):
        Replaces.parse(text)


def test_a_retry_after_is_read_and_written() -> None:
    value = RetryAfter.parse("120 (I'm in a (long\\)) meeting) ; duration=60;x")
    assert (value.seconds, value.comment, value.duration) == (120, "I'm in a (long)) meeting", 60)
    assert str(value) == "120 (I'm in a \\(long\\)\\) meeting);duration=60;x"
    assert RetryAfter.parse("5").duration is None
    assert RetryAfter.parse("5;duration=x").duration is None


@pytest.mark.parametrize("text", ["", "x", "-1", "1 (a", "1 (a))", "1 2"])
def test_a_malformed_retry_after_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Retry-After: "):
        RetryAfter.parse(text)


def test_a_session_expires_is_read_and_written() -> None:
    value = SessionExpires.parse("1800 ;refresher=UAS;x=1")
    assert (value.seconds, value.refresher) == (1800, "uas")
    assert str(value) == "1800;refresher=uas;x=1"
    assert str(SessionExpires(90)) == "90"


@pytest.mark.parametrize("text", ["", "x;refresher=uac", "90;;", "90;refresher="])
def test_a_malformed_session_expires_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Session-Expires: "):
        SessionExpires.parse(text)


def test_a_media_type_is_read_and_written() -> None:
    value = MediaType.parse('Multipart / Mixed ; boundary="a b"')
    assert value.essence == "multipart/mixed"
    assert value.params.get("boundary") == "a b"
    assert str(value) == 'multipart/mixed;boundary="a b"'


@pytest.mark.parametrize("text", ["", "text", "text/", "/plain", "text/plain x", "text/plain;"])
def test_a_malformed_media_type_is_refused_but_for_a_semicolon_at_its_end(text: str) -> None:
    if text.endswith(";"):
        assert MediaType.parse(text).essence == "text/plain"
        return
    with pytest.raises(HeaderError, match="^Accept: "):
        MediaType.parse(text, "Accept")


@pytest.mark.parametrize(
    ("text", "covered"),
    [("*/*", True), ("application/*", True), ("application/sdp;q=1", True), ("text/*", False)],
)
def test_media_ranges(text: str, covered: bool) -> None:
    assert MediaType.parse(text).covers("application/sdp") is covered


@pytest.mark.parametrize(("text", "seconds"), [("3600", 3600), (" 0 ", 0), ("9" * 100, 2**32 - 1)])
def test_seconds_beyond_32_bits_count_as_the_greatest(text: str, seconds: int) -> None:
    assert parse_delta_seconds(text, "Expires") == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5", "soon"])
def test_what_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(HeaderError, match="^Expires: "):
        parse_delta_seconds(text, "Expires")
