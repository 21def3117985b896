"""What does not change while an endpoint runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringback.sip.timers import Timers

MAX_SERVER_TRANSACTIONS = 20_000
"""Requests of peers that are remembered at once; beyond this a new one gets 503."""

_ALWAYS_ALLOWED = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "PRACK", "UPDATE")
_ALWAYS_SUPPORTED = ("100rel",)
_TRANSFER_METHODS = ("NOTIFY", "REFER")
_TRANSFER_TAGS = ("replaces", "norefersub")
_DEFAULT_SESSION_EXPIRES = 1800
_DEFAULT_MIN_SE = 90


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """``user_agent`` goes into User-Agent and Server. Requests of the methods in ``interests``
    (REFER, NOTIFY, SUBSCRIBE, MESSAGE, OPTIONS) are delivered instead of answered by themselves.
    ``info_types`` are the INFO bodies delivered; others get 415. ``supported`` are the option
    tags that the owner implements, beyond those that the endpoint does by itself (100rel, timer).
    ``transfers``: REFER within calls and Replaces are the owner's business (``ReferReceived``,
    ``IncomingInvite.replaced``); without it both are refused.
    ``session_expires`` is the session timer that we ask for in seconds (RFC 4028), 0 for none;
    ``min_se`` the shortest that we let a peer have."""

    user_agent: str = "Ringback"
    timers: Timers = field(default_factory=Timers)
    interests: frozenset[str] = frozenset()
    info_types: tuple[str, ...] = ("application/dtmf-relay", "application/dtmf")
    supported: tuple[str, ...] = ()
    transfers: bool = False
    session_expires: int = _DEFAULT_SESSION_EXPIRES
    min_se: int = _DEFAULT_MIN_SE
    max_server_transactions: int = MAX_SERVER_TRANSACTIONS
    overload_retry_after: int = 10

    @property
    def allow(self) -> str:
        """The value of Allow."""
        more = self.interests | (frozenset(_TRANSFER_METHODS) if self.transfers else frozenset())
        return ", ".join((*_ALWAYS_ALLOWED, *sorted(more.difference(_ALWAYS_ALLOWED))))

    @property
    def option_tags(self) -> tuple[str, ...]:
        """What Supported lists, and what a peer may put into Require."""
        timer = ("timer",) if self.session_expires else ()
        transfers = _TRANSFER_TAGS if self.transfers else ()
        return (*_ALWAYS_SUPPORTED, *timer, *transfers, *self.supported)

    @property
    def supports(self) -> str:
        """The value of Supported."""
        return ", ".join(self.option_tags)

    @property
    def accept(self) -> str:
        """The value of Accept."""
        return ", ".join(("application/sdp", *self.info_types))
