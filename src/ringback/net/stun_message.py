"""STUN binding requests and responses as bytes (RFC 8489), without I/O.

Enough of STUN for one question: from which address do my packets arrive? No credentials.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

MAGIC_COOKIE = 0x2112A442
HEADER_BYTES = 20
TRANSACTION_ID_BYTES = 12
MAX_BYTES = 1500

BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

MAPPED_ADDRESS = 0x0001
ERROR_CODE = 0x0009
XOR_MAPPED_ADDRESS = 0x0020
FINGERPRINT = 0x8028
_FINGERPRINT_XOR = 0x5354554E
_COMPREHENSION_OPTIONAL = 0x8000
_UNDERSTOOD = frozenset(
    {
        MAPPED_ADDRESS,
        0x0004,  # SOURCE-ADDRESS and CHANGED-ADDRESS of RFC 3489 servers
        0x0005,
        0x0006,  # USERNAME, MESSAGE-INTEGRITY: nothing to check them with, harmless here
        0x0008,
        ERROR_CODE,
        0x000A,  # UNKNOWN-ATTRIBUTES
        0x0014,  # REALM, NONCE
        0x0015,
        XOR_MAPPED_ADDRESS,
    }
)
_IPV4, _IPV6 = 0x01, 0x02


class StunError(Exception):
    """Not a response to our request, or one that says no."""


@dataclass(frozen=True, slots=True)
class MappedAddress:
    """Where the server saw the request come from."""

    host: str
    port: int


def binding_request(transaction_id: bytes) -> bytes:
    """A request without attributes. ``transaction_id`` is 12 unguessable bytes."""
    if len(transaction_id) != TRANSACTION_ID_BYTES:
        raise ValueError("a STUN transaction id has 12 bytes")
    return struct.pack("!HHI", BINDING_REQUEST, 0, MAGIC_COOKIE) + transaction_id


def binding_success(transaction_id: bytes, mapped: MappedAddress) -> bytes:
    """The response of a server that saw the request come from ``mapped``."""
    address = _packed(mapped.host)
    family = _IPV4 if len(address) == 4 else _IPV6
    key = struct.pack("!I", MAGIC_COOKIE) + transaction_id
    value = struct.pack("!BBH", 0, family, mapped.port ^ (MAGIC_COOKIE >> 16))
    value += bytes(left ^ right for left, right in zip(address, key, strict=False))
    attributes = struct.pack("!HH", XOR_MAPPED_ADDRESS, len(value)) + value
    header = struct.pack("!HHI", BINDING_SUCCESS, len(attributes), MAGIC_COOKIE)
    return header + transaction_id + attributes


def parse_binding_response(data: bytes, transaction_id: bytes) -> MappedAddress:
    """The mapped address in the response to the request with ``transaction_id``.

    Raises :class:`StunError` for anything else: another transaction, a malformed or truncated
    message, an error response, a wrong fingerprint, no address.
    """
    if not HEADER_BYTES <= len(data) <= MAX_BYTES:
        raise StunError("not the length of a STUN message")
    kind, length, cookie = struct.unpack_from("!HHI", data)
    if cookie != MAGIC_COOKIE or length % 4 or length != len(data) - HEADER_BYTES:
        raise StunError("not a STUN message")
    if data[8:HEADER_BYTES] != transaction_id:
        raise StunError("a response to another request")
    attributes = _attributes(data)
    if kind == BINDING_ERROR:
        raise StunError(_refusal(attributes))
    if kind != BINDING_SUCCESS:
        raise StunError(f"not a binding response but a message of type {kind:#06x}")
    for name in attributes:
        if name < _COMPREHENSION_OPTIONAL and name not in _UNDERSTOOD:
            raise StunError(f"attribute {name:#06x} must be understood and is not")
    if XOR_MAPPED_ADDRESS in attributes:
        return _address(attributes[XOR_MAPPED_ADDRESS], data[4:HEADER_BYTES])
    if MAPPED_ADDRESS in attributes:
        return _address(attributes[MAPPED_ADDRESS], bytes(16))
    raise StunError("the response names no address")


def _attributes(data: bytes) -> dict[int, bytes]:
    """The first of each attribute; checks lengths and, where there is one, the fingerprint."""
    found: dict[int, bytes] = {}
    offset = HEADER_BYTES
    while offset < len(data):
        name, length = struct.unpack_from("!HH", data, offset)
        value = data[offset + 4 : offset + 4 + length]
        if len(value) != length:
            raise StunError("an attribute is longer than the message")
        found.setdefault(name, value)
        end = offset + 4 + length + -length % 4
        if name == FINGERPRINT:
            checksum = struct.pack("!I", zlib.crc32(data[:offset]) ^ _FINGERPRINT_XOR)
            if end != len(data) or value != checksum:
                raise StunError("wrong fingerprint")
        offset = end
    return found


def _address(value: bytes, key: bytes) -> MappedAddress:
    """Decode an address attribute; ``key`` is cookie and transaction id, or zeros."""
    if len(value) < 4:
        raise StunError("the address is too short")
    _, family, port = struct.unpack_from("!BBH", value)
    packed = bytes(left ^ right for left, right in zip(value[4:], key, strict=False))
    port ^= int.from_bytes(key[:2], "big")
    if family == _IPV4 and len(value) == 8:
        return MappedAddress(str(IPv4Address(packed)), port)
    if family == _IPV6 and len(value) == 20:
        return MappedAddress(str(IPv6Address(packed)), port)
    raise StunError("the address is of no known family")


def _refusal(attributes: dict[int, bytes]) -> str:
    value = attributes.get(ERROR_CODE, b"")
    if len(value) < 4:
        return "the server refused without saying why"
    code = (value[2] & 0x07) * 100 + value[3]
    reason = value[4:].decode("utf-8", "replace")[:80]
    return f"the server refused: {code} {reason}".rstrip()


def _packed(host: str) -> bytes:
    return (IPv6Address(host) if ":" in host else IPv4Address(host)).packed
