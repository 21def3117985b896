"""Calls: the operations. Every front door comes through here, and so do the connectors.

What belongs together is together: ``holding``, ``transfers``, ``conferences`` and ``gathers`` are
operations of this service as much as its own methods.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ringback.calls.admission import Admission
from ringback.calls.conferences import Conferences
from ringback.calls.dialler import Dialler, PlaceCall
from ringback.calls.finder import Finder, not_found, require
from ringback.calls.gathers import Gathers
from ringback.calls.history import CallHistory
from ringback.calls.holding import Holding
from ringback.calls.journal import Journal
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.live_call import LiveCall
from ringback.calls.ports import Agents, Platform
from ringback.calls.registry import Entry, Registry
from ringback.calls.rows import quality_of
from ringback.calls.signalling import Signalling
from ringback.calls.sink import CallReports
from ringback.calls.states import CallState, Direction
from ringback.calls.transcript import Line
from ringback.calls.transfers import Transfers
from ringback.connectors.contract import CallSink, Capability
from ringback.core.clock import Clock
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, InvalidRequest, NotConfigured, NotFound
from ringback.core.paging import Page, PageRequest
from ringback.media.plane import MediaPlane, SessionReport

DTMF_DIGITS = re.compile(r"[0-9A-D*#,]{1,64}")
AUTO = "auto"
INFO = "info"
ACCEPT_WAIT_SECONDS = 3.0
"""How long ``accept`` waits for the far end to have the answer, and a list for the last records."""
FIGURES_WAIT_SECONDS = 1.0
"""How long a question about a call that has just ended waits for its last figures."""
ATTACH_WAIT_SECONDS = 5.0
"""How long a stream that comes early waits for the call's media."""
RECORDING_WAIT_SECONDS = 8.0
"""How long a request for a recording waits for its last audio; a leg may take 5 s to end."""
DRAIN_SECONDS = 10.0
"""How long a stop waits for the last records after everybody was hung up on."""


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """A call as it stands. ``lines`` are those asked for; ``transcript_length`` counts all."""

    call: LiveCall
    lines: tuple[Line, ...] = ()
    transcript_length: int = 0
    quality: dict[str, object] | None = None


class CallService:
    def __init__(
        self,
        *,
        registry: Registry,
        journal: Journal,
        lifecycle: Lifecycle,
        admission: Admission,
        history: CallHistory,
        signalling: Signalling,
        agents: Agents,
        plane: MediaPlane,
        clock: Clock,
        recordings_dir: Path,
        ring_timeout: float,
        hold_music: str | None = None,
        records: bool = True,
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._lifecycle = lifecycle
        self._admission = admission
        self._history = history
        self.signalling = signalling
        self._plane = plane
        self._recordings_dir = recordings_dir
        self._platforms: dict[str, Platform] = {}
        self._finder = finder = Finder(registry)
        self._dialler = dialler = Dialler(
            registry=registry,
            lifecycle=lifecycle,
            admission=admission,
            agents=agents,
            platforms=self._platforms,
            clock=clock,
            ring_timeout=ring_timeout,
            records=records,
        )
        self._reports = CallReports(
            registry=registry,
            lifecycle=lifecycle,
            admission=admission,
            agents=agents,
            platforms=self._platforms,
            plane=plane,
            clock=clock,
            ring_timeout=ring_timeout,
            records=records,
        )
        self.holding = Holding(finder, lifecycle, plane, hold_music)
        self.conferences = Conferences(finder, lifecycle, dialler, plane)
        self.transfers = Transfers(
            finder, lifecycle, dialler, self.holding, self.conferences, clock
        )
        self.gathers = Gathers(finder, lifecycle, clock, self.say, plane.stop_speaking)

    @property
    def sink(self) -> CallSink:
        """What connectors report to."""
        return self._reports

    def add_platform(self, platform: Platform) -> None:
        self._platforms[platform.connector.platform] = platform

    @property
    def platforms(self) -> dict[str, Platform]:
        return dict(self._platforms)

    # ---- placing a call ---------------------------------------------------------------------

    async def place(self, account_id: str, wanted: PlaceCall) -> CallSnapshot:
        """Dial. Returns as soon as the connector has taken the call; progress are events.

        Raises ``InvalidRequest``, ``NotFound`` (agent), ``NotConfigured`` (platform, trunk),
        ``LimitReached`` or ``Unavailable``.
        """
        return _snapshot(await self._dialler.place(account_id, wanted))

    # ---- looking ----------------------------------------------------------------------------

    async def get(self, account_id: str, call_id: str, since: int = 0) -> CallSnapshot:
        """A call, live or over, with its transcript from line ``since`` on. Raises ``NotFound``."""
        entry = self._finder.known(account_id, call_id)
        if entry is not None:
            if entry.call.final:
                await _within(FIGURES_WAIT_SECONDS, entry.released.wait())
            return _snapshot(entry, since, await self._figures(entry))
        found = await self._history.get(account_id, call_id, since)
        if found is None:
            raise not_found()
        return CallSnapshot(found.call, found.lines, found.transcript_length, found.quality)

    def live(self, account_id: str) -> list[CallSnapshot]:
        """The calls that are not over, oldest first, without their transcripts."""
        return [
            CallSnapshot(entry.call, (), len(entry.transcript))
            for entry in self._registry.calls_of(account_id)
        ]

    def live_count(self, account_id: str) -> int:
        return self._registry.live_of(account_id)

    @property
    def max_calls(self) -> int:
        return self._admission.max_calls

    async def ended(self, account_id: str, page: PageRequest) -> Page[LiveCall]:
        """The calls that are over, newest first."""
        await _within(ACCEPT_WAIT_SECONDS, self._journal.written())
        return await self._history.ended(account_id, page)

    async def recording(self, account_id: str, call_id: str) -> Path:
        """The WAV file of a call that is over; waits a moment where it is just being completed.
        Raises ``NotFound`` or ``Conflict``."""
        entry = self._finder.known(account_id, call_id)
        if entry is not None and entry.call.final:
            await _within(RECORDING_WAIT_SECONDS, entry.released.wait())
        if entry is not None and not entry.released.is_set():
            raise Conflict(
                "The recording is complete when the call is over.",
                code="recording_not_ready",
                hint="End the call, or wait for `call_state` to say that it has ended.",
            )
        call = (await self.get(account_id, call_id)).call
        path = self._recordings_dir / call.facts.recording if call.facts.recording else None
        if path is None or not await asyncio.to_thread(path.is_file):
            raise NotFound(
                "There is no recording of this call.",
                code="recording_not_found",
                hint="Calls that were never answered, or that were placed with "
                "`recording: false`, have none.",
            )
        return path

    async def released(self, call_id: str) -> None:
        """Return when the call is over and its recording is complete."""
        entry = self._registry.get(call_id)
        if entry is not None:
            await entry.released.wait()

    # ---- acting on a live call --------------------------------------------------------------

    async def accept(self, account_id: str, call_id: str) -> CallSnapshot:
        """Answer a ringing inbound call; returns once it is active (or over)."""
        entry = self._finder.ringing(account_id, call_id)
        self._lifecycle.answer(entry)
        await _within(ACCEPT_WAIT_SECONDS, entry.changed.wait())
        return _snapshot(entry)

    def refuse(self, account_id: str, call_id: str) -> CallSnapshot:
        entry = self._finder.ringing(account_id, call_id)
        if entry.answering:
            raise Conflict("The call is being answered.", code="call_not_ringing")
        self._lifecycle.hang_up(entry, EndReason.REFUSED)
        return _snapshot(entry)

    def hang_up(self, account_id: str, call_id: str) -> CallSnapshot:
        """End the call, whatever its state."""
        entry = self._finder.live(account_id, call_id)
        unanswered = entry.call.facts.direction is Direction.OUTBOUND and entry.call.state in (
            CallState.CONNECTING,
            CallState.RINGING,
        )
        reason = EndReason.CANCELLED if unanswered else EndReason.AGENT_HANGUP
        self._lifecycle.hang_up(entry, reason)
        return _snapshot(entry)

    def say(self, account_id: str, call_id: str, text: str) -> None:
        """Speak ``text`` with the call's voice. Raises ``NotConfigured`` where none can speak."""
        entry = self._finder.answered(account_id, call_id, Capability.AUDIO_OUT)
        try:
            self._lifecycle.ensure_mouth(entry)
        except (NotConfigured, InvalidRequest) as error:
            raise NotConfigured(
                f"Hosted TTS not configured: {error.message}",
                code="tts_not_configured",
                hint=error.hint or "Or send your own audio to the call WebSocket.",
            ) from error
        self._plane.say(call_id, text)

    def stop_speaking(self, account_id: str, call_id: str) -> None:
        self._finder.answered(account_id, call_id, Capability.AUDIO_OUT)
        self._plane.stop_speaking(call_id)

    async def send_dtmf(
        self, account_id: str, call_id: str, digits: str, method: str = "auto"
    ) -> None:
        """``0-9A-D*#``, and ``,`` for a half-second pause, by ``rtp`` (RFC 4733), ``inband``
        (tones), ``info`` (SIP INFO) or, with ``auto``, as the trunk has it.

        Raises ``UpstreamFailed`` (``dtmf_refused``) where the far end takes no INFO.
        """
        entry = self._finder.answered(account_id, call_id, Capability.DTMF)
        if not DTMF_DIGITS.fullmatch(digits):
            raise InvalidRequest(
                "`digits` must be 1 to 64 of 0-9, A-D, *, # and , (a pause).",
                code="invalid_digits",
                field="digits",
            )
        if method == AUTO and entry.leg is not None:
            method = entry.leg.dtmf_method
        if method == INFO and entry.leg is not None:
            await entry.leg.send_dtmf(digits)
        else:
            await self._plane.send_dtmf(call_id, digits, method)

    def unsupported(self, account_id: str, call_id: str, capability: Capability) -> NoReturn:
        """The answer to an operation that no connector of this node has: chat, typing. Raises
        ``InvalidRequest`` naming what the call can do."""
        entry = self._finder.live(account_id, call_id)
        require(entry, capability)
        raise InvalidRequest(
            f"This version cannot use the capability `{capability}` of a call.",
            code="not_supported",
        )

    # ---- streams ----------------------------------------------------------------------------

    async def stream_target(self, account_id: str, call_id: str) -> str:
        """The id of the live call whose media is open for a stream; waits a moment for it.

        Raises ``NotFound`` for a call that is not, or no longer, live, and ``Conflict`` when its
        media is not there yet.
        """
        entry = self._finder.live(account_id, call_id)
        if not await _within(ATTACH_WAIT_SECONDS, entry.media_open.wait()):
            raise Conflict(
                "No active WebSocket connection: the audio of this call is not connected yet.",
                code="media_not_ready",
                hint="Wait a moment for the connection to be established, and try again.",
            )
        return self._finder.live(account_id, call_id).call_id

    def attach_stream(self, call_id: str, connection: socket.socket, request: bytes) -> None:
        """Hand an authenticated connection to the call's media, which owns it from here on."""
        self._plane.attach_stream(call_id, connection, request)

    # ---- the end of the node ----------------------------------------------------------------

    async def drain(self, grace: float) -> None:
        """No new calls from now on; those that live are hung up on after ``grace`` seconds. Returns
        when every record is complete (or after :data:`DRAIN_SECONDS` more)."""
        self._admission.closed = True
        await _within(grace, self._registry.idle.wait())
        for entry in self._registry:
            self._lifecycle.hang_up(entry, EndReason.SHUTDOWN)
        await _within(DRAIN_SECONDS, self._registry.empty.wait())
        await self._lifecycle.background.finish(0)

    @property
    def draining(self) -> bool:
        return self._admission.closed

    async def _figures(self, entry: Entry) -> SessionReport | None:
        """How the call sounds; final once its media is closed."""
        if entry.quality is None and entry.call.answered:
            so_far = await self._plane.report(entry.call_id)
            return entry.quality or so_far
        return entry.quality


def _snapshot(entry: Entry, since: int = 0, report: SessionReport | None = None) -> CallSnapshot:
    return CallSnapshot(
        entry.call,
        tuple(entry.transcript.since(since)),
        len(entry.transcript),
        quality_of(report) if report is not None else None,
    )


async def _within(seconds: float, happening: Awaitable[object]) -> bool:
    """Whether it happened in time."""
    try:
        async with asyncio.timeout(seconds):
            await happening
    except TimeoutError:
        return False
    return True
