"""Media workers without processes: each has its server, and a clock of its own, in the test's own
event loop; only the socket between it and call control is real."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ringback.core.clock import SystemClock
from ringback.core.errors import InvalidRequest, Unavailable
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.pacer import PacerCounters
from ringback.media.plane import (
    MediaEvent,
    MediaFailed,
    OpenSession,
    SessionOpened,
    SessionReport,
    VoiceSpec,
)
from ringback.media.recorder import RecorderThread
from ringback.media.worker import Started
from ringback.media.worker_messages import Configure, Figures
from ringback.media.worker_plane import WorkerPlane
from ringback.media.worker_server import WorkerServer
from ringback.net.rtp_ports import RtpPorts, RtpSockets
from unit.media.media_lab import LOCALHOST, HandClock, HandTicker, audio
from unit.media.test_plane_control import Phone, datagrams_read

_pids = itertools.count(1)
_FIRST = 40000 + 2 * (os.getpid() % 10000)
"""Tests that run beside these begin elsewhere."""


class FewPorts:
    """``RtpPorts`` that are used up after ``capacity`` pairs."""

    def __init__(self, capacity: int) -> None:
        self._ports = RtpPorts(_FIRST, 65535, clock=SystemClock(), quarantine=0.0)
        self._capacity = capacity

    @property
    def in_use(self) -> int:
        return self._ports.counters.in_use

    def bind(self, host: str) -> RtpSockets:
        if self.in_use >= self._capacity:
            raise Unavailable("No RTP port is free.", code="no_rtp_port", hint="Wait.")
        return self._ports.bind(host)

    def release(self, sockets: RtpSockets) -> None:
        self._ports.release(sockets)


class LoopProcess:
    """Implements :class:`ringback.media.worker.Process` in this one.

    ``habit``: ``well``, ``dies`` (at once), ``silent`` (never says a word), ``unfit`` (cannot be
    configured).
    """

    def __init__(self, connection: socket.socket, habit: str, capacity: int) -> None:
        self.pid = next(_pids)
        self.habit = habit
        self.clock = HandClock()
        self.ticker = HandTicker(self.clock)
        self.ports = FewPorts(capacity)
        self.kills = 0
        self.buries = asyncio.Event()
        self.buries.set()
        """Cleared: the process is dead, but not yet gone for who waits for it."""
        self.name = ""
        self._code = asyncio.get_running_loop().create_future()
        self.server = WorkerServer(connection, self._make, self._figures)
        self._life = asyncio.ensure_future(self._live())
        self._burial: asyncio.Future[None] | None = None
        if habit == "silent":
            self.hang()
        if habit == "dies":
            self.die(1)

    @property
    def plane(self) -> LocalMediaPlane:
        assert self.server.plane is not None
        return self.server.plane

    @property
    def alive(self) -> bool:
        return not self._code.done()

    def _make(
        self, configuration: Configure, observe: Callable[[SessionReport], None]
    ) -> LocalMediaPlane:
        if self.habit == "unfit":
            raise ValueError("as the test wants it")
        self.name = configuration.name
        return LocalMediaPlane(
            self.ports,
            ticker=self.ticker,
            clock=self.clock,
            recorder=RecorderThread(),
            observe=observe,
        )

    def _figures(self) -> Figures:
        plane = self.plane
        frames = PacerCounters(frames=round((self.clock.time - 100) * 50))
        return Figures(plane.counters(), frames, self.ports.in_use, len(plane), 1.5, 0.5)

    async def _live(self) -> None:
        await self.server.ended.wait()
        if self.server.plane is None:
            self.die(1)
            return
        await self.server.close()
        if self.alive:
            self._code.set_result(0)

    def hang(self) -> None:
        """Neither read nor say anything any more."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.server.channel._connection)
        if self.server._timer is not None:
            self.server._timer.cancel()

    def kill(self) -> None:
        self.kills += 1
        self.die(-9)

    def die(self, code: int = -11) -> None:
        """From one moment to the next, as far as anybody outside can see."""
        if self.alive:
            self._code.set_result(code)
            self.server.channel.close()
            if self.server._timer is not None:
                self.server._timer.cancel()
            self._burial = asyncio.ensure_future(self._bury())

    async def _bury(self) -> None:
        """What the kernel does for a process."""
        self._life.cancel()
        if self.server.plane is not None:
            await self.server.plane.stop()

    async def wait(self) -> int:
        code: int = await asyncio.shield(self._code)
        await self.buries.wait()
        return code

    async def buried(self) -> None:
        await asyncio.wait([self._life])
        if self._burial is not None:
            await self._burial


@dataclass(slots=True)
class Lab:
    """A node of several workers, and what it reported."""

    plane: WorkerPlane
    processes: list[LoopProcess]
    habits: deque[str]
    """Of the next workers; ``well`` when there are none left, ``none``: cannot be started."""
    events: list[MediaEvent]
    reports: list[SessionReport]
    capacity: int
    noted: asyncio.Event

    async def spawn(self) -> Started:
        await asyncio.sleep(0)
        habit = self.habits.popleft() if self.habits else "well"
        if habit == "none":
            raise OSError("no more processes")
        ours, theirs = socket.socketpair()
        process = LoopProcess(theirs, habit, self.capacity)
        self.processes.append(process)
        self.noted.set()
        return Started(process, ours)

    @property
    def living(self) -> list[LoopProcess]:
        return [process for process in self.processes if process.alive]

    def note(self, event: MediaEvent) -> None:
        self.events.append(event)
        self.noted.set()

    def observe(self, report: SessionReport) -> None:
        self.reports.append(report)
        self.noted.set()

    async def open(self, *names: str) -> list[SessionOpened]:
        return [await self.plane.open(OpenSession(name, LOCALHOST)) for name in names]

    def place(self, name: str) -> LoopProcess:
        """Where session ``name`` really is."""
        (found,) = (
            process
            for process in self.living
            if process.server.plane is not None and name in process.plane._sessions
        )
        return found

    def lost(self) -> list[str]:
        return [event.session_id for event in self.events if isinstance(event, MediaFailed)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until ``condition`` holds; the loop goes round meanwhile."""
        async with asyncio.timeout(10):
            while not condition():
                await turn()

    async def settled(self) -> None:
        """Until every worker has done what it was told so far."""
        for worker in self.plane._workers:
            await worker.ask("report", "nobody")

    def tick(self, seconds: float = 0.02) -> None:
        for process in self.living:
            process.ticker.run(seconds)


def check_voice(spec: VoiceSpec) -> None:
    if spec.agent_id == "mute":
        raise InvalidRequest("no such voice", code="bad_voice", hint="another", field="agent")


@contextlib.asynccontextmanager
async def lab(
    count: int = 2, habits: Sequence[str] = (), *, capacity: int = 100, start: bool = True
) -> AsyncIterator[Lab]:
    """``count`` workers. At the end no process, task or socket is left."""
    before = sockets()
    configurations = [Configure(f"media-{n}", 1, 2, "info", False) for n in range(count)]
    made: list[Lab] = []
    plane = WorkerPlane(
        configurations,
        lambda: made[0].spawn(),
        check_voice=check_voice,
        observe=lambda report: made[0].observe(report),
    )
    made.append(Lab(plane, [], deque(habits), [], [], capacity, asyncio.Event()))
    (one,) = made
    plane.subscribe(one.note)
    try:
        if start:
            await plane.start()
        yield one
    finally:
        await asyncio.wait_for(plane.stop(), 10)
        assert one.living == []
        for process in one.processes:
            await process.buried()
    async with asyncio.timeout(5):
        # Transports close their sockets in the next rounds.
        while sockets() != before:
            await turn()


async def turn() -> None:
    """The event loop goes round once."""
    await asyncio.sleep(0)


def sockets() -> int:
    """Those of this process that are open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def names(process: LoopProcess) -> set[str]:
    return set(process.plane._sessions)


async def call(n: Lab, sock: socket.socket, name: str, **changes: Any) -> Phone:
    (opened,) = await n.open(name)
    n.plane.negotiate(name, audio(sock.getsockname()[1]))
    n.plane.activate(name, **changes)
    await n.settled()
    return Phone(sock, opened.rtp_port)


async def talk(n: Lab, *phones: tuple[Phone, int], seconds: float = 0.4) -> None:
    for _ in range(round(seconds * 50)):
        for phone, level in phones:
            phone.send(level)
        await datagrams_read()
        n.tick()
