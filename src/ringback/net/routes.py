"""What the kernel knows about the way to a peer: our address on it, networks on the link."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Callable
from pathlib import Path

IPV4_ROUTES = Path("/proc/net/route")
IPV6_ROUTES = Path("/proc/net/ipv6_route")
_UP, _GATEWAY = 0x1, 0x2
_DISCARD_PORT = 9

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def local_address_towards(peer: str) -> str | None:
    """The source address that packets to the IP literal ``peer`` get, or ``None`` without a
    route. Connecting a UDP socket sends nothing."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((peer, _DISCARD_PORT))
            host = probe.getsockname()[0]
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return None
    return str(host).partition("%")[0]


def on_link_networks() -> tuple[Network, ...]:
    """The networks that are reached without a gateway; empty where ``/proc`` does not say."""
    return (
        *_parse(IPV4_ROUTES, parse_ipv4_routes),
        *_parse(IPV6_ROUTES, parse_ipv6_routes),
    )


def parse_ipv4_routes(text: str) -> list[Network]:
    """The directly connected networks in the format of ``/proc/net/route``."""
    networks: list[Network] = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or not _direct(int(fields[3], 16)):
            continue
        destination, mask = (_ipv4(fields[index]) for index in (1, 7))
        if int(mask):
            networks.append(ipaddress.IPv4Network(f"{destination}/{mask}", strict=False))
    return networks


def parse_ipv6_routes(text: str) -> list[Network]:
    """The directly connected networks in the format of ``/proc/net/ipv6_route``."""
    networks: list[Network] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or not _direct(int(fields[8], 16)):
            continue
        prefix = int(fields[1], 16)
        network = ipaddress.IPv6Network((bytes.fromhex(fields[0]), prefix), strict=False)
        if prefix and not network.is_multicast and not network.is_link_local:
            networks.append(network)
    return networks


def _parse(path: Path, parse: Callable[[str], list[Network]]) -> list[Network]:
    try:
        return parse(path.read_text("ascii"))
    except (OSError, ValueError):
        return []


def _direct(flags: int) -> bool:
    return bool(flags & _UP) and not flags & _GATEWAY


def _ipv4(field: str) -> ipaddress.IPv4Address:
    """Addresses stand there as hexadecimal numbers in the byte order of the machine."""
    return ipaddress.IPv4Address(struct.pack("=I", int(field, 16)))
