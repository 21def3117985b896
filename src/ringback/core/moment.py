"""Something that happens once and may be waited for."""

from __future__ import annotations

import asyncio


class Moment:
    """An ``asyncio.Event`` that is never unset, for what every call has and hardly anybody waits
    for: it takes a tenth of the memory until somebody does. On one event loop."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Returns at once where it has happened."""
        if self._is_set:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()
