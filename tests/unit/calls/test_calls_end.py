"""How calls end, what stays of them, and what a node does that goes down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ringback.calls.lifecycle import LEG_END_SECONDS
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import (
    Conflict,
    NotFound,
    Unavailable,
)
from ringback.core.paging import PageRequest
from ringback.media.plane import (
    OpenSession,
    SessionOpened,
)
from unit.calls.fakes import ACCOUNT, START, CallLab, call_lab
from unit.calls.scenario import DIAL, active_call, run


def test_streams_are_told_how_to_go_on_when_the_bridge_is_lost(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.control.service.sink.leg_ended(call_id, Cause(EndReason.BRIDGE_DISCONNECTED))
        error, state = (message for _, message in lab.plane.notified[-2:])
        assert (error["type"], error["code"]) == ("call_error", "bridge_disconnected")
        assert (state["type"], state["state"]) == ("call_state", "disconnected")

    run(tmp_path, scenario)


def test_a_leg_that_never_reports_its_end_does_not_hold_the_call(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(auto_answer=True, obliging=False)
        await lab.settle()
        lab.control.service.sink.leg_answered(leg.call_id)
        lab.control.service.hang_up(ACCOUNT, leg.call_id)
        await lab.settle()
        assert lab.plane.closed == []
        lab.time.pass_by(LEG_END_SECONDS)
        await lab.settle()
        assert lab.plane.closed == [leg.call_id]
        assert lab.control.registry.get(leg.call_id) is None
        leg.sink.leg_ended(leg.call_id, Cause(EndReason.AGENT_HANGUP))
        await lab.settle()
        assert lab.states() == ["invite", "active", "ended"]

    run(tmp_path, scenario)


def test_the_legs_own_report_completes_the_codes(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = (await lab.control.service.place(ACCOUNT, DIAL)).call.call_id
        lab.connector.legs[0].obliging = False
        lab.control.service.hang_up(ACCOUNT, call_id)
        sink = lab.control.service.sink
        sink.leg_ended(call_id, Cause(EndReason.CANCELLED, 487, text="Request Terminated"))
        await lab.settle()
        row = await lab.row(call_id)
        assert (row.end_reason, row.sip_code) == ("cancelled", 487)
        assert lab.states() == ["connecting", "ended"]

    run(tmp_path, scenario)


def test_media_that_opens_after_the_end_is_closed_again(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        opening, really_open = asyncio.Event(), lab.plane.open

        async def open_slowly(request: OpenSession) -> SessionOpened:
            lab.control.service.sink.leg_ended(
                request.session_id, Cause(EndReason.CALLER_CANCELLED)
            )
            await lab.settle()
            assert lab.plane.closed == [request.session_id]
            opening.set()
            return await really_open(request)

        lab.plane.open = open_slowly  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await lab.connector.call_in()
        assert opening.is_set()
        assert lab.plane.sessions == set()

    run(tmp_path, scenario)


def test_ended_calls_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        ids = []
        for _ in range(3):
            call_id = await active_call(lab)
            lab.control.service.hang_up(ACCOUNT, call_id)
            ids.append(call_id)
        live = await active_call(lab)
        assert [s.call.call_id for s in lab.control.service.live(ACCOUNT)] == [live]
        first = await lab.control.service.ended(ACCOUNT, PageRequest(limit=2))
        rest = await lab.control.service.ended(ACCOUNT, PageRequest(2, first.next_cursor))
        listed = [call.call_id for call in [*first.items, *rest.items]]
        assert listed == ids[::-1]
        assert rest.next_cursor is None

    run(tmp_path, scenario)


def test_a_recording_is_there_when_the_call_is_over(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        with pytest.raises(Conflict):
            await lab.control.service.recording(ACCOUNT, call_id)
        path = tmp_path / "recordings" / "2026-03-13" / f"{call_id}.wav"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"RIFF")
        lab.control.service.hang_up(ACCOUNT, call_id)
        # asked for as soon as the end is told, while the last audio is being written
        assert await lab.control.service.recording(ACCOUNT, call_id) == path
        path.unlink()
        with pytest.raises(NotFound):
            await lab.control.service.recording(ACCOUNT, call_id)

    run(tmp_path, scenario)


def test_a_stream_finds_its_call_once_the_media_is_open(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = (await lab.control.service.place(ACCOUNT, DIAL)).call.call_id
        assert await lab.control.service.stream_target(ACCOUNT, call_id) == call_id
        lab.control.service.hang_up(ACCOUNT, call_id)
        with pytest.raises(NotFound):
            await lab.control.service.stream_target(ACCOUNT, call_id)

    run(tmp_path, scenario)


# ---- the node -----------------------------------------------------------------------------------


def test_draining_refuses_new_calls_and_hangs_up_on_the_rest(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await lab.control.service.drain(grace=0)
        assert (await lab.row(call_id)).end_reason == "shutdown"
        assert len(lab.control.registry) == 0
        assert lab.time.pending == 0
        with pytest.raises(Unavailable):
            await lab.control.service.place(ACCOUNT, DIAL)
        with pytest.raises(Unavailable):
            await lab.connector.call_in()

    run(tmp_path, scenario)


def test_draining_waits_for_calls_that_end_by_themselves(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        draining = asyncio.create_task(lab.control.service.drain(grace=20))
        await asyncio.sleep(0)
        lab.control.service.sink.leg_ended(call_id, Cause(EndReason.CALLER_HANGUP))
        await draining
        assert (await lab.row(call_id)).end_reason == "caller_hangup"

    run(tmp_path, scenario)


def test_calls_of_a_node_that_died_are_lost(tmp_path: Path) -> None:
    async def die() -> str:
        async with call_lab(tmp_path) as lab:
            call_id = await active_call(lab)
            await lab.row(call_id)
            return call_id

    async def scenario(lab: CallLab) -> None:
        row = await lab.row(call_id)
        assert (row.state, row.end_reason) == ("ended", "node_lost")
        assert row.ended_at == START

    call_id = asyncio.run(die())
    run(tmp_path, scenario)


def test_the_calls_of_another_node_live_on(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        await lab.row(call_id)
        assert await lab.control.history.bury("node_other", START) == 0
        assert (await lab.row(call_id)).state == "active"

    run(tmp_path, scenario)


def test_the_calls_are_counted(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        assert lab.metrics.value("calls_live") == 1
        lab.control.service.hang_up(ACCOUNT, call_id)
        assert lab.metrics.value("calls_live") == 0
        labels = {"direction": "inbound", "state": "ended", "reason": "agent_hangup"}
        assert lab.metrics.value("calls_ended_total", labels) == 1

    run(tmp_path, scenario)
