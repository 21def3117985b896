"""A call while it lasts: words, keys, commands, and what media says about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringback.calls.dialler import PlaceCall
from ringback.calls.lifecycle import MAX_CALL_SECONDS
from ringback.calls.ports import AgentProfile
from ringback.calls.states import CallState
from ringback.core.errors import (
    Conflict,
    InvalidRequest,
    NotConfigured,
    NotFound,
)
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaTimedOut,
    StreamCommand,
    TranscriptLine,
    VoiceSpec,
)
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab
from unit.calls.scenario import DIAL, active_call, run


@pytest.mark.requirement("ops.quality-metrics")
def test_what_is_said_is_told_kept_and_read_in_deltas(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.plane.report_event(TranscriptLine(call_id, "caller", "Hello?", 100, 900))
        lab.plane.report_event(TranscriptLine(call_id, "agent", "Hi, \ud800here", 1000, 2000))
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
        lab.plane.report_event(TranscriptLine(call_id, "caller", "Hello?", 100, 900))
        assert (await lab.control.service.get(ACCOUNT, call_id)).transcript_length == 0
        assert not [e for e in lab.events() if e["type"] == "call_transcript"]

    run(tmp_path, scenario)


@pytest.mark.requirement("media.dtmf-info")
def test_keys_come_as_events_whether_by_media_or_signalling(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        lab.plane.report_event(DtmfReceived(call_id, "5", 160))
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
        await lab.control.service.send_dtmf(ACCOUNT, call_id, "1,2#")
        assert lab.plane.commands[-3:] == [
            ("say", call_id, "Good morning"),
            ("stop_speaking", call_id),
            ("send_dtmf", call_id, "1,2#", "auto"),
        ]
        with pytest.raises(InvalidRequest):
            await lab.control.service.send_dtmf(ACCOUNT, call_id, "x")

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
            await lab.control.service.send_dtmf(ACCOUNT, leg.call_id, "1")

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


@pytest.mark.requirement("media.timeout")
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
                lab.plane.report_event(MediaTimedOut(call_id, 60.0))
            case "agent":
                lab.plane.report_event(HangUpRequested(call_id, "silence"))
            case "nonsense":
                lab.plane.report_event(HangUpRequested(call_id, "bored"))
            case _:
                lab.plane.report_event(StreamCommand(call_id, "stream_1", {"type": "hangup"}))
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
        ({"type": "typing"}, "capability_missing"),
        ({"type": "hold", "music": "loud"}, "invalid_field"),
        ({"type": "transfer"}, "invalid_field"),
        ({"type": "transfer", "target": "+1", "to_call_id": "call_1"}, "invalid_field"),
        ({"type": "cancel_transfer"}, "no_transfer"),
        ({"type": "add_participant", "call_id": "call_nowhere"}, "call_not_found"),
        ({"type": "remove_participant", "call_id": "call_1"}, "participant_not_found"),
        ({"type": "gather", "max_digits": 0}, "invalid_field"),
        ({"type": "gather", "id": 7}, "invalid_field"),
        ({"type": "cancel_gather"}, "no_gather"),
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
        lab.plane.report_event(StreamCommand(call_id, "stream_1", message))
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
