"""Hold and resume: who holds, what the person hears, and a far end that does not play along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.calls import live_call
from ringback.calls.assembly import CallLimits
from ringback.calls.live_call import CallFacts
from ringback.calls.states import CallEvent, CallState, Direction, HeldBy, Party
from ringback.core.errors import Conflict, UpstreamFailed
from unit.calls.fakes import ACCOUNT, START, CallLab
from unit.calls.scenario import active_call, run

REFUSED = UpstreamFailed("The far end answered 488.", code="hold_refused")


def holders(lab: CallLab) -> list[tuple[str, str | None]]:
    states = [event for event in lab.events() if event["type"] == "call_state"]
    return [(event["state"], event["held_by"]) for event in states]


def media(lab: CallLab) -> list[tuple[Any, ...]]:
    return [command for command in lab.plane.commands if command[0] in ("hold", "resume")]


@pytest.mark.requirement("media.music-on-hold")
@pytest.mark.requirement("call.local-hold")
def test_a_held_person_hears_the_music_of_the_node_and_the_far_end_is_told(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        leg, holding = lab.connector.legs[0], lab.control.service.holding
        held = await holding.hold(ACCOUNT, call_id)
        assert (held.call.state, held.call.held_by) == (CallState.ON_HOLD, HeldBy.AGENT)
        back = await holding.resume(ACCOUNT, call_id)
        assert (back.call.state, back.call.held_by) == (CallState.ACTIVE, HeldBy.NOBODY)
        assert leg.told == ["accept", "hold", "resume"]
        assert media(lab) == [("hold", call_id, "/music.wav"), ("resume", call_id)]
        assert holders(lab) == [("active", None), ("on_hold", "agent"), ("active", None)]

    run(tmp_path, scenario, limits=CallLimits(hold_music="/music.wav"))


@pytest.mark.requirement("media.music-on-hold")
def test_a_person_may_wait_in_silence(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await lab.control.service.holding.hold(ACCOUNT, call_id, music=False)
        await lab.control.service.holding.hold(ACCOUNT, call_id)
        assert media(lab) == [("hold", call_id, ""), ("hold", call_id, None)]
        assert lab.connector.legs[0].told == ["accept", "hold"]

    run(tmp_path, scenario)


def test_a_far_end_that_refuses_to_be_held_hears_the_music_all_the_same(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        leg, holding = lab.connector.legs[0], lab.control.service.holding
        leg.failing = REFUSED
        held = await holding.hold(ACCOUNT, call_id)
        assert held.call.state is CallState.ON_HOLD
        leg.failing = None
        await holding.resume(ACCOUNT, call_id)
        assert leg.told == ["accept", "hold"]
        assert media(lab)[-1] == ("resume", call_id)

    run(tmp_path, scenario)


def test_a_far_end_that_refuses_to_go_on_is_still_held(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        leg, holding = lab.connector.legs[0], lab.control.service.holding
        await holding.hold(ACCOUNT, call_id)
        leg.failing = REFUSED
        with pytest.raises(UpstreamFailed):
            await holding.resume(ACCOUNT, call_id)
        assert holders(lab)[-1] == ("on_hold", "agent")
        leg.failing = None
        await holding.resume(ACCOUNT, call_id)
        assert holders(lab)[-1] == ("active", None)

    run(tmp_path, scenario)


def test_the_call_is_active_only_when_nobody_holds(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        service = lab.control.service
        await service.holding.hold(ACCOUNT, call_id)
        service.sink.leg_held(call_id, True)
        await service.holding.resume(ACCOUNT, call_id)
        with pytest.raises(Conflict) as refused:
            await service.holding.resume(ACCOUNT, call_id)
        assert refused.value.code == "held_by_remote"
        service.sink.leg_held(call_id, False)
        await service.holding.resume(ACCOUNT, call_id)  # nothing to do
        assert holders(lab)[1:] == [
            ("on_hold", "agent"),
            ("on_hold", "both"),
            ("on_hold", "remote"),
            ("active", None),
        ]

    run(tmp_path, scenario)


def test_a_call_that_is_not_answered_cannot_be_held(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in()
        with pytest.raises(Conflict) as refused:
            await lab.control.service.holding.hold(ACCOUNT, leg.call_id)
        assert refused.value.code == "call_not_active"

    run(tmp_path, scenario)


@given(st.lists(st.tuples(st.sampled_from(Party), st.booleans())))
def test_whoever_holds_and_resumes_in_whatever_order_the_state_says_whether_anybody_holds(
    moves: list[tuple[Party, bool]],
) -> None:
    facts = CallFacts("c", "a", "sip", Direction.INBOUND, "x", "y", START)
    call = live_call.advance(live_call.inbound(facts), CallEvent.ANSWERED, START)
    holding: set[Party] = set()
    for party, held in moves:
        call = live_call.hold(call, party, held)
        (holding.add if held else holding.discard)(party)
        assert (call.state is CallState.ON_HOLD) == bool(holding)
        assert (call.held_by in (HeldBy.AGENT, HeldBy.BOTH)) == (Party.AGENT in holding)
        assert (call.held_by in (HeldBy.REMOTE, HeldBy.BOTH)) == (Party.REMOTE in holding)
