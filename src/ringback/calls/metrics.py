"""What the calls of this node count."""

from __future__ import annotations

from collections.abc import Callable

from ringback.calls.live_call import LiveCall
from ringback.calls.states import Direction
from ringback.core.metrics import Metrics

DURATION_BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
SETUP_BUCKETS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)


class CallMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._started = metrics.counter("calls", "Calls that were begun.", ["direction"])
        self._ended = metrics.counter(
            "calls_ended", "Calls that are over.", ["direction", "state", "reason"]
        )
        self._refused = metrics.counter(
            "calls_turned_away", "Calls that were not begun.", ["direction", "code"]
        )
        self._duration = metrics.histogram(
            "call_seconds", "From the answer to the end.", buckets=DURATION_BUCKETS
        )
        self._setup = metrics.histogram(
            "call_setup_seconds", "From the beginning to the answer.", buckets=SETUP_BUCKETS
        )

    def watch(
        self,
        live: Callable[[], float],
        pending: Callable[[], float],
        delayed: Callable[[], float],
        rejected: Callable[[], float],
    ) -> None:
        """Show these figures whenever the metrics are asked for."""
        gauge = self._metrics.gauge_from
        gauge("calls_live", "Calls that are not over.", live)
        gauge("journal_pending_rows", "Rows that wait for the database.", pending)
        gauge("journal_delayed_batches", "Batches that needed another try.", delayed)
        gauge("journal_rejected_rows", "Rows that the database refused.", rejected)

    def started(self, direction: Direction) -> None:
        self._started.labels(direction).inc()

    def turned_away(self, direction: Direction, code: str) -> None:
        self._refused.labels(direction, code).inc()

    def ended(self, call: LiveCall) -> None:
        reason = call.cause.reason if call.cause else ""
        self._ended.labels(call.facts.direction, call.state, reason).inc()
        if call.answered_at is not None and call.ended_at is not None:
            self._duration.observe((call.ended_at - call.answered_at).total_seconds())
            self._setup.observe((call.answered_at - call.facts.created_at).total_seconds())
