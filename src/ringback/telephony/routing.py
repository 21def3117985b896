"""Whose an inbound call is, and how an outbound one is dialled. Pure: reads a ``Directory``.

Inbound, in this order: the trunk (by the secret token of our registered contact, else by where
the INVITE comes from), then the number (request-URI, P-Called-Party-ID, To: the first that the
account has), then the trunk itself where its own user name was called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringback.connectors.sip.directory import (
    InboundQuery,
    MediaEncryption,
    OutboundRoute,
    Refusal,
    Route,
)
from ringback.core.errors import InvalidRequest, NotConfigured
from ringback.sip.errors import ParseError
from ringback.sip.uri import Uri
from ringback.telephony.directory import Directory, NumberEntry, TrunkEntry, parse_address
from ringback.telephony.numbers import (
    DialFormat,
    NumberError,
    dialled_number,
    parse_e164,
    write_number,
)

DEMO_USER = "demo"


@dataclass(frozen=True, slots=True)
class DemoLine:
    """The agent that answers ``sip:demo@<host>`` for everybody."""

    account_id: str
    agent_id: str


# ---- inbound ----------------------------------------------------------------------------------


def route_inbound(
    query: InboundQuery, directory: Directory, demo: DemoLine | None
) -> Route | Refusal:
    """The call's route; 403 for a stranger, 404 for a number that nobody has added."""
    trunks, blocked = _trunks_behind(query, directory)
    for trunk in trunks:
        number = _called_number(query, directory, trunk)
        if number is not None:
            return _to_number(trunk, number)
    if demo is not None and query.request_user.lower() == DEMO_USER:
        return Route(
            account_id=demo.account_id,
            agent_id=demo.agent_id,
            callee=DEMO_USER,
            auto_answer=True,
            media_encryption=MediaEncryption.OPTIONAL,
        )
    if blocked is not None:
        return Refusal(
            403, "Forbidden", f"{query.source_host} is not in allowed_ips of trunk {blocked.id}"
        )
    if not trunks:
        return Refusal(403, "Forbidden", f"{query.source_host} belongs to no trunk")
    for trunk in trunks:
        route = _to_trunk_itself(query, directory, trunk)
        if route is not None:
            return route
    return Refusal(
        404,
        "Not Found",
        f"{query.request_user or query.to_user!r} is no number of trunk {trunks[0].id}",
    )


def is_trunk_source(host: str, directory: Directory) -> bool:
    """Whether any trunk may call from this address, or has its server there."""
    source = parse_address(host)
    return source is not None and any(
        _in_networks(trunk, host) or source in directory.addresses_of(trunk)
        for trunk in directory.trunks.values()
    )


def _trunks_behind(
    query: InboundQuery, directory: Directory
) -> tuple[list[TrunkEntry], TrunkEntry | None]:
    """The trunks that this INVITE may come from, the likeliest first, and the one that the token
    names but whose ``allowed_ips`` shut the source out."""
    source = parse_address(query.source_host)
    by_token = directory.trunk_with_token(query.contact_token)
    if by_token is not None:
        if by_token.networks and not _in_networks(by_token, query.source_host):
            return [], by_token
        return [by_token], None
    if source is None:
        return [], None
    found = [
        trunk
        for trunk in directory.trunks.values()
        if _in_networks(trunk, query.source_host)
        or (_host_may_call(trunk) and source in directory.addresses_of(trunk))
    ]
    found.sort(key=lambda trunk: (not _has_prefix(trunk, query.request_user), trunk.id))
    return found, None


def _host_may_call(trunk: TrunkEntry) -> bool:
    """A registering trunk's ``allowed_ips`` are the whole list; an allowlist adds to its host."""
    return not trunk.account.registers or not trunk.networks


def _in_networks(trunk: TrunkEntry, source_host: str) -> bool:
    source = parse_address(source_host)
    return source is not None and any(source in network for network in trunk.networks)


def _has_prefix(trunk: TrunkEntry, user: str) -> bool:
    return bool(trunk.tech_prefix) and user.startswith(trunk.tech_prefix)


def _called_users(query: InboundQuery) -> tuple[str, ...]:
    return (query.request_user, query.called_party, query.to_user)


def _called_number(
    query: InboundQuery, directory: Directory, trunk: TrunkEntry
) -> NumberEntry | None:
    for user in _called_users(query):
        text = dialled_number(user)
        if text is None:
            continue
        if _has_prefix(trunk, text):
            number = directory.number_written(text.removeprefix(trunk.tech_prefix), trunk)
            if number is not None:
                return number
        number = directory.number_written(text, trunk)
        if number is not None:
            return number
    return None


def _to_number(trunk: TrunkEntry, number: NumberEntry) -> Route:
    return Route(
        account_id=trunk.account_id,
        agent_id=number.agent_id or trunk.agent_id,
        callee=number.number,
        auto_answer=number.auto_answer,
        trunk_id=trunk.id,
        phone_number_id=number.id,
        codecs=trunk.account.codecs,
        media_encryption=trunk.account.media_encryption,
        dtmf_mode=trunk.account.dtmf_mode,
        trusted=True,
    )


def _to_trunk_itself(query: InboundQuery, directory: Directory, trunk: TrunkEntry) -> Route | None:
    """The SIP account itself was called (an extension, or a provider that names no DID): its only
    number, else its own agent. A DID that is named but unknown stays refused."""
    username = trunk.account.username
    others = [user for user in _called_users(query) if user and user != username]
    if any(dialled_number(user) is not None for user in others):
        return None
    by_token = bool(query.contact_token) and query.contact_token == trunk.account.contact_token
    if not by_token and (not username or query.request_user != username):
        return None
    numbers = directory.numbers_of(trunk)
    if len(numbers) == 1:
        return _to_number(trunk, numbers[0])
    if trunk.agent_id is None:
        return None
    return Route(
        account_id=trunk.account_id,
        agent_id=trunk.agent_id,
        callee=username,
        auto_answer=True,
        trunk_id=trunk.id,
        codecs=trunk.account.codecs,
        media_encryption=trunk.account.media_encryption,
        dtmf_mode=trunk.account.dtmf_mode,
        trusted=True,
    )


# ---- outbound ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutboundQuery:
    """``target`` is ``sip:user@host``, ``tel:+…`` or a number; ``trunk_id`` a wish."""

    account_id: str
    target: str
    caller_id: str | None = None
    trunk_id: str | None = None


def route_outbound(
    query: OutboundQuery, directory: Directory, is_down: Callable[[str], bool]
) -> OutboundRoute:
    """The trunk, and the called user as it wants it dialled.

    A trunk that is not registered now is used only where there is no other. Raises
    ``NotConfigured`` (``no_sip_trunk``) and ``InvalidRequest`` (``invalid_target``,
    ``trunk_not_found``, ``no_trunk_for_host``).
    """
    uri = _parse_target(query.target)
    trunks = _usable_trunks(query, directory)
    if uri is None or not uri.is_sip:
        trunk = _preferred(trunks, query.caller_id, directory, is_down)
        text = query.target if uri is None else uri.number or ""
        return _route(trunk, _number_user(text, trunk), query.caller_id)
    if not uri.user:
        raise _no_target(f"`{query.target}` names nobody to call: write sip:user@host.")
    serving = [trunk for trunk in trunks if _serves(trunk, uri, directory)]
    if not serving:
        hosts = ", ".join(dict.fromkeys(trunk.account.host for trunk in trunks))
        raise InvalidRequest(
            f"No trunk of this account has the host {uri.host}.",
            code="no_trunk_for_host",
            hint=f"Your trunks are at: {hosts}. A number alone (+33…) takes the first of them.",
            field="meeting_url",
        )
    trunk = _preferred(serving, query.caller_id, directory, is_down)
    return _route(trunk, _sip_user(uri, trunk), query.caller_id)


def dialled_text(target: str) -> str:
    """The number or user that a target names, as it was written."""
    uri = _parse_target(target)
    if uri is None:
        return target
    return (uri.user if uri.is_sip else uri.number) or ""


def _parse_target(target: str) -> Uri | None:
    scheme = target.partition(":")[0].lower()
    if scheme not in ("sip", "sips", "tel") or ":" not in target:
        return None
    try:
        return Uri.parse(target)
    except ParseError as error:
        raise _no_target(f"`{target}` is not a SIP address: {error}.") from None


def _no_target(message: str) -> InvalidRequest:
    return InvalidRequest(
        message,
        code="invalid_target",
        hint="Write sip:+33612345678@your-trunk-host or +33612345678; a short number or an "
        "extension is sip:123@your-trunk-host.",
        field="meeting_url",
    )


def _usable_trunks(query: OutboundQuery, directory: Directory) -> list[TrunkEntry]:
    mine = directory.trunks_of(query.account_id)
    if query.trunk_id is not None:
        chosen = [trunk for trunk in mine if trunk.id == query.trunk_id]
        if not chosen:
            raise InvalidRequest(
                "`trunk_id` is not an enabled trunk of this account.",
                code="trunk_not_found",
                hint="List the trunks with GET /api/trunks.",
                field="trunk_id",
            )
        mine = chosen
    usable = [trunk for trunk in mine if trunk.account.host]
    if not usable:
        raise NotConfigured(
            "No SIP trunk is configured.",
            code="no_sip_trunk",
            hint="Connect one with POST /api/sip/trunk, or POST /api/trunks.",
        )
    return usable


def _serves(trunk: TrunkEntry, uri: Uri, directory: Directory) -> bool:
    host = uri.host.lower()
    proxy = (trunk.account.outbound_proxy or "").rpartition(":")[0] or trunk.account.outbound_proxy
    names = {trunk.account.host, trunk.account.domain.lower(), proxy}
    address = parse_address(host)
    return host in names or (address is not None and address in directory.addresses_of(trunk))


def _preferred(
    trunks: list[TrunkEntry],
    caller_id: str | None,
    directory: Directory,
    is_down: Callable[[str], bool],
) -> TrunkEntry:
    """The one that is up, has the caller's number, and is the oldest; in this order."""

    def rank(trunk: TrunkEntry) -> tuple[bool, bool, str]:
        owns = caller_id is not None and any(
            entry.number == caller_id and entry.trunk_id == trunk.id
            for entry in directory.numbers_of(trunk)
        )
        return is_down(trunk.id), not owns, trunk.id

    return min(trunks, key=rank)


def _number_user(text: str, trunk: TrunkEntry) -> str:
    try:
        e164 = parse_e164(text, trunk.region)
    except NumberError as error:
        raise _no_target(f"`{text}` {error}.") from None
    return write_number(e164, trunk.dial_format, region=trunk.region, tech_prefix=trunk.tech_prefix)


def _sip_user(uri: Uri, trunk: TrunkEntry) -> str:
    """A number in international form is written as the trunk wants it; all else stays."""
    user = uri.user or ""
    text = dialled_number(user)
    if text is not None and text.startswith(("+", "00")):
        return _number_user(text, trunk)
    return f"{trunk.tech_prefix}{user}" if text is not None else user


def _route(trunk: TrunkEntry, user: str, caller_id: str | None) -> OutboundRoute:
    shown = caller_id or trunk.account.caller_id
    if shown and shown.startswith("+") and trunk.dial_format is DialFormat.E164_NO_PLUS:
        shown = shown[1:]
    return OutboundRoute(trunk=trunk.account, user=user, caller_id=shown)
