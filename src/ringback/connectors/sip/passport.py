"""What the Identity header of a caller claims (RFC 8224, RFC 8225, RFC 8588), not verified here.

Whoever wants to rely on it verifies the header that is passed along with the claims.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping

from ringback.sip.message import Request

MAX_TOKEN = 4096
"""Characters of an Identity header that are looked at."""
MAX_DEPTH = 8

_FROM_HEADER: tuple[str, ...] = ("alg", "ppt", "x5u")


def claims_of(request: Request) -> Mapping[str, object] | None:
    """The claims of the first PASSporT in ``request``: ``attest``, ``orig``, ``dest``, ``iat``,
    ``origid`` where it has them, and what its header says (``ppt``, ``x5u``, ``alg``).
    ``None`` without one, or where it cannot be read."""
    value = request.headers.get("Identity")
    if value is None or len(value) > MAX_TOKEN:
        return None
    parts = value.partition(";")[0].strip().strip('"').split(".")
    if len(parts) != 3 or not parts[1]:
        return None  # the compact form of RFC 8225 section 7 leaves the claims out
    header, claims = _object(parts[0]), _object(parts[1])
    if header is None or claims is None:
        return None
    about = {name: header[name] for name in _FROM_HEADER if name in header}
    return about | claims | {"verified": False}


def _object(encoded: str) -> dict[str, object] | None:
    try:
        text = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        found = json.loads(text)
    except (ValueError, binascii.Error, RecursionError):
        return None
    return found if isinstance(found, dict) and _depth(found) <= MAX_DEPTH else None


def _depth(value: object) -> int:
    """How deep it is nested, counted no further than it may be."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth
