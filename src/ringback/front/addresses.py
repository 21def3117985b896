"""How our listeners are written down for people."""

from __future__ import annotations

import ipaddress

from ringback.core.errors import StartupError
from ringback.net.routes import local_address_towards

INTERNET = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): asks the kernel which of our addresses faces the world."""


def ip_literal(host: str) -> str:
    """Raises ``StartupError`` for a host that SIP cannot listen on."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        raise StartupError(
            f"RINGBACK_SIP_HOST is {host!r}, but it must be an IP address.",
            hint="0.0.0.0 listens on every IPv4 address of this machine.",
        ) from None


def hosts_of(bound: str) -> list[str]:
    """The addresses under which a listener can be reached, the most useful one first."""
    try:
        address = ipaddress.ip_address(bound)
    except ValueError:
        return [bound]
    if not address.is_unspecified:
        return [bound]
    loopback = "127.0.0.1" if address.version == 4 else "::1"
    outside = local_address_towards(INTERNET) if address.version == 4 else None
    return [outside, loopback] if outside and outside != loopback else [loopback]


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
