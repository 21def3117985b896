"""The media plane over several processes: each session lives in one of them.

Call control stays here; a worker carries audio and nothing else, so that neither a request nor the
database nor the garbage of either delays a packet, and so that media has more than one core. One
that dies takes its own sessions with it (``MediaFailed``, ``media_lost``) and is replaced.

Placement: the worker with the fewest sessions; a leg that is to replace another's goes beside it. A
conference over two workers is joined by a link (:mod:`ringback.media.conference_link`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, LimitReached, StartupError, Unavailable
from ringback.media.conference_map import ConferenceMap
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import PacerCounters
from ringback.media.plane import (
    MediaEvent,
    MediaFailed,
    NegotiatedAudio,
    OpenSession,
    SessionOpened,
    SessionReport,
    VoiceSpec,
)
from ringback.media.stream_socket import refuse_ended
from ringback.media.worker import Started, State, Worker
from ringback.media.worker_messages import CommandName, Configure, Figures

logger = logging.getLogger(__name__)

START_ATTEMPTS = 3
FIRST_PAUSE = 0.0
LONGEST_PAUSE = 2.0
"""Seconds between two attempts to replace a worker that keeps dying."""
STEADY_SECONDS = 30.0
"""A worker that lived so long is replaced at once."""
DIED = "The process that carried this call's audio died."
COMING = "Try again: another one is being started."


@dataclass(slots=True)
class WorkerCounters:
    started: int = 0
    lost: int = 0
    """Workers that died or hung."""
    sessions_lost: int = 0


class WorkerPlane:
    """Implements :class:`ringback.media.plane.MediaPlane` over processes.

    ``check_voice`` raises what a worker's voice factory would, so that who asks is told.
    """

    def __init__(
        self,
        configurations: Sequence[Configure],
        spawn: Callable[[], Awaitable[Started]],
        *,
        check_voice: Callable[[VoiceSpec], None],
        observe: Callable[[SessionReport], None] | None = None,
    ) -> None:
        self.workers = WorkerCounters()
        self._configurations = configurations
        self._spawn_process = spawn
        self._check_voice = check_voice
        self._observe = observe
        self._workers: list[Worker] = []
        self._places: dict[str, Worker] = {}
        self._alive: set[str] = set()
        """Those that are open, and not yet closing: who loses one of them is told."""
        self._conferences = ConferenceMap()
        self._links: dict[str, tuple[Worker, Worker]] = {}
        self.listener_errors = 0
        self._past = MediaCounters()
        self._past_pacer = PacerCounters()
        self._listeners: list[Callable[[MediaEvent], None]] = []
        self._figures_listeners: list[Callable[[str, Figures], None]] = []
        self._starts: set[asyncio.Task[object]] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopping = False

    def __len__(self) -> int:
        """Sessions that are open."""
        return len(self._places)

    # ---- the workers ------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises ``StartupError`` when a worker does not come up."""
        starts = [_task(self._start_first(each), self._starts) for each in self._configurations]
        await asyncio.gather(*starts)

    async def _start_first(self, configuration: Configure) -> None:
        for _ in range(START_ATTEMPTS):
            if await self._start_worker(configuration):
                return
        raise StartupError(
            f"The media process {configuration.name} does not start; its log says why. "
            "RINGBACK_MEDIA_WORKERS=0 does without it."
        )

    async def _start_worker(self, configuration: Configure) -> bool:
        """Whether it is ready."""
        try:
            started = await self._spawn_process()
        except OSError as error:
            logger.error("a media worker cannot be started: %s", error)
            return False
        worker = Worker(configuration, started, self)
        self._workers.append(worker)
        self.workers.started += 1
        return await worker.is_ready()

    def worker_gone(self, worker: Worker, why: str) -> None:
        """Tell the calls that were on it, and put another in its place."""
        logger.error(
            "the media worker %s (pid %s) is lost with %s calls: %s",
            *(worker.name, worker.pid, len(worker.sessions), why),
        )
        self._workers.remove(worker)
        self._past.add(worker.figures.counters)
        self._past_pacer.add(worker.figures.pacer)
        self.workers.lost += 1
        self.workers.sessions_lost += len(worker.sessions)
        lost = [session_id for session_id in worker.sessions if session_id in self._alive]
        for session_id in list(worker.sessions):
            self._forget(session_id)
        for session_id in lost:
            self.worker_event(MediaFailed(session_id, EndReason.MEDIA_LOST, DIED))
        _task(worker.ended(), self._tasks)
        if worker.was_ready and not self._stopping:
            _task(self._replace(worker), self._starts)

    async def _replace(self, lost: Worker) -> None:
        pause = FIRST_PAUSE if lost.age >= STEADY_SECONDS else LONGEST_PAUSE
        for seconds in itertools.chain([pause], itertools.repeat(LONGEST_PAUSE)):
            await asyncio.sleep(seconds)
            if self._stopping or await self._start_worker(lost.configuration):
                return

    def worker_event(self, event: MediaEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                self.listener_errors += 1
                logger.exception("a listener failed on a media event")

    def worker_observed(self, report: SessionReport) -> None:
        if self._observe is not None:
            self._observe(report)

    def worker_figures(self, worker: Worker) -> None:
        for listener in self._figures_listeners:
            listener(worker.name, worker.figures)

    # ---- figures ----------------------------------------------------------------------------

    def on_figures(self, listener: Callable[[str, Figures], None]) -> None:
        """``listener(name, figures)`` hears each second how a worker is."""
        self._figures_listeners.append(listener)

    def counters(self) -> MediaCounters:
        """Sums over all workers since the start, as of the last second."""
        total = MediaCounters()
        for each in (self._past, *(worker.figures.counters for worker in self._workers)):
            total.add(each)
        return total

    def pacer_counters(self) -> PacerCounters:
        total = PacerCounters()
        for each in (self._past_pacer, *(worker.figures.pacer for worker in self._workers)):
            total.add(each)
        return total

    def ports_in_use(self) -> int:
        return sum(worker.figures.ports_in_use for worker in self._workers)

    def ready_workers(self) -> int:
        return len(self._ready())

    def problem(self) -> str | None:
        return None if self._ready() else "No media process is running; one is being started."

    # ---- sessions ---------------------------------------------------------------------------

    def subscribe(self, listener: Callable[[MediaEvent], None]) -> None:
        self._listeners.append(listener)

    async def open(self, request: OpenSession) -> SessionOpened:
        """Raises ``Unavailable`` (``no_rtp_port``, ``shutting_down``, ``media_lost``) and
        ``Conflict`` (the id is in use)."""
        if self._stopping:
            raise Unavailable("This node is shutting down.", code="shutting_down")
        if request.session_id in self._places:
            raise Conflict("This call has its media open already.", code="session_exists")
        refusal = Unavailable("No media process is running.", code="media_lost", hint=COMING)
        for worker in self._candidates(request):
            try:
                return await self._open_on(worker, request)
            except Unavailable as error:
                refusal = error
        raise refusal

    def _ready(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.state is State.READY]

    def _candidates(self, request: OpenSession) -> list[Worker]:
        """Who may carry it, the best first."""
        if place := self._places.get(request.stands_in_for or ""):
            return [place]
        return sorted(self._ready(), key=lambda worker: len(worker.sessions))

    async def _open_on(self, worker: Worker, request: OpenSession) -> SessionOpened:
        session_id = request.session_id
        self._places[session_id] = worker
        worker.sessions.add(session_id)
        try:
            opened: SessionOpened = await worker.ask("open", request)
        except asyncio.CancelledError:
            _task(self.close(session_id), self._tasks)
            raise
        except BaseException:
            self._forget(session_id)
            raise
        if self._places.get(session_id) is not worker:
            # It died after it had answered, before we came to read that.
            raise Unavailable(DIED, code="media_lost", hint=COMING)
        self._alive.add(session_id)
        return opened

    async def close(self, session_id: str) -> SessionReport:
        worker = self._places.get(session_id)
        if worker is None:
            return SessionReport(session_id)
        self._alive.discard(session_id)
        self._end_links(session_id)
        try:
            report: SessionReport = await worker.ask("close", session_id)
        except Unavailable:
            return SessionReport(session_id)
        finally:
            self._forget(session_id)
        return report

    async def report(self, session_id: str) -> SessionReport | None:
        worker = self._places.get(session_id)
        if worker is None:
            return None
        try:
            report: SessionReport | None = await worker.ask("report", session_id)
        except Unavailable:
            return None
        return report

    async def stop(self) -> None:
        """Close every session and end every worker. No session opens after that."""
        self._stopping = True
        for task in self._starts:
            task.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        for session_id in list(self._places):
            self._forget(session_id)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, session_id: str) -> None:
        worker = self._places.get(session_id)
        if worker is None:
            return
        self._end_links(session_id)
        self._alive.discard(session_id)
        del self._places[session_id]
        worker.sessions.discard(session_id)

    def _command(self, name: CommandName, session_id: str, *arguments: object) -> None:
        if worker := self._places.get(session_id):
            worker.command(name, session_id, *arguments)

    # ---- conferences ------------------------------------------------------------------------

    def join(self, session_id: str, conference: str) -> None:
        """Raises ``LimitReached`` (code ``conference_full``)."""
        worker, other = self._places.get(session_id), self._places.get(conference)
        if worker is None or other is None:
            return
        if not self._conferences.may_join(session_id, conference):
            return
        if worker is other:
            self.part(session_id)
            worker.command("join", session_id, conference)
        else:
            self._join_over(session_id, worker, conference, other)
        self._conferences.join(session_id, conference)

    def _join_over(self, session_id: str, worker: Worker, conference: str, other: Worker) -> None:
        """Raises ``LimitReached``."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            logger.error("two media workers cannot be linked: %s", error)
            raise LimitReached(
                "This node has no room for that conference.", code="conference_full"
            ) from error
        self.part(session_id)
        worker.link(session_id, session_id, ours)
        other.link(conference, session_id, theirs)
        self._links[session_id] = (worker, other)

    def part(self, session_id: str) -> None:
        if session_id not in self._links:
            self._command("part", session_id)
        self._unlink(session_id)
        self._conferences.part(session_id)

    def _unlink(self, session_id: str) -> None:
        """A link is named after the session that joined."""
        for worker in self._links.pop(session_id, ()):
            worker.command("unlink", session_id)

    def _end_links(self, session_id: str) -> None:
        """``session_id`` is over, and so are its links, to those who joined it, too."""
        for member in self._conferences.members_of(session_id):
            self._unlink(member)
            self._conferences.part(member)
        self._unlink(session_id)
        self._conferences.part(session_id)

    # ---- commands ---------------------------------------------------------------------------

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        self._command("negotiate", session_id, audio)

    def activate(self, session_id: str, recording: str | None = None) -> None:
        self._command("activate", session_id, recording)

    def start_voice(self, session_id: str, spec: VoiceSpec) -> None:
        """Raises what ``check_voice`` raises."""
        self._check_voice(spec)
        self._command("start_voice", session_id, spec)

    def say(self, session_id: str, text: str) -> None:
        self._command("say", session_id, text)

    def stop_speaking(self, session_id: str) -> None:
        self._command("stop_speaking", session_id)

    async def send_dtmf(self, session_id: str, digits: str, method: str = "auto") -> None:
        """Raises as the plane of one process."""
        if worker := self._places.get(session_id):
            await worker.ask("send_dtmf", session_id, digits, method)

    def dtmf(self, session_id: str, digit: str, duration_ms: int) -> None:
        self._command("dtmf", session_id, digit, duration_ms)

    def set_hold(self, session_id: str, held: bool) -> None:
        self._command("set_hold", session_id, held)

    def hold(self, session_id: str, music: str | None = None) -> None:
        self._command("hold", session_id, music)

    def resume(self, session_id: str) -> None:
        self._command("resume", session_id)

    def detach_agents(self, session_id: str) -> None:
        self._command("detach_agents", session_id)

    def take_leg(self, session_id: str, other: str) -> None:
        """Both are in one process: ``other`` was opened to stand in for ``session_id``."""
        worker = self._places.get(session_id)
        if session_id == other or worker is None or worker is not self._places.get(other):
            return
        if session_id in self._alive and other in self._alive:
            worker.command("take_leg", session_id, other)
            self._forget(other)

    def notify(self, session_id: str, message: Mapping[str, Any]) -> None:
        self._command("notify", session_id, message)

    def attach_stream(self, session_id: str, connection: socket.socket, request: bytes) -> None:
        worker = self._places.get(session_id)
        if worker is None:
            _task(refuse_ended(connection, request), self._tasks)
        else:
            worker.attach(session_id, connection, request)


def _task(
    work: Coroutine[object, object, object], among: set[asyncio.Task[object]]
) -> asyncio.Task[object]:
    task = asyncio.get_running_loop().create_task(work)
    among.add(task)
    task.add_done_callback(among.discard)
    return task
