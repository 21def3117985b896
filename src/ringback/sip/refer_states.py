"""The two ends of a transfer by REFER. Everything that decides a transition is in two tables.

``ASKER`` is the one that sent the REFER (the transferor), ``FOLLOWER`` the one that got it and
calls somebody else (the transferee).
"""

from __future__ import annotations

from enum import StrEnum


class ReferStage(StrEnum):
    """What is told to the owner of a REFER of ours."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    """The status is that of the response to the REFER."""
    PROGRESS = "progress"
    """The status is that of the new call, as the far end tells it."""
    DONE = "done"
    """No more will be heard: the status is the last that was told of the new call, 202 where
    nothing was."""


class AskerState(StrEnum):
    ASKED = "asked"
    """REFER sent, no final response."""
    SUBSCRIBED = "subscribed"
    """It was accepted, or a NOTIFY has overtaken the response."""
    DECIDED = "decided"
    """A NOTIFY brought a final status; the subscription may still be there."""
    OVER = "over"


class AskerInput(StrEnum):
    ACCEPTED = "accepted"
    ACCEPTED_SILENTLY = "accepted_silently"
    """Accepted without a subscription (RFC 4488): nothing more will be heard."""
    REFUSED = "refused"
    PROGRESS = "progress"
    RESULT = "result"
    TERMINATED = "terminated"
    TIMEOUT = "timeout"


_A = AskerState
_I = AskerInput

ASKER: dict[tuple[AskerState, AskerInput], AskerState] = {
    (_A.ASKED, _I.ACCEPTED): _A.SUBSCRIBED,
    (_A.ASKED, _I.ACCEPTED_SILENTLY): _A.OVER,
    (_A.ASKED, _I.REFUSED): _A.OVER,
    (_A.ASKED, _I.PROGRESS): _A.SUBSCRIBED,
    (_A.ASKED, _I.RESULT): _A.DECIDED,
    (_A.ASKED, _I.TERMINATED): _A.OVER,
    (_A.SUBSCRIBED, _I.ACCEPTED): _A.SUBSCRIBED,
    (_A.SUBSCRIBED, _I.ACCEPTED_SILENTLY): _A.SUBSCRIBED,
    (_A.SUBSCRIBED, _I.REFUSED): _A.OVER,
    (_A.SUBSCRIBED, _I.PROGRESS): _A.SUBSCRIBED,
    (_A.SUBSCRIBED, _I.RESULT): _A.DECIDED,
    (_A.SUBSCRIBED, _I.TERMINATED): _A.OVER,
    (_A.SUBSCRIBED, _I.TIMEOUT): _A.OVER,
    (_A.DECIDED, _I.ACCEPTED): _A.DECIDED,
    (_A.DECIDED, _I.PROGRESS): _A.DECIDED,
    (_A.DECIDED, _I.RESULT): _A.DECIDED,
    (_A.DECIDED, _I.TERMINATED): _A.OVER,
    (_A.DECIDED, _I.TIMEOUT): _A.OVER,
}


class FollowerState(StrEnum):
    REQUESTED = "requested"
    """REFER received; the owner has not said whether it will be followed."""
    FOLLOWING = "following"
    """Accepted; NOTIFYs go out."""
    FOLLOWING_SILENTLY = "following_silently"
    """Accepted, and nobody listens: not wanted (RFC 4488), unsubscribed, or gone."""
    OVER = "over"


class FollowerInput(StrEnum):
    ACCEPT = "accept"
    ACCEPT_SILENTLY = "accept_silently"
    REFUSE = "refuse"
    PROGRESS = "progress"
    RESULT = "result"
    UNSUBSCRIBED = "unsubscribed"
    """SUBSCRIBE with Expires 0, a NOTIFY that got 481, or the subscription's time ran out."""
    SESSION_OVER = "session_over"


_F = FollowerState
_J = FollowerInput

FOLLOWER: dict[tuple[FollowerState, FollowerInput], FollowerState] = {
    (_F.REQUESTED, _J.ACCEPT): _F.FOLLOWING,
    (_F.REQUESTED, _J.ACCEPT_SILENTLY): _F.FOLLOWING_SILENTLY,
    (_F.REQUESTED, _J.REFUSE): _F.OVER,
    (_F.FOLLOWING, _J.PROGRESS): _F.FOLLOWING,
    (_F.FOLLOWING, _J.RESULT): _F.OVER,
    (_F.FOLLOWING, _J.UNSUBSCRIBED): _F.FOLLOWING_SILENTLY,
    (_F.FOLLOWING, _J.SESSION_OVER): _F.FOLLOWING_SILENTLY,
    (_F.FOLLOWING_SILENTLY, _J.PROGRESS): _F.FOLLOWING_SILENTLY,
    (_F.FOLLOWING_SILENTLY, _J.RESULT): _F.OVER,
    (_F.FOLLOWING_SILENTLY, _J.SESSION_OVER): _F.FOLLOWING_SILENTLY,
}
