"""The node's metrics: one registry per node, every name under ``ringback_``.

Each part makes its own counters from the ``Metrics`` it is handed, so that two nodes in one
process (tests) do not share any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

PREFIX = "ringback"
SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Makes metrics and renders them in the Prometheus text format."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; ``name`` without prefix and without ``_total``."""
        return Counter(name, meaning, labels, namespace=PREFIX, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, meaning, labels, namespace=PREFIX, registry=self.registry)

    def gauge_from(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A gauge whose value is asked for when it is rendered."""
        self.gauge(name, meaning).set_function(read)

    def histogram(
        self,
        name: str,
        meaning: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS_BUCKETS,
    ) -> Histogram:
        return Histogram(
            name, meaning, labels, namespace=PREFIX, registry=self.registry, buckets=buckets
        )

    def value(self, name: str, labels: dict[str, str] | None = None) -> float:
        """The present value of a sample (``calls_total``), 0 where there is none yet."""
        return self.registry.get_sample_value(f"{PREFIX}_{name}", labels or {}) or 0.0

    def render(self) -> tuple[bytes, str]:
        """The body and the content type of ``GET /metrics``."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
