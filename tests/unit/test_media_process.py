"""A media worker as the process that it is: started, used, told to stop, and killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop
import websockets

from interop.peers.process import is_bound, wait_until
from ringback.core.errors import InvalidRequest, StartupError
from ringback.media.plane import (
    MediaEvent,
    MediaFailed,
    OpenSession,
    SessionReport,
    StreamAttached,
    StreamDetached,
)
from ringback.media.worker import Started, spawn
from ringback.media.worker_messages import Configure
from ringback.media.worker_plane import WorkerPlane
from unit.media.media_lab import LOCALHOST, audio, front_door, phone_socket, receive
from unit.media.test_plane_control import Phone

PATIENCE = 30.0
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
CLOSE_ON_EXEC = 0o2000000
FIRST_PORT = 42000 + 2 * (os.getpid() % 10000)
"""Tests that run beside these begin elsewhere."""


def run(main: Coroutine[object, object, None], loop: str = "uvloop") -> None:
    async def bounded() -> None:
        async with asyncio.timeout(100):
            await main

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], bool], what: str) -> None:
    """While the event loop goes on."""
    await asyncio.to_thread(wait_until, condition, what, PATIENCE)


class Node:
    """Call control of one worker; ``port`` is that of its last call."""

    def __init__(self, log_level: str = "info") -> None:
        self.port = 0
        self.events: list[MediaEvent] = []
        self.reports: list[SessionReport] = []
        self.started: list[Started] = []
        self.plane = WorkerPlane(
            [Configure("media-1", FIRST_PORT, FIRST_PORT + 199, log_level, True)],
            self.spawn,
            check_voice=lambda spec: None,
            observe=self.reports.append,
        )
        self.plane.subscribe(self.events.append)

    async def spawn(self) -> Started:
        self.started.append(await spawn())
        return self.started[-1]

    @property
    def pid(self) -> int:
        return self.started[-1].process.pid

    async def call(self, phone: socket.socket, recording: Path | None = None) -> Phone:
        opened = await self.plane.open(OpenSession("c1", LOCALHOST))
        assert opened.rtp_port in range(FIRST_PORT, FIRST_PORT + 199, 2)
        assert opened.rtcp_port == opened.rtp_port + 1
        self.port = opened.rtp_port
        self.plane.negotiate("c1", audio(phone.getsockname()[1]))
        self.plane.activate("c1", None if recording is None else str(recording))
        return Phone(phone, opened.rtp_port)


@contextlib.asynccontextmanager
async def node() -> AsyncIterator[Node]:
    made = Node()
    try:
        await made.plane.start()
        yield made
    finally:
        await made.plane.stop()
    for each in made.started:
        assert not runs(each.process.pid)


def runs(pid: int) -> bool:
    """Whether it is there and not only waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def sockets_of(pid: int) -> dict[str, int]:
    """Name and flags (open(2)) of each socket that it has."""
    found = {}
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if (name := os.readlink(each)).startswith("socket:"):
                info = Path(f"/proc/{pid}/fdinfo/{each.name}").read_text()
                found[name] = int(info.split("flags:")[1].split()[0], 8)
    return found


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_a_worker_has_none_of_the_nodes_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBACK_SECRET_KEYS", "not for everybody")

    async def main() -> None:
        async with node() as n:
            assert b"PATH=" in environment_of(n.pid)
            assert b"RINGBACK_" not in environment_of(n.pid)

    run(main())


async def heard_back(phone: Phone, ws: websockets.ClientConnection) -> None:
    """Returns when the person hears what the agent sends back of them."""
    async with asyncio.timeout(PATIENCE):
        while True:
            phone.send(1000)
            frame = await ws.recv()
            if isinstance(frame, bytes):
                await ws.send(frame)
            if abs(phone.level() - 1000) < 100:
                return


async def listen(ws: websockets.ClientConnection) -> None:
    await ws.send(json.dumps({"type": "audio_config", "receive": True}))
    await receive(ws)


async def heard(phone: Phone, ws: websockets.ClientConnection, frames: int = 25) -> None:
    """A person speaks as people do, and the agent, who says nothing, hears most of it."""
    came, due = 0, asyncio.get_running_loop().time()
    for _ in range(frames):
        phone.send(1000)
        due += 0.02
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                while True:
                    frame = await ws.recv()
                    came += isinstance(frame, bytes) and any(frame)
    assert came > frames // 2


@pytest.mark.parametrize("loop", LOOPS)
def test_a_call_is_carried_by_another_process_from_beginning_to_end(
    loop: str, tmp_path: Path
) -> None:
    recording = tmp_path / "folder" / "call.wav"

    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with phone_socket() as sock:
                phone = await n.call(sock, recording)
                async with websockets.connect(url, compression=None) as ws:
                    await listen(ws)
                    await heard_back(phone, ws)
                    await heard(phone, ws)
                    with pytest.raises(InvalidRequest):
                        await n.plane.send_dtmf("c1", "x")
                    report = await n.plane.close("c1")
                    assert report.codec == "PCMU"
                    assert report.packets_received > 0
                    assert report.recorded_ms > 0
                    await asyncio.wait_for(ws.wait_closed(), PATIENCE)
                    assert ws.close_code == 1000
                await until(lambda: len(n.events) == 2, "both events")
                assert n.events == [
                    StreamAttached("c1", "stream-1"),
                    StreamDetached("c1", "stream-1", 1000),
                ]
                assert n.reports == [report]
        assert n.plane.counters().packets_received == report.packets_received
        assert n.plane.counters().streams_attached == 1
        with wave.open(str(recording)) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, 8000)
            assert file.getnframes() == report.recorded_ms * 8

    run(main(), loop)


def test_a_worker_has_what_it_needs_open_and_hands_nothing_on() -> None:
    async def main() -> None:
        with socket.socket() as ours:
            mine = os.readlink(f"/proc/self/fd/{ours.fileno()}")
            async with node() as n:
                with phone_socket() as sock:
                    await n.call(sock)
                    its = sockets_of(n.pid)
        assert mine not in its
        assert len(its) >= 3
        assert all(flags & CLOSE_ON_EXEC for flags in its.values())

    run(main())


def test_the_signals_of_the_whole_group_are_not_for_a_worker() -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as sock:
                await n.call(sock)
                for number in (signal.SIGTERM, signal.SIGINT):
                    os.kill(n.pid, number)
                    assert await n.plane.report("c1") is not None
                assert len(n.started) == 1
                assert n.events == []

    run(main())


def test_a_worker_that_is_killed_costs_its_calls_and_is_replaced() -> None:
    async def main() -> None:
        async with node() as n:
            with phone_socket() as sock:
                await n.call(sock)
                dead = n.pid
                os.kill(dead, signal.SIGKILL)
                await until(lambda: n.events != [], "the event")
                (failed,) = n.events
                assert isinstance(failed, MediaFailed)
                assert (failed.session_id, failed.reason) == ("c1", "media_lost")
                await until(lambda: n.plane.ready_workers() == 1, "another worker")
                assert n.pid != dead
                await n.call(sock)
                assert n.plane.workers.lost == 1

    run(main())


def test_stop_finishes_the_recording(tmp_path: Path) -> None:
    recording = tmp_path / "call.wav"

    async def main() -> None:
        async with node() as n, front_door(n.plane) as url:
            with phone_socket() as sock:
                phone = await n.call(sock, recording)
                async with websockets.connect(url, compression=None) as ws:
                    await listen(ws)
                    await heard(phone, ws)
                    await n.plane.stop()
                assert len(n.plane) == 0
                assert not is_bound(n.port)
                assert [each.recorded_ms > 0 for each in n.reports] == [True]
        with wave.open(str(recording)) as file:
            caller = struct.unpack(f"<{file.getnframes() * 2}h", file.readframes(-1))[::2]
        assert max(caller) > 900

    run(main())


def test_a_worker_ends_with_the_connection_to_call_control(tmp_path: Path) -> None:
    recording = tmp_path / "call.wav"

    async def main() -> None:
        n = Node()
        await n.plane.start()
        with phone_socket() as sock:
            phone = await n.call(sock, recording)
            async with front_door(n.plane) as url, websockets.connect(url) as ws:
                await listen(ws)
                await heard(phone, ws)
            assert is_bound(n.port)
            n.plane._workers[0]._channel.close()
            assert await asyncio.wait_for(n.started[0].process.wait(), PATIENCE) == 0
        assert not is_bound(n.port)
        await n.plane.stop()
        with wave.open(str(recording)) as file:
            assert file.getnframes() > 0

    run(main())


CALL_CONTROL = """
import asyncio, sys
from ringback.media.worker import spawn
from ringback.media.worker_messages import Configure
from ringback.media.worker_plane import WorkerPlane
from ringback.media.plane import OpenSession

async def main():
    port, started = int(sys.argv[1]), []

    async def start():
        started.append(await spawn())
        return started[-1]

    configuration = Configure("media-1", port, port + 199, "info", False)
    plane = WorkerPlane([configuration], start, check_voice=print)
    await plane.start()
    opened = await plane.open(OpenSession("c1", "127.0.0.1"))
    print(started[0].process.pid, opened.rtp_port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_worker_outlives_its_call_control_by_no_more_than_it_takes_to_close() -> None:
    command = [sys.executable, "-c", CALL_CONTROL, str(FIRST_PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as control:
        try:
            assert control.stdout is not None
            pid, port = map(int, control.stdout.readline().split())
            assert runs(pid)
            assert is_bound(port)
        finally:
            control.kill()
    wait_until(lambda: not runs(pid), "the end of the worker", PATIENCE)
    assert not is_bound(port)


def test_a_worker_that_cannot_work_as_configured_is_named() -> None:
    async def main() -> None:
        n = Node(log_level="deafening")
        with pytest.raises(StartupError, match="media-1"):
            await n.plane.start()
        await n.plane.stop()
        assert len(n.started) == 3
        assert not any(runs(each.process.pid) for each in n.started)

    run(main())
