"""SIP, SIPS and tel URIs, and any other scheme as opaque text (RFC 3261 19.1, RFC 3966)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address

from ringback.sip.errors import ParseError, UnsafeValue, UriError
from ringback.sip.escaping import (
    HEADER_ALLOWED,
    PASSWORD_ALLOWED,
    USER_ALLOWED,
    escape,
    has_broken_escape,
    normalised,
    unescape,
)
from ringback.sip.grammar import HOST, parse_integer
from ringback.sip.params import UriParams
from ringback.sip.remembered import remembered

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_NOT_IN_URI = re.compile(r"[\x00-\x20\x7f<>\"]")
_STRICT_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})+")
_TEL_NUMBER = re.compile(r"(?=[+\-.()]*[0-9A-Fa-f*#])(?:\+[0-9\-.()]+|[0-9A-Fa-f*#\-.()]+)")
_DIALLED = re.compile(r"\+?[0-9*#]+")
_HEADER = re.compile(r"[^\x00-\x20\x7f<>\"&=]+=[^\x00-\x20\x7f<>\"&]*")
_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")

# RFC 3261 19.1.4: these never match a URI that lacks them.
_COUNTED_PARAMS = frozenset({"user", "ttl", "method", "maddr", "transport"})
MAX_PORT = 65535
SIP_SCHEMES = frozenset({"sip", "sips"})


def check_host(host: str) -> str:
    """A host name or an IP address without brackets. Raises :class:`ParseError`."""
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError as error:
            raise ParseError(f"{host!r} is not an IPv6 address") from error
    elif HOST.fullmatch(host) is None or host[0] == "[":
        raise ParseError(f"{host!r} is not a host")
    return host


def format_host_port(host: str, port: int | None) -> str:
    """``host[:port]``, an IPv6 address in brackets."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Read ``host[:port]``; brackets are taken off. Raises :class:`ParseError`."""
    if text.startswith("["):
        address, closing, rest = text[1:].partition("]")
        if not closing or ":" not in address:
            raise ParseError(f"{text!r} is not an IPv6 reference")
        host = check_host(address)
        if not rest:
            return host, None
        if not rest.startswith(":"):
            raise ParseError(f"unexpected {rest!r} after the host")
        return host, parse_integer(rest[1:], "the port", MAX_PORT)
    name, colon, port = text.partition(":")
    return check_host(name), parse_integer(port, "the port", MAX_PORT) if colon else None


@dataclass(frozen=True, slots=True)
class Uri:
    """One URI.

    ``user`` and ``password`` are unescaped text; ``host`` is a name or an address, an IPv6
    address without its brackets; ``params`` and ``headers`` are as on the wire, and their getters
    unescape. For ``tel`` the number as written is ``user`` and ``host`` is empty. For any scheme
    that we do not know everything behind the colon is ``opaque``.

    ``spelling`` keeps how a received user part was escaped where that is not our own way, so
    that a peer gets back the URI that it gave; it counts only while it means ``user``.

    ``==`` compares the parts as they are written, so that it is an equivalence and hashes;
    :meth:`equivalent` is the comparison of RFC 3261 19.1.4 (and RFC 3966 section 4).
    """

    scheme: str
    user: str | None = None
    host: str = ""
    port: int | None = None
    params: UriParams = UriParams()
    headers: tuple[tuple[str, str], ...] = ()
    password: str | None = None
    opaque: str = ""
    spelling: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises :class:`UnsafeValue` for parts that would not read back as this URI."""
        if _SCHEME.fullmatch(self.scheme) is None or self.scheme != self.scheme.lower():
            raise UnsafeValue(f"{self.scheme!r} is not a URI scheme in lower case")
        if self.scheme in SIP_SCHEMES:
            try:
                check_host(self.host)
            except ParseError as error:
                raise UnsafeValue(error.message) from error
            if self.port is not None and not 0 <= self.port <= MAX_PORT:
                raise UnsafeValue(f"{self.port} is not a port")
            if self.user == "" or (self.user is None and self.password is not None):
                raise UnsafeValue("the user part of a URI must not be empty")
            if not all(_HEADER.fullmatch(f"{name}={value}") for name, value in self.headers):
                raise UnsafeValue(f"{self.headers!r} cannot be the headers of a URI")
        elif self.scheme == "tel":
            if _TEL_NUMBER.fullmatch(self.user or "") is None:
                raise UnsafeValue(f"{self.user!r} is not a telephone number")
        elif not self.opaque or _NOT_IN_URI.search(self.opaque):
            raise UnsafeValue(f"{self.opaque!r} cannot stand in a URI")

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises :class:`UriError`. Surrounding white space and brackets are not part of a URI."""
        return _parse(text)

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user}{self.params}"
        if self.scheme not in SIP_SCHEMES:
            return f"{self.scheme}:{self.opaque}"
        query = "&".join(f"{name}={value}" for name, value in self.headers)
        return (
            f"{self.scheme}:{self._userinfo()}{self.host_port}{self.params}"
            f"{'?' if query else ''}{query}"
        )

    @property
    def host_port(self) -> str:
        """``host[:port]`` as it stands in the URI."""
        return format_host_port(self.host, self.port)

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is ``sip`` or ``sips``."""
        return self.scheme in SIP_SCHEMES

    @property
    def number(self) -> str | None:
        """The telephone number without visual separators, or ``None`` where there is none.

        A number is what ``tel`` carries, and the user part of a SIP URI (without what follows a
        ``;`` in it) where it consists of digits, ``*`` and ``#`` only, a ``+`` before them or not.
        """
        if self.user is None:
            return None
        text = self.user.partition(";")[0].translate(_VISUAL_SEPARATORS)
        if self.scheme == "tel":
            return text
        return text if _DIALLED.fullmatch(text) else None

    @property
    def phone_context(self) -> str | None:
        """The ``phone-context`` of a local number (RFC 3966 5.1.5)."""
        return self.params.get("phone-context")

    def header(self, name: str) -> str | None:
        """The unescaped value of the first URI header ``name`` (as in ``?Replaces=…``)."""
        wanted = name.lower()
        for found, value in self.headers:
            if unescape(found).lower() == wanted:
                return unescape(value)
        return None

    def with_header(self, name: str, value: str) -> Uri:
        """A copy with one more URI header, escaped."""
        pair = (escape(name, HEADER_ALLOWED), escape(value, HEADER_ALLOWED))
        return replace(self, headers=(*self.headers, pair))

    def with_param(self, name: str, value: str | None = None) -> Uri:
        return replace(self, params=self.params.set(name, value))

    def without_param(self, name: str) -> Uri:
        return replace(self, params=self.params.remove(name))

    def equivalent(self, other: Uri) -> bool:
        """Whether both name the same resource (RFC 3261 19.1.4; RFC 3966 section 4 for tel)."""
        if self.scheme != other.scheme:
            return False
        if self.scheme == "tel":
            return _tel_identity(self) == _tel_identity(other)
        if not self.is_sip:
            return self.opaque == other.opaque
        return (
            self._normalised_userinfo() == other._normalised_userinfo()
            and _host_identity(self.host) == _host_identity(other.host)
            and self.port == other.port
            and _params_agree(self.params, other.params)
            and _header_set(self) == _header_set(other)
        )

    def _escaped_user(self) -> str:
        kept = self.spelling
        if kept is not None and _STRICT_USER.fullmatch(kept) and unescape(kept) == self.user:
            return kept
        return escape(self.user or "", USER_ALLOWED)

    def _userinfo(self) -> str:
        if self.user is None:
            return ""
        if self.password is None:
            return f"{self._escaped_user()}@"
        return f"{self._escaped_user()}:{escape(self.password, PASSWORD_ALLOWED)}@"

    def _normalised_userinfo(self) -> tuple[str | None, str | None]:
        return normalised(self._escaped_user()) if self.user is not None else None, self.password


@remembered
def _parse(text: str) -> Uri:
    found = _NOT_IN_URI.search(text)
    if found is not None:
        raise UriError(f"{found.group()!r} must not stand in a URI", position=found.start())
    scheme, colon, rest = text.partition(":")
    if not colon or _SCHEME.fullmatch(scheme) is None:
        raise UriError("a URI begins with a scheme and a colon")
    name = scheme.lower()
    try:
        if name in SIP_SCHEMES:
            return _parse_sip(name, rest)
        if name == "tel":
            return _parse_tel(rest)
        return Uri(name, opaque=rest)
    except UriError:
        raise
    except ParseError as error:
        raise UriError(error.message) from error
    except UnsafeValue as error:
        raise UriError(str(error)) from error


def _parse_sip(scheme: str, text: str) -> Uri:
    userinfo, at, rest = text.partition("@")
    if not at:
        userinfo, rest = "", text
    raw_user, colon, raw_password = userinfo.partition(":")
    if at and not raw_user:
        raise UriError("the user part before the @ is empty")
    before_query, question, query = rest.partition("?")
    host_port, semicolon, params = before_query.partition(";")
    host, port = parse_host_port(host_port)
    user = unescape(raw_user) if at else None
    kept = None
    if user is not None and _STRICT_USER.fullmatch(raw_user):
        kept = raw_user if escape(user, USER_ALLOWED) != raw_user else None
    if has_broken_escape(text):
        raise UriError("a % is not followed by two hexadecimal digits")
    return Uri(
        scheme,
        user=user,
        host=host,
        port=port,
        params=UriParams.parse(params) if semicolon else UriParams(),
        headers=_parse_headers(query) if question else (),
        password=unescape(raw_password) if colon else None,
        spelling=kept,
    )


def _parse_headers(query: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for piece in query.split("&"):
        name, equals, value = piece.partition("=")
        if not name or not equals:
            raise UriError(f"{piece!r} is not a URI header")
        headers.append((name, value))
    return tuple(headers)


def _parse_tel(text: str) -> Uri:
    number, semicolon, params = text.partition(";")
    if _TEL_NUMBER.fullmatch(number) is None:
        raise UriError(f"{number!r} is not a telephone number")
    return Uri("tel", user=number, params=UriParams.parse(params) if semicolon else UriParams())


def _host_identity(host: str) -> str:
    return IPv6Address(host).compressed if ":" in host else host.lower()


def _params_agree(first: UriParams, second: UriParams) -> bool:
    """Shared parameters must match; those in ``_COUNTED_PARAMS`` must be in both or neither."""
    left, right = _param_map(first), _param_map(second)
    return all(
        left[name] == right[name] if name in left and name in right else name not in _COUNTED_PARAMS
        for name in left.keys() | right.keys()
    )


def _param_map(params: UriParams) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in params:
        found.setdefault(normalised(name).lower(), normalised(value or "").lower())
    return found


def _header_set(uri: Uri) -> list[tuple[str, str]]:
    return sorted((normalised(name).lower(), normalised(value)) for name, value in uri.headers)


def _tel_identity(uri: Uri) -> tuple[str, dict[str, str]]:
    params = _param_map(uri.params)
    context = params.get("phone-context")
    if context is not None and context.startswith("+"):
        params["phone-context"] = context.translate(_VISUAL_SEPARATORS)
    return (uri.number or "").lower(), params
