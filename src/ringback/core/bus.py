"""The bus: events of an account, from wherever they happen to whoever listens.

``Bus`` is the Protocol; ``LocalBus`` is the implementation for a single node. A network
implementation passes the same contract suite (``tests/unit/core/bus_contract.py``).

An event is a JSON-serialisable mapping with a ``type``. Publishing never blocks and never fails:
each subscriber has a bounded queue, and one that does not keep up loses the *oldest* events. It
is told so by ``{"type": "lost_events", "count": n}``, at the place where the gap is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

Event = Mapping[str, Any]

ALL_ACCOUNTS = None
"""Subscribe to this to get the events of every account (for the node itself, never a client)."""

DEFAULT_CAPACITY = 1000
"""Events that may wait for one subscriber."""


class Subscription(Protocol):
    """One listener. An async context manager and an async iterator of events.

    Iteration ends when the subscription or the bus is closed; what was queued before is still
    delivered.
    """

    @property
    def lost(self) -> int:
        """How many events this subscriber has lost in all."""
        ...

    async def get(self) -> Event:
        """The next event. Raises :class:`SubscriptionClosed` after the last one."""
        ...

    async def close(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Bus(Protocol):
    def publish(self, account_id: str, event: Event) -> None:
        """Hand ``event`` to every present subscriber of the account; returns at once.

        Call it on the event loop's thread. The event must not be changed afterwards.
        """
        ...

    async def subscribe(
        self, account_id: str | None, *, capacity: int = DEFAULT_CAPACITY
    ) -> Subscription:
        """Listen to one account (or ``ALL_ACCOUNTS``). Events published after this returns are
        delivered in the order of publication."""
        ...

    @property
    def lost(self) -> int:
        """Events that were dropped, over all subscribers there ever were."""
        ...

    async def close(self) -> None:
        """End every subscription. Publishing afterwards does nothing."""
        ...


class SubscriptionClosed(Exception):
    """The subscription has ended and everything queued was delivered."""


class EventQueue:
    """A bounded queue that drops the oldest event and remembers how many it dropped."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("an event queue holds at least one event")
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._gap = 0
        self._closed = False
        self.lost = 0

    def put(self, event: Event) -> bool:
        """Queue ``event``; returns ``False`` when an older one had to go."""
        if self._closed:
            return True
        kept_all = True
        if len(self._events) >= self._capacity:
            self._events.popleft()
            self._gap += 1
            self.lost += 1
            kept_all = False
        self._events.append(event)
        self._arrived.set()
        return kept_all

    async def get(self) -> Event:
        while not self._events:
            if self._closed:
                raise SubscriptionClosed
            self._arrived.clear()
            await self._arrived.wait()
        if self._gap:
            count, self._gap = self._gap, 0
            return {"type": "lost_events", "count": count}
        return self._events.popleft()

    def close(self) -> None:
        self._closed = True
        self._arrived.set()


class LocalSubscription:
    """A :class:`Subscription` of a :class:`LocalBus`."""

    def __init__(self, bus: LocalBus, account_id: str | None, capacity: int) -> None:
        self._bus = bus
        self.account_id = account_id
        self.queue = EventQueue(capacity)

    @property
    def lost(self) -> int:
        return self.queue.lost

    async def get(self) -> Event:
        return await self.queue.get()

    async def close(self) -> None:
        self.queue.close()
        self._bus.forget(self)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            try:
                yield await self.queue.get()
            except SubscriptionClosed:
                return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class LocalBus:
    """The bus of a single node: plain queues in memory."""

    def __init__(self) -> None:
        self._subscribers: dict[str | None, dict[LocalSubscription, None]] = {}
        self._closed = False
        self._lost = 0

    @property
    def lost(self) -> int:
        return self._lost

    def publish(self, account_id: str, event: Event) -> None:
        for key in (account_id, ALL_ACCOUNTS):
            for subscription in self._subscribers.get(key, ()):
                if not subscription.queue.put(event):
                    self._lost += 1

    async def subscribe(
        self, account_id: str | None, *, capacity: int = DEFAULT_CAPACITY
    ) -> LocalSubscription:
        subscription = LocalSubscription(self, account_id, capacity)
        if self._closed:
            subscription.queue.close()
        else:
            self._subscribers.setdefault(account_id, {})[subscription] = None
        return subscription

    def forget(self, subscription: LocalSubscription) -> None:
        group = self._subscribers.get(subscription.account_id)
        if group is not None:
            group.pop(subscription, None)
            if not group:
                del self._subscribers[subscription.account_id]

    async def close(self) -> None:
        self._closed = True
        for group in self._subscribers.values():
            for subscription in group:
                subscription.queue.close()
        self._subscribers.clear()
