"""Taking the start line and the header fields of a message apart (RFC 3261 7.1 to 7.3).

The first fault is kept beside whatever could still be read, so that the sender of a broken
request can be answered. The work is linear in the input, and the input is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ringback.sip.errors import (
    FramingError,
    HeaderError,
    HeadersTooLarge,
    LineTooLong,
    ParseError,
    StartLineError,
    TooManyHeaders,
    TooManyVias,
    UnsafeValue,
    UriError,
    VersionError,
)
from ringback.sip.grammar import DIGITS, decode, encode, is_token
from ringback.sip.header_map import Headers
from ringback.sip.limits import (
    MAX_HEADER_BYTES,
    MAX_HEADER_COUNT,
    MAX_HEADER_LINE_BYTES,
    MAX_VIA_COUNT,
)
from ringback.sip.uri import Uri

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"SIP/([0-9]+\.[0-9]+)[ \t]+([0-9]+)(?:[ \t]+(.*))?", re.I | re.S)
_VERSION = re.compile(r"SIP/([0-9]+\.[0-9]+)", re.I)
_SPACES = re.compile(r"[ \t]+")
_SPACE = " \t"
_MAX_LENGTH_DIGITS = 10


@dataclass(frozen=True, slots=True)
class RequestLine:
    method: str
    uri: Uri


@dataclass(frozen=True, slots=True)
class StatusLine:
    status: int
    reason: str


@dataclass(slots=True)
class Head:
    """What could be read. ``method`` is set for anything that looks like a request."""

    headers: Headers
    start: RequestLine | StatusLine | None = None
    method: str | None = None
    error: ParseError | None = None

    def note(self, error: ParseError) -> None:
        if self.error is None:
            self.error = error


def parse_head(data: bytes) -> Head:
    """Read everything before the empty line. Never raises: the first fault is in ``error``."""
    head = Head(Headers())
    if len(data) > MAX_HEADER_BYTES:
        head.note(HeadersTooLarge(MAX_HEADER_BYTES))
        data = data[:MAX_HEADER_BYTES].rpartition(b"\n")[0]
    short = len(data) <= MAX_HEADER_LINE_BYTES
    for number, line in enumerate(_lines(data)):
        if number and not line:
            continue  # what follows the last line end
        if number > MAX_HEADER_COUNT:
            head.note(TooManyHeaders(MAX_HEADER_COUNT))
            break
        try:
            if not short and len(encode(line)) > MAX_HEADER_LINE_BYTES:
                raise LineTooLong(MAX_HEADER_LINE_BYTES, header=_name_of(line))
            if number == 0:
                _read_start_line(head, line)
            else:
                _read_field(head.headers, line)
        except ParseError as error:
            head.note(error)
    if _too_many_vias(head.headers):
        head.note(TooManyVias(MAX_VIA_COUNT, header="Via"))
    return head


def content_length(headers: Headers) -> int | None:
    """The body's length in bytes, ``None`` where the header is absent.

    Raises :class:`FramingError` for a value that is no number, or for two that differ.
    """
    values = {value.lstrip("0") or "0" if value else "" for value in headers.get_all("l")}
    if not values:
        return None
    value = values.pop()
    if values:
        raise FramingError("it appears twice with different values", header="Content-Length")
    if DIGITS.fullmatch(value) is None or len(value) > _MAX_LENGTH_DIGITS:
        raise FramingError(f"{value[:40]!r} is not a length", header="Content-Length")
    return int(value)


def _lines(data: bytes) -> list[str]:
    """Lines without their ends, each with its continuation lines joined by one space."""
    text = decode(data)
    first, *others = text.split("\n")
    lines = [first.removesuffix("\r"), *(line.removesuffix("\r").rstrip(_SPACE) for line in others)]
    return _unfolded(lines) if "\n " in text or "\n\t" in text else lines


def _unfolded(lines: list[str]) -> list[str]:
    joined = lines[:1]
    for line in lines[1:]:
        if line[:1] in (" ", "\t"):
            joined[-1] = f"{joined[-1]} {line.strip(_SPACE)}"
        else:
            joined.append(line)
    return joined


def _name_of(line: str) -> str | None:
    name = line[:64].partition(":")[0].strip(_SPACE)
    return name if is_token(name) else None


def _read_start_line(head: Head, line: str) -> None:
    status = _STATUS_LINE.fullmatch(line) if line[:4].upper() == "SIP/" else None
    if status is not None:
        head.start = _status_line(*status.groups())
        return
    words = _SPACES.split(line.rstrip(" \t"))
    if not is_token(words[0]):
        raise StartLineError("neither a request line nor a status line")
    head.method = words[0]
    if len(words) != 3:
        raise StartLineError("a request line is a method, a URI and SIP/2.0")
    version = _VERSION.fullmatch(words[2])
    if version is None:
        raise StartLineError("the request line does not end with SIP/2.0")
    if version.group(1) != "2.0":
        raise VersionError(f"version {version.group(1)[:20]} of SIP is not supported")
    try:
        head.start = RequestLine(words[0], Uri.parse(words[1]))
    except UriError as error:
        raise UriError(
            f"the Request-URI is malformed: {error.message}", position=error.position
        ) from error


def _status_line(version: str, status: str, reason: str | None) -> StatusLine:
    if version != "2.0":
        raise VersionError(f"version {version[:20]} of SIP is not supported")
    if len(status) != 3 or not "100" <= status <= "699":
        raise StartLineError(f"{status[:20]} is not a status code")
    text = (reason or "").strip(" \t")
    if "\r" in text or "\x00" in text:
        raise StartLineError("a control character in the reason phrase")
    return StatusLine(int(status), text)


def _read_field(headers: Headers, line: str) -> None:
    name, colon, value = line.partition(":")
    name = name.rstrip(_SPACE)
    if not colon:
        raise ParseError(f"{line[:40]!r} is not a header field")
    try:
        headers.add(name, value)
    except UnsafeValue as error:
        if not is_token(name):
            raise ParseError(f"{line[:40]!r} is not a header field") from None
        raise HeaderError(name, "a CR or NUL stands in the value") from error


def _too_many_vias(headers: Headers) -> bool:
    values = headers.get_all("Via")
    if len(values) + sum(value.count(",") for value in values) <= MAX_VIA_COUNT:
        return False
    try:
        return len(headers.elements("Via")) > MAX_VIA_COUNT
    except ParseError:
        return len(values) > MAX_VIA_COUNT
