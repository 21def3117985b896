"""A call's signalling as a capture file, for Wireshark, tshark and sngrep.

The classic format (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-00.html) with raw IP
packets. Each message is one UDP datagram between the addresses that it had, also where it went
over TCP or TLS: what matters is in it, the stream around it was not kept.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator

from ringback.connectors.contract import TracedMessage

LINKTYPE_RAW = 101
MEDIA_TYPE = "application/vnd.tcpdump.pcap"

_MAGIC = 0xA1B2C3D4
_SNAP_LENGTH = 65535
_UDP = 17
_TTL = 64
_MAX_PAYLOAD = 65535 - 40 - 8

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def pcap(messages: Iterable[TracedMessage]) -> bytes:
    """The capture file of ``messages``, which are in the order of time."""
    return b"".join((_file_header(), *_records(messages)))


def _file_header() -> bytes:
    return struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAP_LENGTH, LINKTYPE_RAW)


def _records(messages: Iterable[TracedMessage]) -> Iterator[bytes]:
    for number, message in enumerate(messages):
        packet = _packet(message, number)
        microseconds = round(message.at.timestamp() * 1_000_000)
        seconds, rest = divmod(microseconds, 1_000_000)
        yield struct.pack("<IIII", seconds, rest, len(packet), len(packet)) + packet


def _packet(message: TracedMessage, number: int) -> bytes:
    ends = [_end(message.local), _end(message.remote)]
    if not message.outgoing:
        ends.reverse()
    (source, source_port), (target, target_port) = ends
    if source.version != target.version:
        source, target = _as_ipv6(source), _as_ipv6(target)
    payload = message.data[:_MAX_PAYLOAD]
    length = 8 + len(payload)
    pseudo = source.packed + target.packed + struct.pack("!IHBB", length, 0, 0, _UDP)
    header = struct.pack("!HHHH", source_port, target_port, length, 0)
    checksum = _checksum(pseudo + header + payload) or 0xFFFF
    datagram = struct.pack("!HHHH", source_port, target_port, length, checksum) + payload
    return _ip_header(source, target, length, number) + datagram


def _ip_header(source: _Address, target: _Address, length: int, number: int) -> bytes:
    addresses = source.packed + target.packed
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, _UDP, _TTL) + addresses
    fields = (0x45, 0, 20 + length, number & 0xFFFF, 0, _TTL, _UDP)
    checksum = _checksum(struct.pack("!BBHHHBBH", *fields, 0) + addresses)
    return struct.pack("!BBHHHBBH", *fields, checksum) + addresses


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _end(place: str) -> tuple[_Address, int]:
    host, _, port = place.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]), int(port) & 0xFFFF
    except ValueError:  # a name: an external address that was configured as one
        return ipaddress.IPv4Address(0), 5060


def _as_ipv6(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
