"""Counters that other parts keep in plain objects, shown as metrics when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from prometheus_client.core import CounterMetricFamily

from ringback.connectors.sip.connector import SipConnector
from ringback.connectors.sip.trace import TraceBook
from ringback.core.metrics import PREFIX, Metrics

Read = Callable[[], Mapping[str, float]]


class CounterTable:
    """A Prometheus collector over a function that returns numbers by name.

    With ``label``, the names are values of one label; without, each is a metric of its own.
    """

    def __init__(self, name: str, meaning: str, read: Read, label: str | None = None) -> None:
        self._name = f"{PREFIX}_{name}"
        self._meaning = meaning
        self._read = read
        self._label = label

    def collect(self) -> Iterator[CounterMetricFamily]:
        if self._label is None:
            for name, value in self._read().items():
                yield CounterMetricFamily(f"{self._name}_{name}", self._meaning, value=value)
            return
        family = CounterMetricFamily(self._name, self._meaning, labels=[self._label])
        for name, value in self._read().items():
            family.add_metric([name], value)
        yield family

    def describe(self) -> Iterator[CounterMetricFamily]:
        """What the registry asks before anything has been counted."""
        return iter(())


def show_counters(
    metrics: Metrics, name: str, meaning: str, read: Read, label: str | None = None
) -> None:
    """Add what ``read`` returns to ``GET /metrics``."""
    metrics.registry.register(CounterTable(name, meaning, read, label))


def show_sip(metrics: Metrics, connector: SipConnector, trace: TraceBook | None) -> None:
    if trace is not None:
        show_counters(
            metrics,
            "sip_trace",
            "Messages of the signalling trace.",
            lambda: asdict(trace.counters),
        )
    show_counters(
        metrics,
        "sip_dropped",
        "SIP messages that nothing wanted.",
        connector.counters,
        "reason",
    )
    show_counters(
        metrics,
        "sip_calls_refused",
        "Inbound calls refused by the gateway.",
        connector.refusals,
        "status",
    )
