"""Calls from the offer or the dial to the record, over fakes and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ringback.calls.assembly import CallLimits
from ringback.calls.dialler import PlaceCall
from ringback.calls.lifecycle import LEG_END_SECONDS, MAX_CALL_SECONDS
from ringback.calls.ports import AgentProfile
from ringback.calls.states import CallState
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import (
    Conflict,
    InvalidRequest,
    LimitReached,
    NotConfigured,
    NotFound,
    Unavailable,
)
from ringback.core.paging import PageRequest
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaTimedOut,
    OpenSession,
    SessionOpened,
    StreamCommand,
    TranscriptLine,
    VoiceSpec,
)
from unit.calls.fakes import ACCOUNT, HOSTED, LIMITS, START, CallLab, FakeLeg, call_lab

Scenario = Callable[[CallLab], Awaitable[None]]
DIAL = PlaceCall("sip", "sip:+33612345678@sip.example.com")


def run(
    folder: Path, scenario: Scenario, *agents: AgentProfile, limits: CallLimits = LIMITS
) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), call_lab(folder, *agents, limits=limits) as lab:
            await scenario(lab)

    asyncio.run(bounded())


# ---- inbound ------------------------------------------------------------------------------------


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


# ---- outbound -----------------------------------------------------------------------------------


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


# ---- the call while it lasts --------------------------------------------------------------------


async def active_call(lab: CallLab, agent_id: str | None = None) -> str:
    leg = await lab.connector.call_in(auto_answer=True, agent_id=agent_id)
    await lab.settle()
    return leg.call_id


def test_what_is_said_is_told_kept_and_read_in_deltas(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.plane.report(TranscriptLine(call_id, "caller", "Hello?", 100, 900))
        lab.plane.report(TranscriptLine(call_id, "agent", "Hi, \ud800here", 1000, 2000))
        snapshot = await lab.control.service.get(ACCOUNT, call_id)
        assert [str(line) for line in snapshot.lines] == ["[caller] Hello?", "[agent] Hi, ?here"]
        assert snapshot.transcript_length == 2
        later = await lab.control.service.get(ACCOUNT, call_id, since=1)
        assert [str(line) for line in later.lines] == ["[agent] Hi, ?here"]
        heard = [e for e in lab.events() if e["type"] == "call_transcript"]
        assert [(e["speaker"], e["text"], e["index"]) for e in heard][0] == ("caller", "Hello?", 0)
        streamed = [m for _, m in lab.plane.notified if m["type"] == "call_transcript"]
        assert streamed == heard

        lab.control.service.hang_up(ACCOUNT, call_id)
        await lab.settle()
        assert lab.control.registry.get(call_id) is None
        recorded = await lab.control.service.get(ACCOUNT, call_id, since=1)
        assert [str(line) for line in recorded.lines] == ["[agent] Hi, ?here"]
        assert recorded.transcript_length == 2
        assert recorded.call.state is CallState.ENDED
        assert recorded.quality is not None

    run(tmp_path, scenario)


def test_a_call_without_transcripts_keeps_none(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        wanted = PlaceCall("sip", "+33612345678", transcripts=False)
        call_id = (await lab.control.service.place(ACCOUNT, wanted)).call.call_id
        lab.control.service.sink.leg_answered(call_id)
        lab.plane.report(TranscriptLine(call_id, "caller", "Hello?", 100, 900))
        assert (await lab.control.service.get(ACCOUNT, call_id)).transcript_length == 0
        assert not [e for e in lab.events() if e["type"] == "call_transcript"]

    run(tmp_path, scenario)


def test_keys_come_as_events_whether_by_media_or_signalling(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.plane.report(DtmfReceived(call_id, "5", 160))
        lab.control.service.sink.leg_dtmf(call_id, "#", 200)
        keys = [(e["digit"], e["duration_ms"]) for e in lab.events() if e["type"] == "dtmf"]
        assert keys == [("5", 160), ("#", 200)]
        assert [c for c in lab.plane.commands if c[0] == "dtmf"] == [("dtmf", call_id, "#", 200)]

    run(tmp_path, scenario)


def test_hold_and_resume_are_states(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.control.service.sink.leg_held(call_id, True)
        lab.control.service.sink.leg_held(call_id, True)
        lab.control.service.sink.leg_held(call_id, False)
        assert lab.states() == ["invite", "active", "on_hold", "active"]

    run(tmp_path, scenario)


def test_a_hosted_call_can_be_told_to_speak_and_to_stop(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        lab.control.service.say(ACCOUNT, call_id, "Good morning")
        lab.control.service.stop_speaking(ACCOUNT, call_id)
        lab.control.service.send_dtmf(ACCOUNT, call_id, "1,2#")
        assert lab.plane.commands[-3:] == [
            ("say", call_id, "Good morning"),
            ("stop_speaking", call_id),
            ("send_dtmf", call_id, "1,2#"),
        ]
        with pytest.raises(InvalidRequest):
            lab.control.service.send_dtmf(ACCOUNT, call_id, "x")

    run(tmp_path, scenario)


def test_a_call_of_an_outside_agent_gets_a_voice_when_it_is_told_to_speak(tmp_path: Path) -> None:
    mouth = VoiceSpec("agent_out", {"listen": False})

    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, "agent_out")
        lab.control.service.say(ACCOUNT, call_id, "One")
        lab.control.service.say(ACCOUNT, call_id, "Two")
        assert lab.plane.commands[1:] == [
            ("start_voice", call_id, "agent_out"),
            ("say", call_id, "One"),
            ("say", call_id, "Two"),
        ]

    run(tmp_path, scenario, AgentProfile("agent_out", "Out", mouth=mouth))


def test_speaking_without_a_voice_says_what_to_do(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.plane.no_voice = NotConfigured("espeak-ng is not installed.")
        call_id = await active_call(lab)
        with pytest.raises(NotConfigured, match="Hosted TTS not configured"):
            lab.control.service.say(ACCOUNT, call_id, "Good morning")

    run(tmp_path, scenario)


def test_commands_on_a_call_that_is_not_answered_yet_conflict(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(agent_id=HOSTED.agent_id)
        with pytest.raises(Conflict):
            lab.control.service.say(ACCOUNT, leg.call_id, "Hello")
        with pytest.raises(Conflict):
            lab.control.service.send_dtmf(ACCOUNT, leg.call_id, "1")

    run(tmp_path, scenario)


def test_accepting_what_does_not_ring_conflicts(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        with pytest.raises(Conflict):
            await lab.control.service.accept(ACCOUNT, call_id)
        placed = (await lab.control.service.place(ACCOUNT, DIAL)).call.call_id
        lab.control.service.sink.leg_ringing(placed)
        with pytest.raises(Conflict):
            await lab.control.service.accept(ACCOUNT, placed)

    run(tmp_path, scenario)


def test_a_call_that_is_being_answered_cannot_be_refused(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        leg = await lab.connector.call_in(auto_answer=True, obliging=False)
        with pytest.raises(Conflict, match="being answered"):
            lab.control.service.refuse(ACCOUNT, leg.call_id)

    run(tmp_path, scenario)


def test_another_account_finds_nothing(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        service = lab.control.service
        with pytest.raises(NotFound):
            await service.get("acct_other", call_id)
        with pytest.raises(NotFound):
            service.hang_up("acct_other", call_id)
        with pytest.raises(NotFound):
            await service.stream_target("acct_other", call_id)
        assert service.live("acct_other") == []
        service.hang_up(ACCOUNT, call_id)
        await lab.settle()
        with pytest.raises(NotFound):
            await service.get("acct_other", call_id)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("report", "state", "reason"),
    [
        ("timeout", "ended", "media_timeout"),
        ("agent", "ended", "silence"),
        ("nonsense", "ended", "agent_hangup"),
        ("stream", "ended", "agent_hangup"),
    ],
)
def test_media_can_end_a_call(tmp_path: Path, report: str, state: str, reason: str) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        match report:
            case "timeout":
                lab.plane.report(MediaTimedOut(call_id, 60.0))
            case "agent":
                lab.plane.report(HangUpRequested(call_id, "silence"))
            case "nonsense":
                lab.plane.report(HangUpRequested(call_id, "bored"))
            case _:
                lab.plane.report(StreamCommand(call_id, "stream_1", {"type": "hangup"}))
        await lab.settle()
        row = await lab.row(call_id)
        assert (row.state, row.end_reason) == (state, reason)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "say", "text": "Hi"}, "tts_not_configured"),
        ({"type": "say"}, "invalid_field"),
        ({"type": "send_chat", "text": "Hi"}, "capability_missing"),
        ({"type": "hold"}, "capability_missing"),
        ({"type": "transfer", "target": "+1"}, "capability_missing"),
        ({"type": "dtmf", "digits": 5}, "invalid_field"),
        ({"type": "dance"}, "unknown_type"),
    ],
)
def test_a_stream_is_told_why_its_command_failed(
    tmp_path: Path, message: dict[str, object], code: str
) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.plane.no_voice = NotConfigured("espeak-ng is not installed.")
        call_id = await active_call(lab)
        lab.plane.report(StreamCommand(call_id, "stream_1", message))
        target, error = lab.plane.notified[-1]
        assert target == call_id
        assert error["type"] == "call_error"
        assert error["code"] == code
        assert error["message"]
        assert (await lab.control.service.get(ACCOUNT, call_id)).call.state is CallState.ACTIVE

    run(tmp_path, scenario)


def test_a_call_ends_at_its_longest(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        first = await active_call(lab)
        second = await active_call(lab, "agent_brief")
        lab.time.pass_by(30)
        await lab.settle()
        assert (await lab.row(second)).end_reason == "max_duration"
        lab.time.pass_by(MAX_CALL_SECONDS - 30)
        await lab.settle()
        assert (await lab.row(first)).end_reason == "max_duration"

    run(tmp_path, scenario, AgentProfile("agent_brief", "Brief", max_seconds=30))


# ---- the end ------------------------------------------------------------------------------------


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
        await lab.settle()
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
