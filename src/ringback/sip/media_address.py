"""Where media may be sent: the address of a ``c=`` line judged before anything is agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from ringback.sip.not_acceptable import WARN_ADDRESS, NotAcceptable
from ringback.sip.sdp import Connection, MediaDescription
from ringback.sip.sdp_values import MAX_PORT


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """``host`` as the peer wrote it."""

    host: str
    port: int


def require_reachable(connection: Connection | None, local_host: str) -> Connection:
    """``connection`` if audio from ``local_host`` (an IP literal) can go there, or if it says that
    none shall (``0.0.0.0``).

    Raises :class:`NotAcceptable` with the warning 301 (incompatible network address) for the other
    IP version, for groups and reserved ranges, for a name (RFC 8866 5.7 has IP addresses in
    practice, and a lookup here would stop the call), and without any address at all.
    """
    if connection is None:
        raise NotAcceptable("the audio stream has no address (c=)", WARN_ADDRESS)
    if connection.unspecified:
        return connection
    address = _parsed(connection.host)
    if address is None:
        raise NotAcceptable(
            f"c= holds the name {connection.host[:80]!r}: an IP address is needed", WARN_ADDRESS
        )
    if not _may_be_sent_to(address):
        raise NotAcceptable(f"no audio can be sent to {address}", WARN_ADDRESS)
    ours = _parsed(local_host)
    if ours is not None and ours.version != address.version:
        raise NotAcceptable(
            f"the audio is at {address}, which IPv{ours.version} does not reach", WARN_ADDRESS
        )
    return connection


def rtcp_address(theirs: MediaDescription, host: str, mux: bool) -> MediaAddress:
    """Where the peer's RTCP goes: with RTP (RFC 5761), where ``a=rtcp`` says (RFC 3605), or to the
    next port. An ``a=rtcp`` address that RTP could not go to is not followed."""
    if mux:
        return MediaAddress(host, theirs.port)
    rtcp = theirs.rtcp
    if rtcp is not None and rtcp.port:
        other = _parsed(rtcp.host or host)
        usual = _parsed(host)
        usable = (
            other is not None
            and usual is not None
            and other.version == usual.version
            and _may_be_sent_to(other)
        )
        return MediaAddress(str(other) if usable else host, rtcp.port)
    return MediaAddress(host, min(theirs.port + 1, MAX_PORT))


def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _may_be_sent_to(address: IPv4Address | IPv6Address) -> bool:
    """Private, loopback and link-local addresses may be right, and are followed to the real source
    where they are not."""
    if address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address):
        return not address.is_reserved and int(address) >> 24 != 0
    return address.ipv4_mapped is None
