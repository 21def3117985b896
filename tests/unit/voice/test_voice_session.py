from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ringback.core.end_reason import EndReason
from ringback.voice.contract import Message, TextDelta, ToolCall
from ringback.voice.session import MAX_SAID_CHARACTERS
from ringback.voice.turns import Phase
from unit.voice.virtual_time import pass_time, run_virtual
from unit.voice.voice_rig import (
    FRAME,
    MS_PER_CHARACTER,
    Call,
    ScriptedModel,
    ScriptedStt,
    ScriptedTts,
    new_session,
)

Scenario = Callable[[], Awaitable[None]]


def in_virtual_time(scenario: Scenario) -> Callable[[], None]:
    """Runs the test on the jumping clock."""

    def test() -> None:
        async def run() -> None:
            await scenario()

        run_virtual(run())

    test.__name__ = scenario.__name__
    return test


@in_virtual_time
async def test_a_greeting_a_question_and_its_answer() -> None:
    call = Call()
    stt = ScriptedStt("what time is it")
    model = ScriptedModel("It is noon. Anything else?", hints=["what time is it"])
    session = new_session(call, stt=stt, model=model, greeting="Hello.")
    session.start()
    await call.until(lambda: session.phase is Phase.SPEAKING)
    await call.until(lambda: session.phase is Phase.LISTENING)
    call.caller.speaks(800)
    await call.until(lambda: len(call.lines) == 4)
    assert call.said == [
        ("agent", "Hello."),
        ("caller", "what time is it"),
        ("agent", "It is noon."),
        ("agent", "Anything else?"),
    ]
    assert model.asked == [[Message("assistant", "Hello."), Message("user", "what time is it")]]
    assert stt.streams[0].hints == ["what time is it"]
    assert call.notices == [
        ("agent_speaking", True),
        ("agent_speaking", False),
        ("speech_started", "caller"),
        ("speech_stopped", "caller"),
        ("agent_speaking", True),
        ("agent_speaking", False),
    ]
    await call.over(session)


@in_virtual_time
async def test_the_transcript_says_when_each_side_spoke() -> None:
    call = Call()
    model = ScriptedModel("Four words in reply.")
    session = new_session(call, stt=ScriptedStt("hi"), model=model)
    session.start()
    call.caller.pauses(1000)
    call.caller.speaks(600)
    await call.until(lambda: len(call.lines) == 2)
    caller, agent = call.lines
    assert (caller.start_ms, caller.end_ms) == (1000, 1600)
    spoken = len("Four words in reply.") * MS_PER_CHARACTER
    assert spoken - agent.end_ms + agent.start_ms in (0, 20, 40)  # slots that went out early
    assert 1600 + 600 <= agent.start_ms <= 1600 + 600 + 60
    await call.over(session)


@in_virtual_time
async def test_the_recogniser_gets_the_whole_turn_with_what_was_before_it() -> None:
    call = Call()
    stt = ScriptedStt("yes")
    session = new_session(call, stt=stt, model=ScriptedModel("Good."))
    session.start()
    call.caller.pauses(1000)
    call.caller.speaks(500)
    await call.until(lambda: bool(stt.streams[0].utterances))
    (utterance,) = stt.streams[0].utterances
    frames = [any(utterance[i : i + FRAME]) for i in range(0, len(utterance), FRAME)]
    first, last = frames.index(True), len(frames) - frames[::-1].index(True)
    assert last - first == 25
    assert first >= 10
    await call.over(session)


@in_virtual_time
async def test_barge_in_silences_the_agent_within_a_frame_of_the_decision() -> None:
    call = Call()
    model = ScriptedModel("word " * 40, "Fine.")
    session = new_session(call, stt=ScriptedStt("tell me", "stop"), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: session.phase is Phase.SPEAKING)
    await pass_time(2000)
    call.caller.speaks(400)
    await call.until(lambda: session.phase is Phase.USER_SPEAKING)
    decided = len(call.caller.heard)
    assert call.caller.heard[decided - 1]
    await pass_time(400)
    assert not any(call.caller.heard[decided:])
    assert call.lines[-1].speaker == "agent"
    await call.over(session)


@in_virtual_time
async def test_an_interrupted_sentence_is_cut_to_the_words_that_were_heard() -> None:
    call = Call()
    reply = "One two three four five six seven eight nine ten."
    model = ScriptedModel(reply, "Fine.")
    session = new_session(call, stt=ScriptedStt("count", "stop"), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: session.phase is Phase.SPEAKING)
    await pass_time(800)
    call.caller.speaks(400)
    await call.until(lambda: len(model.asked) == 2)
    line = call.lines[1]
    played = line.end_ms - line.start_ms
    assert reply.startswith(line.text)
    assert len(line.text) * MS_PER_CHARACTER <= played
    assert played < (len(line.text) + 6) * MS_PER_CHARACTER
    assert model.asked[1][-2:] == [Message("assistant", line.text), Message("user", "stop")]
    await call.over(session)


@in_virtual_time
async def test_without_barge_in_the_caller_hears_it_out() -> None:
    call = Call()
    session = new_session(
        call, stt=ScriptedStt("x"), model=ScriptedModel(), greeting="g" * 60 + ".", barge_in=False
    )
    session.start()
    await call.until(lambda: session.phase is Phase.SPEAKING)
    call.caller.speaks(1000)
    await call.until(lambda: session.phase is not Phase.SPEAKING)
    assert call.said == [("agent", "g" * 60 + ".")]
    await call.over(session)


@in_virtual_time
async def test_a_question_cut_short_by_a_noise_is_answered_all_the_same() -> None:
    call = Call()
    model = ScriptedModel([1000.0, TextDelta("Too late.")], "The answer.")
    session = new_session(call, stt=ScriptedStt("why", ""), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: len(model.asked) == 1)
    call.caller.speaks(200)
    await call.until(lambda: len(call.lines) == 2)
    assert call.said == [("caller", "why"), ("agent", "The answer.")]
    assert model.open == 0
    await call.over(session)


@in_virtual_time
async def test_two_turns_in_a_row_are_answered_once_with_both() -> None:
    call = Call()
    model = ScriptedModel("Yes to both.")
    stt = ScriptedStt("first", "second", delay_ms=1500)
    session = new_session(call, stt=stt, model=model)
    session.start()
    call.caller.speaks(400)
    call.caller.pauses(700)
    call.caller.speaks(400)
    await call.until(lambda: len(call.lines) == 3)
    assert [message.text for message in model.asked[-1]] == ["first", "second"]
    assert len(model.asked) == 1
    await call.over(session)


@in_virtual_time
async def test_a_turn_that_nobody_understood_is_passed_over_in_silence() -> None:
    call = Call()
    model = ScriptedModel("Never asked.")
    session = new_session(call, stt=ScriptedStt("", delay_ms=100), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: session.phase is Phase.THINKING)
    await call.until(lambda: session.phase is Phase.LISTENING)
    assert call.lines == []
    assert model.asked == []
    await call.over(session)


@in_virtual_time
async def test_keys_are_passed_to_the_brain_and_interrupt_the_agent() -> None:
    call = Call()
    model = ScriptedModel("You pressed one two.")
    session = new_session(call, stt=ScriptedStt(), model=model, greeting="word " * 40)
    session.start()
    await call.until(lambda: session.phase is Phase.SPEAKING)
    call.bridge.dtmf("1", 100)
    call.bridge.dtmf("2", 100)
    await call.until(lambda: session.phase is Phase.LISTENING)
    assert model.asked[-1][-1] == Message("user", "12", keys=True)
    assert call.said[-1] == ("agent", "You pressed one two.")
    await call.over(session)


@in_virtual_time
async def test_the_agent_presses_keys() -> None:
    call = Call()
    model = ScriptedModel(
        [TextDelta("Pressing 5."), ToolCall("a", "send_dtmf", {"digits": "5"})], "Done."
    )
    session = new_session(call, stt=ScriptedStt("press five"), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: ("agent", "Pressing 5.") in call.said)
    assert call.dtmf == ["5"]
    assert len(model.asked) == 1
    await call.over(session)


@in_virtual_time
async def test_a_model_that_only_used_a_tool_is_asked_again_with_the_result() -> None:
    call = Call()
    press = ToolCall("a", "send_dtmf", {"digits": "5#"})
    model = ScriptedModel([press], "Pressed.")
    session = new_session(call, stt=ScriptedStt("go on"), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: ("agent", "Pressed.") in call.said)
    assert model.asked[1][-2:] == [
        Message("assistant", "", tool_calls=(press,)),
        Message("tool", "Pressed 5#.", tool_call_id="a"),
    ]
    await call.over(session)


@in_virtual_time
async def test_the_goodbye_is_heard_before_the_agent_hangs_up() -> None:
    call = Call()
    model = ScriptedModel([TextDelta("Goodbye, and thank you."), ToolCall("a", "hang_up")])
    session = new_session(call, stt=ScriptedStt("bye"), model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: bool(call.hang_ups))
    assert call.hang_ups == [EndReason.AGENT_HANGUP]
    assert call.said[-1] == ("agent", "Goodbye, and thank you.")
    assert sum(call.caller.heard) * 20 == len("Goodbye, and thank you.") * MS_PER_CHARACTER + 10
    await call.over(session)


@in_virtual_time
async def test_a_hang_up_without_a_word_is_done_at_once() -> None:
    call = Call()
    session = new_session(
        call, stt=ScriptedStt("bye"), model=ScriptedModel([ToolCall("a", "hang_up")])
    )
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: bool(call.hang_ups), within_ms=1500)
    await call.over(session)


@in_virtual_time
async def test_a_silent_caller_is_hung_up_after_the_timeout() -> None:
    call = Call()
    session = new_session(
        call, stt=ScriptedStt(), model=ScriptedModel(), greeting="Hello.", silence_timeout=10
    )
    session.start()
    await call.until(lambda: bool(call.hang_ups))
    assert call.hang_ups == [EndReason.SILENCE]
    assert 10_000 <= call.elapsed_ms - call.lines[0].end_ms <= 10_060
    await call.over(session)


@in_virtual_time
async def test_the_silence_of_somebody_on_hold_does_not_count() -> None:
    call = Call()
    session = new_session(
        call, stt=ScriptedStt(), model=ScriptedModel(), greeting="", silence_timeout=10
    )
    session.start()
    await call.until(lambda: call.elapsed_ms >= 5_000)
    call.bridge.on_hold = True
    await call.until(lambda: call.elapsed_ms >= 55_000)
    assert call.hang_ups == []
    back = call.elapsed_ms
    call.bridge.on_hold = False
    await call.until(lambda: bool(call.hang_ups))
    assert call.hang_ups == [EndReason.SILENCE]
    assert 10_000 <= call.elapsed_ms - back <= 10_100
    await call.over(session)


@in_virtual_time
async def test_the_longest_duration_ends_the_call() -> None:
    call = Call()
    session = new_session(call, stt=ScriptedStt(), model=ScriptedModel(), max_duration=12.5)
    session.start()
    await call.until(lambda: bool(call.hang_ups))
    assert call.hang_ups == [EndReason.MAX_DURATION]
    assert call.elapsed_ms == 12_500
    await call.over(session)


@in_virtual_time
async def test_a_mouth_only_session_speaks_what_it_is_told_and_never_hangs_up() -> None:
    call = Call()
    session = new_session(call, listen=False)
    session.say("Before the call.")
    session.start()
    session.say("And after.")
    call.caller.speaks(3000)
    call.bridge.dtmf("1", 100)
    await pass_time(90_000)
    assert call.said == [("agent", "Before the call."), ("agent", "And after.")]
    assert call.hang_ups == []
    assert {each["type"] for each in call.messages} == {"agent_speaking"}
    await call.over(session)


@in_virtual_time
async def test_stop_speaking_drops_everything_that_was_to_be_said() -> None:
    call = Call()
    session = new_session(call, listen=False)
    session.start()
    session.say("One two three four five.")
    session.say("Never.")
    await pass_time(600)
    session.stop_speaking()
    heard = len(call.caller.heard)
    await pass_time(1000)
    assert not any(call.caller.heard[heard:])
    assert call.said == [("agent", "One two")]
    session.say("Again.")
    await call.until(lambda: len(call.lines) == 2)
    assert call.notices == [
        ("agent_speaking", True),
        ("agent_speaking", False),
        ("agent_speaking", True),
        ("agent_speaking", False),
    ]
    await call.over(session)


@in_virtual_time
async def test_long_speech_is_made_no_further_ahead_than_its_bound() -> None:
    call = Call()
    tts = ScriptedTts()
    session = new_session(call, tts=tts, listen=False)
    session.start()
    session.say("This is a sentence of some length. " * 40)
    await pass_time(1000)
    assert 10_000 <= call.ports[0].queued_ms <= 11_000
    assert len(tts.spoken) < 10
    await call.until(lambda: len(call.lines) == 40, within_ms=80_000)
    await call.over(session)


@in_virtual_time
async def test_text_without_bound_is_cut() -> None:
    call = Call()
    tts = ScriptedTts()
    session = new_session(call, tts=tts, listen=False)
    session.start()
    session.say("word. " * MAX_SAID_CHARACTERS)
    await call.until(lambda: len(tts.spoken) > 0)
    assert session.phase is not Phase.ENDED
    await call.over(session)
    assert len("word. ".join(tts.spoken)) <= MAX_SAID_CHARACTERS


@in_virtual_time
async def test_on_hold_the_agent_is_not_credited_with_words_nobody_heard() -> None:
    call = Call()
    session = new_session(call, listen=False)
    session.start()
    session.say("One two three four five six.")
    await pass_time(600)
    call.bridge.held = True
    await pass_time(2000)
    call.bridge.held = False
    await pass_time(200)
    assert call.said == [("agent", "One two")]
    await call.over(session)


@pytest.mark.parametrize("at_ms", range(0, 6000, 170))
def test_a_hang_up_at_any_moment_leaves_nothing_behind(at_ms: int) -> None:
    async def scenario() -> None:
        call = Call()
        tts = ScriptedTts(delay_ms=30)
        model = ScriptedModel([100.0, TextDelta("Some words. And"), 100.0, TextDelta(" more.")])
        stt = ScriptedStt("hello", delay_ms=200)
        session = new_session(call, stt=stt, tts=tts, model=model, greeting="Hello there.")
        session.start()
        call.caller.pauses(1000)
        call.caller.speaks(600)
        await pass_time(at_ms)
        await call.over(session)
        assert (tts.open, model.open) == (0, 0)
        assert all(stream.closed for stream in stt.streams)
        assert len(call.bridge.ports) == 0

    run_virtual(scenario())


@in_virtual_time
async def test_closing_twice_and_speaking_after_the_end_change_nothing() -> None:
    call = Call()
    session = new_session(call, listen=False)
    await session.close()
    session.start()
    session.say("Nobody is there.")
    session.stop_speaking()
    await session.close()
    assert call.ports == []
    assert len(asyncio.all_tasks()) == 1
    await call.over(session)


@in_virtual_time
async def test_a_closed_session_leaves_the_bridge_of_a_call_that_goes_on() -> None:
    call = Call()
    session = new_session(call, listen=False)
    session.start()
    session.say("One two three four five.")
    await pass_time(200)
    await session.close()
    assert call.bridge.ports == ()
    heard = len(call.caller.heard)
    await pass_time(200)
    assert not any(call.caller.heard[heard:])
    await call.over(session)


@in_virtual_time
async def test_what_was_heard_before_the_hang_up_is_in_the_transcript() -> None:
    call = Call()
    session = new_session(call, listen=False)
    session.start()
    session.say("One two three four five.")
    await pass_time(600)
    await call.over(session)
    assert call.said == [("agent", "One two")]


@in_virtual_time
async def test_the_delay_of_a_turn_is_counted_by_stage() -> None:
    call = Call()
    tts = ScriptedTts(delay_ms=60)
    model = ScriptedModel([100.0, TextDelta("The answer. ")])
    session = new_session(call, stt=ScriptedStt("why", delay_ms=200), tts=tts, model=model)
    session.start()
    call.caller.speaks(400)
    await call.until(lambda: len(call.lines) == 2)
    (turn,) = session.latency.turns
    assert turn.stages["endpointing"] == 600
    assert turn.stages["transcription"] == 200
    assert turn.stages["first_token"] == 100
    assert turn.stages["first_audio"] == 60
    assert turn.stages["playout"] in (20, 40)
    await call.over(session)
