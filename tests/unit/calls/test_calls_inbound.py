"""A call that comes in: rings, is answered, refused or missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringback.calls.assembly import CallLimits
from ringback.calls.ports import AgentProfile
from ringback.calls.states import CallState
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import (
    NotConfigured,
)
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab
from unit.calls.scenario import DIAL, run


def test_an_inbound_call_rings_until_it_is_accepted(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in()
        await lab.settle()
        assert leg.told == ["ring"]
        invite = lab.events()[0]
        assert invite["type"] == "call_invite"
        assert invite["state"] == "ringing"
        assert invite["caller"] == "+33612345678"
        assert invite["callee"] == "+33123456789"
        assert invite["headers"] == {"X-Campaign": "spring"}

        snapshot = await lab.control.service.accept(ACCOUNT, leg.call_id)
        assert snapshot.call.state is CallState.ACTIVE
        assert leg.told == ["ring", "accept"]
        assert lab.states() == ["invite", "active"]
        assert (await lab.row(leg.call_id)).state == "active"

    run(tmp_path, scenario)


def test_auto_answer_goes_straight_to_active(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        await lab.settle()
        assert leg.told == ["accept"]
        assert lab.states() == ["invite", "active"]

    run(tmp_path, scenario)


def test_a_call_that_nobody_accepts_is_missed(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in()
        lab.time.pass_by(59.9)
        assert lab.states() == ["invite"]
        lab.time.pass_by(0.1)
        await lab.settle()
        assert leg.told == ["ring", "reject unanswered"]
        assert lab.states() == ["invite", "missed"]
        row = await lab.row(leg.call_id)
        assert (row.state, row.end_reason) == ("missed", "unanswered")
        assert row.ended_at == lab.time.now()

    run(tmp_path, scenario)


def test_a_refused_call_says_so(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in()
        assert lab.control.service.refuse(ACCOUNT, leg.call_id).call.state is CallState.REFUSED
        await lab.settle()
        assert leg.told == ["ring", "reject refused"]
        assert (await lab.row(leg.call_id)).end_reason == "refused"

    run(tmp_path, scenario)


def test_a_caller_who_gives_up_leaves_a_missed_call(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in()
        leg.sink.leg_ended(leg.call_id, Cause(EndReason.CALLER_CANCELLED, q850=16))
        await lab.settle()
        row = await lab.row(leg.call_id)
        assert (row.state, row.end_reason, row.q850) == ("missed", "caller_cancelled", 16)
        assert lab.plane.sessions == set()

    run(tmp_path, scenario)


def test_a_hosted_agent_starts_to_talk_when_the_call_is_active(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(auto_answer=True, agent_id=HOSTED.agent_id)
        await lab.settle()
        recording = str(tmp_path / "recordings" / "2026-03-13" / f"{leg.call_id}.wav")
        assert lab.plane.commands == [
            ("activate", leg.call_id, recording),
            ("start_voice", leg.call_id, HOSTED.agent_id),
        ]

    run(tmp_path, scenario)


def test_an_agent_that_does_not_record_leaves_no_recording(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(auto_answer=True, agent_id="agent_silent")
        await lab.settle()
        assert lab.plane.commands == [("activate", leg.call_id, None)]

    run(tmp_path, scenario, AgentProfile("agent_silent", "Silent", records=False))


def test_a_node_that_does_not_record_leaves_no_recording_but_of_calls_that_ask_for_one(
    tmp_path: Path,
) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(auto_answer=True)
        await lab.settle()
        assert ("activate", leg.call_id, None) in lab.plane.commands
        for wanted, recorded in ((DIAL, False), (replace(DIAL, recording=True), True)):
            placed = await lab.control.service.place(ACCOUNT, wanted)
            assert (placed.call.facts.recording is not None) is recorded

    run(tmp_path, scenario, limits=CallLimits(records=False))


def test_a_voice_that_cannot_start_fails_the_call(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.plane.no_voice = NotConfigured("There is no such voice.")
        leg = await lab.connector.call_in(auto_answer=True, agent_id=HOSTED.agent_id)
        await lab.settle()
        assert lab.states() == ["invite", "active", "failed"]
        assert leg.told == ["accept", "hang_up internal_error"]

    run(tmp_path, scenario)


def test_an_offer_for_an_agent_that_is_gone_is_refused(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        with pytest.raises(NotConfigured):
            await lab.connector.call_in(agent_id="agent_gone")
        assert lab.events() == []

    run(tmp_path, scenario)


def test_an_agent_that_takes_no_inbound_calls_gets_none(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        with pytest.raises(NotConfigured):
            await lab.connector.call_in(agent_id="agent_out")

    run(tmp_path, scenario, AgentProfile("agent_out", "Out", inbound=False))


def test_a_leg_that_cannot_be_answered_fails_the_call(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(obliging=False)
        await lab.settle()
        leg.failing = OSError("no socket")
        snapshot = await lab.control.service.accept(ACCOUNT, leg.call_id)
        assert snapshot.call.state is CallState.FAILED

    run(tmp_path, scenario)


def test_a_call_whose_answer_is_never_confirmed_ends(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        await lab.connector.call_in(auto_answer=True, obliging=False)
        await lab.settle()
        lab.time.pass_by(100)
        assert lab.states() == ["invite", "ended"]
        assert lab.events()[-1]["end_reason"] == "ack_timeout"

    run(tmp_path, scenario)
