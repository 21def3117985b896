"""Where a request of ours goes when its next hop needs no DNS."""

from __future__ import annotations

from ipaddress import ip_address
from typing import cast

from ringback.sip.response_routing import default_port
from ringback.sip.transport import Flow, Hop, Transport
from ringback.sip.uri import Uri

_TRANSPORTS = frozenset({"udp", "tcp", "tls"})


def transport_of(uri: Uri, otherwise: Transport) -> Transport:
    """The transport that ``uri`` asks for; ``otherwise`` where it leaves the choice to us."""
    named = (uri.params.get("transport") or "").lower()
    if uri.scheme == "sips":
        return "tls"
    return cast(Transport, named) if named in _TRANSPORTS else otherwise


def literal_flow(uri: Uri, flow: Flow) -> Flow | None:
    """Where to send to reach ``uri``, or ``None`` if its host is a name.

    A URI that names no transport is reached by that of ``flow``, on which the peer was heard
    last, and on its very connection if it leads to the same host.
    """
    host = uri.host
    if not is_address(host):
        return None
    transport = transport_of(uri, flow.hop.transport)
    same = transport == flow.hop.transport
    hop = Hop(
        transport,
        host,
        uri.port or default_port(transport),
        flow.hop.server_name if same else None,
        flow.hop.verify,
    )
    return Flow(hop, flow.connection if same and host == flow.hop.host else None)


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def behind_nat(target: Uri, flow: Flow, sent_by: str | None) -> bool:
    """Whether ``target``, a Contact, is an address that cannot be reached from here.

    It is where it is not a public one but the peer's packets come from one, or where the peer
    also wrote it into its Via (``sent_by``) although its packets come from elsewhere. Such a peer
    is reached where it is heard; the Request-URI stays its Contact.
    """
    if target.host == flow.hop.host:
        return False
    try:
        contact, source = ip_address(target.host), ip_address(flow.hop.host)
    except ValueError:
        return False
    return not contact.is_global and (source.is_global or sent_by == target.host)
