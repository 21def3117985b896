"""Serial number arithmetic (RFC 1982) for the wrapping counters of RTP."""

from __future__ import annotations


def sequence_delta(later: int, earlier: int) -> int:
    """How far ``later`` is ahead of ``earlier``: -32768 to 32767."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def timestamp_delta(later: int, earlier: int) -> int:
    """How far ``later`` is ahead of ``earlier``: -2**31 to 2**31 - 1."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000
