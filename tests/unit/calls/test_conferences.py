"""Several people in one call: how they come, how they go, and what ends with whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringback.calls import conferences as module
from ringback.calls.conferences import Invitation, Participant
from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import LimitReached, NotFound, RingbackError
from ringback.media.plane import StreamAttached, StreamCommand, StreamDetached
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab
from unit.calls.scenario import active_call, placed_call, run, turns

INVITED = Invitation("+493012345678", caller_id="+33123456789", timeout=20)


async def invite(lab: CallLab, call_id: str, answered: bool = True) -> str:
    conferences = lab.control.service.conferences
    invited = await conferences.invite(ACCOUNT, call_id, INVITED)
    participant_id = invited.entry.call_id
    if answered:
        lab.control.service.sink.leg_answered(participant_id)
    return participant_id


def told(lab: CallLab) -> list[tuple[str, str, str | None]]:
    return [
        (event["type"], event["participant_call_id"], event["end_reason"])
        for event in lab.events()
        if event["type"].startswith("participant_")
    ]


def media(lab: CallLab) -> list[tuple[Any, ...]]:
    return [command for command in lab.plane.commands if command[0] in ("join", "part")]


def people(lab: CallLab, call_id: str) -> list[tuple[str, str, bool]]:
    found: list[Participant] = lab.control.service.conferences.list(ACCOUNT, call_id)
    return [(one.entry.call_id, one.role.value, one.joined) for one in found]


@pytest.mark.requirement("call.conference")
def test_somebody_who_is_called_in_joins_when_they_answer(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab, HOSTED.agent_id)
        guest_id = await invite(lab, host_id, answered=False)
        (dialled,) = lab.connector.dialled
        assert (dialled.target, dialled.caller_id) == ("+493012345678", "+33123456789")
        assert dialled.ring_timeout == 20
        assert people(lab, host_id) == [
            (host_id, "host", True),
            (guest_id, "participant", False),
        ]
        assert media(lab) == []
        lab.control.service.sink.leg_answered(guest_id)
        assert media(lab) == [("join", guest_id, host_id)]
        assert people(lab, guest_id) == [(host_id, "host", True), (guest_id, "participant", True)]
        assert told(lab) == [("participant_joined", guest_id, None)]
        shown = {target for target, note in lab.plane.notified if note["type"].startswith("part")}
        assert shown == {host_id, guest_id}
        guest = (await lab.control.service.get(ACCOUNT, guest_id)).call
        assert (guest.conference_id, guest.facts.parent_call_id) == (host_id, host_id)
        assert guest.facts.recording is None

    run(tmp_path, scenario)


def test_somebody_who_does_not_answer_never_joins(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        guest_id = await invite(lab, host_id, answered=False)
        lab.control.service.sink.leg_ended(guest_id, Cause(EndReason.BUSY, 486))
        assert told(lab) == [("participant_failed", guest_id, "busy")]
        assert people(lab, host_id) == [(host_id, "host", True)]
        assert len(lab.control.service.conferences) == 0

    run(tmp_path, scenario)


@pytest.mark.requirement("call.conference")
def test_a_participant_who_leaves_leaves_the_others_talking(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        first, second = await invite(lab, host_id), await invite(lab, host_id)
        lab.control.service.sink.leg_ended(first, Cause(EndReason.CALLER_HANGUP))
        assert told(lab)[-1] == ("participant_left", first, "caller_hangup")
        assert [one[0] for one in people(lab, host_id)] == [host_id, second]
        lab.control.service.sink.leg_ended(second, Cause(EndReason.CALLER_HANGUP))
        await lab.settle()
        assert people(lab, host_id) == [(host_id, "host", True)]
        entry = lab.control.registry.get(host_id)
        assert entry is not None
        assert (entry.call.state.value, entry.call.conference_id) == ("active", None)
        assert entry.watchers == []

    run(tmp_path, scenario)


@pytest.mark.requirement("call.conference")
def test_the_end_of_the_host_ends_those_who_have_no_agent_of_their_own(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        guest_id = await invite(lab, host_id)
        called_id = await invite(lab, host_id, answered=False)
        hosted_id = await active_call(lab, HOSTED.agent_id)
        streamed_id = await placed_call(lab)
        lab.plane.report_event(StreamAttached(streamed_id, "stream-1"))
        for joined in (hosted_id, streamed_id):
            lab.control.service.conferences.join(ACCOUNT, host_id, joined)
        lab.control.service.hang_up(ACCOUNT, host_id)
        await lab.settle()
        for ended in (guest_id, called_id):
            assert (await lab.row(ended)).end_reason == "conference_ended"
        for going_on in (hosted_id, streamed_id):
            call = (await lab.control.service.get(ACCOUNT, going_on)).call
            assert (call.state.value, call.conference_id) == ("active", None)
            assert ("part", going_on) in media(lab)
        assert len(lab.control.service.conferences) == 0

    run(tmp_path, scenario)


def test_a_stream_that_went_away_is_no_agent(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id, guest_id = await active_call(lab), await placed_call(lab)
        lab.plane.report_event(StreamAttached(guest_id, "stream-1"))
        lab.plane.report_event(StreamDetached(guest_id, "stream-1", 1000))
        lab.control.service.conferences.join(ACCOUNT, host_id, guest_id)
        lab.control.service.hang_up(ACCOUNT, host_id)
        await lab.settle()
        assert (await lab.row(guest_id)).end_reason == "conference_ended"

    run(tmp_path, scenario)


def test_a_participant_is_removed_or_let_go(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        conferences = lab.control.service.conferences
        hung_up, kept = await invite(lab, host_id), await invite(lab, host_id)
        called = await invite(lab, host_id, answered=False)
        for gone in (hung_up, called):
            conferences.remove(ACCOUNT, host_id, gone)
        conferences.remove(ACCOUNT, host_id, kept, keep=True)
        assert media(lab)[-1] == ("part", kept)
        with pytest.raises(NotFound) as refused:
            conferences.remove(ACCOUNT, host_id, kept)
        assert refused.value.code == "participant_not_found"
        await lab.settle()
        assert (await lab.row(hung_up)).end_reason == "agent_hangup"
        assert (await lab.row(called)).end_reason == "cancelled"
        assert (await lab.control.service.get(ACCOUNT, kept)).call.state.value == "active"

    run(tmp_path, scenario)


def test_who_is_invited_by_a_participant_is_in_the_same_room(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        first = await invite(lab, host_id)
        second = await invite(lab, first)
        assert media(lab)[-1] == ("join", second, host_id)
        assert len(people(lab, second)) == 3

    run(tmp_path, scenario)


def test_what_cannot_be_joined_says_why(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id, other_id = await active_call(lab), await active_call(lab)
        guest_id = await invite(lab, host_id)
        ringing_id = (await lab.connector.call_in()).call_id
        join = lab.control.service.conferences.join
        for call_id, joined, code in (
            (host_id, host_id, "already_joined"),
            (host_id, guest_id, "already_joined"),
            (guest_id, host_id, "already_joined"),
            (other_id, host_id, "is_a_conference"),
            (host_id, ringing_id, "call_not_active"),
            (ringing_id, host_id, "call_not_active"),
            (host_id, "call_nowhere", "call_not_found"),
        ):
            with pytest.raises(RingbackError) as refused:
                join(ACCOUNT, call_id, joined)
            assert refused.value.code == code
        with pytest.raises(NotFound):
            join("acct_other", host_id, other_id)
        join(ACCOUNT, other_id, guest_id)  # a participant may change the room
        assert media(lab)[-2:] == [("part", guest_id), ("join", guest_id, other_id)]

    run(tmp_path, scenario)


def test_a_room_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTICIPANTS", 2)

    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        await invite(lab, host_id)
        await invite(lab, host_id, answered=False)
        with pytest.raises(LimitReached):
            await invite(lab, host_id)
        with pytest.raises(LimitReached):
            lab.control.service.conferences.join(ACCOUNT, host_id, await placed_call(lab))

    run(tmp_path, scenario)


@pytest.mark.requirement("guard.every-way")
def test_a_call_that_may_not_be_placed_is_no_participant(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)
        lab.connector.refusal = LimitReached("Enough for today.", code="daily_limit")
        with pytest.raises(LimitReached):
            await invite(lab, host_id)
        assert people(lab, host_id) == [(host_id, "host", True)]
        assert len(lab.control.service.conferences) == 0

    run(tmp_path, scenario)


@pytest.mark.requirement("call.conference")
def test_a_stream_brings_people_in_and_out(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        host_id = await active_call(lab)

        def command(**message: object) -> None:
            lab.plane.report_event(StreamCommand(host_id, "stream-1", message))

        command(type="add_participant", target="+493012345678")
        await turns()
        guest_id = lab.connector.dialled[0].call_id
        other_id = await placed_call(lab)
        lab.control.service.sink.leg_answered(guest_id)
        command(type="add_participant", call_id=other_id)
        assert len(people(lab, host_id)) == 3
        command(type="remove_participant", call_id=other_id, keep=True)
        command(type="remove_participant", call_id=guest_id)
        assert len(people(lab, host_id)) == 1

    run(tmp_path, scenario)
