"""How long each stage of a turn took, for the session's record."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_TURNS = 500
"""Turns kept per call; older ones are forgotten."""


@dataclass(slots=True)
class TurnLatency:
    """Milliseconds on the session's clock; ``None`` until (or unless) the moment came.

    In order: the caller's last voiced frame, the decision that the turn is over, the final
    transcript, the first text of the reply, its first synthesised audio, its first played frame.
    """

    speech_ended: int
    turn_ended: int
    transcribed: int | None = None
    first_token: int | None = None
    first_audio: int | None = None
    first_played: int | None = None

    @property
    def stages(self) -> dict[str, int]:
        """Milliseconds spent per stage, as far as the turn got."""
        marks = (
            ("endpointing", self.turn_ended),
            ("transcription", self.transcribed),
            ("first_token", self.first_token),
            ("first_audio", self.first_audio),
            ("playout", self.first_played),
        )
        spent: dict[str, int] = {}
        before = self.speech_ended
        for name, at in marks:
            if at is None:
                break
            spent[name] = at - before
            before = at
        return spent


class LatencyLog:
    """The turns of one call; the last one is being measured."""

    def __init__(self) -> None:
        self.turns: deque[TurnLatency] = deque(maxlen=MAX_TURNS)
        self._open: TurnLatency | None = None

    def turn_ended(self, speech_ended: int, now: int) -> None:
        self._open = TurnLatency(speech_ended, now)
        self.turns.append(self._open)

    def transcribed(self, now: int) -> None:
        if self._open is not None:
            self._open.transcribed = now

    def first_token(self, now: int) -> None:
        if self._open is not None and self._open.first_token is None:
            self._open.first_token = now

    def first_audio(self, now: int) -> None:
        if self._open is not None and self._open.first_audio is None:
            self._open.first_audio = now

    def first_played(self, now: int) -> None:
        """Closes the turn: later sentences are not part of the delay."""
        if self._open is not None and self._open.first_audio is not None:
            self._open.first_played = now
            self._open = None

    def abandoned(self) -> None:
        """The caller went on speaking, or nothing is going to be said."""
        self._open = None
