"""Which header fields pass between an agent and the far end.

In come ``X-…``, Diversion (RFC 5806), History-Info (RFC 7044) and Identity (RFC 8224); out go
``X-…`` alone. Both ways bounded in number and length; what does not fit is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ringback.sip.errors import SipError
from ringback.sip.header_map import Headers
from ringback.sip.message import Request

MAX_PASSED_HEADERS = 20
MAX_PASSED_HEADER_LENGTH = 512
MAX_IDENTITY_LENGTH = 4096
"""Characters of an Identity header: a signed token is longer than other fields."""

_IN = re.compile(r"(?i)(x-[a-z0-9-]{1,64}|diversion|history-info)$")
_OUT = re.compile(r"(?i)x-[a-z0-9-]{1,64}$")


def received_headers(request: Request) -> dict[str, str]:
    """Those an agent may see; of a repeated one the first."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        if len(found) == MAX_PASSED_HEADERS:
            break
        if _IN.match(name) and len(value) <= MAX_PASSED_HEADER_LENGTH:
            found.setdefault(name, value)
        elif name == "Identity" and len(value) <= MAX_IDENTITY_LENGTH:
            found.setdefault(name, value)
    return found


def sent_headers(wanted: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those of ``wanted`` that go into our INVITE."""
    kept: list[tuple[str, str]] = []
    for name, value in wanted.items():
        if len(kept) == MAX_PASSED_HEADERS:
            break
        if _OUT.match(name) and len(value) <= MAX_PASSED_HEADER_LENGTH and _is_safe(name, value):
            kept.append((name, value))
    return tuple(kept)


def _is_safe(name: str, value: str) -> bool:
    try:
        Headers(((name, value),))
    except SipError:
        return False
    return True
