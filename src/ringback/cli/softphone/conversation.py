"""When the softphone's script speaks: whenever the other side has finished. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FRAME_MS = 20


class Cue(StrEnum):
    WAIT = "wait"
    SPEAK = "speak"
    """Say the next thing."""
    LEAVE = "leave"
    """Everything is said and answered."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Milliseconds. ``pause``: silence that means the other side has finished; ``reply``: how long
    it is given to begin; ``farewell``: how long after the last sentence."""

    pause: int = 900
    reply: int = 6000
    farewell: int = 8000


class Conversation:
    """Fed with one loud/quiet verdict per 20 ms heard; says when it is our turn.

    ``sentences`` is how many things there are to say. While we speak (``speaking``) nothing is
    due. The first sentence waits for the greeting.
    """

    def __init__(self, sentences: int, patience: Patience | None = None) -> None:
        self._left = sentences
        self._patience = patience or Patience()
        self._heard = False
        self._quiet_ms = 0

    def hear(self, loud: bool, speaking: bool) -> Cue:
        """One frame of the other side; ``speaking``: our own sound is still going out."""
        if speaking:
            self._heard, self._quiet_ms = False, 0
            return Cue.WAIT
        self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
        self._heard = self._heard or loud
        if not self._our_turn():
            return Cue.WAIT
        self._heard, self._quiet_ms = False, 0
        if not self._left:
            return Cue.LEAVE
        self._left -= 1
        return Cue.SPEAK

    def _our_turn(self) -> bool:
        if self._heard:
            return self._quiet_ms >= self._patience.pause
        return self._quiet_ms >= (self._patience.reply if self._left else self._patience.farewell)
