"""What every bus must do. A test module subclasses ``BusContract`` and says how to make one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ringback.core.bus import ALL_ACCOUNTS, Bus, Event, Subscription, SubscriptionClosed
from unit.core.stores import run

Scenario = Callable[[Bus], Awaitable[None]]


async def take(subscription: Subscription, count: int) -> list[Event]:
    async with asyncio.timeout(10):
        return [await subscription.get() for _ in range(count)]


def event(number: int) -> Event:
    return {"type": "test", "number": number}


class BusContract:
    def new_bus(self) -> Bus:
        raise NotImplementedError

    def play(self, scenario: Scenario) -> None:
        async def scene() -> None:
            bus = self.new_bus()
            try:
                await scenario(bus)
            finally:
                await bus.close()

        run(scene())

    def test_a_subscriber_gets_its_accounts_events_in_order(self) -> None:
        async def scenario(bus: Bus) -> None:
            subscription = await bus.subscribe("a")
            for number in range(5):
                bus.publish("a", event(number))
            assert await take(subscription, 5) == [event(n) for n in range(5)]

        self.play(scenario)

    def test_no_account_sees_the_events_of_another(self) -> None:
        async def scenario(bus: Bus) -> None:
            mine = await bus.subscribe("a")
            bus.publish("b", event(1))
            bus.publish("a", event(2))
            assert await take(mine, 1) == [event(2)]

        self.play(scenario)

    def test_the_node_can_listen_to_all_accounts(self) -> None:
        async def scenario(bus: Bus) -> None:
            everything = await bus.subscribe(ALL_ACCOUNTS)
            bus.publish("a", event(1))
            bus.publish("b", event(2))
            assert await take(everything, 2) == [event(1), event(2)]

        self.play(scenario)

    def test_every_subscriber_of_an_account_gets_every_event(self) -> None:
        async def scenario(bus: Bus) -> None:
            first = await bus.subscribe("a")
            second = await bus.subscribe("a")
            bus.publish("a", event(1))
            assert await take(first, 1) == await take(second, 1) == [event(1)]

        self.play(scenario)

    def test_a_waiting_subscriber_is_woken(self) -> None:
        async def scenario(bus: Bus) -> None:
            subscription = await bus.subscribe("a")
            waiting = asyncio.create_task(take(subscription, 1))
            await asyncio.sleep(0)
            bus.publish("a", event(1))
            assert await waiting == [event(1)]

        self.play(scenario)

    def test_a_slow_subscriber_loses_the_oldest_and_is_told_where(self) -> None:
        async def scenario(bus: Bus) -> None:
            slow = await bus.subscribe("a", capacity=3)
            quick = await bus.subscribe("a", capacity=100)
            for number in range(10):
                bus.publish("a", event(number))
            assert await take(quick, 10) == [event(n) for n in range(10)]
            assert await take(slow, 4) == [
                {"type": "lost_events", "count": 7},
                event(7),
                event(8),
                event(9),
            ]
            assert (slow.lost, quick.lost, bus.lost) == (7, 0, 7)
            bus.publish("a", event(10))
            assert await take(slow, 1) == [event(10)]

        self.play(scenario)

    def test_a_closed_subscription_delivers_what_it_has_and_ends(self) -> None:
        async def scenario(bus: Bus) -> None:
            subscription = await bus.subscribe("a")
            bus.publish("a", event(1))
            await subscription.close()
            bus.publish("a", event(2))
            assert [got async for got in subscription] == [event(1)]
            with pytest.raises(SubscriptionClosed):
                await subscription.get()

        self.play(scenario)

    def test_leaving_the_block_closes_the_subscription(self) -> None:
        async def scenario(bus: Bus) -> None:
            async with await bus.subscribe("a") as subscription:
                pass
            with pytest.raises(SubscriptionClosed):
                await subscription.get()

        self.play(scenario)

    def test_closing_the_bus_ends_every_wait(self) -> None:
        async def scenario(bus: Bus) -> None:
            subscription = await bus.subscribe("a")

            async def listen() -> list[Event]:
                return [got async for got in subscription]

            waiting = asyncio.create_task(listen())
            await asyncio.sleep(0)
            await bus.close()
            assert await waiting == []
            late = await bus.subscribe("a")
            bus.publish("a", event(1))
            assert [got async for got in late] == []

        self.play(scenario)
