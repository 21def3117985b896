"""What was said on one call, in order, read by the delta pattern of the API.

A reader passes ``since`` = the ``transcript_length`` of the answer before and gets only what is
new. Lines are numbered from 0 and never change or move.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_LINES = 20_000
"""Lines kept per call; about a day of lively conversation."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that ``speaker`` (``caller`` or ``agent``) said; ms since the answer."""

    index: int
    speaker: str
    text: str
    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        return f"[{self.speaker}] {self.text}"


@dataclass(slots=True)
class Transcript:
    lines: list[Line] = field(default_factory=list)
    refused: int = 0
    """Lines beyond ``MAX_LINES``, which were not kept."""

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, speaker: str, text: str, start_ms: int, end_ms: int) -> Line | None:
        """The new line, or ``None`` when the transcript is full."""
        if len(self.lines) >= MAX_LINES:
            self.refused += 1
            return None
        line = Line(len(self.lines), speaker, text, start_ms, end_ms)
        self.lines.append(line)
        return line

    def since(self, index: int) -> list[Line]:
        """The lines from ``index`` on; none where it lies beyond the end."""
        return self.lines[index:]
