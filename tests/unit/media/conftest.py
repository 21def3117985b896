from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

Run = Callable[[Coroutine[object, object, None]], None]

_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(_FACTORIES))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine to its end, on each of the event loops that the gateway may use."""

    def run_on(main: Coroutine[object, object, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await main

        with asyncio.Runner(loop_factory=_FACTORIES[request.param]) as runner:
            runner.run(bounded())

    return run_on
