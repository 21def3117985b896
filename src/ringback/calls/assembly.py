"""The parts of call control, put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from ringback.calls.admission import Admission
from ringback.calls.history import CallHistory
from ringback.calls.idempotency import IdempotencyStore
from ringback.calls.journal import Journal
from ringback.calls.lifecycle import Lifecycle, Schedule
from ringback.calls.media_gate import MediaGate
from ringback.calls.media_reports import MediaReports
from ringback.calls.metrics import CallMetrics
from ringback.calls.ports import Agents
from ringback.calls.registry import Registry
from ringback.calls.service import CallService
from ringback.calls.signalling import Signalling
from ringback.core.bus import Bus
from ringback.core.clock import Clock
from ringback.core.database import Database
from ringback.core.load_watch import LoadWatch
from ringback.core.metrics import Metrics
from ringback.media.plane import MediaPlane

JOURNAL_SECONDS = 10.0
"""How long a stop tries to write the last records before they go to the spill file."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """``ring_timeout`` and ``media_timeout`` in seconds; ``max_calls`` at once."""

    ring_timeout: float = 60.0
    media_timeout: float = 60.0
    max_calls: int = 1000
    hold_music: str | None = None
    """Path of the WAV that held people hear; ``None``: the media's own tune."""
    records: bool = True
    """Whether calls are recorded of which nobody says otherwise."""


class CallControl:
    """Everything about calls on one node. ``service`` is what others use; connectors report to
    ``service.sink`` and get ``media`` as their plane."""

    def __init__(
        self,
        *,
        node_id: str,
        database: Database,
        bus: Bus,
        plane: MediaPlane,
        agents: Agents,
        clock: Clock,
        metrics: Metrics,
        data_dir: Path,
        recordings_dir: Path,
        limits: CallLimits,
        schedule: Schedule | None = None,
        load: LoadWatch | None = None,
    ) -> None:
        self._node_id = node_id
        self._clock = clock
        self._plane = plane
        counts = CallMetrics(metrics)
        self.registry = Registry()
        self.history = CallHistory(database)
        self.journal = Journal(database, data_dir / "calls-unwritten.jsonl")
        self.idempotency = IdempotencyStore(database, clock)
        self.media = MediaGate(plane, self.registry, limits.media_timeout)
        self.lifecycle = Lifecycle(
            node_id=node_id,
            registry=self.registry,
            journal=self.journal,
            bus=bus,
            plane=plane,
            clock=clock,
            metrics=counts,
            recordings_dir=recordings_dir,
            schedule=schedule,
        )
        self.signalling = Signalling(
            database, self.journal, self.registry, self.lifecycle.background, schedule
        )
        self.lifecycle.on_release = self.signalling.take
        self.service = CallService(
            registry=self.registry,
            journal=self.journal,
            lifecycle=self.lifecycle,
            admission=Admission(self.registry, self.journal, counts, limits.max_calls, load),
            history=self.history,
            signalling=self.signalling,
            agents=agents,
            plane=plane,
            clock=clock,
            recordings_dir=recordings_dir,
            ring_timeout=limits.ring_timeout,
            hold_music=limits.hold_music,
            records=limits.records,
        )
        self._media_reports = MediaReports(self.registry, self.lifecycle, self.service, plane)
        self._show(counts)

    def _show(self, counts: CallMetrics) -> None:
        counts.watch(
            live=lambda: self.registry.live,
            pending=lambda: self.journal.pending,
            delayed=lambda: self.journal.failures,
            rejected=lambda: self.journal.rejected,
        )

    async def start(self) -> None:
        """Close the records of a former run that died, and listen to the media."""
        lost = await self.history.bury(self._node_id, self._clock.now())
        if lost:
            log.warning("calls_lost", count=lost, reason="node_lost")
        await self.journal.start()
        self._plane.subscribe(self._media_reports)

    async def stop(self) -> None:
        """Write the last records. ``service.drain`` came before."""
        await self.lifecycle.background.finish(0)
        await self.signalling.stop()
        await self.journal.stop(JOURNAL_SECONDS)
