"""Ordered ``;name=value`` parameters, as headers (RFC 3261 25.1) and URIs (19.1.1) carry them.

Values are kept as they stand on the wire, so that what a proxy wrote into a route goes back to it
unchanged; ``get`` gives the meaning (unquoted in headers, unescaped in URIs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from ringback.sip.errors import ParseError, UnsafeValue
from ringback.sip.escaping import PARAM_ALLOWED, escape, unescape
from ringback.sip.grammar import QUOTED, TOKEN, TOKEN_PATTERN, Scanner, is_token, quote, unquote

# What stands unquoted in header parameters: tokens, hosts, IPv6 with and without brackets, and
# the quoted-due values that peers forget to quote.
_BARE_VALUE = re.compile(r"[^ \t\r\n;,\"]+")
_USUAL = re.compile(rf"(?:;{TOKEN_PATTERN}(?:=[^ \t\r\n;,\"]+)?)*\Z")
"""Everything up to the end, without white space and quotes."""
_SAFE_BARE = re.compile(r"[A-Za-z0-9\-.!%*_+`'~:\[\]]+")

Pair = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Params:
    """Header parameters. Names compare without case; the first of a repeated name counts."""

    pairs: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        """Raises :class:`UnsafeValue` for what would not read back as these parameters."""
        for name, value in self.pairs:
            if not self._is_name(name) or not (value is None or self._is_value(value)):
                raise UnsafeValue(f"{name!r}={value!r} cannot be a parameter")

    def get(self, name: str) -> str | None:
        """The value, unquoted. ``None`` if absent *or* without a value (see ``in``)."""
        wanted = name.lower()
        for found, value in self.pairs:
            if found.lower() == wanted:
                return None if value is None else self._decode(value)
        return None

    def __contains__(self, name: str) -> bool:
        wanted = name.lower()
        return any(found.lower() == wanted for found, _ in self.pairs)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def set(self, name: str, value: str | None = None) -> Self:
        """A copy with ``name`` replaced in its place, or added at the end."""
        encoded = None if value is None else self._encode(value)
        pairs: list[Pair] = []
        done = False
        for pair in self.pairs:
            if pair[0].lower() != name.lower():
                pairs.append(pair)
            elif not done:
                pairs.append((name, encoded))
                done = True
        if not done:
            pairs.append((name, encoded))
        return type(self)(tuple(pairs))

    def remove(self, name: str) -> Self:
        return type(self)(tuple(pair for pair in self.pairs if pair[0].lower() != name.lower()))

    def __str__(self) -> str:
        return "".join(
            f";{name}" if value is None else f";{name}={value}" for name, value in self.pairs
        )

    @classmethod
    def scan(cls, scanner: Scanner) -> Self:
        """Read ``*(SEMI generic-param)`` up to the end or the first other character.

        One ``;`` left over at the very end is tolerated.
        """
        usual = _USUAL.match(scanner.text, scanner.position)
        if usual is not None:
            scanner.position = usual.end()
            return cls._of_read(tuple(map(_usual_pair, usual[0].split(";")[1:])))
        pairs: list[Pair] = []
        while scanner.accept(";"):
            if scanner.at_end:
                break
            name = scanner.take(TOKEN, "the name of a parameter")
            value: str | None = None
            if scanner.accept("="):
                value = _scan_value(scanner)
            pairs.append((name, value))
        return cls._of_read(tuple(pairs))

    @classmethod
    def _of_read(cls, pairs: tuple[Pair, ...]) -> Self:
        """Of what was just read by the rules that a new one is checked against."""
        if not pairs:
            return cls()
        params = object.__new__(cls)
        object.__setattr__(params, "pairs", pairs)
        return params

    @classmethod
    def parse(cls, text: str) -> Self:
        scanner = Scanner(text)
        params = cls.scan(scanner)
        scanner.end()
        return params

    @staticmethod
    def _is_name(name: str) -> bool:
        return is_token(name)

    @staticmethod
    def _is_value(value: str) -> bool:
        return bool(_BARE_VALUE.fullmatch(value) or QUOTED.fullmatch(value))

    @staticmethod
    def _decode(value: str) -> str:
        return unquote(value)

    @staticmethod
    def _encode(value: str) -> str:
        return value if _SAFE_BARE.fullmatch(value) else quote(value)


def _usual_pair(piece: str) -> Pair:
    name, equals, value = piece.partition("=")
    return name, value if equals else None


def _scan_value(scanner: Scanner) -> str:
    if scanner.peek() == '"':
        return scanner.take(QUOTED, "the closing quote of a parameter")
    return scanner.take(_BARE_VALUE, "the value of a parameter")


_URI_NAME = re.compile(r"[^\x00-\x20\x7f<>\";?=]+")
_URI_VALUE = re.compile(r"[^\x00-\x20\x7f<>\";?]*")


@dataclass(frozen=True, slots=True)
class UriParams(Params):
    """URI parameters; values are percent-escaped on the wire."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``;a=b;c`` (with or without the first semicolon); empty text gives no parameter."""
        pairs: list[Pair] = []
        for piece in text.removeprefix(";").split(";") if text else ():
            name, equals, value = piece.partition("=")
            if not cls._is_name(name) or not cls._is_value(value):
                raise ParseError(f"{piece!r} is not a URI parameter")
            pairs.append((name, value if equals else None))
        return cls._of_read(tuple(pairs))

    @staticmethod
    def _is_name(name: str) -> bool:
        return _URI_NAME.fullmatch(name) is not None

    @staticmethod
    def _is_value(value: str) -> bool:
        return _URI_VALUE.fullmatch(value) is not None

    @staticmethod
    def _decode(value: str) -> str:
        return unescape(value)

    @staticmethod
    def _encode(value: str) -> str:
        return escape(value, PARAM_ALLOWED)
