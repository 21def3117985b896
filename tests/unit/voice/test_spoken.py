from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.voice.spoken import Heard, SpokenLedger, heard_text


@pytest.mark.parametrize(
    ("played", "expected"),
    [
        (0, ""),
        (399, ""),
        (500, "Hello"),
        (999, "Hello"),
        (1100, "Hello world"),
        (1600, "Hello world this"),
        (1994, "Hello world this"),
        (1996, "Hello world this is."),
        (5000, "Hello world this is."),
    ],
)
def test_only_words_that_were_played_to_their_end_are_heard(played: int, expected: str) -> None:
    assert heard_text("Hello world this is.", played, 2000) == expected


TEXTS = st.lists(st.text(alphabet="abc", min_size=1, max_size=9), max_size=12).map(" ".join)


@given(TEXTS, st.integers(0, 5000), st.integers(0, 4000))
def test_more_sound_never_means_fewer_words(text: str, played: int, length: int) -> None:
    less, more = heard_text(text, played, length), heard_text(text, played + 100, length)
    assert text.startswith(less)
    assert len(less) <= len(more)


class Port:
    """The counters of a port, in whole milliseconds."""

    def __init__(self) -> None:
        self.ledger = SpokenLedger()
        self.played = 0
        self.queued = 0
        self.now = 0

    def say(self, text: str, milliseconds: int, *, complete: bool = True) -> None:
        sentence = self.ledger.begin(text)
        self.queued += milliseconds
        self.ledger.queued(sentence, milliseconds)
        self.ledger.close(sentence, complete=complete)

    def play(self, milliseconds: int) -> list[Heard]:
        heard: list[Heard] = []
        for _ in range(milliseconds // 20):
            self.now += 20
            share = min(20, self.queued)
            self.played += share
            self.queued -= share
            heard += self.ledger.account(self.played, self.queued, self.now)
        return heard

    def hold(self, milliseconds: int) -> list[Heard]:
        heard: list[Heard] = []
        for _ in range(milliseconds // 20):
            self.now += 20
            self.queued -= min(20, self.queued)
            heard += self.ledger.account(self.played, self.queued, self.now)
        return heard

    def stop(self) -> list[Heard]:
        heard = self.ledger.cut(self.played, self.queued, self.now)
        self.queued = 0
        self.ledger.cleared(0)
        return heard


def test_a_sentence_is_settled_when_its_last_sound_was_played() -> None:
    port = Port()
    port.say("One two.", 400)
    port.say("Three.", 200)
    assert port.play(380) == []
    assert port.play(20) == [Heard("One two.", 0, 400, whole=True)]
    assert port.play(200) == [Heard("Three.", 400, 600, whole=True)]
    assert not port.ledger


def test_a_stop_cuts_the_sentence_under_way_and_forgets_the_rest() -> None:
    port = Port()
    port.say("One two three four.", 1900)
    port.say("Never heard.", 1000)
    port.play(1000)
    assert port.stop() == [Heard("One two", 0, 1000, whole=False)]
    port.say("Next.", 100)
    assert port.play(100) == [Heard("Next.", 1000, 1100, whole=True)]


def test_a_sentence_still_being_made_is_not_taken_for_its_whole_text() -> None:
    port = Port()
    port.say("A long sentence of which only the beginning came out.", 600, complete=False)
    assert port.ledger.account(0, 600, 0) == []
    port.play(580)
    assert [heard.text for heard in port.stop()] == ["A long"]


def test_a_sentence_without_sound_is_not_heard() -> None:
    port = Port()
    port.say("Failed.", 0, complete=False)
    port.say("Fine.", 100)
    assert port.play(100) == [Heard("Fine.", 0, 100, whole=True)]


def test_what_passed_while_the_call_was_on_hold_was_not_heard() -> None:
    port = Port()
    port.say("One two three four.", 2000)
    port.play(1000)
    (heard,) = port.hold(1000)
    assert heard == Heard("One two", 0, 1000, whole=False)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 80)), min_size=1, max_size=12))
def test_played_time_is_never_credited_twice(script: list[tuple[int, int]]) -> None:
    port = Port()
    heard: list[Heard] = []
    for frames, play in script:
        port.say("word " * frames, frames * 20)
        heard += port.play(play * 20)
    heard += port.stop()
    for before, after in zip(heard, heard[1:], strict=False):
        assert before.end_ms <= after.start_ms
    assert sum(each.end_ms - each.start_ms for each in heard) <= port.now
