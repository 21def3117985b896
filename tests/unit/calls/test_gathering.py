"""Gathering keys on a live call: the prompt, barge-in, one at a time, and every way to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ringback.calls.gather import GatherReason, GatherWanted
from ringback.calls.gathering import GatherResult
from ringback.core.errors import Conflict, NotConfigured
from ringback.media.plane import DtmfReceived, StreamCommand, TranscriptLine
from unit.calls.fakes import ACCOUNT, HOSTED, CallLab
from unit.calls.scenario import active_call, run, turns


def press(lab: CallLab, call_id: str, keys: str) -> None:
    for digit in keys:
        lab.plane.report_event(DtmfReceived(call_id, digit, 100))


async def gathering(lab: CallLab, call_id: str, wanted: GatherWanted) -> asyncio.Task[GatherResult]:
    task = asyncio.ensure_future(lab.control.service.gathers.gather(ACCOUNT, call_id, wanted))
    await turns()
    return task


@pytest.mark.requirement("media.gather")
def test_keys_are_gathered_and_are_events_all_the_same(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        task = await gathering(lab, call_id, GatherWanted(max_digits=4))
        press(lab, call_id, "12")
        lab.control.service.sink.leg_dtmf(call_id, "3", 100)
        press(lab, call_id, "#")
        assert await task == GatherResult("123", GatherReason.TERMINATOR)
        keys = [event["digit"] for event in lab.events() if event["type"] == "dtmf"]
        assert keys == ["1", "2", "3", "#"]

    run(tmp_path, scenario)


@pytest.mark.requirement("media.gather")
def test_silence_ends_it_with_what_is_there(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        task = await gathering(lab, call_id, GatherWanted(first_timeout=8, inter_digit_timeout=3))
        lab.time.pass_by(7)
        press(lab, call_id, "1")
        lab.time.pass_by(2.9)
        assert not task.done()
        lab.time.pass_by(0.2)
        assert await task == GatherResult("1", GatherReason.TIMEOUT)
        assert lab.time.pending == 1  # the longest call

    run(tmp_path, scenario)


def test_a_key_stops_the_prompt_and_counts(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        task = await gathering(lab, call_id, GatherWanted(max_digits=2, prompt="Your PIN please"))
        assert lab.plane.commands[-1:] == [("say", call_id, "Your PIN please")]
        press(lab, call_id, "1")
        assert lab.plane.commands[-1:] == [("stop_speaking", call_id)]
        press(lab, call_id, "2")
        assert await task == GatherResult("12", GatherReason.COMPLETE)
        assert lab.plane.commands.count(("stop_speaking", call_id)) == 1

    run(tmp_path, scenario)


@pytest.mark.requirement("media.gather")
def test_the_wait_begins_when_the_prompt_was_heard_to_its_end(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        wanted = GatherWanted(first_timeout=2, prompt="Hello there. Your PIN, please.")
        task = await gathering(lab, call_id, wanted)
        lab.time.pass_by(4)
        lab.plane.report_event(TranscriptLine(call_id, "agent", "Hello there.", 0, 900))
        lab.plane.report_event(TranscriptLine(call_id, "caller", "What is it, then?", 0, 900))
        lab.time.pass_by(4)
        assert not task.done()
        lab.plane.report_event(TranscriptLine(call_id, "agent", "Your PIN, please.", 900, 2000))
        lab.time.pass_by(2.1)
        assert await task == GatherResult("", GatherReason.TIMEOUT)

    run(tmp_path, scenario)


def test_one_gathers_at_a_time(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        gathers = lab.control.service.gathers
        task = await gathering(lab, call_id, GatherWanted())
        with pytest.raises(Conflict) as refused:
            await gathers.gather(ACCOUNT, call_id, GatherWanted())
        assert refused.value.code == "gather_in_progress"
        press(lab, call_id, "5")
        gathers.cancel(ACCOUNT, call_id)
        assert await task == GatherResult("5", GatherReason.CANCELLED)
        with pytest.raises(Conflict):
            gathers.cancel(ACCOUNT, call_id)
        task = await gathering(lab, call_id, GatherWanted(max_digits=1))
        press(lab, call_id, "6")
        assert await task == GatherResult("6", GatherReason.COMPLETE)

    run(tmp_path, scenario)


def test_who_goes_away_while_waiting_cancels(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab, HOSTED.agent_id)
        task = await gathering(lab, call_id, GatherWanted(prompt="Your PIN please"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert lab.plane.commands[-1] == ("stop_speaking", call_id)
        entry = lab.control.registry.get(call_id)
        assert entry is not None
        assert entry.gathering is None
        assert entry.watchers == []

    run(tmp_path, scenario)


def test_the_end_of_the_call_ends_it(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        task = await gathering(lab, call_id, GatherWanted())
        press(lab, call_id, "4")
        lab.control.service.hang_up(ACCOUNT, call_id)
        assert await task == GatherResult("4", GatherReason.HANGUP)

    run(tmp_path, scenario)


def test_a_prompt_that_nothing_can_say_is_refused_and_nothing_gathered(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        lab.plane.no_voice = NotConfigured("espeak-ng is not installed.")
        call_id = await active_call(lab)
        with pytest.raises(NotConfigured):
            await lab.control.service.gathers.gather(ACCOUNT, call_id, GatherWanted(prompt="Hi"))
        entry = lab.control.registry.get(call_id)
        assert entry is not None
        assert entry.gathering is None

    run(tmp_path, scenario)


def test_a_stream_gathers_and_gets_the_result_with_its_own_id(tmp_path: Path) -> None:
    async def scenario(lab: CallLab) -> None:
        call_id = await active_call(lab)
        command = {"type": "gather", "max_digits": 2, "id": "pin"}
        lab.plane.report_event(StreamCommand(call_id, "stream-1", command))
        press(lab, call_id, "42")
        assert lab.plane.notified[-1] == (
            call_id,
            {
                "type": "gather_result",
                "call_id": call_id,
                "digits": "42",
                "reason": "complete",
                "id": "pin",
            },
        )

    run(tmp_path, scenario)
