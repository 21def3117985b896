"""The bus of a single node keeps the contract, and forgets who has left."""

from __future__ import annotations

import pytest

from ringback.core.bus import EventQueue, LocalBus
from unit.core.bus_contract import BusContract
from unit.core.stores import run


class TestLocalBus(BusContract):
    def new_bus(self) -> LocalBus:
        return LocalBus()


def test_a_subscriber_that_left_takes_no_memory() -> None:
    async def scenario() -> None:
        bus = LocalBus()
        for _ in range(3):
            async with await bus.subscribe("a"):
                pass
        assert not bus._subscribers

    run(scenario())


def test_a_queue_must_hold_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        EventQueue(0)
