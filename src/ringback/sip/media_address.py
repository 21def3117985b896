"""Where media may be sent: the address of a ``c=`` line judged before anything is agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from ringback.sip.not_acceptable import WARN_ADDRESS, NotAcceptable
from ringback.sip.remembered import REMEMBERED, remembered
from ringback.sip.sdp import Connection, MediaDescription
from ringback.sip.sdp_values import MAX_PORT


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """``host`` as the peer wrote it."""

    host: str
    port: int


def reachable_host(
    connection: Connection | None, local_host: str, heard_from: str | None = None
) -> str:
    """Where audio from ``local_host`` (an IP literal) is to go: the host of ``connection``, also
    where that says that none shall (``0.0.0.0``).

    Phones on two networks may name an address of the other IP version while they signal over
    ours: ``heard_from``, where their signalling comes from, stands in for it then, until the
    first packet shows the real source.

    Raises :class:`NotAcceptable` with the warning 301 (incompatible network address) for the other
    IP version without a stand-in, for groups and reserved ranges, for a name (RFC 8866 5.7 has IP
    addresses in practice, and a lookup here would stop the call), and without any address at all.
    """
    if connection is None:
        raise NotAcceptable("the audio stream has no address (c=)", WARN_ADDRESS)
    if connection.unspecified:
        return connection.host
    address = _parsed(connection.host)
    if address is None:
        raise NotAcceptable(
            f"c= holds the name {connection.host[:80]!r}: an IP address is needed", WARN_ADDRESS
        )
    if not _may_be_sent_to(address):
        raise NotAcceptable(f"no audio can be sent to {address}", WARN_ADDRESS)
    ours = _parsed(local_host)
    if ours is None or ours.version == address.version:
        return connection.host
    stand_in = _parsed(heard_from or "")
    if stand_in is not None and stand_in.version == ours.version:
        return str(stand_in)
    raise NotAcceptable(
        f"the audio is at {address}, which IPv{ours.version} does not reach", WARN_ADDRESS
    )


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


@remembered
def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


@lru_cache(REMEMBERED)
def _may_be_sent_to(address: IPv4Address | IPv6Address) -> bool:
    """Private, loopback and link-local addresses may be right, and are followed to the real source
    where they are not."""
    if address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address):
        return not address.is_reserved and int(address) >> 24 != 0
    return address.ipv4_mapped is None
