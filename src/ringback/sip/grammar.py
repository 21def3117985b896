"""The lexical pieces of RFC 3261 section 25.1 that every header shares.

Text is ``str`` decoded as UTF-8 with ``surrogateescape``, so that bytes of any other encoding
survive a round trip. Folded lines are unfolded before they come here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import Pattern

from ringback.sip.errors import ParseError, UnsafeValue

ENCODING = "utf-8"
ENCODING_ERRORS = "surrogateescape"

TOKEN_PATTERN = r"[A-Za-z0-9\-.!%*_+`'~]+"
QUOTED_PATTERN = r'"(?:[^"\\]|\\.)*"'

TOKEN = re.compile(TOKEN_PATTERN)
WORD = re.compile(r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}]+")
QUOTED = re.compile(QUOTED_PATTERN, re.DOTALL)
LWS = re.compile(r"[ \t]*")
DIGITS = re.compile(r"[0-9]+")
HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+")

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_QUOTED_PAIR = re.compile(r'(["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f])')
# A NUL is legal in one place only, behind the backslash of a quoted-pair (RFC 4475 3.1.1.2).
_UNSAFE = re.compile(r"[\r\n]|(?<!\\)\x00")
_LIST_PIECE = re.compile(rf"{QUOTED_PATTERN}|<[^>]*>|,|[^\",<]+", re.DOTALL)


def decode(data: bytes) -> str:
    return data.decode(ENCODING, ENCODING_ERRORS)


def encode(text: str) -> bytes:
    """The bytes of ``text``; a lone surrogate that stands for no byte is sent as ``?``."""
    try:
        return text.encode(ENCODING, ENCODING_ERRORS)
    except UnicodeEncodeError:
        return text.encode(ENCODING, "replace")


def is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def refuse_unsafe(what: str, text: str) -> str:
    """Return ``text``, or raise :class:`UnsafeValue` if it would end the line it stands in."""
    found = _UNSAFE.search(text)
    if found is not None:
        raise UnsafeValue(f"{what} must not contain {found.group()!r} (at {found.start()})")
    return text


def quote(text: str) -> str:
    """``text`` as a quoted-string. Raises :class:`UnsafeValue` for CR and LF."""
    found = _NEEDS_QUOTED_PAIR.sub(r"\\\1", text)
    return f'"{refuse_unsafe("a quoted string", found)}"'


def unquote(text: str) -> str:
    """The value of a quoted-string, or ``text`` itself where it is none."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        inner = text[1:-1]
        return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner
    return text


def split_list(text: str) -> list[str]:
    """The elements of a comma separated header value, stripped, empty ones included.

    Commas in quoted strings and in angle brackets do not separate. Linear in ``len(text)``.
    """
    if "," not in text:
        return [text.strip(" \t")]
    return [element.strip(" \t") for element in _list_elements(text)]


def _list_elements(text: str) -> Iterator[str]:
    start = position = 0
    while position < len(text):
        piece = _LIST_PIECE.match(text, position)
        if piece is None:
            raise ParseError("a quote or an angle bracket is not closed", position=position)
        if piece.group() == ",":
            yield text[start:position]
            start = piece.end()
        position = piece.end()
    yield text[start:]


class Scanner:
    """A cursor over one header value. Every failure is a :class:`ParseError` with its place."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def error(self, message: str) -> ParseError:
        return ParseError(message, position=self.position)

    def skip_space(self) -> None:
        found = LWS.match(self.text, self.position)
        if found is not None:
            self.position = found.end()

    def peek(self) -> str:
        """The next character after white space, or an empty string at the end."""
        self.skip_space()
        return self.text[self.position : self.position + 1]

    def accept(self, character: str) -> bool:
        """Step over ``character`` with white space on both sides; ``False`` if it is not next."""
        if self.peek() != character:
            return False
        self.position += 1
        self.skip_space()
        return True

    def expect(self, character: str) -> None:
        if not self.accept(character):
            raise self.error(f"expected {character!r}")

    def optional(self, pattern: Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.position)
        if found is None:
            return None
        self.position = found.end()
        return found.group()

    def take(self, pattern: Pattern[str], what: str) -> str:
        found = self.optional(pattern)
        if not found:
            raise self.error(f"expected {what}")
        return found

    def end(self) -> None:
        self.skip_space()
        if not self.at_end:
            raise self.error("unexpected text after the value")


def parse_integer(text: str, what: str, maximum: int) -> int:
    """A decimal number 0..``maximum``; white space around it is tolerated."""
    digits = text.strip(" \t")
    if DIGITS.fullmatch(digits) is None:
        raise ParseError(f"{what} is not a number")
    # Leading zeros are legal; without them the length bounds the work of int().
    significant = digits.lstrip("0")
    if len(significant) > len(str(maximum)) or int(significant or "0") > maximum:
        raise ParseError(f"{what} is greater than {maximum}")
    return int(significant or "0")
