"""The node's end of a worker process: started at first use, again when it died, ended at stop."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence

import structlog

from ringback.voice.contract import ProviderError
from ringback.voice.providers.local.frames import (
    PREFIX,
    FrameError,
    Header,
    check_sizes,
    decode_header,
    encode,
)

WORKER = "ringback.voice.providers.local.worker"
PROVIDER = "local"

MAX_WAITING = 64
"""Requests under way or waiting for the worker; more are refused and counted."""
START_TIMEOUT = 30.0
ANSWER_TIMEOUT = 60.0
"""A worker that is silent for longer is killed: it hangs."""
STOP_TIMEOUT = 2.0
MAX_CRASHES = 3
CRASH_PAUSE = 10.0
"""Seconds without a new start after ``MAX_CRASHES`` in a row without an answer."""

log = structlog.stdlib.get_logger(__name__)

Answer = tuple[Header, bytes]


class WorkerProcess:
    """Requests from any task of one event loop; answers come in order.

    ``command`` is what is run; it must speak ``frames`` and begin with a frame of id 0.
    """

    def __init__(self, engine: str, command: Sequence[str] | None = None) -> None:
        self.engine = engine
        self._command = list(command) if command else [sys.executable, "-P", "-m", WORKER, engine]
        self._process: Process | None = None
        self._launch: asyncio.Task[Process] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0
        self._crashes = 0
        self._not_before = 0.0
        self._stopped = False
        self.starts = 0
        self.refused = 0
        """Requests that came while ``MAX_WAITING`` were waiting."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def warm_up(self) -> None:
        """Start it now. Raises :class:`ProviderError`."""
        await self._running()

    async def request(self, header: Mapping[str, object], payload: bytes = b"") -> Answer:
        """Raises :class:`ProviderError`; the worker is running again at the next request."""
        if len(self._waiting) >= MAX_WAITING:
            self.refused += 1
            raise self._error("worker_busy", f"{MAX_WAITING} requests are waiting already")
        process = await self._running()
        self._last_id += 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_id] = answer
        number = self._last_id
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                if process.stdin is not None:
                    process.stdin.write(encode({**header, "id": number}, payload))
                    await process.stdin.drain()
                return _checked(await answer)
        except TimeoutError:
            await self._end(process)
            raise self._error("worker_hangs", "the worker did not answer and was killed") from None
        except OSError as error:
            await self._end(process)
            raise self._error("worker_died", f"the worker is gone: {error}") from None
        finally:
            del self._waiting[number]
            answer.cancel()

    async def stop(self) -> None:
        """End the process and wait for it. Twice is once."""
        self._stopped = True
        if self._launch is not None:
            self._launch.cancel()
        async with self._starting:
            process, reader = self._process, self._reader
            if process is None or reader is None:
                return
            if process.stdin is not None:
                process.stdin.close()
            done, _ = await asyncio.wait({reader}, timeout=STOP_TIMEOUT)
            if not done:
                _kill(process)
                await asyncio.wait({reader})

    async def _end(self, process: Process) -> None:
        """Kill it and wait until that has been noticed."""
        reader = self._reader
        _kill(process)
        if reader is not None:
            await asyncio.wait({reader})

    async def _running(self) -> Process:
        """One start serves all who wait for it, and goes on when one of them hangs up."""
        if self._process is not None and not self._stopped:
            return self._process
        if self._launch is None or self._launch.done():
            self._launch = asyncio.get_running_loop().create_task(self._ensure())
            self._launch.add_done_callback(_retrieved)
        return await asyncio.shield(self._launch)

    async def _ensure(self) -> Process:
        async with self._starting:
            if self._stopped:
                raise self._error("worker_stopped", "the gateway is shutting down")
            if self._process is None:
                await self._start()
            if self._process is None:
                raise self._error("worker_died", "the worker ended as soon as it started")
            return self._process

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._crashes >= MAX_CRASHES and loop.time() < self._not_before:
            raise self._error("worker_keeps_dying", f"it died {self._crashes} times in a row")
        self.starts += 1
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        started = loop.time()
        try:
            async with asyncio.timeout(START_TIMEOUT):
                _checked(await _read(process))
        except asyncio.CancelledError:
            _kill(process)
            await process.wait()
            raise
        except (TimeoutError, FrameError, EOFError, ProviderError) as error:
            _kill(process)
            await process.wait()
            self._crashed()
            if isinstance(error, ProviderError):
                raise
            reason = f"{type(error).__name__} {error}".strip()
            raise self._error("worker_not_started", f"no start: {reason}") from None
        self._process = process
        self._reader = loop.create_task(self._read_answers(process), name=f"local-{self.engine}")
        log.info(
            "voice_worker_started",
            engine=self.engine,
            pid=process.pid,
            seconds=round(loop.time() - started, 2),
        )

    async def _read_answers(self, process: Process) -> None:
        try:
            while True:
                header, payload = await _read(process)
                self._crashes = 0
                number = header.get("id")
                answer = self._waiting.get(number) if isinstance(number, int) else None
                if answer is not None and not answer.done():
                    answer.set_result((header, payload))
        except (EOFError, FrameError, OSError) as error:
            reason = f"{type(error).__name__} {error}".strip()
        _kill(process)
        await process.wait()
        self._process = None
        if not self._stopped:
            self._crashed()
            log.warning(
                "voice_worker_died", engine=self.engine, status=process.returncode, reason=reason
            )
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(self._error("worker_died", "the worker died"))

    def _crashed(self) -> None:
        self._crashes += 1
        self._not_before = asyncio.get_running_loop().time() + CRASH_PAUSE

    def _error(self, code: str, message: str) -> ProviderError:
        return ProviderError(
            f"local {self.engine}: {message}", provider=PROVIDER, retryable=True, code=code
        )


def _retrieved(launch: asyncio.Task[Process]) -> None:
    """Everybody who waited for this start may be gone: its failure is then nobody's."""
    if not launch.cancelled():
        launch.exception()


async def _read(process: Process) -> Answer:
    """Raises ``EOFError`` (``IncompleteReadError``) at the end and :class:`FrameError`."""
    stream = process.stdout
    if stream is None:
        raise EOFError
    header_size, payload_size = PREFIX.unpack(await stream.readexactly(PREFIX.size))
    check_sizes(header_size, payload_size)
    header = decode_header(await stream.readexactly(header_size))
    return header, await stream.readexactly(payload_size)


def _checked(answer: Answer) -> Answer:
    error = answer[0].get("error")
    if isinstance(error, dict):
        raise ProviderError(
            str(error.get("message", "the engine failed")),
            provider=PROVIDER,
            retryable=bool(error.get("retryable", False)),
            code=str(error.get("code", "engine_failed")),
        )
    return answer


def _kill(process: Process) -> None:
    try:
        process.kill()
    except ProcessLookupError:
        pass
