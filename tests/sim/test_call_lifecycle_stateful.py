"""A call under random events: final states are final, it ends once, and hold is whose it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ringback.calls.live_call import CallFacts, LiveCall, advance, end, hold, inbound, outbound
from ringback.calls.states import CallEvent, CallState, Direction, HeldBy, Party
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason

START = datetime(2026, 3, 13, 10, 0, tzinfo=UTC)
MOVES = (CallEvent.REMOTE_RINGING, CallEvent.ANSWERED)


class CallLife(RuleBasedStateMachine):
    @initialize(direction=st.sampled_from(Direction))
    def begin(self, direction: Direction) -> None:
        facts = CallFacts("call_1", "acct_1", "sip", direction, "+331", "+332", START)
        self.call: LiveCall = inbound(facts) if direction is Direction.INBOUND else outbound(facts)
        self.seconds = 0
        self.holding = {Party.AGENT: False, Party.REMOTE: False}
        self.final: LiveCall | None = None
        self.states = [self.call.state]

    def _to(self, call: LiveCall) -> None:
        self.seconds += 1
        if call.state is not self.call.state:
            self.states.append(call.state)
        self.call = call

    @property
    def _at(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @rule(event=st.sampled_from(MOVES))
    def move(self, event: CallEvent) -> None:
        before = self.call
        self._to(advance(before, event, self._at))
        assert (self.call is before) or self.call.state is not before.state

    @rule(party=st.sampled_from(Party), held=st.booleans())
    def hold(self, party: Party, held: bool) -> None:
        if self.call.answered:
            self.holding[party] = held
        self._to(hold(self.call, party, held))

    @rule(reason=st.sampled_from(EndReason), code=st.sampled_from([None, 486, 200]))
    def end(self, reason: EndReason, code: int | None) -> None:
        self._to(end(self.call, Cause(reason, sip_code=code), self._at))
        assert self.call.final
        if self.final is None:
            self.final = self.call
            cause = self.call.cause
            assert cause is not None
            assert cause.reason is reason

    @invariant()
    def a_final_state_stays(self) -> None:
        final = getattr(self, "final", None)
        if final is None:
            return
        assert self.call.state is final.state
        assert self.call.ended_at == final.ended_at
        assert self.call.cause is not None
        assert self.call.cause.reason is final.cause.reason

    @invariant()
    def it_ends_once_and_never_goes_back(self) -> None:
        states = getattr(self, "states", [])
        assert sum(state.final for state in states) <= 1
        assert states.count(CallState.CONNECTING) <= 1
        assert states.count(CallState.RINGING) <= 1
        answered = [state for state in states if state in (CallState.ACTIVE, CallState.ON_HOLD)]
        if answered:
            assert CallState.RINGING not in states[states.index(answered[0]) :]

    @invariant()
    def it_is_on_hold_while_anybody_holds(self) -> None:
        call = getattr(self, "call", None)
        if call is None or not call.answered:
            return
        wanted = {
            (False, False): HeldBy.NOBODY,
            (True, False): HeldBy.AGENT,
            (False, True): HeldBy.REMOTE,
            (True, True): HeldBy.BOTH,
        }[self.holding[Party.AGENT], self.holding[Party.REMOTE]]
        assert call.held_by is wanted
        assert (call.state is CallState.ON_HOLD) == (wanted is not HeldBy.NOBODY)

    @invariant()
    def its_times_are_in_order(self) -> None:
        call = getattr(self, "call", None)
        if call is None:
            return
        times = [call.ringing_at, call.answered_at, call.ended_at]
        known = [moment for moment in times if moment is not None]
        assert known == sorted(known)
        assert (call.cause is not None) == call.final == (call.ended_at is not None)


TestCallLife = CallLife.TestCase
TestCallLife.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
