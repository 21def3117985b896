from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.voice.brains.demo import (
    HINTS,
    INTENTS,
    Answer,
    DemoBrain,
    answer,
    answer_keys,
    understand,
)
from ringback.voice.contract import Delta, Message, TextDelta, ToolCall
from ringback.voice.tools import CALL_TOOLS

NOW = datetime(2026, 11, 21, 15, 4)


@pytest.mark.parametrize(
    ("said", "replied"),
    [
        ("what time is it", "It is 3:04 PM."),
        ("What time is it, please?", "It is 3:04 PM."),
        ("what day is it today", "Today is Saturday, November 21."),
        ("what is your name", "I am called Ringback."),
        ("how are you", "I am fine, thank you. How are you?"),
        ("are you a robot", "I am the demo agent of Ringback, a phone gateway for programs that "
         "talk."),
        ("can you hear me", "Yes, I can hear you."),
        ("thanks a lot", "You are welcome."),
        ("the weather is nice today", "I heard: the weather is nice today."),
    ],
)  # fmt: skip
def test_it_answers_what_it_knows_and_repeats_the_rest(said: str, replied: str) -> None:
    assert answer(said, NOW) == Answer(replied)


@pytest.mark.parametrize(
    ("heard", "intent"),
    [
        ("what time easy", "time"),
        ("what i'm time is it", "time"),
        ("one time is it", "time"),
        ("well good bye then", "hang_up"),
        ("goodby", "hang_up"),
        ("could you hang up now", "hang_up"),
        ("what can you do or", "abilities"),
        ("help me clean", "abilities"),
        ("are you a robust robot", "identity"),
        ("how are you doing", "wellbeing"),
        ("thank you me much", "thanks"),
    ],
)
def test_it_understands_what_a_poor_recogniser_made_of_it(heard: str, intent: str) -> None:
    found = understand(heard)
    assert found is not None
    assert found.name == intent


@pytest.mark.parametrize(
    "heard", ["", "...", "the quarterly report was fine by me i must say on the whole this time"]
)
def test_it_does_not_claim_to_understand_everything(heard: str) -> None:
    assert understand(heard) is None


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.name)
def test_every_phrase_of_an_intent_means_that_intent(intent: object) -> None:
    for each in INTENTS:
        for phrase in each.phrases:
            assert understand(phrase) is each, phrase


@pytest.mark.parametrize(
    ("said", "key"),
    [("press five", "5"), ("please press 5", "5"), ("dial star now", "*"), ("push zero", "0")],
)
def test_it_presses_the_key_it_is_asked_to_press(said: str, key: str) -> None:
    assert answer(said, NOW).press == key


def test_it_speaks_the_keys_that_were_pressed() -> None:
    assert answer_keys("5") == Answer("You pressed 5.")
    assert answer_keys("1*#") == Answer("You pressed 1, star, pound.")


@given(st.text(max_size=200))
def test_any_text_gets_an_answer_that_can_be_spoken(said: str) -> None:
    replied = answer(said, NOW)
    assert replied.text
    assert len(replied.text) <= len(said) + 200


def ask(*messages: Message) -> list[Delta]:
    async def collect() -> list[Delta]:
        return [delta async for delta in DemoBrain(lambda: NOW).reply(messages, CALL_TOOLS)]

    return asyncio.run(collect())


def test_it_says_goodbye_and_hangs_up() -> None:
    assert ask(Message("user", "goodbye")) == [TextDelta("Goodbye."), ToolCall("bye", "hang_up")]


def test_it_sends_the_key_as_a_tool_call() -> None:
    assert ask(Message("user", "press nine")) == [
        TextDelta("Pressing 9."),
        ToolCall("press", "send_dtmf", {"digits": "9"}),
    ]


def test_pressed_keys_are_told_from_spoken_digits() -> None:
    assert ask(Message("user", "5", keys=True)) == [TextDelta("You pressed 5.")]
    assert ask(Message("user", "5")) == [TextDelta("I heard: 5.")]


def test_it_says_nothing_unasked() -> None:
    assert ask() == []
    assert ask(Message("assistant", "Hello.")) == []


def test_the_recogniser_is_told_every_phrase_once() -> None:
    assert len(HINTS) == len(set(HINTS))
    assert "what time is it" in HINTS
    assert "press five" in HINTS
