"""The life of a call: its states and which step may follow which.

Everything that decides a transition lives in ``TRANSITIONS``; the diagram in the docs is drawn
from it. States and words are those of the public API.
"""

from __future__ import annotations

from enum import StrEnum


class CallState(StrEnum):
    CONNECTING = "connecting"
    RINGING = "ringing"
    ACTIVE = "active"
    ON_HOLD = "on_hold"
    ENDED = "ended"
    MISSED = "missed"
    REFUSED = "refused"
    FAILED = "failed"
    DISCONNECTED = "disconnected"

    @property
    def final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset(
    {
        CallState.ENDED,
        CallState.MISSED,
        CallState.REFUSED,
        CallState.FAILED,
        CallState.DISCONNECTED,
    }
)


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Party(StrEnum):
    """Who can hold a call: our side (an agent, or the API for it) or the person's."""

    AGENT = "agent"
    REMOTE = "remote"


class HeldBy(StrEnum):
    NOBODY = "nobody"
    AGENT = "agent"
    REMOTE = "remote"
    BOTH = "both"


class CallEvent(StrEnum):
    """What moves a call from one state to the next."""

    REMOTE_RINGING = "remote_ringing"
    ANSWERED = "answered"
    HELD = "held"
    RESUMED = "resumed"
    HUNG_UP = "hung_up"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    REJECTED = "rejected"
    BROKEN = "broken"
    BRIDGE_LOST = "bridge_lost"


_S = CallState
_E = CallEvent

TRANSITIONS: dict[tuple[CallState, CallEvent], CallState] = {
    (_S.CONNECTING, _E.REMOTE_RINGING): _S.RINGING,
    (_S.CONNECTING, _E.ANSWERED): _S.ACTIVE,
    (_S.CONNECTING, _E.HUNG_UP): _S.ENDED,
    (_S.CONNECTING, _E.REJECTED): _S.ENDED,
    (_S.CONNECTING, _E.UNANSWERED): _S.ENDED,
    (_S.CONNECTING, _E.BROKEN): _S.FAILED,
    (_S.RINGING, _E.REMOTE_RINGING): _S.RINGING,
    (_S.RINGING, _E.ANSWERED): _S.ACTIVE,
    (_S.RINGING, _E.HUNG_UP): _S.ENDED,
    (_S.RINGING, _E.REJECTED): _S.ENDED,
    (_S.RINGING, _E.UNANSWERED): _S.MISSED,
    (_S.RINGING, _E.REFUSED): _S.REFUSED,
    (_S.RINGING, _E.BROKEN): _S.FAILED,
    (_S.ACTIVE, _E.HELD): _S.ON_HOLD,
    (_S.ACTIVE, _E.HUNG_UP): _S.ENDED,
    (_S.ACTIVE, _E.BROKEN): _S.FAILED,
    (_S.ACTIVE, _E.BRIDGE_LOST): _S.DISCONNECTED,
    (_S.ON_HOLD, _E.RESUMED): _S.ACTIVE,
    (_S.ON_HOLD, _E.HUNG_UP): _S.ENDED,
    (_S.ON_HOLD, _E.BROKEN): _S.FAILED,
    (_S.ON_HOLD, _E.BRIDGE_LOST): _S.DISCONNECTED,
}


HOLDING: dict[tuple[HeldBy, Party, bool], HeldBy] = {
    (HeldBy.NOBODY, Party.AGENT, True): HeldBy.AGENT,
    (HeldBy.NOBODY, Party.REMOTE, True): HeldBy.REMOTE,
    (HeldBy.AGENT, Party.REMOTE, True): HeldBy.BOTH,
    (HeldBy.AGENT, Party.AGENT, False): HeldBy.NOBODY,
    (HeldBy.REMOTE, Party.AGENT, True): HeldBy.BOTH,
    (HeldBy.REMOTE, Party.REMOTE, False): HeldBy.NOBODY,
    (HeldBy.BOTH, Party.AGENT, False): HeldBy.REMOTE,
    (HeldBy.BOTH, Party.REMOTE, False): HeldBy.AGENT,
}
"""Who holds after a party begins (``True``) or ends its hold; what is missing changes nothing. The
call is ``on_hold`` while anybody holds."""


def next_state(state: CallState, event: CallEvent) -> CallState | None:
    """The state after ``event``, or ``None`` where it means nothing (a late or double one)."""
    return TRANSITIONS.get((state, event))
