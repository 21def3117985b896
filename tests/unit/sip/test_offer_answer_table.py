"""Every order of offers and answers, and two machines against each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.sip.offer_answer import (
    TRANSITIONS,
    MediaAddress,
    NegotiationState,
    NotAcceptable,
    OfferAnswer,
    StateError,
    Step,
)
from ringback.sip.sdp_values import G722, PCMA, PCMU, Codec, Direction
from unit.sip.sdp_peers import LOCAL, OPUS, PEER, machine, sdp, wire


def perform(oa: OfferAnswer, step: Step) -> None:
    match step:
        case Step.SEND_OFFER:
            oa.offer()
        case Step.RECEIVE_OFFER:
            oa.receive_offer(sdp())
        case Step.SEND_ANSWER:
            oa.answer()
        case Step.RECEIVE_ANSWER:
            oa.receive_answer(sdp())
        case Step.ROLLBACK:
            oa.rollback()


@given(st.lists(st.sampled_from(list(Step)), max_size=12))
def test_every_order_of_steps_follows_the_table(steps: list[Step]) -> None:
    oa = machine()
    offered_last = False
    for step in steps:
        state = oa.state
        allowed = (state, step) in TRANSITIONS
        if (state, step) == (NegotiationState.STABLE, Step.RECEIVE_ANSWER):
            allowed = offered_last
        if not allowed:
            with pytest.raises(StateError):
                perform(oa, step)
            assert oa.state is state
            continue
        perform(oa, step)
        after = TRANSITIONS[state, step]
        if after is not None:
            assert oa.state is after
        else:
            assert oa.state in (NegotiationState.NO_SDP, NegotiationState.STABLE)
        assert (oa.state is NegotiationState.STABLE) <= (oa.negotiated is not None)
        if oa.state is NegotiationState.STABLE and step is not Step.ROLLBACK:
            offered_last = step is Step.RECEIVE_ANSWER


codec_lists = st.lists(
    st.sampled_from([PCMA, PCMU, G722, OPUS, Codec("L16", 16000)]),
    min_size=1,
    unique_by=lambda codec: codec.key,
).map(tuple)


@given(codec_lists, codec_lists, st.booleans(), st.sampled_from(list(Direction)))
def test_two_machines_always_agree_with_each_other(
    ours: tuple[Codec, ...], theirs: tuple[Codec, ...], prefer: bool, direction: Direction
) -> None:
    us = machine(replace(LOCAL, codecs=ours))
    them = machine(replace(PEER, codecs=theirs, prefer_local=prefer), 7)
    offer = wire(us.offer(direction=direction))
    common = [codec for codec in ours if codec in theirs]
    if not common:
        with pytest.raises(NotAcceptable):
            them.receive_offer(offer)
        return
    them.receive_offer(offer)
    mine = us.receive_answer(wire(them.answer()))
    peer = them.negotiated
    assert peer is not None
    assert (mine.codec, mine.payload_type) == (peer.codec, peer.payload_type)
    assert mine.codec == (next(c for c in theirs if c in common) if prefer else common[0]).name
    assert mine.dtmf_payload_type == peer.dtmf_payload_type is not None
    assert (mine.send, mine.receive) == (peer.receive, peer.send)
    assert mine.remote == MediaAddress(PEER.host, PEER.port)
    assert peer.remote == MediaAddress(LOCAL.host, LOCAL.port)
