"""Bounds on what one SIP message may cost us; each has its own error in ``errors.py``."""

from __future__ import annotations

MAX_HEADER_BYTES = 32 * 1024
"""Start line and all header fields together."""

MAX_HEADER_LINE_BYTES = 8 * 1024
"""The start line, or one header field with its continuation lines."""

MAX_HEADER_COUNT = 200
"""Header fields in one message."""

MAX_BODY_BYTES = 256 * 1024

MAX_VIA_COUNT = 70
"""Via values; the default of Max-Forwards (RFC 3261 8.1.1.6)."""

MAX_LEADING_BLANK_BYTES = 64
"""CR and LF skipped before the start line of a datagram (RFC 3261 7.5)."""
