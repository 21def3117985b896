"""Gathering keys: the operation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ringback.calls.finder import Finder
from ringback.calls.gather import GatherWanted
from ringback.calls.gathering import Gathering, GatherResult
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry
from ringback.connectors.contract import Capability
from ringback.core.clock import Clock
from ringback.core.errors import Conflict

TIMER = "gather"

Say = Callable[[str, str, str], None]
"""``say(account_id, call_id, text)``; raises where nothing can speak."""


class Gathers:
    def __init__(
        self,
        finder: Finder,
        lifecycle: Lifecycle,
        clock: Clock,
        say: Say,
        stop_speaking: Callable[[str], None],
    ) -> None:
        self._finder = finder
        self._lifecycle = lifecycle
        self._clock = clock
        self._say = say
        self._stop_speaking = stop_speaking

    async def gather(self, account_id: str, call_id: str, wanted: GatherWanted) -> GatherResult:
        """Say the prompt, if there is one, and wait for the person's keys. A task that waits here
        and is cancelled cancels the gathering.

        Raises ``Conflict`` where the call is not answered or somebody gathers already, and what
        saying the prompt raises.
        """
        result: asyncio.Future[GatherResult] = asyncio.get_running_loop().create_future()

        def done(found: GatherResult) -> None:
            if not result.done():
                result.set_result(found)

        gathering = self.begin(account_id, call_id, wanted, done)
        try:
            return await result
        finally:
            gathering.cancel()

    def begin(
        self,
        account_id: str,
        call_id: str,
        wanted: GatherWanted,
        on_done: Callable[[GatherResult], None],
    ) -> Gathering:
        """As :meth:`gather`, but returns at once; ``on_done`` is called with the result."""
        entry = self._finder.answered(account_id, call_id, Capability.DTMF)
        if entry.gathering is not None:
            raise Conflict(
                "Keys are being gathered on this call already.",
                code="gather_in_progress",
                hint=f"Wait for that, or end it with DELETE /api/call/{call_id}/gather.",
            )
        if wanted.prompt.strip():
            self._say(account_id, call_id, wanted.prompt)

        def done(result: GatherResult) -> None:
            entry.gathering = None
            entry.unwatch(watch)
            on_done(result)

        def watch(moved: Entry) -> None:
            if moved.call.final:
                gathering.call_ended()

        gathering = Gathering(
            wanted,
            now=self._clock.monotonic,
            timer=_CallTimer(self._lifecycle, entry),
            on_barge_in=lambda: self._stop_speaking(call_id),
            on_done=done,
        )
        entry.gathering = gathering
        entry.watchers.append(watch)
        return gathering

    def cancel(self, account_id: str, call_id: str) -> None:
        """End the gathering that is under way: its result says ``cancelled``. Raises ``Conflict``
        where there is none."""
        entry = self._finder.live(account_id, call_id)
        if entry.gathering is None:
            raise Conflict("No keys are being gathered on this call.", code="no_gather")
        entry.gathering.cancel()


class _CallTimer:
    """A timer of the call, which its end cancels."""

    def __init__(self, lifecycle: Lifecycle, entry: Entry) -> None:
        self._lifecycle = lifecycle
        self._entry = entry

    def set(self, seconds: float, callback: Callable[[], None]) -> None:
        self._lifecycle.after(self._entry, TIMER, seconds, callback)

    def cancel(self) -> None:
        self._entry.cancel_timer(TIMER)
