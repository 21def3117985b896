"""Cutting a byte stream into messages."""

from __future__ import annotations

import pytest

from ringback.sip.errors import (
    BodyTooLarge,
    FramingError,
    HeaderError,
    HeadersTooLarge,
    ParseError,
    TooManyHeaders,
)
from ringback.sip.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADER_COUNT
from ringback.sip.message import Request, request_fragment
from ringback.sip.stream import (
    PING,
    PONG,
    Malformed,
    MessageReceived,
    Ping,
    Pong,
    StreamBroken,
    StreamEvent,
    StreamFramer,
)

HEAD = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\n"
    b"From: <sip:d@e>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
)
MESSAGE = HEAD + b"Content-Length: 4\r\n\r\nbody"


def broken(events: list[StreamEvent]) -> ParseError:
    [event] = events
    assert isinstance(event, StreamBroken)
    return event.error


@pytest.mark.requirement("rfc3261.18")
def test_a_message_comes_out_with_its_last_byte() -> None:
    framer = StreamFramer()
    assert framer.feed(MESSAGE[:-1]) == []
    assert framer.buffered == 3
    [event] = framer.feed(MESSAGE[-1:])
    assert isinstance(event, MessageReceived)
    assert isinstance(event.message, Request)
    assert event.message.body == b"body"
    assert framer.buffered == 0


def test_the_bytes_behind_a_message_begin_the_next_one() -> None:
    framer = StreamFramer()
    events = framer.feed(MESSAGE * 3 + MESSAGE[:20])
    assert [type(event) for event in events] == [MessageReceived] * 3
    assert framer.buffered == 20
    assert [type(event) for event in framer.feed(MESSAGE[20:])] == [MessageReceived]


@pytest.mark.requirement("rfc5626.4.4.1")
@pytest.mark.parametrize(
    ("data", "events"),
    [
        (PONG, [Pong()]),
        (PING, [Pong(), Ping()]),
        (PING + PING, [Pong(), Ping(), Pong(), Ping()]),
        (b"\r", []),
        (b"\n\n", []),
        (b"", []),
    ],
)
def test_line_ends_between_messages_are_keepalives(data: bytes, events: list[StreamEvent]) -> None:
    assert StreamFramer().feed(data) == events
    framer = StreamFramer()
    assert [event for byte in data for event in framer.feed(bytes((byte,)))] == events


def test_a_ping_is_a_ping_again_after_a_message() -> None:
    events = StreamFramer().feed(PONG + MESSAGE + PING)
    assert [type(event) for event in events] == [Pong, MessageReceived, Pong, Ping]


def test_a_stray_carriage_return_is_dropped() -> None:
    assert [type(event) for event in StreamFramer().feed(b"\r" + MESSAGE)] == [MessageReceived]


def test_a_body_may_hold_anything() -> None:
    body = b"\r\n\r\nINVITE sip:a@b SIP/2.0\r\n\r\n"
    framer = StreamFramer()
    [event] = framer.feed(HEAD + b"l: %d\r\n\r\n" % len(body) + body)
    assert isinstance(event, MessageReceived)
    assert event.message.body == body


def test_bare_line_feeds_are_tolerated() -> None:
    [event] = StreamFramer().feed(MESSAGE.replace(b"\r\n", b"\n"))
    assert isinstance(event, MessageReceived)


def test_a_malformed_message_is_skipped_and_the_stream_goes_on() -> None:
    wrong = MESSAGE.replace(b"Call-ID: x", b"Call-ID x")
    first, second = StreamFramer().feed(wrong + MESSAGE)
    assert isinstance(first, Malformed)
    fragment = request_fragment(first.error)
    assert fragment is not None
    assert fragment.method == "OPTIONS"
    assert isinstance(second, MessageReceived)


@pytest.mark.requirement("rfc3261.18")
@pytest.mark.parametrize(
    "line", [b"", b"l: x\r\n", b"l: -1\r\n", b"l: 1\r\nl: 2\r\n", b"l: 99999999999\r\n"]
)
def test_without_a_usable_length_the_stream_is_broken(line: bytes) -> None:
    framer = StreamFramer()
    error = broken(framer.feed(HEAD + line + b"\r\n" + MESSAGE))
    assert isinstance(error, FramingError)
    assert error.header == "Content-Length"
    assert request_fragment(error) is not None
    assert framer.is_broken
    assert framer.buffered == 0
    assert framer.feed(MESSAGE) == []


def test_what_is_not_sip_breaks_the_stream_without_anything_to_answer_to() -> None:
    error = broken(StreamFramer().feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert request_fragment(error) is None


def test_a_body_beyond_the_limit_breaks_the_stream_before_it_is_held() -> None:
    framer = StreamFramer()
    error = broken(framer.feed(HEAD + b"l: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)))
    assert isinstance(error, BodyTooLarge)
    assert error.status == 413


def test_headers_without_end_break_the_stream_at_the_limit() -> None:
    framer = StreamFramer()
    chunk = b"X: " + b"y" * 1000 + b"\r\n"
    events: list[StreamEvent] = []
    fed = len(HEAD)
    events += framer.feed(HEAD)
    while not events:
        events += framer.feed(chunk)
        fed += len(chunk)
    assert fed <= MAX_HEADER_BYTES + 2 * len(chunk)
    error = broken(events)
    assert isinstance(error, HeadersTooLarge)
    fragment = request_fragment(error)
    assert fragment is not None
    assert fragment.headers.get("Call-ID") == "x"


def test_too_many_headers_break_the_stream() -> None:
    data = HEAD + b"X: y\r\n" * MAX_HEADER_COUNT + b"l: 0\r\n\r\n"
    assert isinstance(broken(StreamFramer().feed(data)), TooManyHeaders)


def test_the_largest_message_is_taken_byte_by_byte_as_well_as_whole() -> None:
    padding = MAX_HEADER_BYTES - len(HEAD) - len(b"l: 2\r\n")
    lines = []
    while padding > 0:
        size = min(padding, 4096)
        size = padding if padding - size < 10 else size
        lines.append(b"X: " + b"y" * (size - 5) + b"\r\n")
        padding -= size
    data = HEAD + b"".join(lines) + b"l: 2\r\n\r\nhi"
    assert len(data) == MAX_HEADER_BYTES + 4
    [whole] = StreamFramer().feed(data)
    assert isinstance(whole, MessageReceived)
    framer = StreamFramer()
    assert [event for byte in data for event in framer.feed(bytes((byte,)))] == [whole]


def test_a_fault_in_a_header_that_is_read_later_does_not_concern_the_framer() -> None:
    [event] = StreamFramer().feed(MESSAGE.replace(b"1 OPTIONS", b"one OPTIONS"))
    assert isinstance(event, MessageReceived)
    with pytest.raises(HeaderError):
        _ = event.message.cseq
