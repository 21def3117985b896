"""Via (RFC 3261 20.42, RFC 3581)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ringback.sip.errors import HeaderError, ParseError, UnsafeValue
from ringback.sip.grammar import HOST, TOKEN, TOKEN_PATTERN, Scanner, is_token, parse_integer
from ringback.sip.header_map import HeaderValue
from ringback.sip.params import Params
from ringback.sip.remembered import remembered
from ringback.sip.uri import MAX_PORT, check_host, format_host_port, parse_host_port

BRANCH_COOKIE = "z9hG4bK"
"""What every branch made by RFC 3261's rules begins with (8.1.1.7)."""

_PORT = re.compile(r"[0-9]{1,5}")
_USUAL = re.compile(rf"SIP/2\.0/({TOKEN_PATTERN}) ([A-Za-z0-9._\-]+)(?::([0-9]{{1,5}}))?(?=;|\Z)")
_SALVAGE = re.compile(
    r"[ \t]*SIP[ \t]*/[^/,\"]{1,16}/[ \t]*([A-Za-z0-9\-]+)[ \t]+([^ \t;,\"]+)([^,\"]*)", re.I
)
_SALVAGE_PARAM = re.compile(r";[ \t]*(branch|rport)(?:[ \t]*=[ \t]*([^ \t;]+))?", re.I)


@dataclass(frozen=True, slots=True)
class Via(HeaderValue):
    """One hop: ``SIP/2.0/UDP host:port;branch=…``.

    ``transport`` is in upper case; ``host`` is the sent-by name or address, IPv6 without
    brackets; ``port`` is ``None`` where the sender wrote none.
    """

    transport: str
    host: str
    port: int | None = None
    params: Params = Params()

    def __post_init__(self) -> None:
        if not is_token(self.transport):
            raise UnsafeValue(f"{self.transport!r} cannot be a transport")
        try:
            check_host(self.host)
        except ParseError as error:
            raise UnsafeValue(error.message) from error

    @classmethod
    def parse(cls, text: str) -> Via:
        """Raises :class:`HeaderError`."""
        try:
            return _parse(text)
        except ParseError as error:
            raise HeaderError("Via", error.message, position=error.position) from error

    @classmethod
    def salvage(cls, text: str) -> Via | None:
        """The part of a first Via value that says where a response goes, however broken the rest
        is: another version of SIP, empty parameters. ``None`` if not even that can be read."""
        found = _SALVAGE.match(text)
        if found is None:
            return None
        try:
            host, port = parse_host_port(found.group(2))
        except ParseError:
            return None
        pairs = _SALVAGE_PARAM.findall(found.group(3))
        params = Params(tuple((name, value or None) for name, value in pairs))
        return cls(found.group(1).upper(), host, port, params)

    @property
    def sent_by(self) -> str:
        """``host[:port]`` as it stands in the header."""
        return format_host_port(self.host, self.port)

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The address that the request really came from, without brackets."""
        return _unbracket(self.params.get("received"))

    @property
    def wants_rport(self) -> bool:
        """Whether the sender asks for ``rport`` to be filled in, or it has been."""
        return "rport" in self.params

    @property
    def rport(self) -> int | None:
        """The filled-in source port; ``None`` while it is only asked for, or malformed."""
        return _small_integer(self.params.get("rport"), MAX_PORT)

    @property
    def ttl(self) -> int | None:
        return _small_integer(self.params.get("ttl"), 255)

    @property
    def maddr(self) -> str | None:
        return _unbracket(self.params.get("maddr"))

    def with_param(self, name: str, value: str | None = None) -> Via:
        return replace(self, params=self.params.set(name, value))

    def with_source(self, host: str, port: int) -> Via:
        """What a server writes into the top Via: where the request came from.

        ``received`` is set where sent-by differs from the source or ``rport`` is asked for
        (RFC 3261 18.2.1, RFC 3581 section 4).
        """
        via = self
        if self.wants_rport:
            via = via.with_param("rport", str(port))
        if self.wants_rport or self.host.lower() != host.lower():
            via = via.with_param("received", host)
        return via

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{self.params}"


@remembered
def _parse(text: str) -> Via:
    scanner = Scanner(text)
    usual = _USUAL.match(text)
    if usual is not None and int(usual[3] or 0) <= MAX_PORT:
        scanner.position = usual.end()
        params = Params.scan(scanner)
        scanner.end()
        return Via(usual[1].upper(), usual[2], int(usual[3]) if usual[3] else None, params)
    scanner.skip_space()
    protocol = scanner.take(TOKEN, "SIP/2.0/transport")
    scanner.expect("/")
    version = scanner.take(TOKEN, "the version of the protocol")
    if protocol.upper() != "SIP" or version != "2.0":
        raise scanner.error(f"{protocol}/{version} is not SIP/2.0")
    scanner.expect("/")
    transport = scanner.take(TOKEN, "a transport").upper()
    if scanner.text[scanner.position : scanner.position + 1] not in (" ", "\t"):
        raise scanner.error("expected white space after the transport")
    scanner.skip_space()
    host, _ = parse_host_port(scanner.take(HOST, "a host"))
    port = None
    if scanner.accept(":"):
        port = parse_integer(scanner.take(_PORT, "a port"), "the port", MAX_PORT)
    params = Params.scan(scanner)
    scanner.end()
    return Via(transport, host, port, params)


def _unbracket(host: str | None) -> str | None:
    if host is not None and host.startswith("[") and host.endswith("]"):
        return host[1:-1]
    return host


def _small_integer(text: str | None, maximum: int) -> int | None:
    try:
        return None if text is None else parse_integer(text, "a number", maximum)
    except ParseError:
        return None
