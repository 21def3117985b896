"""How a worker and its node talk over two pipes: a JSON header and bytes, both length-prefixed."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

PREFIX = struct.Struct("!II")
"""Bytes of the header, bytes of the payload."""
MAX_HEADER = 65_536
MAX_PAYLOAD = 16 * 1024 * 1024

Header = dict[str, object]


class FrameError(ValueError):
    """The pipe does not carry this protocol."""


def encode(header: Mapping[str, object], payload: bytes = b"") -> bytes:
    """Raises :class:`FrameError` when a part is over its limit."""
    head = json.dumps(header).encode()
    check_sizes(len(head), len(payload))
    return PREFIX.pack(len(head), len(payload)) + head + payload


def check_sizes(header: int, payload: int) -> None:
    if header > MAX_HEADER or payload > MAX_PAYLOAD:
        raise FrameError(f"a frame of {header} + {payload} bytes is over the limit")


def decode_header(data: bytes) -> Header:
    """Raises :class:`FrameError`."""
    try:
        header = json.loads(data)
    except ValueError as error:
        raise FrameError(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FrameError("the header is not an object")
    return header
