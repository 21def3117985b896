"""How a client answers 401 and 407 (RFC 3261 section 22): once per realm, once more if stale."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """``username`` is the authentication user, which need not be the SIP user. ``realm`` limits
    them to one realm; ``None`` gives them to whoever challenges."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None
