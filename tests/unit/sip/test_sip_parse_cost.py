"""Hostile input costs no more than its size: twice as much of it is twice the work, not four
times. The work is counted in calls and in bytes handed to the searches, never in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringback.sip import head, stream
from ringback.sip.grammar import split_list
from ringback.sip.headers import AuthenticationInfo, Challenge, NameAddr, Params, RetryAfter, Via
from ringback.sip.limits import MAX_HEADER_BYTES, MAX_HEADER_COUNT
from ringback.sip.message import parse_message
from ringback.sip.stream import StreamFramer
from ringback.sip.uri import Uri
from unit.sip.work import calls_in

SIZES = (500, 1000, 2000)


@pytest.mark.parametrize(
    ("parse", "piece"),
    [
        (split_list, "a,"),
        (split_list, '"a",'),
        (split_list, "<a>,"),
        (split_list, '"a" <b>'),
        (Params.parse, ";a=1"),
        (Params.parse, ';a="\\""'),
        (NameAddr.parse, "<a"),
        (NameAddr.parse, 'a "'),
        (Via.parse, "SIP/2.0/UDP a;b="),
        (Via.salvage, "SIP/2.0/UDP a;;rport"),
        (Challenge.parse_all, "a b=c,"),
        (Challenge.parse_all, "a "),
        (Challenge.parse_all, "a=,"),
        (AuthenticationInfo.parse, "a=b,"),
        (RetryAfter.parse, "1("),
        (Uri.parse, "sip:a@b;"),
        (Uri.parse, "sip:b?a=%41&"),
    ],
)
def test_a_header_value_costs_as_many_calls_as_it_has_pieces(
    parse: Callable[[str], object], piece: str
) -> None:
    small, middle, large = (calls_in(lambda n=size: parse(piece * n)) for size in SIZES)  # type: ignore[misc]
    assert large - middle <= 2.2 * (middle - small) + 50


@pytest.mark.requirement("bad.header-bombs")
@pytest.mark.parametrize(
    "line", [b"a\r\n", b"X: y\r\n", b" \r\n", b"v: SIP/2.0/UDP a\r\n", b'v: ",\r\n']
)
def test_a_header_bomb_costs_no_more_than_the_limits_allow(line: bytes) -> None:
    start = b"INVITE sip:a@b SIP/2.0\r\n"
    most = calls_in(lambda: parse_message(start + b"X: y\r\n" * MAX_HEADER_COUNT + b"\r\n"))
    bomb = start + line * (8 * MAX_HEADER_BYTES // len(line)) + b"\r\n"
    assert calls_in(lambda: parse_message(bomb)) <= most + 3 * MAX_HEADER_BYTES


@pytest.mark.requirement("bad.header-bombs")
def test_headers_that_come_byte_by_byte_are_searched_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = 0
    pattern = head.END_OF_HEAD

    class Counted:
        def search(self, data: bytearray, begin: int, end: int) -> object:
            nonlocal searched
            searched += max(0, min(len(data), end) - begin)
            return pattern.search(data, begin, end)

    monkeypatch.setattr(stream, "END_OF_HEAD", Counted())
    wire = b"OPTIONS sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 1000
    framer = StreamFramer()
    for byte in wire:
        framer.feed(bytes((byte,)))
    assert searched <= 4 * len(wire)
