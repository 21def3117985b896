"""One gathering under way: the pure core, its timer and its prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ringback.calls import gather as core
from ringback.calls.gather import Gather, GatherReason, GatherWanted, Phase


@dataclass(frozen=True, slots=True)
class GatherResult:
    digits: str
    reason: GatherReason


class GatherTimer(Protocol):
    """The one timer of a gathering; setting it again replaces it."""

    def set(self, seconds: float, callback: Callable[[], None]) -> None: ...

    def cancel(self) -> None: ...


class Gathering:
    """Takes keys until it is over, then calls ``on_done`` once. ``on_barge_in`` is called when a
    key comes while the prompt is still spoken."""

    def __init__(
        self,
        wanted: GatherWanted,
        *,
        now: Callable[[], float],
        timer: GatherTimer,
        on_barge_in: Callable[[], None],
        on_done: Callable[[GatherResult], None],
    ) -> None:
        self._now = now
        self._timer = timer
        self._on_barge_in = on_barge_in
        self._on_done = on_done
        self._to_hear = _sounds(wanted.prompt)
        self._gather = core.begin(wanted, now())
        self._arm()

    def key(self, digit: str) -> None:
        before = self._gather
        after = core.key(before, digit, self._now())
        if before.phase is Phase.PROMPT and after.phase is not Phase.PROMPT:
            self._on_barge_in()
        self._take(after)

    def heard(self, text: str) -> None:
        """The person has heard ``text`` of the agent; with its last word the prompt is over."""
        self._to_hear -= _sounds(text)
        if self._to_hear <= 0:
            self._take(core.prompt_ended(self._gather, self._now()))

    def cancel(self) -> None:
        if self._gather.phase is Phase.PROMPT:
            self._on_barge_in()
        self._take(core.stop(self._gather, GatherReason.CANCELLED))

    def call_ended(self) -> None:
        self._take(core.stop(self._gather, GatherReason.HANGUP))

    def _due(self) -> None:
        after = core.tick(self._gather, self._now())
        if after is self._gather:
            self._arm()  # the timer was early
        self._take(after)

    def _take(self, after: Gather) -> None:
        if after is self._gather:
            return
        self._gather = after
        if after.reason is None:
            self._arm()
            return
        self._timer.cancel()
        self._on_done(GatherResult(after.digits, after.reason))

    def _arm(self) -> None:
        self._timer.set(max(0.0, self._gather.due - self._now()), self._due)


def _sounds(text: str) -> int:
    """How much there is to hear in ``text``: its characters without the spaces between."""
    return sum(not character.isspace() for character in text)
