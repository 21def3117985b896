"""One call as it lives: what is fixed about it, where it stands, and how one event moves it.

Everything here is pure. ``advance`` is the reducer over ``states.TRANSITIONS``; it also keeps the
times and the cause, so that a call ends exactly once and with one reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ringback.calls.states import (
    HOLDING,
    TRANSITIONS,
    CallEvent,
    CallState,
    Direction,
    HeldBy,
    Party,
)
from ringback.calls.transfer import Transfer
from ringback.connectors.contract import Capability, Cause
from ringback.core.end_reason import EndReason


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What never changes about a call.

    ``target`` is what an outbound call was asked for (``meeting_url``), empty for an inbound one.
    ``hosted`` says that Ringback's own pipeline is the agent.
    """

    call_id: str
    account_id: str
    platform: str
    direction: Direction
    caller: str
    callee: str
    created_at: datetime
    caller_name: str = ""
    target: str = ""
    agent_id: str | None = None
    agent_name: str = ""
    hosted: bool = False
    phone_number_id: str | None = None
    trunk_id: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    sample_rate: int = 8000
    transcripts: bool = True
    recording: str | None = None
    """Path of the recording, relative to the data directory, or ``None`` for no recording."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """``X-`` and other headers that came with the call, or were sent with it."""
    identity: Mapping[str, object] | None = None
    """What the caller's STIR/SHAKEN token claims, not verified here."""
    parent_call_id: str | None = None
    """The call for whose transfer or conference this one was placed."""


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call and its present state. ``cause`` is set exactly when ``state`` is final."""

    facts: CallFacts
    state: CallState
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    cause: Cause | None = None
    held_by: HeldBy = HeldBy.NOBODY
    conference_id: str | None = None
    """The call in whose room it is; its own id for the one that the room belongs to."""
    remote: str = ""
    """The number or name at the far end now, where that changed; empty: as in the facts."""
    remote_name: str = ""
    transfers: tuple[Transfer, ...] = ()

    @property
    def call_id(self) -> str:
        return self.facts.call_id

    @property
    def final(self) -> bool:
        return self.state.final

    @property
    def answered(self) -> bool:
        """Answered and not over."""
        return self.state in (CallState.ACTIVE, CallState.ON_HOLD)

    @property
    def person(self) -> str:
        """The number or name of the person at the far end now."""
        facts = self.facts
        first = facts.caller if facts.direction is Direction.INBOUND else facts.callee
        return self.remote or first

    @property
    def person_name(self) -> str:
        if self.remote or self.facts.direction is Direction.OUTBOUND:
            return self.remote_name
        return self.facts.caller_name


def inbound(facts: CallFacts) -> LiveCall:
    """A call that somebody places to us: it rings from its first moment."""
    return LiveCall(facts, CallState.RINGING, ringing_at=facts.created_at)


def outbound(facts: CallFacts) -> LiveCall:
    """A call that we place: ``connecting`` until the far end says more."""
    return LiveCall(facts, CallState.CONNECTING)


def advance(call: LiveCall, event: CallEvent, at: datetime) -> LiveCall:
    """The call after ``event``; the same object where the event means nothing now.

    For events that end a call use :func:`end`, which also needs the cause.
    """
    state = TRANSITIONS.get((call.state, event))
    if state is None or state is call.state:
        return call
    if state.final:
        raise ValueError(f"{event} ends a call: it needs a cause")
    return replace(
        call,
        state=state,
        ringing_at=at if state is CallState.RINGING else call.ringing_at,
        answered_at=at if event is CallEvent.ANSWERED else call.answered_at,
    )


def hold(call: LiveCall, party: Party, held: bool) -> LiveCall:
    """The call after ``party`` began or ended its hold; the same object where that changes
    nothing, or the call is not answered."""
    held_by = HOLDING.get((call.held_by, party, held))
    if held_by is None or not call.answered:
        return call
    on_hold = held_by is not HeldBy.NOBODY
    state = TRANSITIONS.get((call.state, CallEvent.HELD if on_hold else CallEvent.RESUMED))
    return replace(call, held_by=held_by, state=state or call.state)


def end(call: LiveCall, cause: Cause, at: datetime) -> LiveCall:
    """The call, over because of ``cause``.

    A call that is over stays as it ended. Only the network's codes are completed from the leg's
    own report, where we ended the call before the leg did (a BYE or CANCEL of ours).
    """
    if call.cause is not None:
        return _complete(call, call.cause, cause)
    state = TRANSITIONS[call.state, ending_event(call, cause.reason)]
    return replace(call, state=state, ended_at=at, cause=cause)


def _complete(call: LiveCall, known: Cause, report: Cause) -> LiveCall:
    if known.sip_code is not None or known.q850 is not None or known.reason is not report.reason:
        return call
    completed = replace(
        known, sip_code=report.sip_code, q850=report.q850, text=known.text or report.text
    )
    return call if completed == known else replace(call, cause=completed)


_ENDING: dict[EndReason, CallEvent] = {
    EndReason.UNANSWERED: CallEvent.UNANSWERED,
    EndReason.CALLER_CANCELLED: CallEvent.UNANSWERED,
    EndReason.REFUSED: CallEvent.REFUSED,
    EndReason.BUSY: CallEvent.REJECTED,
    EndReason.DECLINED: CallEvent.REJECTED,
    EndReason.NO_ANSWER: CallEvent.REJECTED,
    EndReason.CANCELLED: CallEvent.REJECTED,
    EndReason.INVALID_NUMBER: CallEvent.REJECTED,
    EndReason.UNAVAILABLE: CallEvent.REJECTED,
    EndReason.NETWORK_ERROR: CallEvent.REJECTED,
    EndReason.NOT_ALLOWED: CallEvent.REJECTED,
    EndReason.CODEC_MISMATCH: CallEvent.REJECTED,
    EndReason.INTERNAL_ERROR: CallEvent.BROKEN,
    EndReason.BRIDGE_DISCONNECTED: CallEvent.BRIDGE_LOST,
}
"""Which event a reason is; every other reason is a conversation that was hung up."""


def ending_event(call: LiveCall, reason: EndReason) -> CallEvent:
    """The event that ``reason`` is for a call in this state (one of ``TRANSITIONS``).

    A reason that makes no sense here (a busy signal on an answered call) still ends the call:
    as a hang-up. A lost bridge before the answer is a failure, since there was nothing to resume.
    """
    event = _ENDING.get(reason, CallEvent.HUNG_UP)
    if event is CallEvent.UNANSWERED and call.facts.direction is Direction.OUTBOUND:
        event = CallEvent.REJECTED
    if (call.state, event) in TRANSITIONS:
        return event
    return CallEvent.BROKEN if event is CallEvent.BRIDGE_LOST else CallEvent.HUNG_UP
