"""Challenges and credentials as header values (RFC 3261 20.7, 20.44; RFC 7616 3.3 to 3.5).

Only their form; what they mean is in ``digest.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

from ringback.sip.errors import HeaderError, ParseError
from ringback.sip.grammar import QUOTED, TOKEN, Scanner, quote
from ringback.sip.header_map import HeaderValue
from ringback.sip.params import Pair, Params

# What peers leave unquoted where quotes are due runs to the next comma or space.
_BARE_VALUE = re.compile(r"[^ \t\r\n,\"]+")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))")

# The values that have to be quoted strings; qop is one in a challenge but not in credentials.
_QUOTED_NAMES = frozenset(
    {"realm", "nonce", "opaque", "domain", "username", "uri", "response", "cnonce", "rspauth"}
    | {"nextnonce", "username*"}
)

_NC = re.compile(r"[0-9A-Fa-f]{8}")
_Value = TypeVar("_Value", bound="AuthValue")


@dataclass(frozen=True, slots=True)
class AuthParams(Params):
    """Parameters separated by commas, in which a bare value may hold a semicolon."""

    def __str__(self) -> str:
        return ", ".join(name if value is None else f"{name}={value}" for name, value in self)

    @staticmethod
    def _is_value(value: str) -> bool:
        return bool(_BARE_VALUE.fullmatch(value) or QUOTED.fullmatch(value))


@dataclass(frozen=True, slots=True)
class AuthValue(HeaderValue):
    """``scheme name=value, …`` or, for schemes other than Digest, ``scheme token68``.

    Unknown schemes and parameters are kept. ``get`` gives values without quotes.
    """

    scheme: str
    params: AuthParams = AuthParams()
    token68: str = ""

    def get(self, name: str) -> str | None:
        return self.params.get(name)

    @property
    def is_digest(self) -> bool:
        return self.scheme.lower() == "digest"

    @property
    def realm(self) -> str:
        return self.get("realm") or ""

    @property
    def nonce(self) -> str:
        return self.get("nonce") or ""

    @property
    def opaque(self) -> str | None:
        return self.get("opaque")

    @property
    def algorithm(self) -> str:
        """As written; ``MD5`` where there is none (RFC 7616 3.3)."""
        return self.get("algorithm") or "MD5"

    def __str__(self) -> str:
        if self.token68:
            return f"{self.scheme} {self.token68}"
        return f"{self.scheme} {self.params}".rstrip(" ")


@dataclass(frozen=True, slots=True)
class Challenge(AuthValue):
    """One challenge of WWW-Authenticate or Proxy-Authenticate."""

    @classmethod
    def digest(cls, values: Iterable[tuple[str, str | None]]) -> Self:
        """A Digest challenge; ``None`` values are left out, quotes set where they are due."""
        return cls("Digest", _quoted_params(values, quote_qop=True))

    @property
    def qop(self) -> tuple[str, ...]:
        """The offered qualities of protection in lower case; empty for RFC 2069 servers."""
        offered = (self.get("qop") or "").lower().replace(",", " ")
        return tuple(dict.fromkeys(offered.split()))

    @property
    def stale(self) -> bool:
        return (self.get("stale") or "").lower() == "true"

    @classmethod
    def parse_all(cls, text: str, header: str = "WWW-Authenticate") -> list[Self]:
        """Every challenge of one field. Raises :class:`HeaderError`.

        Several in one field is not SIP's grammar but is HTTP's, and peers do it.
        """
        try:
            return [cls(*parts) for parts in _scan_all(Scanner(text))]
        except ParseError as error:
            raise HeaderError(header, error.message, position=error.position) from error

    @classmethod
    def parse(cls, text: str, header: str = "WWW-Authenticate") -> Self:
        """The only challenge of one field."""
        return _only(cls.parse_all(text, header), header)


@dataclass(frozen=True, slots=True)
class Credentials(AuthValue):
    """The value of Authorization or Proxy-Authorization."""

    @classmethod
    def digest(cls, values: Iterable[tuple[str, str | None]]) -> Self:
        """Digest credentials; ``None`` values are left out, quotes set where they are due."""
        return cls("Digest", _quoted_params(values, quote_qop=False))

    @property
    def username(self) -> str:
        return self.get("username") or ""

    @property
    def uri(self) -> str:
        return self.get("uri") or ""

    @property
    def response(self) -> str:
        return self.get("response") or ""

    @property
    def cnonce(self) -> str | None:
        return self.get("cnonce")

    @property
    def qop(self) -> str | None:
        value = self.get("qop")
        return None if value is None else value.lower()

    @property
    def nc(self) -> int | None:
        """The nonce count, eight hexadecimal digits; ``None`` where it is not that."""
        value = self.get("nc")
        return int(value, 16) if value is not None and _NC.fullmatch(value) else None

    @classmethod
    def parse(cls, text: str, header: str = "Authorization") -> Self:
        """Raises :class:`HeaderError`."""
        try:
            found = [cls(*parts) for parts in _scan_all(Scanner(text))]
        except ParseError as error:
            raise HeaderError(header, error.message, position=error.position) from error
        return _only(found, header)


@dataclass(frozen=True, slots=True)
class AuthenticationInfo(HeaderValue):
    """What a server adds to a response after authentication (RFC 7616 3.5)."""

    params: AuthParams = AuthParams()

    @classmethod
    def parse(cls, text: str, header: str = "Authentication-Info") -> Self:
        """Raises :class:`HeaderError`."""
        try:
            scanner = Scanner(text)
            pairs: list[Pair] = []
            while not scanner.at_end:
                name = scanner.take(TOKEN, "the name of a parameter")
                scanner.expect("=")
                pairs.append((name, _scan_value(scanner)))
                _skip_commas(scanner)
        except ParseError as error:
            raise HeaderError(header, error.message, position=error.position) from error
        return cls(AuthParams(tuple(pairs)))

    @property
    def next_nonce(self) -> str | None:
        return self.params.get("nextnonce")

    @property
    def response_auth(self) -> str | None:
        return self.params.get("rspauth")

    def __str__(self) -> str:
        return str(self.params)


def _quoted_params(values: Iterable[tuple[str, str | None]], *, quote_qop: bool) -> AuthParams:
    pairs: list[Pair] = []
    for name, value in values:
        if value is not None:
            quoted = name in _QUOTED_NAMES or (quote_qop and name == "qop")
            pairs.append((name, quote(value) if quoted else value))
    return AuthParams(tuple(pairs))


def _only(found: list[_Value], header: str) -> _Value:
    if len(found) != 1:
        raise HeaderError(header, "expected one value")
    return found[0]


def _skip_commas(scanner: Scanner) -> None:
    while scanner.accept(","):
        pass


def _scan_value(scanner: Scanner) -> str:
    if scanner.peek() == '"':
        return scanner.take(QUOTED, "the closing quote of a parameter")
    return scanner.optional(_BARE_VALUE) or '""'


def _scan_all(scanner: Scanner) -> list[tuple[str, AuthParams, str]]:
    found: list[tuple[str, AuthParams, str]] = []
    _skip_commas(scanner)
    scheme = scanner.take(TOKEN, "an authentication scheme")
    while True:
        scanner.skip_space()
        # Digest has none, but it may have an empty parameter that looks like one.
        token68 = "" if scheme.lower() == "digest" else scanner.optional(_TOKEN68) or ""
        pairs: list[Pair] = []
        following: str | None = None
        _skip_commas(scanner)
        while not scanner.at_end:
            name = scanner.take(TOKEN, "the name of a parameter")
            if not scanner.accept("="):
                following = name
                break
            value = _scan_value(scanner)
            if not token68:  # RFC 9110 11.4: either the one or the other
                pairs.append((name, value))
            _skip_commas(scanner)
        found.append((scheme, AuthParams(tuple(pairs)), token68))
        if following is None:
            return found
        scheme = following
