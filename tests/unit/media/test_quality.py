from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.core.metrics import Metrics
from ringback.media.plane import SessionReport
from ringback.media.quality import LegFigures, heard_here, heard_there, with_figures
from ringback.media.quality_metrics import QualityMetrics

CLEAN = LegFigures(
    codec="PCMU",
    ptime_ms=20,
    security="none",
    packets_received=1000,
    packets_sent=1000,
    packets_lost=0,
    packets_late=0,
    loss_bursts=0,
    jitter_ms=2.0,
    buffer_ms=40.0,
    round_trip_ms=20.0,
    remote_packets_lost=0,
    remote_jitter_ms=1.0,
)


@pytest.mark.requirement("media.mos")
def test_a_clean_call_is_as_good_as_its_codec() -> None:
    assert heard_here(CLEAN) == pytest.approx(4.41, abs=0.01)
    assert heard_there(CLEAN) == pytest.approx(4.41, abs=0.01)


@pytest.mark.requirement("media.mos")
@pytest.mark.parametrize(
    "worse",
    [
        replace(CLEAN, packets_lost=50, loss_bursts=50),
        replace(CLEAN, packets_late=50),
        replace(CLEAN, round_trip_ms=600.0),
        replace(CLEAN, buffer_ms=300.0),
    ],
)
def test_loss_lateness_and_delay_are_heard(worse: LegFigures) -> None:
    mos, best = heard_here(worse), heard_here(CLEAN)
    assert mos is not None
    assert best is not None
    assert mos < best - 0.1


@pytest.mark.requirement("media.mos")
def test_the_same_loss_in_one_piece_is_worse() -> None:
    scattered = heard_here(replace(CLEAN, packets_lost=50, loss_bursts=50))
    together = heard_here(replace(CLEAN, packets_lost=50, loss_bursts=5))
    assert scattered is not None
    assert together is not None
    assert together < scattered


@pytest.mark.requirement("media.mos")
def test_what_the_far_end_reports_is_how_we_were_heard() -> None:
    worse = replace(CLEAN, remote_packets_lost=100, remote_jitter_ms=80.0)
    mos, best = heard_there(worse), heard_there(CLEAN)
    assert mos is not None
    assert best is not None
    assert mos < best - 0.5
    assert heard_there(replace(CLEAN, remote_packets_lost=-3)) == best
    assert heard_there(replace(CLEAN, remote_packets_lost=10**9)) is not None


def test_without_packets_there_is_no_score() -> None:
    assert heard_here(replace(CLEAN, packets_received=0)) is None
    assert heard_there(replace(CLEAN, packets_sent=0)) is None
    assert heard_there(replace(CLEAN, remote_packets_lost=None)) is None


@pytest.mark.requirement("ops.quality-metrics")
def test_finished_calls_are_in_the_histograms() -> None:
    metrics = Metrics()
    quality = QualityMetrics(metrics)
    report = with_figures(
        SessionReport(
            "c", packets_received=950, packets_lost=50, packets_late=2, packets_sent=1000
        ),
        replace(CLEAN, packets_received=950, packets_lost=50, remote_packets_lost=10),
    )
    quality.observe(report)
    quality.observe(SessionReport("c", codec="PCMU"))
    assert metrics.value("call_mos_count", {"codec": "PCMU", "direction": "received"}) == 1
    assert metrics.value("call_mos_count", {"codec": "PCMU", "direction": "sent"}) == 1
    assert metrics.value("call_loss_ratio_sum", {"direction": "received"}) == pytest.approx(0.05)
    assert metrics.value("call_loss_ratio_sum", {"direction": "sent"}) == pytest.approx(0.01)
    assert metrics.value("call_late_ratio_sum") == pytest.approx(0.002)
    received = {"direction": "received"}
    assert metrics.value("call_jitter_seconds_sum", received) == pytest.approx(0.002)
    assert metrics.value("call_jitter_seconds_count", received) == 1
    assert metrics.value("call_jitter_seconds_sum", {"direction": "sent"}) == pytest.approx(0.001)
    assert metrics.value("call_round_trip_seconds_sum") == pytest.approx(0.02)
    assert metrics.value("call_buffer_seconds_sum") == pytest.approx(0.04)
