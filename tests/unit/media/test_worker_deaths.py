"""What the death of a worker costs, and whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ringback.core.errors import (
    Unavailable,
)
from ringback.media.plane import (
    DtmfReceived,
    MediaFailed,
    SessionReport,
)
from ringback.media.worker_messages import Event, Ready
from unit.media.media_lab import Run
from unit.media.worker_lab import Lab, LoopProcess, lab, names

pytestmark = pytest.mark.usefixtures("quick_workers")


def test_a_death_ends_its_own_calls_and_another_worker_takes_the_place(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b", "c", "d")
            dead = n.place("a")
            its, others = names(dead), {"a", "b", "c", "d"} - names(dead)
            dead.die()
            await n.until(lambda: len(n.events) >= 2)
            assert set(n.lost()) == its
            assert {event.reason for event in n.events if isinstance(event, MediaFailed)} == {
                "media_lost"
            }
            assert len(n.plane) == 2
            await n.until(lambda: n.plane.ready_workers() == 2)
            assert (n.plane.workers.started, n.plane.workers.lost) == (3, 1)
            assert n.plane.workers.sessions_lost == 2
            assert n.processes[2].name == dead.name
            for name in others:
                assert await n.plane.report(name) is not None
            await n.open(*its)
            assert names(n.processes[2]) == its

    run(main())
    assert "is lost with 2 calls" in caplog.text


@pytest.mark.usefixtures("impatient")
def test_a_worker_that_hangs_is_killed(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b")
            hung = n.place("a")
            hung.hang()
            asked = asyncio.ensure_future(n.plane.send_dtmf("a", "1"))
            await n.until(lambda: n.lost() == ["a"])
            assert hung.kills == 1
            with pytest.raises(Unavailable):
                await asked
            await n.until(lambda: n.plane.ready_workers() == 2)
            assert n.plane.workers.lost == 1
            assert n.place("b").kills == 0

    run(main())
    assert "silent" in caplog.text


def test_what_a_worker_says_after_it_was_given_up_is_not_heard(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            await n.open("a")
            one, process = n.plane._workers[0], n.processes[0]
            process.plane._emit(DtmfReceived("a", "1", 100))
            await asyncio.sleep(0)
            one._gone("the test wants it")
            for late in (Ready(), Event(DtmfReceived("a", "2", 100))):
                one._received(late, ())
            await n.until(lambda: n.plane.ready_workers() == 1)
            assert n.lost() == ["a"]
            assert len(n.events) == 1
            assert n.plane.workers.lost == 1

    run(main())


async def hold_up(process: LoopProcess, name: str) -> asyncio.Event:
    """Let ``name`` of the worker's plane never answer; the event says that it was asked."""
    asked = asyncio.Event()

    async def never(*args: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    setattr(process.plane, name, never)
    return asked


async def cut(n: Lab, process: LoopProcess) -> None:
    """The death of ``process``, and of what was still running in it."""
    process.die()
    for task in list(process.server._tasks):
        task.cancel()
    await process.buried()


def test_a_death_during_open_costs_nothing_while_another_worker_lives(run: Run) -> None:
    async def main() -> None:
        async with lab(2) as n:
            asked = await hold_up(n.processes[0], "open")
            opening = asyncio.ensure_future(n.open("a"))
            await asked.wait()
            await cut(n, n.processes[0])
            await opening
            assert names(n.processes[1]) == {"a"}
            await n.until(lambda: n.plane.ready_workers() == 2)
            assert n.events == []
            assert len(n.plane) == 1
            n.processes[1].die()
            await n.until(lambda: n.lost() == ["a"])

    run(main())


def test_a_death_right_after_the_answer_to_open_is_no_session(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            opening = asyncio.ensure_future(n.open("a"))
            (one,) = n.plane._workers
            await n.until(lambda: bool(one._asked))
            (answer,) = one._asked.values()
            answer.set_result(None)
            one._gone("the test wants it")
            with pytest.raises(Unavailable) as caught:
                await opening
            assert caught.value.code == "media_lost"
            assert (n.events, len(n.plane)) == ([], 0)
            assert "No media process is running" in (n.plane.problem() or "")
            await n.until(lambda: n.plane.ready_workers() == 1)
            assert n.plane.problem() is None

    run(main())


def test_a_death_during_open_with_nobody_left_is_an_error_that_may_be_tried_again(
    run: Run,
) -> None:
    async def main() -> None:
        async with lab(1) as n:
            asked = await hold_up(n.processes[0], "open")
            opening = asyncio.ensure_future(n.open("a"))
            await asked.wait()
            await cut(n, n.processes[0])
            for attempt in (opening, n.open("b")):
                with pytest.raises(Unavailable) as caught:
                    await attempt
                assert (caught.value.code, caught.value.retryable) == ("media_lost", True)
            assert (n.events, len(n.plane)) == ([], 0)
            await n.until(lambda: n.plane.ready_workers() == 1)
            await n.open("a")

    run(main())


@pytest.mark.parametrize("name", ["close", "report", "send_dtmf"])
def test_a_death_while_something_is_asked(run: Run, name: str) -> None:
    async def main() -> None:
        async with lab(1) as n:
            await n.open("a")
            asked = await hold_up(n.processes[0], name)
            questions: dict[str, Callable[[], Awaitable[object]]] = {
                "close": lambda: n.plane.close("a"),
                "report": lambda: n.plane.report("a"),
                "send_dtmf": lambda: n.plane.send_dtmf("a", "1"),
            }
            asking = asyncio.ensure_future(questions[name]())
            await asked.wait()
            await cut(n, n.processes[0])
            if name == "send_dtmf":
                with pytest.raises(Unavailable):
                    await asking
            else:
                assert await asking == (SessionReport("a") if name == "close" else None)
            await n.until(lambda: n.plane.ready_workers() == 1)
            assert n.lost() == ([] if name == "close" else ["a"])
            assert len(n.plane) == 0

    run(main())


def test_an_open_that_is_cancelled_leaves_no_session(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            opening = asyncio.ensure_future(n.open("a"))
            await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await n.until(lambda: len(n.plane) == 0)
            assert names(n.processes[0]) == set()
            await n.open("a")

    run(main())


def test_a_worker_that_keeps_dying_is_replaced_until_it_lives(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            n.habits.extend(["dies", "none", "unfit", "dies"])
            n.processes[0].die()
            await n.until(lambda: len(n.processes) == 5)
            await n.until(lambda: n.plane.ready_workers() == 1)
            assert n.plane.workers.started == 5
            assert n.plane.workers.lost == 4
            assert n.living == [n.processes[4]]
            await n.open("a")

    run(main())
