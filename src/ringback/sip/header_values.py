"""The small typed headers: CSeq, Reason, Replaces, Retry-After, Session-Expires, RAck, …"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ringback.sip.errors import HeaderError, ParseError, UnsafeValue
from ringback.sip.grammar import TOKEN, Scanner, is_token, parse_integer, quote
from ringback.sip.header_map import HeaderValue
from ringback.sip.params import Params
from ringback.sip.remembered import remembered

MAX_CSEQ = 2**31 - 1
MAX_DELTA_SECONDS = 2**32 - 1
MAX_RSEQ = 2**32 - 1

_DIGITS = re.compile(r"[0-9]+")
_CALL_ID = re.compile(r"[^\s;,]+")
_SHORT_DIGITS = re.compile(r"[0-9]{1,10}")
_COMMENT_PIECE = re.compile(r"[()]|(?:[^()\\]|\\.)+", re.DOTALL)
_COMMENT_SPECIAL = re.compile(r"([()\\])")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_BACKSLASH = r"\\\1"


def parse_delta_seconds(text: str, header: str) -> int:
    """Seconds of Expires, Min-Expires, Min-SE. More than 2**32-1 counts as 2**32-1.

    Raises :class:`HeaderError` where it is no number.
    """
    digits = text.strip(" \t")
    if _DIGITS.fullmatch(digits) is None:
        raise HeaderError(header, f"{digits[:40]!r} is not a number of seconds")
    significant = digits.lstrip("0") or "0"
    return MAX_DELTA_SECONDS if len(significant) > 10 else min(int(significant), MAX_DELTA_SECONDS)


def _fail(header: str, error: ParseError) -> HeaderError:
    return HeaderError(header, error.message, position=error.position)


@dataclass(frozen=True, slots=True)
class CSeq(HeaderValue):
    """``number method`` (RFC 3261 20.16); the number is below 2**31."""

    number: int
    method: str

    def __post_init__(self) -> None:
        if not 0 <= self.number <= MAX_CSEQ or not is_token(self.method):
            raise UnsafeValue(f"{self.number} {self.method!r} cannot be a CSeq")

    @classmethod
    def parse(cls, text: str) -> CSeq:
        return _parse_cseq(text)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@remembered
def _parse_cseq(text: str) -> CSeq:
    parts = text.split()
    if len(parts) != 2 or not is_token(parts[1]):
        raise HeaderError("CSeq", "expected a number and a method")
    try:
        return CSeq(parse_integer(parts[0], "the sequence number", MAX_CSEQ), parts[1])
    except ParseError as error:
        raise _fail("CSeq", error) from error


@dataclass(frozen=True, slots=True)
class RAck(HeaderValue):
    """``response-number CSeq-number method`` of a PRACK (RFC 3262 7.2)."""

    rseq: int
    cseq: CSeq

    @classmethod
    def parse(cls, text: str) -> RAck:
        parts = text.split(maxsplit=1)
        if len(parts) != 2:
            raise HeaderError("RAck", "expected two numbers and a method")
        try:
            return cls(
                parse_integer(parts[0], "the response number", MAX_RSEQ), CSeq.parse(parts[1])
            )
        except ParseError as error:
            raise _fail("RAck", error) from error

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq}"


@dataclass(frozen=True, slots=True)
class Reason(HeaderValue):
    """Why a request was sent (RFC 3326): ``protocol`` is ``SIP`` or ``Q.850`` as a rule."""

    protocol: str
    cause: int | None = None
    text: str = ""
    params: Params = Params()
    """Parameters other than ``cause`` and ``text``."""

    @classmethod
    def parse(cls, text: str) -> Reason:
        try:
            scanner = Scanner(text)
            scanner.skip_space()
            protocol = scanner.take(TOKEN, "a protocol")
            params = Params.scan(scanner)
            scanner.end()
            raw_cause = params.get("cause")
            cause = None if raw_cause is None else parse_integer(raw_cause, "the cause", 65535)
        except ParseError as error:
            raise _fail("Reason", error) from error
        other = params.remove("cause").remove("text")
        return cls(protocol, cause, params.get("text") or "", other)

    def __str__(self) -> str:
        cause = "" if self.cause is None else f";cause={self.cause}"
        text = f";text={quote(self.text)}" if self.text else ""
        return f"{self.protocol}{cause}{text}{self.params}"


@dataclass(frozen=True, slots=True)
class Replaces(HeaderValue):
    """The dialog that this INVITE takes the place of (RFC 3891 6.1)."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Replaces:
        try:
            scanner = Scanner(text)
            scanner.skip_space()
            call_id = scanner.take(_CALL_ID, "a Call-ID")
            params = Params.scan(scanner)
            scanner.end()
        except ParseError as error:
            raise _fail("Replaces", error) from error
        to_tag, from_tag = params.get("to-tag"), params.get("from-tag")
        if to_tag is None or from_tag is None:
            raise HeaderError("Replaces", "to-tag or from-tag is missing")
        return cls(call_id, to_tag, from_tag, "early-only" in params)

    def __str__(self) -> str:
        params = Params().set("to-tag", self.to_tag).set("from-tag", self.from_tag)
        return f"{self.call_id}{params.set('early-only') if self.early_only else params}"


@dataclass(frozen=True, slots=True)
class RetryAfter(HeaderValue):
    """Seconds until another try makes sense (RFC 3261 20.33)."""

    seconds: int
    comment: str = ""
    params: Params = Params()

    @classmethod
    def parse(cls, text: str) -> RetryAfter:
        try:
            scanner = Scanner(text)
            scanner.skip_space()
            seconds = parse_delta_seconds(scanner.take(_DIGITS, "a number"), "Retry-After")
            comment = _scan_comment(scanner) if scanner.peek() == "(" else ""
            params = Params.scan(scanner)
            scanner.end()
        except ParseError as error:
            raise _fail("Retry-After", error) from error
        return cls(seconds, comment, params)

    @property
    def duration(self) -> int | None:
        """For how many seconds the server will then be reachable."""
        value = self.params.get("duration")
        return int(value) if value is not None and _SHORT_DIGITS.fullmatch(value) else None

    def __str__(self) -> str:
        comment = f" ({_COMMENT_SPECIAL.sub(_BACKSLASH, self.comment)})" if self.comment else ""
        return f"{self.seconds}{comment}{self.params}"


def _scan_comment(scanner: Scanner) -> str:
    """The text of ``( … )``; inner pairs of parentheses are part of it."""
    depth = 0
    start = scanner.position + 1
    while True:
        piece = scanner.take(_COMMENT_PIECE, "the closing parenthesis of a comment")
        depth += (piece == "(") - (piece == ")")
        if depth == 0:
            return _QUOTED_PAIR.sub(r"\1", scanner.text[start : scanner.position - 1])


@dataclass(frozen=True, slots=True)
class SessionExpires(HeaderValue):
    """The session timer (RFC 4028 section 4); ``refresher`` is ``uac``, ``uas`` or ``None``."""

    seconds: int
    refresher: str | None = None
    params: Params = Params()
    """Parameters other than ``refresher``."""

    @classmethod
    def parse(cls, text: str) -> SessionExpires:
        digits, semicolon, rest = text.partition(";")
        seconds = parse_delta_seconds(digits, "Session-Expires")
        try:
            params = Params.parse(semicolon + rest)
        except ParseError as error:
            raise _fail("Session-Expires", error) from error
        refresher = params.get("refresher")
        return cls(
            seconds,
            refresher.lower() if refresher is not None else None,
            params.remove("refresher"),
        )

    def __str__(self) -> str:
        refresher = f";refresher={self.refresher}" if self.refresher else ""
        return f"{self.seconds}{refresher}{self.params}"


@dataclass(frozen=True, slots=True)
class MediaType(HeaderValue):
    """``type/subtype;param=value`` of Content-Type and Accept; type and subtype in lower case."""

    type: str
    subtype: str
    params: Params = Params()

    @classmethod
    def parse(cls, text: str, header: str = "Content-Type") -> MediaType:
        try:
            return _parse_media_type(text)
        except ParseError as error:
            raise _fail(header, error) from error

    @property
    def essence(self) -> str:
        """``type/subtype`` without parameters, to compare with."""
        return f"{self.type}/{self.subtype}"

    def covers(self, other: str) -> bool:
        """Whether this range of an Accept header allows the media type ``other``."""
        main, _, sub = other.partition("/")
        return self.type in ("*", main) and self.subtype in ("*", sub)

    def __str__(self) -> str:
        return f"{self.essence}{self.params}"


@remembered
def _parse_media_type(text: str) -> MediaType:
    scanner = Scanner(text)
    scanner.skip_space()
    main = scanner.take(TOKEN, "a media type").lower()
    scanner.expect("/")
    sub = scanner.take(TOKEN, "a media subtype").lower()
    params = Params.scan(scanner)
    scanner.end()
    return MediaType(main, sub, params)
