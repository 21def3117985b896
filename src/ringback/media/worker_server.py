"""A media worker's side of the channel: does on its plane what call control asks."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence

from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.channel import Channel, close_descriptors
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.plane import MediaEvent, MediaFailed, SessionReport
from ringback.media.worker_messages import (
    MESSAGE_TYPES,
    Answer,
    Ask,
    Attach,
    Command,
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

FIGURES_SECONDS = 1.0

MakePlane = Callable[[Configure, Callable[[SessionReport], None]], LocalMediaPlane]
MakeFigures = Callable[[], Figures]


class WorkerServer:
    """``make`` builds the plane once the configuration is there. ``ended`` is set when there is
    nothing more to do: call control said so, or is gone."""

    def __init__(self, connection: socket.socket, make: MakePlane, figures: MakeFigures) -> None:
        self.ended = asyncio.Event()
        self.plane: LocalMediaPlane | None = None
        self._make = make
        self._figures = figures
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.channel = Channel(connection, MESSAGE_TYPES, self._received, self.ended.set)

    def _received(self, message: object, files: Sequence[int]) -> None:
        if isinstance(message, Configure) and self.plane is None:
            self._configure(message)
        elif self.plane is not None:
            self._serve(self.plane, message, [socket.socket(fileno=each) for each in files])
        else:
            close_descriptors(files)

    def _configure(self, configuration: Configure) -> None:
        try:
            self.plane = self._make(configuration, self._observe)
        except Exception:
            logger.exception("a media worker cannot work as configured")
            self.ended.set()
            return
        self.plane.subscribe(self._tell)
        self.channel.send(Ready())
        self._push_figures()

    def _serve(
        self, plane: LocalMediaPlane, message: object, connections: Sequence[socket.socket]
    ) -> None:
        match message:
            case Ask():
                self._spawn(self._answer(plane, message))
            case Command():
                self._run(plane, message)
            case Attach():
                plane.attach_stream(message.session_id, connections[0], message.request)
            case Link():
                self._link(plane, message, connections[0])
            case Stop():
                self.ended.set()

    async def _answer(self, plane: LocalMediaPlane, ask: Ask) -> None:
        try:
            value = await getattr(plane, ask.name)(*ask.arguments)
            self.channel.send(Answer(ask.number, value))
        except RingbackError as error:
            self.channel.send(Refused.of(ask.number, error))
        except Exception:
            logger.exception("%s failed in a media worker", ask.name)
            fault = RingbackError("The media of this call failed.", code="media_failed")
            self.channel.send(Refused.of(ask.number, fault))

    def _run(self, plane: LocalMediaPlane, command: Command) -> None:
        """Nobody waits for it: what goes wrong ends the call that it was for."""
        try:
            getattr(plane, command.name)(*command.arguments)
        except RingbackError as error:
            self._tell(_failed(command.arguments[0], error.message))
        except Exception:
            logger.exception("%s failed in a media worker", command.name)
            self._tell(_failed(command.arguments[0], "The media of this call failed."))

    def _link(self, plane: LocalMediaPlane, link: Link, connection: socket.socket) -> None:
        try:
            plane.link(link.session_id, link.link_id, connection)
        except RingbackError as error:
            logger.warning("a conference was not linked: %s", error.message)

    def _tell(self, event: MediaEvent) -> None:
        self.channel.send(Event(event))

    def _observe(self, report: SessionReport) -> None:
        self.channel.send(Observed(report))

    def _push_figures(self) -> None:
        self.channel.send(self._figures())
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(FIGURES_SECONDS, self._push_figures)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close every session, let call control know, and the channel with it."""
        if self._timer is not None:
            self._timer.cancel()
        if self.plane is not None:
            await self.plane.stop()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.channel.send(self._figures())
        await self.channel.flushed()
        self.channel.close()


def _failed(session_id: str, detail: str) -> MediaFailed:
    return MediaFailed(session_id, EndReason.INTERNAL_ERROR, detail)


def inherit(number: int) -> socket.socket:
    """The connection that the process was started with, which none of its children get: its end
    is how each side learns of the other's."""
    os.set_inheritable(number, False)
    return socket.socket(fileno=number)
