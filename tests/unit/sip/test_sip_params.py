"""Parameters of headers and URIs, and the lexical pieces under them."""

from __future__ import annotations

import pytest

from ringback.sip.errors import ParseError, UnsafeValue
from ringback.sip.escaping import USER_ALLOWED, escape, has_broken_escape, normalised, unescape
from ringback.sip.grammar import (
    decode,
    encode,
    parse_integer,
    quote,
    split_list,
    unquote,
)
from ringback.sip.params import Params, UriParams


def test_white_space_around_separators_does_not_matter() -> None:
    params = Params.parse(' ; a \t=  1 ;b; c = "x;y=\\"z" ')
    assert list(params) == [("a", "1"), ("b", None), ("c", '"x;y=\\"z"')]
    assert params.get("C") == 'x;y="z'


@pytest.mark.parametrize("value", ["2001:db8::1", "[2001:db8::1]", "<urn:x>", "a/b", "é"])
def test_a_value_that_should_be_quoted_is_read_without_quotes(value: str) -> None:
    assert Params.parse(f";received={value};x").get("received") == value


@pytest.mark.parametrize("text", [";;", ";a=", ";a;;b", ";=1", ';a="', ";a b", ";a=1 2", "x"])
def test_malformed_parameters_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Params.parse(text)


def test_one_semicolon_left_at_the_end_is_tolerated() -> None:
    assert Params.parse(";a=1;") == Params((("a", "1"),))


def test_the_first_of_a_repeated_parameter_counts_and_setting_it_leaves_one() -> None:
    params = Params.parse(";a=1;b;A=2")
    assert params.get("a") == "1"
    assert list(params.set("a", "3")) == [("a", "3"), ("b", None)]
    assert list(params.remove("a")) == [("b", None)]
    assert len(params) == 3


@pytest.mark.parametrize(
    ("value", "written"),
    [("abc", "abc"), ("a b", '"a b"'), ('a"b', '"a\\"b"'), ("", '""'), ("[::1]", "[::1]")],
)
def test_a_value_is_quoted_where_it_has_to_be(value: str, written: str) -> None:
    assert str(Params().set("x", value)) == f";x={written}"


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a\r\nb"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(UnsafeValue):
        Params().set(name, "x")


@pytest.mark.parametrize("value", ["a\r\nInjected: yes", "a\n", "\r"])
def test_a_line_end_in_a_value_is_refused(value: str) -> None:
    with pytest.raises(UnsafeValue):
        Params().set("x", value)
    with pytest.raises(UnsafeValue):
        Params((("x", value),))


def test_uri_parameters_are_escaped_and_keep_the_wire_form() -> None:
    params = UriParams.parse("a=%41b;c")
    assert params.get("a") == "Ab"
    assert str(params) == ";a=%41b;c"
    assert str(params.set("d", "x y;=?")) == ";a=%41b;c;d=x%20y%3B%3D%3F"
    assert UriParams.parse("") == UriParams()


def test_elements_of_a_list_are_split_outside_of_quotes_and_brackets() -> None:
    text = '"Smith, J" <sip:a,b@x>;p="1,2" ,<sip:c@d>,, e'
    assert split_list(text) == ['"Smith, J" <sip:a,b@x>;p="1,2"', "<sip:c@d>", "", "e"]
    assert split_list(" one ") == ["one"]


@pytest.mark.parametrize("text", ['"a, b', "<a, b", 'a, "\\"'])
def test_an_open_quote_or_bracket_in_a_list_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="not closed"):
        split_list(text)


def test_quoting_and_unquoting() -> None:
    assert quote('a"b\\c') == '"a\\"b\\\\c"'
    assert unquote('"a\\"b\\\\c"') == 'a"b\\c'
    assert quote("\x00\x7f") == '"\\\x00\\\x7f"'
    assert unquote("token") == "token"
    assert unquote('"') == '"'


def test_bytes_of_any_encoding_survive_and_other_surrogates_become_question_marks() -> None:
    assert encode(decode(b"\xff\xc3\xa9")) == b"\xff\xc3\xa9"
    assert encode("\ud800") == b"?"


@pytest.mark.parametrize(("text", "value"), [(" 007 ", 7), ("0", 0), ("255", 255), ("00255", 255)])
def test_integers_are_read_with_leading_zeros(text: str, value: int) -> None:
    assert parse_integer(text, "it", 255) == value


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "256", "9" * 10_000, "١"])
def test_integers_out_of_form_or_range_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_integer(text, "it", 255)


def test_escapes() -> None:
    assert escape("a b;é", USER_ALLOWED) == "a%20b;%C3%A9"
    assert unescape("a%20b%3b%C3%A9") == "a b;é"
    assert unescape("100%") == "100%"
    assert has_broken_escape("%4")
    assert not has_broken_escape("%41")
    assert normalised("%61%3b%25%7e") == "a%3B%25~"
