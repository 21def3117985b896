"""Metrics of one node, in the Prometheus text format."""

from __future__ import annotations

from ringback.core.metrics import Metrics


def test_metrics_are_rendered_under_the_products_name() -> None:
    metrics = Metrics()
    metrics.counter("calls", "Calls.", ["direction"]).labels("inbound").inc(3)
    metrics.gauge_from("live_calls", "Live calls.", lambda: 2)
    metrics.histogram("answer_seconds", "Time to answer.").observe(0.2)
    body, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    assert b'ringback_calls_total{direction="inbound"} 3.0' in body
    assert b"ringback_live_calls 2.0" in body
    assert b'ringback_answer_seconds_bucket{le="0.25"} 1.0' in body
    assert metrics.value("calls_total", {"direction": "inbound"}) == 3
    assert metrics.value("never_seen") == 0


def test_two_nodes_in_one_process_share_no_metric() -> None:
    first, second = Metrics(), Metrics()
    first.counter("calls", "Calls.").inc()
    second.counter("calls", "Calls.")
    assert second.value("calls_total") == 0
