"""Two offer/answer machines: whatever order offers, answers, refusals and rollbacks come in, they
never disagree about an exchange that was completed (RFC 3264)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ringback.sip.audio_stream import LocalMedia
from ringback.sip.offer_answer import NegotiationState, NotAcceptable, OfferAnswer, StateError
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import PCMA, PCMU, Codec, Direction

OPUS = Codec("opus", 48000, 2)
G722 = Codec("G722", 8000)
CODECS = st.lists(
    st.sampled_from([OPUS, G722, PCMA, PCMU]), min_size=1, max_size=4, unique_by=lambda c: c.name
).map(tuple)
SIDES = st.sampled_from([0, 1])


class TwoMachines(RuleBasedStateMachine):
    @initialize(codecs=st.tuples(CODECS, CODECS), prefer=st.tuples(st.booleans(), st.booleans()))
    def begin(self, codecs: tuple[tuple[Codec, ...], ...], prefer: tuple[bool, bool]) -> None:
        self.machines = [
            OfferAnswer(
                LocalMedia(f"192.0.2.{n}", 4000, codecs=codecs[n], prefer_local=prefer[n]), n
            )
            for n in (0, 1)
        ]
        self.offers: dict[int, bytes] = {}
        """Under way or under consideration, by who made them."""
        self.exchanges = 0

    @rule(side=SIDES, direction=st.sampled_from([None, *Direction]))
    def offer(self, side: int, direction: Direction | None) -> None:
        machine = self.machines[side]
        if machine.state in (NegotiationState.LOCAL_OFFER, NegotiationState.REMOTE_OFFER):
            before = machine.negotiated
            try:
                machine.offer(direction=direction)
            except StateError:
                assert machine.negotiated == before
            else:
                raise AssertionError("two offers at once")
            return
        self.offers[side] = bytes(machine.offer(direction=direction))

    @precondition(lambda self: self.offers)
    @rule(accept=st.booleans(), data=st.data())
    def meet(self, accept: bool, data: st.DataObject) -> None:
        """An offer arrives: answered, refused, or glare."""
        side = data.draw(st.sampled_from(sorted(self.offers)))
        ours, theirs = self.machines[side], self.machines[1 - side]
        offer = SessionDescription.parse(self.offers.pop(side))
        if theirs.state is NegotiationState.LOCAL_OFFER:
            try:
                theirs.receive_offer(offer)
            except StateError:
                ours.rollback()  # 491
                return
            raise AssertionError("glare was not seen")
        before = theirs.negotiated
        try:
            theirs.receive_offer(offer)
            if not accept:
                theirs.rollback()
            else:
                answer = SessionDescription.parse(bytes(theirs.answer()))
        except NotAcceptable:
            accept = False
        if not accept:
            if theirs.state is NegotiationState.REMOTE_OFFER:
                theirs.rollback()
            ours.rollback()
            assert theirs.negotiated == before
            return
        ours.receive_answer(answer)
        self.exchanges += 1
        self._agree()

    def _agree(self) -> None:
        first, second = (machine.negotiated for machine in self.machines)
        assert first is not None
        assert second is not None
        assert first.codec == second.codec
        assert first.clock_rate == second.clock_rate
        assert (first.send, first.receive) == (second.receive, second.send)
        assert first.payload_type in {f.payload_type for f in second.receive_formats}
        assert second.payload_type in {f.payload_type for f in first.receive_formats}

    @invariant()
    def descriptions_of_one_side_only_grow_in_version(self) -> None:
        for machine in getattr(self, "machines", []):
            said = machine.local_description
            if said is not None:
                assert bytes(SessionDescription.parse(bytes(said))) == bytes(said)

    @invariant()
    def between_exchanges_they_agree(self) -> None:
        machines = getattr(self, "machines", [])
        if machines and self.exchanges and not self.offers:
            assert all(machine.state is NegotiationState.STABLE for machine in machines)
            self._agree()


TestTwoMachines = TwoMachines.TestCase
TestTwoMachines.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
