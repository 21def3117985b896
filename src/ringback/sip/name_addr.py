"""Addresses with a display name: From, To, Contact, Route and the like (RFC 3261 20.10)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ringback.sip.errors import HeaderError, ParseError
from ringback.sip.grammar import QUOTED, Scanner, quote, unquote
from ringback.sip.header_map import HeaderValue
from ringback.sip.params import Params
from ringback.sip.remembered import remembered
from ringback.sip.uri import Uri

_DISPLAY = re.compile(r"[^<\"]*")
_SPACES = re.compile(r"[ \t]+")
_BRACKETED = re.compile(r"<[^<>]*>")
_BARE_URI = re.compile(r"[^ \t;<>\"]+")
_TOKENS = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+(?: [A-Za-z0-9\-.!%*_+`'~]+)*")


@dataclass(frozen=True, slots=True)
class Star(HeaderValue):
    """``Contact: *``: every binding of an address of record (RFC 3261 10.2.2)."""

    def __str__(self) -> str:
        return "*"


STAR = Star()


@dataclass(frozen=True, slots=True)
class NameAddr(HeaderValue):
    """``"Display name" <uri>;param=value``.

    ``display`` is unquoted text, empty where there is none. On output the URI always stands in
    angle brackets, so that its parameters cannot be taken for those of the header.
    """

    uri: Uri
    display: str = ""
    params: Params = Params()

    @classmethod
    def parse(cls, text: str, header: str = "address") -> NameAddr:
        """Raises :class:`HeaderError`, named ``header``.

        Without brackets the parameters belong to the header, and a ``?`` or comma in the URI is
        an error (RFC 3261 section 20).
        """
        try:
            return _parse(text)
        except ParseError as error:
            raise HeaderError(header, error.message, position=error.position) from error

    @property
    def tag(self) -> str | None:
        return self.params.get("tag")

    def with_tag(self, tag: str) -> NameAddr:
        return replace(self, params=self.params.set("tag", tag))

    def without_tag(self) -> NameAddr:
        return replace(self, params=self.params.remove("tag"))

    @property
    def expires(self) -> int | None:
        """The ``expires`` parameter of a Contact in seconds; ``None`` if absent or malformed."""
        value = self.params.get("expires")
        if value is None or not (value.isascii() and value.isdigit()):
            return None
        return min(int(value[:11]), 2**32 - 1)

    def __str__(self) -> str:
        if not self.display:
            return f"<{self.uri}>{self.params}"
        return f"{_format_display(self.display)} <{self.uri}>{self.params}"


def _format_display(display: str) -> str:
    return display if _TOKENS.fullmatch(display) else quote(display)


@remembered
def _parse(text: str) -> NameAddr:
    scanner = Scanner(text)
    display = ""
    if scanner.peek() == '"':
        display = unquote(scanner.take(QUOTED, "the closing quote of the display name"))
        scanner.skip_space()
        bracketed = scanner.take(_BRACKETED, "<uri> after the display name")
    elif "<" in text:
        display = _SPACES.sub(" ", (scanner.optional(_DISPLAY) or "").strip(" \t"))
        bracketed = scanner.take(_BRACKETED, "<uri>")
    else:
        bare = scanner.take(_BARE_URI, "a URI")
        if "?" in bare or "," in bare:
            raise scanner.error("a URI with a comma or question mark must stand in < >")
        return _finish(scanner, Uri.parse(bare), "")
    return _finish(scanner, Uri.parse(bracketed[1:-1]), display)


def _finish(scanner: Scanner, uri: Uri, display: str) -> NameAddr:
    params = Params.scan(scanner)
    scanner.end()
    return NameAddr(uri, display, params)
