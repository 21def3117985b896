"""What goes out at the end of a round of the event loop, all of it in one go.

Sending right away would wake the receiver for each packet, and run the kernel's network code and
ours in turn, each pushing the other out of the processor's caches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

Post = tuple[Callable[..., object], object, object, Callable[[], None]]


class Outbox:
    """One of an event loop, which it must not keep alive. What is posted is sent in its order."""

    def __init__(self) -> None:
        self._posts: list[Post] = []

    def post(
        self,
        send: Callable[..., object],
        first: object,
        second: object,
        refused: Callable[[], None],
    ) -> None:
        """Call ``send(first, second)`` when this round is over, and ``refused()`` if it raises
        ``OSError``; neither may raise anything else."""
        if not self._posts:
            asyncio.get_running_loop().call_soon(self.flush)
        self._posts.append((send, first, second, refused))

    def flush(self) -> None:
        """Send everything now."""
        posts, self._posts = self._posts, []
        for send, first, second, refused in posts:
            try:
                send(first, second)
            except OSError:
                refused()


_OUTBOXES: WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox] = WeakKeyDictionary()


def running_outbox() -> Outbox:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    outbox = _OUTBOXES.get(loop)
    if outbox is None:
        outbox = _OUTBOXES[loop] = Outbox()
    return outbox
