"""A call that we place: dialled, limited, ended by the network's verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringback.calls.assembly import CallLimits
from ringback.calls.dialler import PlaceCall
from ringback.calls.ports import AgentProfile
from ringback.calls.states import CallState
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import (
    InvalidRequest,
    LimitReached,
    NotConfigured,
)
from unit.calls.fakes import ACCOUNT, START, CallLab, FakeLeg
from unit.calls.scenario import DIAL, run


def test_a_call_that_names_no_trunk_knows_the_one_that_carries_it(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.connector.trunk_id = "trunk_2"
        placed = await lab.control.service.place(ACCOUNT, DIAL)
        call_id = placed.call.call_id
        assert placed.call.facts.trunk_id == "trunk_2"
        lab.control.service.sink.leg_ended(call_id, Cause(EndReason.BUSY))
        await lab.settle()
        assert (await lab.row(call_id)).trunk_id == "trunk_2"

    run(tmp_path, scenario)


def test_an_outbound_call_goes_through_its_states(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        snapshot = await lab.control.service.place(ACCOUNT, DIAL)
        call_id = snapshot.call.call_id
        assert snapshot.call.state is CallState.CONNECTING
        assert lab.connector.dialled[0].target == "sip:+33612345678@sip.example.com"
        sink = lab.control.service.sink
        sink.leg_ringing(call_id)
        lab.time.pass_by(5)
        sink.leg_answered(call_id)
        lab.time.pass_by(10)
        sink.leg_ended(call_id, Cause(EndReason.CALLER_HANGUP))
        await lab.settle()
        assert lab.states() == ["connecting", "ringing", "active", "ended"]
        row = await lab.row(call_id)
        assert row.created_at == START
        assert row.answered_at is not None
        assert row.ended_at is not None
        assert (row.ended_at - row.answered_at).total_seconds() == 10
        assert row.quality == {
            "packets_received": 250,
            "packets_sent": 0,
            "packets_lost": 0,
            "packets_late": 0,
            "packets_duplicate": 0,
            "jitter_ms": 0.0,
            "round_trip_ms": None,
            "codec": "",
            "security": "none",
            "buffer_ms": 0.0,
            "remote_packets_lost": None,
            "remote_jitter_ms": None,
            "mos": None,
            "remote_mos": None,
            "recorded_ms": 5000,
        }

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (EndReason.BUSY, 486),
        (EndReason.DECLINED, 603),
        (EndReason.NO_ANSWER, 480),
        (EndReason.INVALID_NUMBER, 404),
        (EndReason.NETWORK_ERROR, None),
        (EndReason.NOT_ALLOWED, 403),
        (EndReason.CODEC_MISMATCH, 488),
        (EndReason.UNAVAILABLE, 503),
    ],
)
def test_a_dialled_call_ends_with_the_networks_verdict(
    tmp_path: Path, reason: EndReason, code: int | None
) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = (await lab.control.service.place(ACCOUNT, DIAL)).call.call_id
        lab.control.service.sink.leg_ringing(call_id)
        lab.control.service.sink.leg_ended(call_id, Cause(reason, code, text="Said so"))
        await lab.settle()
        row = await lab.row(call_id)
        assert (row.state, row.end_reason, row.sip_code) == ("ended", reason.value, code)
        assert row.cause_text == "Said so"

    run(tmp_path, scenario)


def test_hanging_up_before_the_answer_cancels(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = (await lab.control.service.place(ACCOUNT, DIAL)).call.call_id
        ended = lab.control.service.hang_up(ACCOUNT, call_id)
        assert ended.call.state is CallState.ENDED
        await lab.settle()
        assert lab.connector.legs[0].told == ["hang_up cancelled"]
        assert (await lab.row(call_id)).end_reason == "cancelled"

    run(tmp_path, scenario)


def test_a_call_that_the_connector_turns_down_never_was(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.connector.refusal = NotConfigured("No SIP trunk configured", code="no_trunk")
        with pytest.raises(NotConfigured, match="No SIP trunk configured"):
            await lab.control.service.place(ACCOUNT, DIAL)
        await lab.settle()
        assert lab.events() == []
        assert lab.control.service.live(ACCOUNT) == []
        assert len(lab.control.registry) == 0
        assert lab.metrics.value(
            "calls_turned_away_total", {"direction": "outbound", "code": "no_trunk"}
        )

    run(tmp_path, scenario)


def test_a_call_that_is_over_before_dial_returns_still_ends_once(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.connector.on_dial = lambda leg: leg.sink.leg_ended(
            leg.call_id, Cause(EndReason.NETWORK_ERROR)
        )
        snapshot = await lab.control.service.place(ACCOUNT, DIAL)
        assert snapshot.call.state is CallState.ENDED
        await lab.settle()
        assert lab.states() == ["connecting", "ended"]
        assert lab.plane.sessions == set()

    run(tmp_path, scenario)


def test_a_call_that_we_end_before_dial_returns_is_hung_up_then(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        def shut_down(leg: FakeLeg) -> None:
            (entry,) = lab.control.registry
            lab.control.lifecycle.hang_up(entry, EndReason.SHUTDOWN)

        lab.connector.on_dial = shut_down
        await lab.control.service.place(ACCOUNT, DIAL)
        await lab.settle()
        assert lab.connector.legs[0].told == ["hang_up shutdown"]
        assert lab.states() == ["connecting", "ended"]
        assert len(lab.control.registry) == 0

    run(tmp_path, scenario)


def test_a_dialled_call_that_reports_nothing_is_given_up(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        await lab.control.service.place(ACCOUNT, DIAL)
        lab.time.pass_by(69.9)
        assert lab.states() == ["connecting"]
        lab.time.pass_by(0.2)
        await lab.settle()
        assert lab.states() == ["connecting", "ended"]
        assert lab.events()[-1]["end_reason"] == "no_answer"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("wanted", "error", "code"),
    [
        (PlaceCall("sip"), InvalidRequest, "meeting_url_required"),
        (PlaceCall("sip", "  "), InvalidRequest, "meeting_url_required"),
        (PlaceCall("zoom", "https://zoom.us/j/1"), NotConfigured, "platform_not_available"),
        (PlaceCall("sip", "+33612345678", agent_id="agent_x"), InvalidRequest, "agent_not_found"),
    ],
)
def test_what_cannot_be_dialled_is_refused_with_a_reason(
    tmp_path: Path, wanted: PlaceCall, error: type[Exception], code: str
) -> None:
    async def scenario(lab: CallLab) -> None:
        with pytest.raises(error) as caught:
            await lab.control.service.place(ACCOUNT, wanted)
        assert getattr(caught.value, "code", None) == code
        assert lab.connector.dialled == []

    run(tmp_path, scenario)


def test_the_concurrent_call_limit_holds_in_both_directions(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        await lab.control.service.place(ACCOUNT, DIAL)
        leg = await lab.connector.call_in()
        with pytest.raises(LimitReached, match="Concurrent call limit reached"):
            await lab.control.service.place(ACCOUNT, DIAL)
        with pytest.raises(LimitReached):
            await lab.connector.call_in()
        lab.control.service.hang_up(ACCOUNT, leg.call_id)
        await lab.control.service.place(ACCOUNT, DIAL)

    run(tmp_path, scenario, limits=CallLimits(max_calls=2))


def test_an_agent_has_its_own_limit(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        await lab.connector.call_in(agent_id="agent_one")
        with pytest.raises(LimitReached, match="has 1 call"):
            await lab.connector.call_in(agent_id="agent_one")
        await lab.connector.call_in()

    run(tmp_path, scenario, AgentProfile("agent_one", "One", max_calls=1))
