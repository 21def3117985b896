from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
import uvloop

Run = Callable[[Coroutine[object, object, None]], None]

_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(_FACTORIES))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine to its end, on each of the event loops that the gateway may use, and fails
    on what the loop only reports and on tasks that are left over."""

    def run_on(main: Coroutine[object, object, None]) -> None:
        troubles: list[str] = []

        async def bounded() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: troubles.append(str(context)))
            async with asyncio.timeout(30):
                await main
            left_over = asyncio.all_tasks() - {asyncio.current_task()}
            if left_over:
                await asyncio.wait(left_over, timeout=2)
            troubles.extend(repr(task) for task in left_over if not task.done())

        with asyncio.Runner(loop_factory=_FACTORIES[request.param]) as runner:
            runner.run(bounded())
        assert troubles == []

    return run_on
