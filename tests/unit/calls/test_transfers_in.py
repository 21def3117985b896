"""Transfers that the far end makes: REFER to us, and another leg in the place of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringback.calls.assembly import CallLimits
from ringback.calls.transfers import TransferWanted
from ringback.core.errors import Conflict, LimitReached, NotFound
from unit.calls.fakes import ACCOUNT, CallLab, FakeLeg
from unit.calls.scenario import active_call, run, turns

TARGET = "sip:200@pbx.example"


@pytest.mark.requirement("call.refer-in")
def test_a_refer_is_told_and_the_new_person_is_on_the_same_call(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        sink = lab.control.service.sink
        await sink.leg_transfer_requested(call_id, TARGET)
        new = FakeLeg(sink, call_id)
        sink.leg_replaced(call_id, new, "+493012345678", "Bob")
        moves = [e for e in lab.events() if e["type"] == "call_transfer"]
        assert [(move["by"], move["state"], move["target"]) for move in moves] == [
            ("remote", "requested", TARGET),
            ("remote", "done", TARGET),
        ]
        assert (moves[1]["remote"], moves[1]["remote_name"]) == ("+493012345678", "Bob")
        call = (await lab.control.service.get(ACCOUNT, call_id)).call
        assert (call.facts.caller, call.facts.caller_name) == ("+33612345678", "Alice")
        assert (call.person, call.person_name) == ("+493012345678", "Bob")
        assert len(call.transfers) == 1
        lab.control.service.hang_up(ACCOUNT, call_id)
        await lab.settle()
        assert new.told == ["hang_up agent_hangup"]
        row = await lab.row(call_id)
        assert (row.caller, row.remote, len(row.transfers)) == ("+33612345678", "+493012345678", 1)

    run(tmp_path, scenario)


@pytest.mark.requirement("call.replaces-in")
def test_a_leg_that_replaces_ours_unasked_is_recorded_and_not_on_hold(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        sink = lab.control.service.sink
        sink.leg_held(call_id, True)
        sink.leg_replaced(call_id, FakeLeg(sink, call_id), "201", "")
        call = (await lab.control.service.get(ACCOUNT, call_id)).call
        assert call.state.value == "active"
        assert (call.person, call.person_name) == ("201", "")
        assert [t.state.value for t in call.transfers] == ["done"]

    run(tmp_path, scenario)


@pytest.mark.requirement("guard.every-way")
def test_the_far_end_may_not_dial_beyond_our_limits(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        with pytest.raises(LimitReached):
            await lab.control.service.sink.leg_transfer_requested(call_id, TARGET)
        call = (await lab.control.service.get(ACCOUNT, call_id)).call
        assert call.transfers == ()

    run(tmp_path, scenario, limits=CallLimits(max_calls=1))


def test_a_call_that_rings_or_is_transferred_by_us_is_not_transferred(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        sink = lab.control.service.sink
        ringing = (await lab.connector.call_in()).call_id
        call_id = await active_call(lab)
        await lab.control.service.transfers.start(
            ACCOUNT, call_id, TransferWanted(target="+493012345678")
        )
        for refused in (ringing, call_id, "call_nowhere"):
            with pytest.raises((Conflict, NotFound)):
                await sink.leg_transfer_requested(refused, TARGET)
        lab.control.service.hang_up(ACCOUNT, call_id)
        lab.connector.legs[-1].transferred.cancel()
        await turns()

    run(tmp_path, scenario)
