"""One SIP message seen through three parsers, in the same words.

An observation maps a field to what a parser reads in it, as a string, or to ``REFUSED``. A parser
that refuses a whole message refuses each of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import aiosipua
import sipmessage
from aiosipua.headers import Address as TheirAddress
from aiosipua.headers import parse_uri
from aiosipua.message import SipMessage, SipRequest

from ringback.sip.errors import ParseError
from ringback.sip.message import Request, Response, parse_message
from ringback.sip.name_addr import NameAddr, Star
from ringback.sip.uri import Uri

REFUSED = "refused"
ABSENT = "absent"
FIELDS = (
    "start",
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "max-forwards",
    "contact",
    "route",
    "body",
)

_T = TypeVar("_T")
Observation = Mapping[str, str]
Reader = Callable[[], object]


def _observe(readers: Mapping[str, Reader], refusals: tuple[type[Exception], ...]) -> Observation:
    found = {}
    for name in FIELDS:
        try:
            found[name] = str(readers[name]())
        except refusals:
            found[name] = REFUSED
    return found


def _refused() -> Observation:
    return dict.fromkeys(FIELDS, REFUSED)


def _hop(transport: str, host: str, port: int | None, branch: str | None) -> str:
    return f"{transport.upper()} {host.lower()}:{port or '-'} {branch or '-'}"


def _list(found: list[str]) -> str:
    return " | ".join(found) if found else ABSENT


def _bytes(body: bytes) -> str:
    return body.hex()


# ---- ours -----------------------------------------------------------------------------------


def ours(data: bytes) -> Observation:
    try:
        message = parse_message(data)
    except ParseError:
        return _refused()
    readers: dict[str, Reader] = {
        "start": lambda: _our_start(message),
        "via": lambda: _list(
            [_hop(via.transport, via.host, via.port, via.branch) for via in message.vias]
        ),
        "from": lambda: _our_address(message.from_),
        "to": lambda: _our_address(message.to),
        "call-id": lambda: message.call_id,
        "cseq": lambda: f"{message.cseq.number} {message.cseq.method}",
        "max-forwards": lambda: ABSENT if message.max_forwards is None else message.max_forwards,
        "contact": lambda: _our_contacts(message.contacts),
        "route": lambda: _list([_our_uri(route.uri) for route in message.routes]),
        "body": lambda: _bytes(message.body),
    }
    return _observe(readers, (ParseError,))


def _our_start(message: Request | Response) -> str:
    if isinstance(message, Request):
        return f"{message.method} {_our_uri(message.uri)}"
    return f"{message.status} {message.reason}"


def _our_address(address: NameAddr) -> str:
    return f"{address.display} <{_our_uri(address.uri)}> {address.tag or '-'}"


def _our_contacts(contacts: list[NameAddr] | Star) -> str:
    if isinstance(contacts, Star):
        return "*"
    return _list([_our_uri(contact.uri) for contact in contacts])


def _our_uri(uri: Uri) -> str:
    if not uri.is_sip:
        return str(uri)
    return _uri(uri.scheme, uri.user, uri.host, uri.port)


def _uri(scheme: str, user: str | None, host: str, port: int | None) -> str:
    return f"{scheme}:{user or ''}@{host.strip('[]').lower()}:{port or '-'}"


# ---- sipmessage -----------------------------------------------------------------------------


def by_sipmessage(data: bytes) -> Observation:
    refusals = (ValueError, KeyError, IndexError, AttributeError, TypeError)
    try:
        message = sipmessage.Message.parse(data)
    except refusals:
        return _refused()

    def start() -> str:
        if isinstance(message, sipmessage.Request):
            return f"{message.method} {_spacinov_uri(message.uri)}"
        return f"{message.code} {message.phrase}"

    def branch(via: sipmessage.Via) -> str | None:
        return via.parameters.get("branch")

    readers: dict[str, Reader] = {
        "start": start,
        "via": lambda: _list(
            [
                _hop(via.transport, via.host.strip("[]"), via.port, branch(via))
                for via in message.via
            ]
        ),
        "from": lambda: _spacinov_address(message.from_address),
        "to": lambda: _spacinov_address(message.to_address),
        "call-id": lambda: message.call_id,
        "cseq": lambda: f"{message.cseq.sequence} {message.cseq.method}",
        "max-forwards": lambda: ABSENT if message.max_forwards is None else message.max_forwards,
        "contact": lambda: _list([_spacinov_uri(contact.uri) for contact in message.contact]),
        "route": lambda: _list([_spacinov_uri(route.uri) for route in message.route]),
        "body": lambda: _bytes(message.body),
    }
    return _observe(readers, refusals)


def _spacinov_uri(uri: sipmessage.URI) -> str:
    return _uri(uri.scheme, uri.user, uri.host, uri.port)


def _spacinov_address(address: sipmessage.Address) -> str:
    tag = address.parameters.get("tag")
    return f"{address.name} <{_spacinov_uri(address.uri)}> {tag or '-'}"


# ---- aiosipua -------------------------------------------------------------------------------


def by_aiosipua(data: bytes) -> Observation:
    refusals = (ValueError, KeyError, IndexError, AttributeError, TypeError)
    try:
        message = SipMessage.parse(data)
    except refusals:
        return _refused()

    def start() -> str:
        if isinstance(message, SipRequest):
            return f"{message.method} {_their_uri(parse_uri(message.uri))}"
        return f"{message.status_code} {message.reason_phrase}"

    def number(name: str) -> str:
        value = message.get_header(name)
        return ABSENT if value is None else str(int(value))

    readers: dict[str, Reader] = {
        "start": start,
        "via": lambda: _list(
            [_hop(via.transport, via.host.strip("[]"), via.port, via.branch) for via in message.via]
        ),
        "from": lambda: _their_address(message.from_addr),
        "to": lambda: _their_address(message.to_addr),
        "call-id": lambda: _required(message.call_id),
        "cseq": lambda: f"{_required(message.cseq).seq} {_required(message.cseq).method}",
        "max-forwards": lambda: number("max-forwards"),
        "contact": lambda: _their_contacts(message),
        "route": lambda: _list(
            [
                _their_uri(aiosipua.parse_address(value).uri)
                for value in message.get_header_values("route")
            ]
        ),
        "body": lambda: _bytes(message.body),
    }
    return _observe(readers, refusals)


def _required(value: _T | None) -> _T:
    if value is None:
        raise ValueError("missing")
    return value


def _their_contacts(message: SipMessage) -> str:
    if message.get_header_values("contact") == ["*"]:
        return "*"
    return _list([_their_uri(contact.uri) for contact in message.contact])


def _their_uri(uri: aiosipua.SipUri) -> str:
    return _uri(uri.scheme, uri.user, uri.host, uri.port)


def _their_address(address: TheirAddress | None) -> str:
    found = _required(address)
    return f"{found.display_name or ''} <{_their_uri(found.uri)}> {found.tag or '-'}"


PARSERS: Mapping[str, Callable[[bytes], Observation]] = {
    "sipmessage": by_sipmessage,
    "aiosipua": by_aiosipua,
}
