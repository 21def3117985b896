"""Where a 3xx says to go (RFC 3261 8.1.3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ringback.sip.errors import ParseError
from ringback.sip.message import Response
from ringback.sip.uri import Uri

MAX_TARGETS = 10
"""Contacts of one 3xx that are looked at."""


def redirect_targets(response: Response, tried: Sequence[Uri]) -> tuple[Uri, ...]:
    """The Contacts to try, by falling ``q``, without those that were tried and what is no SIP
    or tel URI. Nothing if the header cannot be read."""
    try:
        contacts = response.contacts
    except ParseError:
        return ()
    if not isinstance(contacts, list):
        return ()
    weighted = [(_weight(contact.params.get("q")), contact.uri) for contact in contacts]
    weighted.sort(key=lambda entry: -entry[0])
    targets: list[Uri] = []
    for _, uri in weighted[:MAX_TARGETS]:
        target = replace(uri, headers=())
        known = any(target.equivalent(other) for other in (*tried, *targets))
        if not known and (uri.is_sip or uri.scheme == "tel"):
            targets.append(target)
    return tuple(targets)


def _weight(q: str | None) -> float:
    try:
        value = float(q) if q is not None else 1.0
    except ValueError:
        return 1.0
    return value if 0.0 <= value <= 1.0 else 1.0
