from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.calls import transcript
from ringback.calls.background import Background
from ringback.calls.texts import one_line, recording_name
from ringback.calls.transcript import Transcript


@given(st.text(st.characters(), max_size=600), st.integers(1, 300))
def test_a_line_from_the_network_can_always_be_shown_and_stored(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    line.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Alice", "Alice"),
        ("  Zoë\r\nVia: evil ", "Zoë  Via: evil"),
        ("\x00\ud800", "?"),
        ("", ""),
    ],
)
def test_control_characters_become_spaces(text: str, line: str) -> None:
    assert one_line(text, 100) == line


def test_recordings_lie_in_a_folder_per_day() -> None:
    assert recording_name("call_1", datetime(2026, 3, 5, tzinfo=UTC)) == "2026-03-05/call_1.wav"


def test_a_transcript_is_bounded_and_says_how_much_it_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcript, "MAX_LINES", 2)
    said = Transcript()
    lines = [said.add("caller", str(number), 0, 1) for number in range(3)]
    assert [line and line.index for line in lines] == [0, 1, None]
    assert (len(said), said.refused) == (2, 1)
    assert said.since(5) == []


def test_background_work_that_fails_is_counted_and_work_that_hangs_is_cancelled() -> None:
    async def main() -> None:
        background = Background()

        async def fail() -> None:
            raise ValueError("on purpose")

        async def hang() -> None:
            await asyncio.Event().wait()

        background.spawn(fail(), "fails")
        hanging = background.spawn(hang(), "hangs")
        await background.finish(0.01)
        assert hanging.cancelled()
        assert (background.failures, len(background)) == (1, 0)

    asyncio.run(main())
