"""A STUN response, to the transaction that its own bytes name."""

from __future__ import annotations

from ringback.net.stun_message import (
    HEADER_BYTES,
    StunError,
    binding_success,
    parse_binding_response,
)
from ringback_fuzz.targets import require


def run(data: bytes) -> None:
    ours = data[8:HEADER_BYTES].ljust(12, b"\0")
    for transaction in (ours, b"another one!"):
        try:
            mapped = parse_binding_response(data, transaction)
        except StunError as error:
            str(error)
            continue
        again = parse_binding_response(binding_success(ours, mapped), ours)
        require(again == mapped, "an address changes when it is written")
