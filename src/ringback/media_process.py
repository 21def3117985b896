"""Media of this node: in its own process, or in one of several workers (this module as a program).

A worker is started by call control with one end of a socket pair, whose number is the only
argument, and ends when that connection does, whatever becomes of call control. Signals that a
terminal or a service manager sends to the whole group are call control's business.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import uvloop
from structlog.contextvars import bind_contextvars

from ringback.core.clock import Clock, SystemClock
from ringback.core.load_watch import ThreadTimes
from ringback.core.logging import configure_logging
from ringback.core.pauses import ShortPauses
from ringback.core.settings import PortRange
from ringback.media.local_plane import LocalMediaPlane
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import PacerCounters, PacerLoop
from ringback.media.plane import SessionReport
from ringback.media.recorder import RecorderThread
from ringback.media.worker_messages import Configure, Figures
from ringback.media.worker_server import WorkerServer, inherit
from ringback.net.rtp_ports import RtpPorts
from ringback.voice.factory import HostedVoices, build_voice_factory

CLOSE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class MediaHere:
    """A plane in this process and what it stands on. Stop the plane first, then the voices."""

    plane: LocalMediaPlane
    ports: RtpPorts
    pacer: PacerLoop
    voices: HostedVoices


def build_media(
    ports: PortRange, clock: Clock, observe: Callable[[SessionReport], None]
) -> MediaHere:
    """On the running event loop."""
    rtp_ports = RtpPorts(ports.first, ports.last, clock=clock)
    pacer = PacerLoop(clock)
    voices = build_voice_factory()
    plane = LocalMediaPlane(
        rtp_ports,
        ticker=pacer,
        clock=clock,
        recorder=RecorderThread(),
        voices=voices,
        observe=observe,
    )
    return MediaHere(plane, rtp_ports, pacer, voices)


class _WorkerProcess:
    def __init__(self, connection: socket.socket) -> None:
        self._media: MediaHere | None = None
        self._times = ThreadTimes()
        self._pauses = ShortPauses(SystemClock(), self._live)
        self._server = WorkerServer(connection, self._make, self._figures)

    async def run(self) -> None:
        """Until call control says so, or is gone."""
        await self._server.ended.wait()
        self._pauses.stop()
        async with asyncio.timeout(CLOSE_SECONDS):
            await self._server.close()
            if self._media is not None:
                await self._media.voices.stop()

    def _make(
        self, configuration: Configure, observe: Callable[[SessionReport], None]
    ) -> LocalMediaPlane:
        configure_logging(configuration.log_level, json=configuration.log_json)
        bind_contextvars(worker=configuration.name)
        ports = PortRange(configuration.first_port, configuration.last_port)
        self._media = build_media(ports, SystemClock(), observe)
        self._pauses.start()
        return self._media.plane

    def _live(self) -> int:
        return 0 if self._media is None else len(self._media.plane)

    def _figures(self) -> Figures:
        cpu, waiting = time.process_time(), self._times.waited()
        media = self._media
        if media is None:
            return Figures(MediaCounters(), PacerCounters(), 0, 0, cpu, waiting)
        return Figures(
            media.plane.counters(),
            media.pacer.counters,
            media.ports.counters.in_use,
            len(media.plane),
            cpu,
            waiting,
        )


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection = inherit(int(sys.argv[1]))

    async def work() -> None:
        await _WorkerProcess(connection).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(work())
        except TimeoutError:
            # What does not end in time must not keep the ports from the next worker.
            os._exit(1)


if __name__ == "__main__":
    main()
