"""Transfers by us: REFER, the bridge of our own where that is refused, and every way to fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ringback.calls.transfer import Transfer, TransferMode, TransferState, reason_of_status
from ringback.calls.transfers import TransferWanted
from ringback.connectors.contract import Cause, TransferResult
from ringback.core.bus import Event
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, InvalidRequest, LimitReached, NotFound, RingbackError
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab
from unit.calls.scenario import active_call, placed_call, run, turns

TARGET = "+493012345678"
AUTO = TransferWanted(target=TARGET)
BRIDGE = TransferWanted(target=TARGET, mode=TransferMode.BRIDGE)
REFER = TransferWanted(target=TARGET, mode=TransferMode.REFER)
DONE = TransferResult(done=True, refused=False, status=200, text="OK")
REFUSED = TransferResult(done=False, refused=True, status=405, text="Method Not Allowed")
BUSY = TransferResult(done=False, refused=False, status=486, text="Busy Here")


async def start(lab: CallLab, call_id: str, wanted: TransferWanted = AUTO) -> Transfer:
    transfer = await lab.control.service.transfers.start(ACCOUNT, call_id, wanted)
    await turns()
    return transfer


def told(lab: CallLab) -> list[Event]:
    return [event for event in lab.events() if event["type"] == "call_transfer"]


def steps(lab: CallLab) -> list[tuple[str, str]]:
    return [(event["state"], event["mode"]) for event in told(lab)]


def media(lab: CallLab, *commands: str) -> list[tuple[Any, ...]]:
    return [command for command in lab.plane.commands if command[0] in commands]


# ---- by REFER -----------------------------------------------------------------------------------


@pytest.mark.requirement("call.refer-out-blind")
def test_a_far_end_that_takes_the_refer_ends_the_call_as_transferred(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        leg = lab.connector.legs[0]
        leg.transferred.set_result(DONE)
        transfer = await start(lab, call_id)
        assert (transfer.state, transfer.mode) == (TransferState.DONE, TransferMode.REFER)
        assert steps(lab) == [("requested", "refer"), ("trying", "refer"), ("done", "refer")]
        assert leg.told[-2:] == [f"transfer {TARGET}", "hang_up transferred"]
        await lab.settle()
        row = await lab.row(call_id)
        assert (row.state, row.end_reason) == ("ended", "transferred")
        assert [kept["state"] for kept in row.transfers] == ["done"]
        assert lab.connector.dialled == []
        recorded = await lab.control.service.get(ACCOUNT, call_id)
        assert recorded.call.transfers[0].target == TARGET

    run(tmp_path, scenario)


@pytest.mark.parametrize("wanted", [AUTO, REFER])
def test_a_transfer_that_the_far_end_tried_in_vain_gives_the_true_reason(
    tmp_path: Path, wanted: TransferWanted
) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.connector.legs[0].transferred.set_result(BUSY)
        await start(lab, call_id, wanted)
        last = told(lab)[-1]
        assert (last["state"], last["reason"], last["sip_code"]) == ("failed", "busy", 486)
        assert lab.connector.dialled == []
        assert lab.states()[-1] == "active"

    run(tmp_path, scenario)


def test_refer_alone_does_not_fall_back(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.connector.legs[0].transferred.set_result(REFUSED)
        await start(lab, call_id, REFER)
        assert told(lab)[-1]["sip_code"] == 405
        assert lab.connector.dialled == []

    run(tmp_path, scenario)


@pytest.mark.requirement("call.refer-out-attended")
def test_an_attended_transfer_replaces_the_other_leg_and_ends_both_calls(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        other_id = await placed_call(lab)
        leg, other = lab.connector.legs
        leg.transferred.set_result(DONE)
        await start(lab, call_id, TransferWanted(to_call_id=other_id))
        assert leg.replaced is other
        await lab.settle()
        for ended in (call_id, other_id):
            assert (await lab.row(ended)).end_reason == "transferred"

    run(tmp_path, scenario)


# ---- by our own bridge --------------------------------------------------------------------------


@pytest.mark.requirement("call.refer-fallback")
@pytest.mark.parametrize("wanted", [AUTO, BRIDGE])
def test_where_refer_is_refused_ringback_calls_the_target_and_joins_the_two(
    tmp_path: Path, wanted: TransferWanted
) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        lab.connector.legs[0].transferred.set_result(REFUSED)
        await start(lab, call_id, wanted)
        (dialled,) = lab.connector.dialled
        assert (dialled.target, dialled.trunk_id) == (TARGET, "trunk_1")
        assert media(lab, "hold", "resume", "join") == [("hold", call_id, None)]
        assert "on_hold" in lab.states()
        sink = lab.control.service.sink
        sink.leg_ringing(dialled.call_id)
        sink.leg_answered(dialled.call_id)
        await turns()
        assert media(lab, "hold", "resume", "join", "detach_agents") == [
            ("hold", call_id, None),
            ("resume", call_id),
            ("join", dialled.call_id, call_id),
            ("detach_agents", call_id),
            ("detach_agents", dialled.call_id),
        ]
        assert [state for state, _ in steps(lab)][-3:] == ["trying", "ringing", "done"]
        assert steps(lab)[-1] == ("done", "bridge")
        assert told(lab)[-1]["to_call_id"] == dialled.call_id
        both = [entry.call for entry in lab.control.registry]
        assert [call.state.value for call in both] == ["active", "active"]
        assert {call.conference_id for call in both} == {call_id}
        assert both[1].facts.parent_call_id == call_id

    run(tmp_path, scenario)


@pytest.mark.requirement("call.refer-fallback")
@pytest.mark.parametrize("first", [0, 1])
def test_when_one_of_the_two_hangs_up_the_other_is_hung_up_too(tmp_path: Path, first: int) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        await start(lab, call_id, BRIDGE)
        other_id = lab.connector.dialled[0].call_id
        lab.control.service.sink.leg_answered(other_id)
        await turns()
        gone, left = (call_id, other_id) if first == 0 else (other_id, call_id)
        lab.control.service.sink.leg_ended(gone, Cause(EndReason.CALLER_HANGUP))
        await lab.settle()
        assert (await lab.row(gone)).end_reason == "caller_hangup"
        assert (await lab.row(left)).end_reason == "conference_ended"
        assert len(lab.control.service.conferences) == 0

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("reason", "code"),
    [(EndReason.BUSY, 486), (EndReason.NO_ANSWER, 408), (EndReason.DECLINED, 603)],
)
def test_when_the_target_does_not_answer_the_person_is_back_with_the_agent(
    tmp_path: Path, reason: EndReason, code: int
) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        await start(lab, call_id, BRIDGE)
        other_id = lab.connector.dialled[0].call_id
        lab.control.service.sink.leg_ended(other_id, Cause(reason, code, text="No"))
        await turns()
        last = told(lab)[-1]
        assert (last["state"], last["reason"]) == ("failed", reason.value)
        assert (last["sip_code"], last["reason_text"]) == (code, "No")
        assert lab.states()[-1] == "active"
        assert media(lab, "hold", "resume") == [("hold", call_id, None), ("resume", call_id)]
        assert media(lab, "detach_agents") == []
        await start(lab, call_id, BRIDGE)  # and may be transferred again
        assert len(lab.connector.dialled) == 2

    run(tmp_path, scenario)


def test_a_person_whom_the_agent_held_before_is_held_after_a_failure(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await lab.control.service.holding.hold(ACCOUNT, call_id)
        await start(lab, call_id, BRIDGE)
        other_id = lab.connector.dialled[0].call_id
        lab.control.service.sink.leg_ended(other_id, Cause(EndReason.BUSY))
        await turns()
        assert lab.states()[-1] != "active"
        assert media(lab, "resume") == []

    run(tmp_path, scenario)


def test_a_held_person_is_resumed_by_signalling_before_they_are_joined(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await lab.control.service.holding.hold(ACCOUNT, call_id)
        await start(lab, call_id, BRIDGE)
        lab.control.service.sink.leg_answered(lab.connector.dialled[0].call_id)
        await turns()
        assert lab.connector.legs[0].told[-1] == "resume"
        assert lab.states()[-1] == "active"

    run(tmp_path, scenario)


def test_a_person_who_hangs_up_meanwhile_ends_the_call_to_the_target(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await start(lab, call_id, BRIDGE)
        other_id = lab.connector.dialled[0].call_id
        lab.control.service.sink.leg_ended(call_id, Cause(EndReason.CALLER_HANGUP))
        await lab.settle()
        assert (await lab.row(other_id)).end_reason == "cancelled"
        assert told(lab)[-1]["reason"] == "hangup"
        assert len(lab.control.registry) == 0

    run(tmp_path, scenario)


def test_a_transfer_can_be_cancelled_until_the_target_answers(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        transfers = lab.control.service.transfers
        with pytest.raises(Conflict):
            transfers.cancel(ACCOUNT, call_id)
        await start(lab, call_id, BRIDGE)
        transfers.cancel(ACCOUNT, call_id)
        await turns()
        assert (told(lab)[-1]["state"], told(lab)[-1]["reason"]) == ("failed", "cancelled")
        assert lab.states()[-1] == "active"

    run(tmp_path, scenario)


@pytest.mark.requirement("call.refer-fallback")
def test_an_attended_transfer_joins_the_two_where_refer_is_refused(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        other_id = await placed_call(lab)
        await lab.control.service.holding.hold(ACCOUNT, call_id)
        lab.connector.legs[0].transferred.set_result(REFUSED)
        await start(lab, call_id, TransferWanted(to_call_id=other_id))
        assert media(lab, "join") == [("join", other_id, call_id)]
        assert steps(lab)[-1] == ("done", "bridge")
        assert len(lab.connector.dialled) == 1
        lab.control.service.sink.leg_ended(other_id, Cause(EndReason.CALLER_HANGUP))
        await lab.settle()
        assert (await lab.row(call_id)).end_reason == "conference_ended"

    run(tmp_path, scenario)


# ---- refusals -----------------------------------------------------------------------------------


def test_one_transfer_at_a_time_and_no_hold_meanwhile(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await start(lab, call_id)
        for again in (start(lab, call_id), lab.control.service.holding.hold(ACCOUNT, call_id)):
            with pytest.raises(Conflict) as refused:
                await again
            assert refused.value.code == "transfer_in_progress"
        with pytest.raises(Conflict, match="could be cancelled"):
            lab.control.service.transfers.cancel(ACCOUNT, call_id)
        lab.connector.legs[0].transferred.set_result(BUSY)
        await turns()

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (InvalidRequest("That is no number.", code="invalid_target"), BRIDGE),
        (LimitReached("Enough calls for today.", code="daily_limit"), BRIDGE),
        (InvalidRequest("That is no number.", code="invalid_target"), REFER),
    ],
)
@pytest.mark.requirement("guard.every-way")
def test_a_target_that_is_refused_out_of_hand_is_the_answer(
    tmp_path: Path, error: RingbackError, wanted: TransferWanted
) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.connector.refusal = lab.connector.legs[0].failing = error
        with pytest.raises(type(error)) as refused:
            await start(lab, call_id, wanted)
        assert refused.value.code == error.code
        assert told(lab)[-1]["reason"] == error.code
        assert lab.states()[-1] == "active"

    run(tmp_path, scenario)


def test_what_cannot_be_transferred_says_why(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        ringing = (await lab.connector.call_in()).call_id
        cases = [
            (call_id, TransferWanted(), "invalid_target"),
            (call_id, TransferWanted(target=TARGET, to_call_id=ringing), "invalid_target"),
            (call_id, TransferWanted(to_call_id=ringing), "call_not_active"),
            (call_id, TransferWanted(to_call_id=call_id), "already_joined"),
            (call_id, TransferWanted(to_call_id="call_nowhere"), "call_not_found"),
            (ringing, AUTO, "call_not_active"),
        ]
        for transferred, wanted, code in cases:
            with pytest.raises(RingbackError) as refused:
                await start(lab, transferred, wanted)
            assert refused.value.code == code
        with pytest.raises(NotFound):
            await lab.control.service.transfers.start("acct_other", call_id, AUTO)
        assert told(lab) == []

    run(tmp_path, scenario)


def test_a_far_end_that_never_says_how_it_ended_fails_the_transfer_in_time(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.connector.legs[0].transferred = asyncio.Future()
        wanted = TransferWanted(target=TARGET, mode=TransferMode.REFER, timeout=0.001)
        lab.control.service.transfers.refer_grace = 0.0
        await start(lab, call_id, wanted)
        assert told(lab)[-1]["reason"] == "no_answer"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (486, EndReason.BUSY),
        (404, EndReason.INVALID_NUMBER),
        (603, EndReason.DECLINED),
        (699, EndReason.DECLINED),
        (503, EndReason.UNAVAILABLE),
        (408, EndReason.NO_ANSWER),
    ],
)
def test_a_status_of_a_notify_is_told_in_words(status: int, reason: EndReason) -> None:
    assert reason_of_status(status) is reason
