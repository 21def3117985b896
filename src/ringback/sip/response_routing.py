"""Where responses go (RFC 3261 18.2, RFC 3581)."""

from __future__ import annotations

from dataclasses import replace

from ringback.sip.message import Request
from ringback.sip.transport import Flow
from ringback.sip.via import Via

DEFAULT_PORT = 5060
DEFAULT_TLS_PORT = 5061


def default_port(transport: str) -> int:
    return DEFAULT_TLS_PORT if transport.lower() == "tls" else DEFAULT_PORT


def stamp_source(request: Request, via: Via, flow: Flow) -> Via:
    """Write into ``request``'s top Via, which is ``via``, where it came from (18.2.1, RFC 3581).
    Returns the new Via."""
    stamped = via.with_source(flow.hop.host, flow.hop.port)
    if stamped is not via:
        request.headers.set_first("Via", stamped)
    return stamped


def reply_flow(via: Via, flow: Flow) -> Flow:
    """Where responses to a request with top ``via``, which came on ``flow``, go (18.2.2).

    Over a connection back on it; if that is gone, to the source address at the sent-by port.
    Over UDP to the source, at its source port where ``rport`` was asked for. ``maddr`` is not
    followed: it would let anybody aim our responses at third parties.
    """
    if flow.hop.transport == "udp" and via.wants_rport:
        return flow
    port = via.port or default_port(flow.hop.transport)
    if port == flow.hop.port:
        return flow
    return Flow(replace(flow.hop, port=port), flow.connection)
