"""Cutting a TCP or TLS byte stream into messages (RFC 3261 18.3 and 7.5, RFC 5626 3.5.1).

What comes out does not depend on how the bytes were cut into pieces on their way.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringback.sip.errors import (
    BodyTooLarge,
    FramingError,
    HeadersTooLarge,
    LimitExceeded,
    ParseError,
)
from ringback.sip.head import END_OF_HEAD, Head, content_length, parse_head
from ringback.sip.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES
from ringback.sip.message import Request, RequestFragment, Response, build_message

PING = b"\r\n\r\n"
"""What the side that opened the connection sends to keep it alive (RFC 5626 4.4.1)."""

PONG = b"\r\n"
"""The answer to ``PING``."""

_LINE_END = b"\r\n"
_END_BYTES = 4
_SEARCH_LIMIT = MAX_HEADER_BYTES + _END_BYTES


@dataclass(frozen=True, slots=True)
class MessageReceived:
    message: Request | Response


@dataclass(frozen=True, slots=True)
class Ping:
    """A double CRLF: answer it with ``PONG``."""


@dataclass(frozen=True, slots=True)
class Pong:
    """A single CRLF. The first half of a ping is reported as one too, because whether more
    follows cannot be known; both say that the peer is there."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that cannot be used, after which the stream is still in step.

    ``error.fragment`` is there if it was a request that can be answered.
    """

    error: ParseError


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """Where the next message begins is not known: answer if ``error.fragment`` is there, then
    close the connection. Nothing comes after this event."""

    error: ParseError


StreamEvent = MessageReceived | Ping | Pong | Malformed | StreamBroken


class StreamFramer:
    """One direction of one connection.

    It never holds more than ``MAX_HEADER_BYTES + MAX_BODY_BYTES`` and the piece just fed.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._scanned = 0
        self._head: Head | None = None
        self._length = 0
        self._line_ends = 0
        self._broken = False

    @property
    def buffered(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer) - self._start

    @property
    def is_broken(self) -> bool:
        return self._broken

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take the next bytes; return what they complete, in order. Never raises."""
        events: list[StreamEvent] = []
        if self._broken:
            return events
        self._buffer += data
        while not self._broken:
            event = self._next()
            if event is None:
                break
            events.append(event)
        del self._buffer[: self._start]
        self._start = 0
        return events

    def _next(self) -> StreamEvent | None:
        if self._head is not None:
            return self._finish(self._head)
        return self._skip_line_end() or self._find_head()

    def _skip_line_end(self) -> StreamEvent | None:
        """A keepalive before the start line. Stray CR and LF are dropped without an event."""
        while self._scanned == 0 and self.buffered:
            if self._buffer.startswith(_LINE_END, self._start):
                self._start += len(_LINE_END)
                self._line_ends += 1
                return Pong() if self._line_ends % 2 else Ping()
            first = self._buffer[self._start]
            if first == 0x0A or (first == 0x0D and self.buffered > 1):
                self._start += 1
            else:
                break
        return None

    def _find_head(self) -> StreamEvent | None:
        if not self.buffered or self._buffer[self._start] == 0x0D:
            return None
        begin, limit = self._start + self._scanned, self._start + _SEARCH_LIMIT
        end = END_OF_HEAD.search(self._buffer, begin, limit)
        if end is None:
            if self.buffered < _SEARCH_LIMIT:
                self._scanned = max(1, self.buffered - _END_BYTES + 1)
                return None
            head = parse_head(bytes(self._buffer[self._start : limit]))
            return self._break(head, HeadersTooLarge(MAX_HEADER_BYTES))
        head = parse_head(bytes(self._buffer[self._start : end.start()]))
        self._start = end.end()
        self._scanned = self._line_ends = 0
        return self._read_length(head)

    def _read_length(self, head: Head) -> StreamEvent | None:
        try:
            if isinstance(head.error, LimitExceeded):
                raise head.error
            length = content_length(head.headers)
            if length is None:
                raise FramingError("it is required on a stream", header="Content-Length")
            if length > MAX_BODY_BYTES:
                raise BodyTooLarge(MAX_BODY_BYTES)
        except ParseError as error:
            return self._break(head, error)
        self._head, self._length = head, length
        return self._finish(head)

    def _finish(self, head: Head) -> StreamEvent | None:
        if self.buffered < self._length:
            return None
        end = self._start + self._length
        body = bytes(self._buffer[self._start : end])
        self._start, self._head = end, None
        try:
            return MessageReceived(build_message(head, body))
        except ParseError as error:
            return Malformed(error)

    def _break(self, head: Head, error: ParseError) -> StreamBroken:
        error.fragment = RequestFragment.of(head.method, head.headers)
        self._broken = True
        self._buffer.clear()
        self._start = 0
        return StreamBroken(error)
