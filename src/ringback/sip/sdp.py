"""Session descriptions (SDP, RFC 8866 and its predecessor RFC 4566): lenient in, strict out.

``SessionDescription.parse`` takes what phones really send: any line ends, lines in the wrong
order, missing ``o=``, ``s=`` or ``t=``, lines and attributes that it does not know. It raises
``SdpError`` (a ``ParseError``) only where no meaning is left. ``bytes()`` writes the lines in
the RFC's order with CRLF; lines of unknown type are kept in ``unknown`` for whoever wants to
look and are not written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

from ringback.sip.errors import UnsafeValue
from ringback.sip.remembered import REMEMBERED_OFFERS
from ringback.sip.sdp_values import (
    MAX_PAYLOAD_TYPE,
    MAX_PORT,
    STATIC_PAYLOAD_TYPES,
    Codec,
    Crypto,
    Direction,
    PayloadFormat,
    RtcpAttribute,
    SdpError,
    SdpTooLarge,
    address_type,
    decimal,
)

MAX_BYTES = 131_072
MAX_LINES = 4_000
MAX_ATTRIBUTES = 512
"""Attributes of one section that are kept, ICE candidates not among them."""
MAX_MEDIA = 32
MAX_FORMATS = 128
CONTENT_TYPE = "application/sdp"

_LINE_END = re.compile(r"\r\n|\n|\r")
_UNSPECIFIED = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0"})
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Origin:
    """``o=``: who made the description and which version of it this is (RFC 8866 5.2).

    ``session_id`` and ``version`` are numbers by the RFC, kept as text because not everybody
    keeps to it; compare, do not count.
    """

    username: str = "-"
    session_id: str = "0"
    version: str = "0"
    address: str = "0.0.0.0"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """A user name with spaces in it is a common fault and accepted."""
        words = text.rsplit(None, 5)
        if len(words) == 5:
            words.insert(0, "-")
        if len(words) != 6:
            raise SdpError(f"o= needs six fields: {text[:60]!r}")
        return cls(words[0].strip(), words[1], words[2], words[5])

    def __str__(self) -> str:
        username = self.username.replace(" ", "_") or "-"
        family = address_type(self.address)
        return f"{username} {self.session_id} {self.version} IN {family} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    """``c=``: where to send media (RFC 8866 5.7). ``host`` is an IP literal or a name, without
    the TTL of a multicast address."""

    host: str

    @classmethod
    def parse(cls, text: str) -> Connection:
        words = text.split()
        if len(words) != 3 or words[0].upper() != "IN":
            raise SdpError(f"not a c= of the internet: {text[:60]!r}")
        host = words[2].partition("/")[0].strip("[]")
        if not host:
            raise SdpError(f"c= without an address: {text[:60]!r}")
        return cls(host)

    def __str__(self) -> str:
        return f"IN {address_type(self.host)} {self.host}"

    @property
    def unspecified(self) -> bool:
        """Media must not be sent there: ``0.0.0.0`` (RFC 3264 8.4) and its IPv6 counterparts
        (RFC 6157 5.1 uses a name under ``.invalid``)."""
        return self.host in _UNSPECIFIED or self.host.lower().endswith(".invalid")


@dataclass(frozen=True, slots=True)
class Attribute:
    """``a=name`` (value ``None``) or ``a=name:value``."""

    name: str
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> Attribute:
        name, colon, value = text.partition(":")
        if not name.strip():
            raise SdpError(f"attribute without a name: {text[:60]!r}")
        return cls(name.strip(), value.strip() if colon else None)

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        value = "***" if self.name.lower() == "crypto" else repr(self.value)
        return f"Attribute({self.name!r}, {value})"


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One ``m=`` section (RFC 8866 5.14). Port 0 means rejected or switched off."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    title: str | None = None
    connection: Connection | None = None
    bandwidths: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    port_count: int = 1
    unknown: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str) -> MediaDescription:
        """The value of the ``m=`` line alone."""
        words = text.split()
        if len(words) == 3 and words[1] == "0":
            words.append("0")  # switched off, and so are its formats
        if len(words) < 4:
            raise SdpError(f"m= needs media, port, protocol and a format: {text[:60]!r}")
        if len(words) - 3 > MAX_FORMATS:
            raise SdpTooLarge(f"m= lists more than {MAX_FORMATS} formats")
        port, _, count = words[1].partition("/")
        return cls(
            kind=words[0].lower(),
            port=decimal(port, 0, MAX_PORT, "media port"),
            port_count=decimal(count, 1, MAX_PORT, "port count") if count else 1,
            protocol=words[2],
            formats=tuple(words[3:]),
        )

    def lines(self) -> list[str]:
        count = f"/{self.port_count}" if self.port_count != 1 else ""
        lines = [f"m={self.kind} {self.port}{count} {self.protocol} {' '.join(self.formats)}"]
        if self.title is not None:
            lines.append(f"i={self.title}")
        if self.connection is not None:
            lines.append(f"c={self.connection}")
        lines += [f"b={value}" for value in self.bandwidths]
        lines += [f"a={attribute}" for attribute in self.attributes]
        return lines

    def all(self, name: str) -> list[str]:
        """The values of every attribute ``name`` of this section, in order."""
        return _values(self.attributes, name)

    def first(self, name: str) -> str | None:
        """The value of the first attribute ``name``; an empty string for a bare flag."""
        return next(iter(self.all(name)), None)

    @property
    def direction(self) -> Direction | None:
        """The section's own direction; see ``SessionDescription.direction_of``."""
        return _direction(self.attributes)

    @property
    def payload_formats(self) -> tuple[PayloadFormat, ...]:
        """The RTP payload types in the author's order with what they carry; types that nothing
        explains are left out."""
        return _payload_formats(self.formats, tuple(self.all("rtpmap")), tuple(self.all("fmtp")))

    @property
    def ptime(self) -> int | None:
        """Milliseconds of audio per packet that the author would like to receive."""
        return _milliseconds(self.first("ptime"))

    @property
    def maxptime(self) -> int | None:
        return _milliseconds(self.first("maxptime"))

    @property
    def rtcp(self) -> RtcpAttribute | None:
        return _tolerant(RtcpAttribute.parse, self.first("rtcp"))

    @property
    def rtcp_mux(self) -> bool:
        """RTP and RTCP share one port (RFC 5761)."""
        return self.first("rtcp-mux") is not None

    @property
    def crypto(self) -> tuple[Crypto, ...]:
        """SRTP keys of RFC 4568 in the author's order."""
        parsed = (_tolerant(Crypto.parse, value) for value in self.all("crypto"))
        return tuple(crypto for crypto in parsed if crypto is not None)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole SDP body."""

    origin: Origin = field(default_factory=Origin)
    name: str = "-"
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    connection: Connection | None = None
    bandwidths: tuple[str, ...] = ()
    times: tuple[str, ...] = ("0 0",)
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()
    unknown: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Raises :class:`SdpError` and nothing else, whatever ``data`` is."""
        return _Parser().parse(data)

    def __bytes__(self) -> bytes:
        """Raises :class:`UnsafeValue` when a field holds a line break: it would inject lines."""
        lines = ["v=0", f"o={self.origin}", f"s={self.name or '-'}"]
        lines += [f"{key}={value}" for key, value in self._optional() if value is not None]
        lines += [f"t={value}" for value in self.times or ("0 0",)]
        lines += [f"a={attribute}" for attribute in self.attributes]
        for media in self.media:
            lines += media.lines()
        for line in lines:
            if "\r" in line or "\n" in line or "\0" in line:
                raise UnsafeValue(f"line break inside an SDP line: {line[:60]!r}")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace")

    def __str__(self) -> str:
        return bytes(self).decode()

    def _optional(self) -> list[tuple[str, str | None]]:
        return [
            ("i", self.information),
            ("u", self.uri),
            *(("e", value) for value in self.emails),
            *(("p", value) for value in self.phones),
            ("c", str(self.connection) if self.connection is not None else None),
            *(("b", value) for value in self.bandwidths),
        ]

    def all(self, name: str) -> list[str]:
        """The values of every session-level attribute ``name``, in order."""
        return _values(self.attributes, name)

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    def direction_of(self, media: MediaDescription) -> Direction:
        """The section's direction, else the session's, else ``sendrecv`` (RFC 8866 6.7)."""
        return media.direction or _direction(self.attributes) or Direction.SENDRECV

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """The section's ``c=``, else the session's."""
        return media.connection or self.connection


class _Section:
    """The lines of one section, sorted by type as they come."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.connection: Connection | None = None
        self.attributes: list[Attribute] = []
        self.unknown: list[tuple[str, str]] = []

    def add(self, key: str, value: str) -> None:
        if key == "a":
            self._attribute(value)
        elif key == "c":
            self.connection = self.connection or Connection.parse(value)
        elif key in _TEXTS:
            self.texts.setdefault(key, []).append(value)
        else:
            self.unknown.append((key, value))

    def _attribute(self, text: str) -> None:
        attribute = _tolerant(Attribute.parse, text)
        if attribute is None or attribute.name.lower() in _ICE_ADDRESSES:
            return
        if len(self.attributes) == MAX_ATTRIBUTES:
            raise SdpTooLarge(f"an SDP section of more than {MAX_ATTRIBUTES} attributes")
        self.attributes.append(attribute)

    def all(self, key: str) -> tuple[str, ...]:
        return tuple(self.texts.get(key, ()))

    def first(self, key: str) -> str | None:
        return next(iter(self.all(key)), None)


class _Parser:
    """Collects lines into the session's section, then into one section per ``m=``."""

    def __init__(self) -> None:
        self._session = _Section()
        self._media: list[tuple[MediaDescription, _Section]] = []

    def parse(self, data: bytes) -> SessionDescription:
        for line in _lines(data):
            self._line(line)
        if not self._media and self._session.first("o") is None:
            raise SdpError("not a session description: neither o= nor m=")
        session = self._session
        origin = session.first("o")
        return SessionDescription(
            origin=Origin.parse(origin) if origin is not None else Origin(),
            name=session.first("s") or "-",
            information=session.first("i"),
            uri=session.first("u"),
            emails=session.all("e"),
            phones=session.all("p"),
            connection=session.connection,
            bandwidths=session.all("b"),
            times=session.all("t") or ("0 0",),
            attributes=tuple(session.attributes),
            media=tuple(_described(media, section) for media, section in self._media),
            unknown=tuple(session.unknown),
        )

    def _line(self, line: str) -> None:
        key, value = line[0], line[2:].strip()
        section = self._media[-1][1] if self._media else self._session
        if line[1:2] != "=":
            section.unknown.append(("", line))
        elif key == "m":
            if len(self._media) >= MAX_MEDIA:
                raise SdpTooLarge(f"SDP of more than {MAX_MEDIA} media sections")
            self._media.append((MediaDescription.parse(value), _Section()))
        elif key == "v":
            if value != "0":
                raise SdpError(f"SDP version {value[:20]!r} is not 0")
        elif key in _SESSION_ONLY:
            self._session.add(key, value)
        else:
            section.add(key, value)


_TEXTS = frozenset("osiuepbt")
_ICE_ADDRESSES = frozenset({"candidate", "remote-candidates", "end-of-candidates"})
"""Left out as they come, however many: the address of ``m=`` and ``c=`` counts (RFC 8839 3)."""
_SESSION_ONLY = frozenset("osuept")


def _lines(data: bytes) -> list[str]:
    if len(data) > MAX_BYTES:
        raise SdpTooLarge(f"SDP of more than {MAX_BYTES} bytes")
    text = data.decode("utf-8", "replace").rstrip("\0")
    if "\0" in text:
        raise SdpError("NUL inside an SDP body")
    lines = _LINE_END.split(text)
    if len(lines) > MAX_LINES:
        raise SdpTooLarge(f"SDP of more than {MAX_LINES} lines")
    return [stripped for line in lines if (stripped := line.strip())]


def _described(media: MediaDescription, section: _Section) -> MediaDescription:
    return MediaDescription(
        media.kind,
        media.port,
        media.protocol,
        media.formats,
        section.first("i"),
        section.connection,
        section.all("b"),
        tuple(section.attributes),
        media.port_count,
        tuple(section.unknown),
    )


@lru_cache(REMEMBERED_OFFERS)
def _payload_formats(
    formats: tuple[str, ...], maps: tuple[str, ...], parameters: tuple[str, ...]
) -> tuple[PayloadFormat, ...]:
    """A peer lists the same formats in every call, and each call asks for them again and again."""
    mapped, described = _by_payload_type(maps), _by_payload_type(parameters)
    found = []
    for text in formats:
        number = _tolerant(_payload_type, text)
        if number is None:
            continue
        codec = _tolerant(Codec.parse, mapped.get(number)) or STATIC_PAYLOAD_TYPES.get(number)
        if codec is not None:
            found.append(PayloadFormat(number, replace(codec, fmtp=described.get(number, ""))))
    return tuple(found)


def _by_payload_type(values: tuple[str, ...]) -> dict[int, str]:
    found: dict[int, str] = {}
    for value in values:
        words = value.split(None, 1)
        payload_type = _tolerant(_payload_type, words[0]) if words else None
        if payload_type is not None:
            found.setdefault(payload_type, words[1] if len(words) == 2 else "")
    return found


def _values(attributes: tuple[Attribute, ...], name: str) -> list[str]:
    wanted = name.lower()
    return [item.value or "" for item in attributes if item.name.lower() == wanted]


def _direction(attributes: tuple[Attribute, ...]) -> Direction | None:
    return next(
        (_DIRECTIONS[name] for item in attributes if (name := item.name.lower()) in _DIRECTIONS),
        None,
    )


_DIRECTIONS = {direction.value: direction for direction in Direction}


def _tolerant(parse: Callable[[str], _Value], text: str | None) -> _Value | None:
    """``None`` for what is absent or not parsable."""
    if text is None:
        return None
    try:
        return parse(text)
    except SdpError:
        return None


def _payload_type(text: str) -> int:
    return decimal(text, 0, MAX_PAYLOAD_TYPE, "payload type")


def _milliseconds(text: str | None) -> int | None:
    """``20`` and the ``20.0`` or ``16.25`` of some phones; ``None`` for what is no time."""
    if text is None or not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,9})?", text):
        return None
    return int(float(text)) or None
