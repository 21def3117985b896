"""Which of our addresses a peer should be told: in Via, Contact and SDP.

``EXTERNAL_IP`` if it is set, else what a STUN server saw, else our address on the route to the
peer. The first two are for peers on the public internet only: loopback, private and directly
connected peers are told the address on the route, which is the one that they can reach.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from ringback.core.clock import Clock
from ringback.net import routes
from ringback.net.routes import Address, Network
from ringback.net.stun import QUERY_TIMEOUT, StunFailed, query
from ringback.sip.transport import Hop, Transport

MAX_PEERS = 4096
"""Peer hosts remembered; the oldest is forgotten first."""
PEER_LIFETIME = 300.0
"""Seconds until the route to a peer is looked up again."""

DEFAULT_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}
"""Advertised for a transport that has no listener here: peers then use the connection that we
opened."""

_SHARED_ADDRESS_SPACE = ipaddress.IPv4Network("100.64.0.0/10")  # RFC 6598, carrier-grade NAT
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")  # RFC 4193
_RFC1918 = tuple(
    ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)


def is_private(address: Address) -> bool:
    """Loopback, link-local, RFC 1918, RFC 6598 or RFC 4193: not a peer on the internet."""
    if address.is_loopback or address.is_link_local:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return address in _SHARED_ADDRESS_SPACE or any(address in net for net in _RFC1918)
    return address in _UNIQUE_LOCAL


class PublicAddress:
    """Implements ``ringback.sip.transport.LocalAddresses``; a look-up costs a system call only
    for the first message to a peer host.

    ``ports`` are the ports that peers can reach, per transport; fill them in once the sockets
    are bound. ``bind_host`` is what the sockets are bound to: a specific address is what every
    peer of its family sees as our route. ``external_ip`` is the ``EXTERNAL_IP`` setting.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ports: Mapping[Transport, int] | None = None,
        bind_host: str = "0.0.0.0",
        external_ip: str | None = None,
        stun_server: tuple[str, int] | None = None,
        local_address_towards: Callable[[str], str | None] = routes.local_address_towards,
        on_link_networks: Callable[[], tuple[Network, ...]] = routes.on_link_networks,
    ) -> None:
        self.ports: dict[Transport, int] = dict(ports or {})
        self.external_ip = external_ip
        """The public address in use; from the setting, or from STUN after ``discover``."""
        self.stun_failure: str | None = None
        """Why the last ``discover`` found nothing, in words."""
        self._clock = clock
        self._bind_host = bind_host
        self._stun_server = stun_server if external_ip is None else None
        self._local_address_towards = local_address_towards
        self._read_networks = on_link_networks
        self._networks = on_link_networks()
        self._peers: dict[str, tuple[float, str]] = {}

    async def discover(self, *, within: float = QUERY_TIMEOUT) -> bool:
        """Ask the STUN server, if there is one and no address is set; call it again from time
        to time where addresses change. Returns whether our public address is another now. A
        failure keeps what was known and is told in ``stun_failure``.
        """
        before = self.external_ip
        if self._stun_server is not None:
            host, port = self._stun_server
            try:
                seen = (await query(host, port, within=within)).host
            except StunFailed as error:
                self.stun_failure = error.message
            else:
                self.stun_failure = _not_public(seen)
                if self.stun_failure is None:
                    self.external_ip = seen
        self._networks = self._read_networks()
        if self.external_ip != before:
            self._peers.clear()
        return self.external_ip != before

    def advertised(self, hop: Hop) -> tuple[str, int]:
        """Host and port for Via and Contact toward ``hop``."""
        return self.host_for(hop.host), self.ports.get(hop.transport, DEFAULT_PORTS[hop.transport])

    def host_for(self, peer: str) -> str:
        """The IP literal that ``peer`` (an IP literal) should send to; also for SDP."""
        known = self._peers.get(peer)
        now = self._clock.monotonic()
        if known is not None and now < known[0]:
            return known[1]
        host = self._find(peer)
        self._peers.pop(peer, None)
        if len(self._peers) >= MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = (now + PEER_LIFETIME, host)
        return host

    def _find(self, peer: str) -> str:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return self.external_ip or self._route(peer, 4)
        external = self.external_ip
        if external is not None and ipaddress.ip_address(external).version == address.version:
            near = is_private(address) or any(address in net for net in self._networks)
            if not near:
                return external
        return self._route(peer, address.version)

    def _route(self, peer: str, version: int) -> str:
        bound = ipaddress.ip_address(self._bind_host)
        if not bound.is_unspecified and bound.version == version:
            return self._bind_host
        found = self._local_address_towards(peer)
        return found or self.external_ip or ("::1" if version == 6 else "127.0.0.1")


def _not_public(seen: str) -> str | None:
    """Why what a STUN server saw is not our address on the internet; ``None``: it may be."""
    address = ipaddress.ip_address(seen)
    if not (is_private(address) or address.is_unspecified or address.is_multicast):
        return None
    return (
        f"The STUN server sees us at {seen}, which is no public address: it is on our side of "
        "the NAT, or there is none."
    )
