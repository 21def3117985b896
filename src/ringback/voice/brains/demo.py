"""The built-in demo agent: a script that answers a handful of questions without any model.

Everything it knows is in ``INTENTS``; understanding is a pure function that forgives much,
because what a recogniser makes of a telephone is rarely what was said.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher

from ringback.voice.contract import Delta, Message, TextDelta, Tool, ToolCall
from ringback.voice.tools import HANG_UP, SEND_DTMF

GREETING = "Hello, this is the Ringback demo agent. How can I help you?"

KEYS = {
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "star": "*",
    "pound": "#",
}
_KEY_NAMES = {key: name for name, key in KEYS.items()}
_PRESS = frozenset({"press", "pressed", "push", "dial"})


@dataclass(frozen=True, slots=True)
class Intent:
    """``phrases`` are how callers say it (and what the recogniser listens for); one of
    ``keywords`` alone is enough to recognise it in a short sentence."""

    name: str
    reply: str
    phrases: tuple[str, ...]
    keywords: frozenset[str] = frozenset()


INTENTS: tuple[Intent, ...] = (
    Intent(
        "hang_up",
        "Goodbye.",
        (
            "goodbye", "good bye", "bye", "bye bye", "hang up", "please hang up", "end the call",
            "thank you goodbye", "thanks bye", "hang up please",
        ),
        frozenset({"goodbye", "bye", "hang"}),
    ),
    Intent(
        "time",
        "It is {time}.",
        (
            "what time is it", "what time is it now", "what time is it please",
            "what's the time", "what is the time", "tell me the time", "time please",
        ),
        frozenset({"time"}),
    ),
    Intent(
        "date",
        "Today is {date}.",
        ("what day is it", "what day is it today", "what is the date", "what's the date today"),
        frozenset({"date", "day"}),
    ),
    Intent(
        "name",
        "I am called Ringback.",
        ("what is your name", "what's your name", "tell me your name"),
        frozenset({"name"}),
    ),
    Intent(
        "abilities",
        "I can tell the time, repeat what you say, press keys, and hang up when you say goodbye.",
        (
            "what can you do", "what can you do for me", "what can i ask", "what can i say",
            "help", "help me", "help me please", "can you help me",
        ),
        frozenset({"help"}),
    ),
    Intent(
        "identity",
        "I am the demo agent of Ringback, a phone gateway for programs that talk.",
        (
            "what are you", "who are you", "who is this", "are you a robot", "are you human",
            "are you a machine", "are you a person",
        ),
        frozenset({"robot", "human"}),
    ),
    Intent(
        "wellbeing",
        "I am fine, thank you. How are you?",
        ("how are you", "how are you doing", "how are you today", "how do you do"),
    ),
    Intent(
        "hearing",
        "Yes, I can hear you.",
        ("can you hear me", "do you hear me", "are you there"),
    ),
    Intent(
        "thanks",
        "You are welcome.",
        ("thank you", "thanks", "thank you very much", "thanks a lot"),
        frozenset({"thank", "thanks"}),
    ),
    Intent(
        "greeting",
        "Hello. Ask me for the time, or say goodbye.",
        ("hello", "hi", "hello there", "good morning", "good afternoon", "good evening"),
        frozenset({"hello", "hi"}),
    ),
)  # fmt: skip

HINTS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [phrase for intent in INTENTS for phrase in intent.phrases]
        + [f"press {name}" for name in KEYS]
    )
)

KEYWORD_WORDS = 7
"""A keyword decides in a sentence of at most this many words."""
CLOSE_ENOUGH = 0.72
SAME_WORD = 0.8

_WORD = re.compile(r"[a-z0-9*#']+")


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    press: str = ""
    hang_up: bool = False


def understand(text: str) -> Intent | None:
    """The intent that ``text`` means, as far as can be told."""
    words: list[str] = _WORD.findall(text.lower())
    if not words:
        return None
    best, intent = max(
        ((_likeness(words, phrase.split()), each) for each in INTENTS for phrase in each.phrases),
        key=lambda pair: pair[0],
    )
    if best >= CLOSE_ENOUGH:
        return intent
    if len(words) <= KEYWORD_WORDS:
        for each in INTENTS:
            if any(_same(word, keyword) for word in words for keyword in each.keywords):
                return each
    return None


def key_to_press(text: str) -> str:
    """The key in "press five" or "dial 5"; empty when the text asks for none."""
    words: list[str] = _WORD.findall(text.lower())
    for verb, key in zip(words, words[1:], strict=False):
        if verb in _PRESS:
            if key in KEYS:
                return KEYS[key]
            if key in _KEY_NAMES:
                return key
    return ""


def answer(text: str, now: datetime) -> Answer:
    """What the demo agent says and does when it heard ``text``."""
    key = key_to_press(text)
    if key:
        return Answer(f"Pressing {_key_name(key)}.", press=key)
    intent = understand(text)
    if intent is None:
        return Answer(f"I heard: {text.strip().rstrip('.!?')}.")
    clock = f"{now.hour % 12 or 12}:{now.minute:02d} {'PM' if now.hour >= 12 else 'AM'}"
    day = f"{now:%A}, {now:%B} {now.day}"
    return Answer(intent.reply.format(time=clock, date=day), hang_up=intent.name == "hang_up")


def answer_keys(keys: str) -> Answer:
    """What it says about keys that the caller pressed."""
    return Answer(f"You pressed {', '.join(_key_name(key) for key in keys)}.")


class DemoBrain:
    """A :class:`ringback.voice.contract.ChatModel`. ``now`` is the local time to tell."""

    hints = HINTS
    greeting = GREETING

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> AsyncGenerator[Delta, None]:
        last = messages[-1] if messages else None
        if last is None or last.role != "user":
            return
        said = answer_keys(last.text) if last.keys else answer(last.text, self._now())
        yield TextDelta(said.text)
        if said.press:
            yield ToolCall("press", SEND_DTMF.name, {"digits": said.press})
        if said.hang_up:
            yield ToolCall("bye", HANG_UP.name)


def _key_name(key: str) -> str:
    return {"*": "star", "#": "pound"}.get(key, key)


def _likeness(words: Sequence[str], phrase: Sequence[str]) -> float:
    """Dice coefficient over words that sound or look alike, each used once; 0 to 1."""
    left = list(phrase)
    common = 0
    for word in words:
        match = next((each for each in left if _same(word, each)), None)
        if match is not None:
            left.remove(match)
            common += 1
    return 2 * common / (len(words) + len(phrase))


def _same(word: str, other: str) -> bool:
    if word == other:
        return True
    if min(len(word), len(other)) < 4:
        return False
    return SequenceMatcher(None, word, other).ratio() >= SAME_WORD
