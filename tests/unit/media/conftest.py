from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest
import uvloop

from ringback.media import worker, worker_plane, worker_server
from unit.media.media_lab import Run

_FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(_FACTORIES))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine to its end, on each of the event loops that the gateway may use.

    Fails when something went wrong that the loop only reports, and when a task is left over.
    """

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


@pytest.fixture
def quick_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits in real time for a worker to be replaced."""
    monkeypatch.setattr(worker_plane, "LONGEST_PAUSE", 0.01)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come from workers, and are looked for, much more often."""
    monkeypatch.setattr(worker_server, "FIGURES_SECONDS", 0.01)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(worker, "START_SECONDS", 0.2)
