"""How finished calls sounded, for Prometheus."""

from __future__ import annotations

from ringback.core.metrics import Metrics
from ringback.media.plane import SessionReport

MOS_BUCKETS = (1.0, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5)
LOSS_BUCKETS = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
JITTER_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
ROUND_TRIP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
BUFFER_BUCKETS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)


class QualityMetrics:
    """One observation per finished call and figure that was measured. ``direction`` is
    ``received`` (the person as heard here) or ``sent`` (us, as the far end reports)."""

    def __init__(self, metrics: Metrics) -> None:
        self._mos = metrics.histogram(
            "call_mos",
            "E-model estimate of finished calls (ITU-T G.107), 1.0 to 4.5.",
            ["codec", "direction"],
            MOS_BUCKETS,
        )
        self._loss = metrics.histogram(
            "call_loss_ratio", "Lost packets of those expected.", ["direction"], LOSS_BUCKETS
        )
        self._late = metrics.histogram(
            "call_late_ratio", "Packets too late to be played.", buckets=LOSS_BUCKETS
        )
        self._jitter = metrics.histogram(
            "call_jitter_seconds", "Interarrival jitter (RFC 3550).", ["direction"], JITTER_BUCKETS
        )
        self._round_trip = metrics.histogram(
            "call_round_trip_seconds", "Round trip as RTCP tells.", buckets=ROUND_TRIP_BUCKETS
        )
        self._buffer = metrics.histogram(
            "call_buffer_seconds", "Delay of the jitter buffer at the end.", buckets=BUFFER_BUCKETS
        )

    def observe(self, report: SessionReport) -> None:
        """``report`` is that of an answered call that is over."""
        expected = report.packets_received + report.packets_lost
        if report.packets_received:
            self._loss.labels("received").observe(report.packets_lost / expected)
            self._late.observe(min(1.0, report.packets_late / expected))
            self._jitter.labels("received").observe(report.jitter_ms / 1000)
            self._buffer.observe(report.buffer_ms / 1000)
        if report.mos is not None:
            self._mos.labels(report.codec, "received").observe(report.mos)
        if report.remote_mos is not None:
            self._mos.labels(report.codec, "sent").observe(report.remote_mos)
        if report.remote_packets_lost is not None and report.packets_sent:
            lost = max(0, report.remote_packets_lost) / report.packets_sent
            self._loss.labels("sent").observe(min(1.0, lost))
        if report.remote_jitter_ms is not None:
            self._jitter.labels("sent").observe(report.remote_jitter_ms / 1000)
        if report.round_trip_ms is not None:
            self._round_trip.observe(report.round_trip_ms / 1000)
