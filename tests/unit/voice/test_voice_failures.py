"""What the caller hears when a vendor is slow, broken or silent."""

from __future__ import annotations

import asyncio

import pytest

from ringback.core.errors import NotConfigured
from ringback.voice.contract import Message, ProviderError, TextDelta, ToolCall
from ringback.voice.dialogue import (
    MAX_MESSAGES,
    MAX_REPLY_CHARACTERS,
    MAX_TOOL_ROUNDS,
    NO_ANSWER,
    TROUBLE,
    Dialogue,
)
from ringback.voice.session import NOT_UNDERSTOOD
from ringback.voice.speaker import MAX_JOBS
from ringback.voice.turns import Phase
from unit.voice.virtual_time import pass_time, run_virtual
from unit.voice.voice_rig import Call, ScriptedModel, ScriptedStt, ScriptedTts, new_session


def failure(*, retryable: bool) -> ProviderError:
    return ProviderError("it broke", provider="scripted", retryable=retryable)


async def ask(call: Call, model: ScriptedModel, lines: int = 2) -> list[str]:
    """Let the caller ask something; returns what the agent then says."""
    session = new_session(call, stt=ScriptedStt("why"), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: len(call.lines) >= lines)
    await call.until(lambda: session.phase is Phase.LISTENING)
    await call.over(session)
    assert call.hang_ups == []
    return [line.text for line in call.lines if line.speaker == "agent"]


def test_a_model_that_refuses_is_apologised_for_and_not_asked_again() -> None:
    async def scenario() -> None:
        model = ScriptedModel([failure(retryable=False)], "Never.")
        assert await ask(Call(), model) == [TROUBLE]
        assert len(model.asked) == 1

    run_virtual(scenario())


def test_a_passing_failure_before_the_first_word_is_tried_again_unheard() -> None:
    async def scenario() -> None:
        model = ScriptedModel([failure(retryable=True)], "Here I am.")
        assert await ask(Call(), model) == ["Here I am."]

    run_virtual(scenario())


def test_a_model_that_breaks_off_in_the_middle_is_not_started_over() -> None:
    async def scenario() -> None:
        model = ScriptedModel([TextDelta("First. Sec"), failure(retryable=True)], "Never.")
        assert await ask(Call(), model, 3) == ["First.", TROUBLE]

    run_virtual(scenario())


def test_a_model_that_says_nothing_in_time_is_given_up() -> None:
    async def scenario() -> None:
        call = Call()
        model = ScriptedModel([3_600_000.0])
        assert await ask(call, model) == [TROUBLE]
        assert model.open == 0

    run_virtual(scenario())


def test_a_model_without_an_answer_is_covered_for() -> None:
    async def scenario() -> None:
        assert await ask(Call(), ScriptedModel([])) == [NO_ANSWER]

    run_virtual(scenario())


def test_a_model_that_never_stops_is_stopped() -> None:
    async def scenario() -> None:
        call = Call()
        endless = [TextDelta("And so on and on. ")] * 1000
        session = new_session(call, stt=ScriptedStt("go"), model=ScriptedModel(endless))
        session.start()
        call.caller.speaks(400)
        await call.until(lambda: session.phase is Phase.SPEAKING)
        await call.until(lambda: session.phase is Phase.LISTENING, within_ms=400_000)
        spoken = sum(len(line.text) + 1 for line in call.lines if line.speaker == "agent")
        assert MAX_REPLY_CHARACTERS <= spoken <= MAX_REPLY_CHARACTERS + 100
        await call.over(session)

    run_virtual(scenario())


def test_a_model_that_only_calls_tools_is_left_alone_after_some_rounds() -> None:
    async def scenario() -> None:
        call = Call()
        again = [ToolCall("a", "no_such_tool", {})]
        model = ScriptedModel(*[again] * 20)
        session = new_session(call, stt=ScriptedStt("go"), model=model)
        session.start()
        call.caller.speaks(400)
        await call.until(lambda: session.phase is Phase.THINKING)
        await call.until(lambda: session.phase is Phase.LISTENING)
        assert len(model.asked) == MAX_TOOL_ROUNDS
        assert model.asked[1][-1].text == "Error: there is no such tool."
        await call.over(session)

    run_virtual(scenario())


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("a", "send_dtmf", {"digits": "1-800"}),
        ToolCall("a", "send_dtmf", {"digits": "1" * 65}),
        ToolCall("a", "send_dtmf", {}),
        ToolCall("a", "send_dtmf", None),
    ],
)
def test_a_tool_call_that_makes_no_sense_is_refused_in_words(call: ToolCall) -> None:
    async def scenario() -> None:
        line = Call()
        model = ScriptedModel([call], "All right.")
        assert await ask(line, model) == ["All right."]
        assert model.asked[1][-1].text.startswith("Error: ")
        assert line.dtmf == []

    run_virtual(scenario())


def test_a_sentence_that_cannot_be_spoken_is_skipped() -> None:
    async def scenario() -> None:
        call = Call()
        tts = ScriptedTts()
        tts.troubles.extend([None, failure(retryable=True), ValueError("a bug")])
        session = new_session(call, tts=tts, listen=False)
        session.start()
        session.say("One. Two. ")
        session.say("Three.")
        session.say("Four.")
        await call.until(lambda: len(call.lines) == 2)
        assert call.said == [("agent", "One."), ("agent", "Four.")]
        assert tts.open == 0
        await call.over(session)

    run_virtual(scenario())


def test_a_voice_that_hangs_is_given_up_and_the_turn_goes_on() -> None:
    async def scenario() -> None:
        call = Call()
        tts = ScriptedTts(delay_ms=3_600_000)
        session = new_session(call, tts=tts, listen=False)
        session.start()
        session.say("Never made.")
        await pass_time(10_500)
        tts.delay_ms = 0
        session.say("Made.")
        await call.until(lambda: call.said == [("agent", "Made.")])
        assert tts.open == 0
        await call.over(session)

    run_virtual(scenario())


@pytest.mark.parametrize(
    "stt",
    [
        ScriptedStt(failure(retryable=True), "now it works"),
        ScriptedStt(RuntimeError("a bug"), "now it works"),
    ],
)
def test_after_a_failed_transcript_the_caller_is_asked_to_repeat(stt: ScriptedStt) -> None:
    async def scenario() -> None:
        call = Call()
        session = new_session(call, stt=stt, model=ScriptedModel("Good."))
        session.start()
        call.caller.speaks(400)
        await call.until(lambda: session.phase is Phase.SPEAKING)
        await call.until(lambda: session.phase is Phase.LISTENING)
        assert " ".join(text for _, text in call.said) == NOT_UNDERSTOOD
        assert stt.streams[0].closed
        call.caller.speaks(400)
        await call.until(lambda: call.said[-1] == ("agent", "Good."))
        assert len(stt.streams) == 2
        await call.over(session)

    run_virtual(scenario())


def test_a_transcript_that_never_comes_is_given_up() -> None:
    async def scenario() -> None:
        call = Call()
        stt = ScriptedStt("too late", delay_ms=3_600_000)
        session = new_session(call, stt=stt, model=ScriptedModel())
        session.start()
        call.caller.speaks(400)
        await call.until(lambda: session.phase is Phase.SPEAKING)
        assert call.elapsed_ms == pytest.approx(400 + 600 + 10_000, abs=100)
        assert stt.streams[0].closed
        await call.over(session)

    run_virtual(scenario())


def test_a_transcript_in_time_leaves_no_deadline_behind() -> None:
    async def scenario() -> None:
        call = Call()
        stt = ScriptedStt("hello", delay_ms=500)
        session = new_session(call, stt=stt, model=ScriptedModel("Hi."), silence_timeout=None)
        session.start()
        call.caller.speaks(400)
        await pass_time(30_000)
        assert call.said == [("caller", "hello"), ("agent", "Hi.")]
        assert not stt.streams[0].closed
        await call.over(session)

    run_virtual(scenario())


def test_a_recogniser_that_cannot_be_opened_is_tried_again_at_the_next_turn() -> None:
    async def scenario() -> None:
        call = Call()
        stt = ScriptedStt("hello")
        stt.refusals.extend([NotConfigured("no"), NotConfigured("still not")])
        session = new_session(call, stt=stt, model=ScriptedModel("Hi."))
        session.start()
        call.caller.speaks(400)
        await call.until(lambda: session.phase is Phase.SPEAKING)
        await call.until(lambda: session.phase is Phase.LISTENING)
        call.caller.speaks(400)
        await call.until(lambda: call.said[-1] == ("agent", "Hi."))
        await call.over(session)

    run_virtual(scenario())


def test_more_to_say_than_may_wait_is_refused() -> None:
    async def scenario() -> None:
        call = Call()
        tts = ScriptedTts(delay_ms=50)
        session = new_session(call, tts=tts, listen=False)
        for number in range(40):
            session.say(f"Number {number}.")
        session.start()
        for number in range(40):
            session.say(f"Later {number}.")
        await pass_time(20_000)
        assert len(call.lines) == MAX_JOBS
        await call.over(session)

    run_virtual(scenario())


class NoActions:
    def hang_up(self) -> None: ...

    def send_dtmf(self, digits: str) -> None: ...


def test_a_long_conversation_is_forgotten_from_its_beginning_at_a_callers_turn() -> None:
    dialogue = Dialogue(ScriptedModel(), NoActions(), deadline=1, on_first_token=lambda: None)
    for number in range(MAX_MESSAGES):
        dialogue.caller_said(f"question {number}")
        dialogue.agent_said(f"answer {number}")
    assert len(dialogue.messages) <= MAX_MESSAGES
    assert dialogue.messages[0].role == "user"
    assert dialogue.messages[-1] == Message("assistant", f"answer {MAX_MESSAGES - 1}")


def test_no_task_is_left_by_a_call_that_failed_everywhere() -> None:
    async def scenario() -> None:
        call = Call()
        tts = ScriptedTts()
        tts.troubles.extend([failure(retryable=False)] * 20)
        stt = ScriptedStt(failure(retryable=False))
        session = new_session(call, stt=stt, tts=tts, model=ScriptedModel(), greeting="Hello.")
        session.start()
        call.caller.speaks(400)
        await pass_time(5000)
        await call.over(session)
        assert len(asyncio.all_tasks()) == 1
        assert call.hang_ups == []

    run_virtual(scenario())
