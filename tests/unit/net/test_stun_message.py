from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.net.stun_message import (
    MAGIC_COOKIE,
    MappedAddress,
    StunError,
    binding_request,
    binding_success,
    parse_binding_response,
)

ID = bytes(range(12))

# The sample IPv4 and IPv6 responses of RFC 5769 2.2 and 2.3 describe 192.0.2.1:32853 and
# [2001:db8:1234:5678:11:2233:4455:6677]:32853 under this transaction id.
RFC5769_ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
RFC5769_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
RFC5769_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf1"
    "1784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def message(kind: int, *attributes: tuple[int, bytes], transaction_id: bytes = ID) -> bytes:
    body = b"".join(
        struct.pack("!HH", name, len(value)) + value + b"\0" * (-len(value) % 4)
        for name, value in attributes
    )
    return struct.pack("!HHI", kind, len(body), MAGIC_COOKIE) + transaction_id + body


def test_a_request_is_a_bare_header() -> None:
    assert binding_request(ID) == bytes.fromhex("000100002112a442") + ID
    with pytest.raises(ValueError, match="12 bytes"):
        binding_request(b"short")


def test_the_sample_responses_of_rfc5769_are_read() -> None:
    assert parse_binding_response(RFC5769_IPV4, RFC5769_ID) == MappedAddress("192.0.2.1", 32853)
    assert parse_binding_response(RFC5769_IPV6, RFC5769_ID) == MappedAddress(
        "2001:db8:1234:5678:11:2233:4455:6677", 32853
    )


def test_a_wrong_fingerprint_is_refused() -> None:
    with pytest.raises(StunError, match="fingerprint"):
        parse_binding_response(RFC5769_IPV4[:-1] + b"\0", RFC5769_ID)


def test_a_fingerprint_must_be_last() -> None:
    plain = message(0x0101)
    fingerprint = struct.pack("!I", zlib.crc32(plain) ^ 0x5354554E)
    with pytest.raises(StunError, match="fingerprint"):
        parse_binding_response(message(0x0101, (0x8028, fingerprint), (0x8022, b"")), ID)


def test_an_old_server_with_a_plain_mapped_address_is_understood() -> None:
    value = b"\0\x01" + struct.pack("!H", 4242) + bytes((198, 51, 100, 9))
    data = message(0x0101, (0x0004, bytes(8)), (0x0001, value))
    assert parse_binding_response(data, ID) == MappedAddress("198.51.100.9", 4242)


def test_the_xored_address_wins_over_the_plain_one() -> None:
    plain = b"\0\x01" + struct.pack("!H", 1) + bytes(4)
    success = binding_success(ID, MappedAddress("203.0.113.4", 5))
    data = message(0x0101, (0x0001, plain), (0x0020, success[24:]))
    assert parse_binding_response(data, ID) == MappedAddress("203.0.113.4", 5)


def test_a_response_to_another_request_is_refused() -> None:
    data = binding_success(bytes(12), MappedAddress("203.0.113.4", 5))
    with pytest.raises(StunError, match="another request"):
        parse_binding_response(data, ID)


def test_a_refusal_is_told_in_the_servers_words() -> None:
    value = b"\0\0\x04\x14Unknown Attribute"
    with pytest.raises(StunError, match="420 Unknown Attribute"):
        parse_binding_response(message(0x0111, (0x0009, value)), ID)
    with pytest.raises(StunError, match="refused"):
        parse_binding_response(message(0x0111), ID)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "length"),
        (bytes(19), "length"),
        (bytes(1501), "length"),
        (bytes(20), "not a STUN message"),
        (struct.pack("!HHI", 0x0101, 4, MAGIC_COOKIE) + ID, "not a STUN message"),
        (struct.pack("!HHI", 0x0101, 3, MAGIC_COOKIE) + ID + b"abc", "not a STUN message"),
        (message(0x0101), "no address"),
        (message(0x0001), "not a binding response"),
        (message(0x0101, (0x0020, b"\0\x01\0")), "too short"),
        (message(0x0101, (0x0020, b"\0\x01" + bytes(18))), "family"),
        (message(0x0101, (0x0020, b"\0\x03" + bytes(6))), "family"),
        (message(0x0101, (0x7ABC, b"")), "must be understood"),
        (
            struct.pack("!HHI", 0x0101, 4, MAGIC_COOKIE) + ID + struct.pack("!HH", 0x0020, 8),
            "longer than the message",
        ),
    ],
)
def test_what_is_no_proper_response_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(StunError, match=why):
        parse_binding_response(data, ID)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(min_size=12, max_size=12))
def test_every_address_survives_writing_and_reading(
    address: object, port: int, transaction_id: bytes
) -> None:
    mapped = MappedAddress(str(address), port)
    data = binding_success(transaction_id, mapped)
    assert parse_binding_response(data, transaction_id) == mapped


@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_nothing_but_stun_errors(tail: bytes) -> None:
    header = struct.pack("!HHI", 0x0101, len(tail), MAGIC_COOKIE) + ID
    for data in (tail, header + tail):
        try:
            parse_binding_response(data, ID)
        except StunError:
            continue
