"""A connector, a media plane, agents and time that tests hold in their hands."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ringback.calls.assembly import CallControl, CallLimits
from ringback.calls.models import CallRow
from ringback.calls.ports import AgentProfile, Platform
from ringback.connectors.contract import (
    CallSink,
    Capability,
    Cause,
    DialRequest,
    InboundOffer,
    LegControl,
    TracedMessage,
    TransferResult,
)
from ringback.core.bus import Event, LocalBus, LocalSubscription
from ringback.core.database import Base, Database
from ringback.core.end_reason import EndReason
from ringback.core.errors import NotFound, RingbackError
from ringback.core.metrics import Metrics
from ringback.core.secrets import SecretBox, generate_key
from ringback.media.plane import (
    DtmfReceived,
    MediaEvent,
    MediaPlane,
    NegotiatedAudio,
    OpenSession,
    SessionOpened,
    SessionReport,
    VoiceSpec,
)

ACCOUNT = "acct_test"
NODE = "node_test"
START = datetime(2026, 3, 13, 10, 0, tzinfo=UTC)
LIMITS = CallLimits()
HOSTED = AgentProfile("agent_hosted", "Host", voice=VoiceSpec("agent_hosted"))


class FakeTimer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTime:
    """A clock that stands until :meth:`pass_by` moves it and fires the timers that are due."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self._elapsed

    def now(self) -> datetime:
        return START + timedelta(seconds=self._elapsed)

    def schedule(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(self._elapsed + seconds, callback)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def pass_by(self, seconds: float) -> None:
        until = self._elapsed + seconds
        while self._timers and self._timers[0][0] <= until:
            due, _, timer = heapq.heappop(self._timers)
            self._elapsed = due
            if not timer.cancelled:
                timer.callback()
        self._elapsed = until


class FakeLeg:
    """Remembers what it was told. It reports what a far end would, where ``obliging``."""

    def __init__(self, sink: CallSink, call_id: str = "", obliging: bool = True) -> None:
        self.sink = sink
        self.call_id = call_id
        self.obliging = obliging
        self.media_open = asyncio.Event()
        self.told: list[str] = []
        self.preferred_keys = "auto"
        self.trunk_id: str | None = None
        self.failing: Exception | None = None
        self.over = False
        self.transferred: asyncio.Future[TransferResult] = asyncio.Future()
        """What ``transfer`` waits for."""
        self.replaced: LegControl | None = None

    async def ring(self) -> None:
        self._tell("ring")

    async def accept(self) -> None:
        await self.media_open.wait()
        self._tell("accept")
        if self.obliging and not self.over:
            self.sink.leg_answered(self.call_id)

    async def reject(self, reason: EndReason) -> None:
        self._tell(f"reject {reason}")
        self._end(reason)

    async def hang_up(self, reason: EndReason) -> None:
        self._tell(f"hang_up {reason}")
        self._end(reason)

    async def hold(self) -> None:
        self._tell("hold")

    async def resume(self) -> None:
        self._tell("resume")

    async def transfer(self, target: str, replaces: LegControl | None = None) -> TransferResult:
        self._tell(f"transfer {target}")
        self.replaced = replaces
        return await self.transferred

    @property
    def dtmf_method(self) -> str:
        return self.preferred_keys

    async def send_dtmf(self, digits: str) -> None:
        self._tell(f"send_dtmf {digits}")

    def trace(self) -> Sequence[TracedMessage]:
        return ()

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if self.failing is not None:
            raise self.failing

    def _end(self, reason: EndReason) -> None:
        if self.obliging and not self.over:
            self.over = True
            self.sink.leg_ended(self.call_id, Cause(reason))


class FakeConnector:
    platform = "sip"
    capabilities = frozenset(
        {
            Capability.AUDIO_IN,
            Capability.AUDIO_OUT,
            Capability.DTMF,
            Capability.HOLD,
            Capability.TRANSFER,
        }
    )

    def __init__(self, plane: MediaPlane | None = None) -> None:
        self.plane = plane
        self.account_id = ACCOUNT
        self.sink: CallSink | None = None
        self.dialled: list[DialRequest] = []
        self.legs: list[FakeLeg] = []
        self.refusal: RingbackError | None = None
        self.trunk_id: str | None = None
        """The trunk that is found for a call which names none."""
        self.on_dial: Callable[[FakeLeg], None] = lambda leg: None
        self.stopped = False

    async def start(self, sink: CallSink) -> None:
        self.sink = sink

    async def dial(self, request: DialRequest) -> LegControl:
        self.dialled.append(request)
        if self.refusal is not None:
            raise self.refusal
        leg = FakeLeg(self._sink, request.call_id)
        leg.trunk_id = request.trunk_id or self.trunk_id
        self.legs.append(leg)
        if self.plane is not None:
            await self.plane.open(OpenSession(request.call_id))
        self.on_dial(leg)
        return leg

    async def stop(self) -> None:
        self.stopped = True

    async def call_in(
        self, *, auto_answer: bool = False, agent_id: str | None = None, obliging: bool = True
    ) -> FakeLeg:
        """Somebody calls +33123456789."""
        leg = FakeLeg(self._sink, obliging=obliging)
        self.legs.append(leg)
        offer = InboundOffer(
            platform="sip",
            account_id=self.account_id,
            caller="+33612345678",
            caller_name="Alice",
            callee="+33123456789",
            agent_id=agent_id,
            auto_answer=auto_answer,
            phone_number_id="number_1",
            trunk_id="trunk_1",
            headers={"X-Campaign": "spring"},
        )
        leg.call_id = await self._sink.offered(offer, leg)
        if self.plane is not None:
            await self.plane.open(OpenSession(leg.call_id))
        leg.media_open.set()
        return leg

    @property
    def _sink(self) -> CallSink:
        if self.sink is None:
            raise RuntimeError("the connector was not started")
        return self.sink


class FakePlane:
    """Implements ``MediaPlane``: remembers commands, and lets a test play the media's part."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.notified: list[tuple[str, Mapping[str, Any]]] = []
        self.sessions: set[str] = set()
        self.closed: list[str] = []
        self.attached: list[tuple[str, socket.socket, bytes]] = []
        self.no_voice: RingbackError | None = None
        self.stopped = False
        self._listeners: list[Callable[[MediaEvent], None]] = []

    def report_event(self, event: MediaEvent) -> None:
        for listener in self._listeners:
            listener(event)

    def subscribe(self, listener: Callable[[MediaEvent], None]) -> None:
        self._listeners.append(listener)

    async def start(self) -> None:
        """Nothing has to be waited for."""

    def problem(self) -> str | None:
        return None

    async def open(self, request: OpenSession) -> SessionOpened:
        await asyncio.sleep(0)
        self.sessions.add(request.session_id)
        return SessionOpened(request.session_id, 40000, 40001)

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        self.commands.append(("negotiate", session_id, audio))

    def activate(self, session_id: str, recording: str | None = None) -> None:
        self.commands.append(("activate", session_id, recording))

    def start_voice(self, session_id: str, spec: VoiceSpec) -> None:
        if self.no_voice is not None:
            raise self.no_voice
        self.commands.append(("start_voice", session_id, spec.agent_id))

    def say(self, session_id: str, text: str) -> None:
        self.commands.append(("say", session_id, text))

    def stop_speaking(self, session_id: str) -> None:
        self.commands.append(("stop_speaking", session_id))

    async def send_dtmf(self, session_id: str, digits: str, method: str = "auto") -> None:
        self.commands.append(("send_dtmf", session_id, digits, method))

    def dtmf(self, session_id: str, digit: str, duration_ms: int) -> None:
        self.commands.append(("dtmf", session_id, digit, duration_ms))
        self.report_event(DtmfReceived(session_id, digit, duration_ms))

    def hold(self, session_id: str, music: str | None = None) -> None:
        self.commands.append(("hold", session_id, music))

    def resume(self, session_id: str) -> None:
        self.commands.append(("resume", session_id))

    def join(self, session_id: str, conference: str) -> None:
        self.commands.append(("join", session_id, conference))

    def part(self, session_id: str) -> None:
        self.commands.append(("part", session_id))

    def detach_agents(self, session_id: str) -> None:
        self.commands.append(("detach_agents", session_id))

    def take_leg(self, session_id: str, other: str) -> None:
        self.commands.append(("take_leg", session_id, other))

    async def report(self, session_id: str) -> SessionReport | None:
        return SessionReport(session_id, packets_received=100, codec="PCMA", mos=4.3)

    def set_hold(self, session_id: str, held: bool) -> None:
        self.commands.append(("set_hold", session_id, held))

    def notify(self, session_id: str, message: Mapping[str, Any]) -> None:
        self.notified.append((session_id, message))

    def attach_stream(self, session_id: str, connection: socket.socket, request: bytes) -> None:
        self.attached.append((session_id, connection, request))

    async def close(self, session_id: str) -> SessionReport:
        await asyncio.sleep(0)
        self.closed.append(session_id)
        self.sessions.discard(session_id)
        return SessionReport(session_id, packets_received=250, recorded_ms=5000)

    async def stop(self) -> None:
        self.stopped = True


class FakeAgents:
    def __init__(self, *profiles: AgentProfile) -> None:
        self.profiles = {profile.agent_id: profile for profile in profiles}

    async def profile(self, account_id: str, agent_id: str) -> AgentProfile:
        if agent_id not in self.profiles:
            raise NotFound("There is no such agent in this account.", code="agent_not_found")
        return self.profiles[agent_id]


@dataclass
class CallLab:
    """Call control over the fakes and a real database."""

    control: CallControl
    connector: FakeConnector
    plane: FakePlane
    time: FakeTime
    database: Database
    bus: LocalBus
    agents: FakeAgents
    metrics: Metrics
    listener: LocalSubscription
    seen: list[Event] = field(default_factory=list)

    def events(self) -> list[Event]:
        """What was published to the account so far."""
        queue = self.listener.queue
        while queue._events:
            self.seen.append(queue._events.popleft())
        return self.seen

    def states(self) -> list[str]:
        """The states that were announced, in order; ``invite`` for an invitation."""
        words = []
        for event in self.events():
            if event["type"] == "call_invite":
                words.append("invite")
            elif event["type"] == "call_state":
                words.append(event["state"])
        return words

    async def settle(self) -> None:
        """Let everything that is under way happen; no time passes."""
        await self.control.lifecycle.background.finish(10)
        await self.control.journal.written()

    async def row(self, call_id: str) -> CallRow:
        """The record of the call, as far as it is written."""
        await self.control.journal.written()
        async with self.database.session() as session:
            row = await session.get(CallRow, call_id)
        if row is None:
            raise LookupError(call_id)
        return row


async def open_database(folder: Path) -> Database:
    """The real thing, in ``folder``."""
    database = Database(f"sqlite:///{folder / 'test.db'}", SecretBox([generate_key()]))
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return database


@asynccontextmanager
async def call_lab(
    folder: Path, *agents: AgentProfile, limits: CallLimits = LIMITS
) -> AsyncIterator[CallLab]:
    time, plane, bus, metrics = FakeTime(), FakePlane(), LocalBus(), Metrics()
    database = await open_database(folder)
    directory = FakeAgents(HOSTED, *agents)
    control = CallControl(
        node_id=NODE,
        database=database,
        bus=bus,
        plane=plane,
        agents=directory,
        clock=time,
        metrics=metrics,
        data_dir=folder,
        recordings_dir=folder / "recordings",
        limits=limits,
        schedule=time.schedule,
    )
    connector = FakeConnector(control.media)
    await control.start()
    await connector.start(control.service.sink)
    control.service.add_platform(Platform(connector, 8000))
    listener = await bus.subscribe(ACCOUNT)
    lab = CallLab(control, connector, plane, time, database, bus, directory, metrics, listener)
    try:
        yield lab
    finally:
        await control.stop()
        await bus.close()
        await database.dispose()
