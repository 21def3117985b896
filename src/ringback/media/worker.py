"""One media worker process, as call control sees it.

::

    state      what happens                          next
    starting   Ready                                 ready
    starting   the process ends, or START_SECONDS    gone
    ready      the channel breaks, the process ends  gone
    ready      no message for SILENT_SECONDS         gone (it is killed)
    any        stop                                  stopped

``gone`` tells the owner once; who wants another worker makes a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from ringback.core.errors import RingbackError, Unavailable
from ringback.core.settings import PREFIX
from ringback.media.channel import Channel, close_descriptors
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import PacerCounters
from ringback.media.plane import MediaEvent, SessionReport
from ringback.media.worker_messages import (
    MESSAGE_TYPES,
    Answer,
    Ask,
    AskName,
    Attach,
    Command,
    CommandName,
    Configure,
    Event,
    Figures,
    Link,
    Observed,
    Ready,
    Refused,
    Stop,
)

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
STOP_SECONDS = 20.0
"""More than the end of a call waits for a slow disk or a slow voice."""
SILENT_SECONDS = 15
LOOK_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.0
MODULE = "ringback.media_process"


class State(Enum):
    STARTING = auto()
    READY = auto()
    GONE = auto()
    STOPPED = auto()


class WorkerOwner(Protocol):
    """Who has the workers. Called on the event loop."""

    def worker_event(self, event: MediaEvent) -> None: ...

    def worker_observed(self, report: SessionReport) -> None: ...

    def worker_figures(self, worker: Worker) -> None: ...

    def worker_gone(self, worker: Worker, why: str) -> None: ...


class Process(Protocol):
    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Started:
    """A process at the other end of ``connection``."""

    process: Process
    connection: socket.socket


async def spawn() -> Started:
    """A worker of its own, which ends when the connection does. It reads what strangers send, and
    gets none of the node's settings, some of which are secret. Raises ``OSError``."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                MODULE,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                env=environment,
                pass_fds=(theirs.fileno(),),
            )
    except BaseException:
        ours.close()
        raise
    return Started(process, ours)


class Worker:
    def __init__(self, configuration: Configure, started: Started, owner: WorkerOwner) -> None:
        self.name = configuration.name
        self.configuration = configuration
        self.state = State.STARTING
        self.sessions: set[str] = set()
        self.figures = Figures(MediaCounters(), PacerCounters(), 0, 0, 0.0, 0.0)
        self.was_ready = False
        self._settled = asyncio.Event()
        self._born = asyncio.get_running_loop().time()
        self._owner = owner
        self._process = started.process
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._silent = 0.0
        self._unheard = asyncio.Event()
        self._channel = Channel(
            started.connection, MESSAGE_TYPES, self._received, self._channel_closed
        )
        self._channel.send(configuration)
        self._reaper = asyncio.create_task(self._reap())
        self._watch = asyncio.create_task(self._watch_life())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return asyncio.get_running_loop().time() - self._born

    async def is_ready(self) -> bool:
        """Whether it came up; waits until it has, or is gone."""
        await self._settled.wait()
        return self.state is State.READY

    # ---- what it is told --------------------------------------------------------------------

    def command(self, name: CommandName, *arguments: object) -> None:
        self._channel.send(Command(name, arguments))

    async def ask(self, name: AskName, *arguments: object) -> Any:
        """Raises what the plane raises, and ``Unavailable`` (``media_lost``) when the worker
        dies."""
        return await self._answer_to(lambda number: Ask(number, name, arguments))

    def attach(self, session_id: str, connection: socket.socket, request: bytes) -> None:
        self._channel.send(Attach(session_id, request), [connection])

    def link(self, session_id: str, link_id: str, connection: socket.socket) -> None:
        self._channel.send(Link(session_id, link_id), [connection])

    async def _answer_to(self, question: Callable[[int], object]) -> Any:
        if self.state in (State.GONE, State.STOPPED):
            raise _lost()
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._channel.send(question(number))
            return await answer
        finally:
            self._asked.pop(number, None)

    # ---- what it says -----------------------------------------------------------------------

    def _received(self, message: object, files: Sequence[int]) -> None:
        self._silent = 0.0
        close_descriptors(files)
        if self.state is State.GONE:
            return
        match message:
            case Answer():
                self._settle(message.number, message.value)
            case Refused():
                self._settle(message.number, message.error())
            case Event():
                self._owner.worker_event(message.event)
            case Observed():
                self._owner.worker_observed(message.report)
            case Figures():
                self.figures = message
                self._owner.worker_figures(self)
            case Ready() if self.state is State.STARTING:
                self.state = State.READY
                self.was_ready = True
                self._settled.set()

    def _settle(self, number: int, value: object) -> None:
        answer = self._asked.get(number)
        if answer is None or answer.done():
            return
        if isinstance(value, RingbackError):
            answer.set_exception(value)
        else:
            answer.set_result(value)

    # ---- the end ----------------------------------------------------------------------------

    async def ended(self) -> None:
        """Returns when the process is."""
        await asyncio.shield(self._reaper)

    async def stop(self) -> None:
        """End the process with all its sessions closed; after ``STOP_SECONDS`` without."""
        was, self.state = self.state, State.STOPPED
        self._settled.set()
        self._watch.cancel()
        if was is not State.GONE:
            self._channel.send(Stop())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.ended()
                return
        logger.error("the media worker %s did not stop and is killed", self.name)
        self.kill()
        await self._reaper

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _channel_closed(self) -> None:
        self._unheard.set()
        self._gone("its connection broke")

    async def _reap(self) -> None:
        code = await self._process.wait()
        # What it said last may not be read yet.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._unheard.wait()
        self._gone(f"it ended with {code}")
        self._channel.close()

    async def _watch_life(self) -> None:
        """A worker that hangs is as good as dead. Counted in looks, each of which let the event
        loop read what had come, so that our own delays do not count."""
        while self._silent < SILENT_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            patience = START_SECONDS if self.state is State.STARTING else SILENT_SECONDS
            self._silent += LOOK_SECONDS * SILENT_SECONDS / patience
        self._gone(f"it was silent for {SILENT_SECONDS} s")

    def _gone(self, why: str) -> None:
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(_lost())
        if self.state in (State.GONE, State.STOPPED):
            return
        self.state = State.GONE
        self._channel.close()
        self._unheard.set()
        self._settled.set()
        self._watch.cancel()
        self.kill()
        self._owner.worker_gone(self, why)


def _lost() -> Unavailable:
    return Unavailable(
        "The process that carried this call's audio has died.",
        code="media_lost",
        hint="Try again: another one takes its place.",
    )
