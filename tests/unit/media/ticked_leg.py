"""What a made-up person's end of a bridge needs beside ``read``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from ringback.media.express import Inlet

Listener = Callable[[bytes | None], None]


class TickedLeg:
    """Hands a frame over at every tick, where frames are handed over."""

    listener: Listener | None = None

    @property
    def inlet(self) -> Inlet:
        """Never open: every frame takes the long way."""
        return Inlet()

    @abstractmethod
    def read(self, now: float) -> bytes | None: ...

    def hand_over(
        self, listener: Listener | None, ear: Callable[[bytes], None] | None = None
    ) -> None:
        self.listener = listener

    def flow(self, now: float, frames: int) -> None:
        for _ in range(frames):
            if self.listener is not None:
                self.listener(self.read(now))
