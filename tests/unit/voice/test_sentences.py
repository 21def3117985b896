from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.voice.sentences import MAX_SENTENCE, SentenceChunker


def chunk(text: str, size: int | None = None) -> list[str]:
    chunker = SentenceChunker()
    sentences: list[str] = []
    for start in range(0, len(text), size or max(1, len(text))):
        sentences += chunker.push(text[start : start + (size or len(text))])
    return sentences + chunker.flush()


def test_a_sentence_is_given_out_as_soon_as_the_next_one_begins() -> None:
    chunker = SentenceChunker()
    assert chunker.push("Hello there.") == []
    assert chunker.push(" How") == ["Hello there."]
    assert chunker.flush() == ["How"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It is 3.50 euros. Fine.", ["It is 3.50 euros.", "Fine."]),
        ("Ask Dr. Smith at St. Mary. Now.", ["Ask Dr. Smith at St.", "Mary.", "Now."]),
        ("Take e.g. this one. Yes.", ["Take e.g. this one.", "Yes."]),
        ("No. I cannot.", ["No.", "I cannot."]),
        ("J. R. Smith called. Bye.", ["J. R. Smith called.", "Bye."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("First line\nsecond line", ["First line", "second line"]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("1. Apples", ["1. Apples"]),
        ("  \n ... !", []),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_pause(text: str, expected: list[str]) -> None:
    assert chunk(text) == expected


def test_an_endless_sentence_is_cut_at_a_comma() -> None:
    text = "word " * 30 + "end, " + "more " * 60
    first = chunk(text)[0]
    assert first.endswith("end,")
    assert len(first) <= MAX_SENTENCE


@given(st.text(alphabet="abc .,!?\n", max_size=900), st.integers(1, 40))
def test_no_letter_is_lost_or_made_up_however_the_text_comes_in(text: str, size: int) -> None:
    sentences = chunk(text, size)
    assert _letters("".join(sentences)) == _letters(text)
    assert all(len(sentence) <= MAX_SENTENCE for sentence in sentences)


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


@given(st.text(alphabet="abc .,!?\n", max_size=300), st.integers(1, 7))
def test_the_same_sentences_come_out_of_pieces_as_of_the_whole(text: str, size: int) -> None:
    assert chunk(text, size) == chunk(text)
