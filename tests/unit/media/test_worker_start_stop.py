"""Workers that come up, that do not, and that are told to end."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from ringback.core.errors import (
    StartupError,
    Unavailable,
)
from ringback.media import worker, worker_plane
from ringback.media.worker_messages import Ready
from unit.media.media_lab import LOCALHOST, Run, phone_socket
from unit.media.stream_lab import UPGRADE
from unit.media.worker_lab import call, lab, talk, turn

pytestmark = pytest.mark.usefixtures("quick_workers")


def test_a_worker_that_fails_to_start_is_tried_again(run: Run) -> None:
    async def main() -> None:
        async with lab(1, ["dies", "none"]) as n:
            assert n.plane.ready_workers() == 1
            assert n.plane.workers.lost == 1

    run(main())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("habit", ["dies", "none", "unfit", "silent"])
def test_a_worker_that_never_comes_up_is_named_with_the_setting(run: Run, habit: str) -> None:
    async def main() -> None:
        async with lab(1, [habit] * worker_plane.START_ATTEMPTS, start=False) as n:
            with pytest.raises(StartupError, match=r"media-0.*RINGBACK_MEDIA_WORKERS"):
                await n.plane.start()
            assert n.living == []

    run(main())


def test_one_worker_that_never_comes_up_takes_the_others_down_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.05)

    async def main() -> None:
        async with lab(4, ["silent", "well", *["none"] * 6], start=False) as n:
            with pytest.raises(StartupError):
                await n.plane.start()

    run(main())


@pytest.mark.parametrize("rounds", range(1, 40, 2))
def test_stop_at_any_moment_of_the_start_leaves_nothing(run: Run, rounds: int) -> None:
    async def main() -> None:
        async with lab(3, ["well", "dies", "none"], start=False) as n:
            starting = asyncio.ensure_future(n.plane.start())
            for _ in range(rounds):
                await asyncio.sleep(0)
            if rounds % 4 == 1:
                starting.cancel()
            await n.plane.stop()
            assert n.living == []
            await asyncio.gather(starting, return_exceptions=True)
            assert n.plane.ready_workers() == 0

    run(main())


async def refused(connection: socket.socket) -> None:
    """Whatever it is told, it is closed in the end."""
    connection.setblocking(False)
    async with asyncio.timeout(5):
        while await asyncio.get_running_loop().sock_recv(connection, 1000):
            pass


@pytest.mark.parametrize("rounds", range(0, 30, 3))
def test_stop_at_any_moment_of_a_life_leaves_nothing(run: Run, rounds: int) -> None:
    async def main() -> None:
        async with lab(2) as n:
            await n.open("a", "b")
            n.plane.join("a", "b")
            work = [
                asyncio.ensure_future(each)
                for each in (n.open("c"), n.plane.close("a"), n.plane.send_dtmf("b", "1"))
            ]
            n.processes[rounds % 2].die()
            for _ in range(rounds):
                await asyncio.sleep(0)
            with socket.create_server((LOCALHOST, 0)) as door:
                ours = socket.create_connection(door.getsockname())
                theirs, _ = door.accept()
            with ours:
                n.plane.attach_stream("b", theirs, UPGRADE)
                await n.plane.stop()
                await refused(ours)
            await asyncio.gather(*work, return_exceptions=True)
            assert len(n.plane) == 0
            with pytest.raises(Unavailable) as caught:
                await n.open("d")
            assert caught.value.code == "shutting_down"

    run(main())


def test_stop_waits_for_a_worker_that_is_being_replaced(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            n.habits.append("silent")
            n.processes[0].die()
            await n.until(lambda: len(n.processes) == 2)
            await n.until(lambda: len(n.plane._workers) == 1)
            worker_of_it = n.plane._workers[0]
            stopping = asyncio.ensure_future(n.plane.stop())
            await n.until(lambda: worker_of_it.state is worker.State.STOPPED)
            n.processes[1].kill()
            await stopping
            assert n.living == []

    run(main())


def test_stop_waits_for_a_process_that_died_before(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            (process,) = n.processes
            process.buries.clear()
            process.die()
            await n.until(lambda: n.plane.workers.lost == 1)
            stopping = asyncio.ensure_future(n.plane.stop())
            await n.until(lambda: n.plane._starts == set())
            for _ in range(50):
                await turn()
            assert not stopping.done()
            process.buries.set()
            await stopping

    run(main())


def test_a_worker_that_comes_up_after_it_was_stopped_stays_stopped(run: Run) -> None:
    async def main() -> None:
        async with lab(1) as n:
            (one,) = n.plane._workers
            stopping = asyncio.ensure_future(one.stop())
            await turn()
            one._received(Ready(), ())
            await stopping
            assert one.state is worker.State.STOPPED
            assert n.plane.workers.lost == 0

    run(main())


def test_a_worker_that_does_not_stop_is_killed(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.05)

    async def main() -> None:
        async with lab(2) as n:
            n.processes[0].hang()
            await n.plane.stop()
            assert [each.kills for each in n.processes] == [1, 0]

    run(main())
    assert "is killed" in caplog.text


def test_stop_completes_recordings_and_observes_what_was_answered(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(2) as n:
            with phone_socket() as a:
                one = await call(n, a, "one", recording=str(tmp_path / "one.wav"))
                await talk(n, (one, 1000))
                await n.plane.stop()
                assert [each.session_id for each in n.reports] == ["one"]
                assert n.reports[0].recorded_ms == 400
                assert n.plane.workers.lost == 0
                assert n.events == []

    run(main())


def test_a_worker_ends_with_call_control_and_finishes_its_calls(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(1) as n:
            with phone_socket() as a:
                one = await call(n, a, "one", recording=str(tmp_path / "one.wav"))
                await talk(n, (one, 1000))
                (process,) = n.processes
                n.plane._workers[0]._channel.close()
                assert await asyncio.wait_for(process.wait(), 5) == 0
                assert process.ports.in_use == 0
                assert (tmp_path / "one.wav").stat().st_size > 400 * 32

    run(main())
