"""Live calls of a whole node: SIP from :mod:`callers`, phones and echo agents from ``load.c``.

What the measurements of the whole product have in common: they start ``ringback serve`` as a user
does, call a number whose agent is a program on the call's WebSocket, and run the load beside it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callers import Answered, Callers
from density import Child, compiled, running
from node import KEY, LOCALHOST, Node

SETTLE_SECONDS = 3.0
TELLING = re.compile("ringback_(media|pacer|bus|journal)_")
MOST_CALLS = "5000"
MOST_LOAD = 0.9
"""A load that takes more of its core than this may be what is measured."""


@contextmanager
def whole_node(cores: int = 1, **settings: str) -> Iterator[Node]:
    """A node with its own data folder, which takes as many calls as are asked of it."""
    wanted = {"max_calls": MOST_CALLS, "trunk_max_inbound_calls": MOST_CALLS, "shutdown_grace": "0"}
    with (
        tempfile.TemporaryDirectory() as folder,
        Node(Path(folder), cores=cores, **(wanted | settings)) as node,
    ):
        yield node


@contextmanager
def callers_of(node: Node) -> Iterator[Callers]:
    """Phones of a trunk that is known by its address, and a number whose agent is a program."""
    callers = Callers(node)
    try:
        node.answer_calls_from(LOCALHOST, callers.port)
        yield callers
    finally:
        callers.close()


def load_core(cores: int) -> int:
    """The core for the load of a node that has ``cores``; past the last: any."""
    return min(cores, os.cpu_count() or 1)


@dataclass(slots=True)
class Figures:
    """What a run showed. ``seen`` is what ``load.c`` printed."""

    calls: int
    seconds: float
    node_cpu: float
    """Processor seconds a second: 1.0 is a whole core."""
    waiting: float
    memory: int
    counters: dict[str, float]
    """The node's own counts of what went wrong or came late, where they rose
    since the calls were up."""
    seen: dict[str, Any]
    complaints: list[str] = field(default_factory=list)

    @property
    def core_share_per_call(self) -> float:
        return self.node_cpu / self.calls

    @property
    def lost(self) -> int:
        return int(self.seen["sent"] - self.seen["returned"])

    @property
    def load_is_the_limit(self) -> bool:
        return bool(self.seen["load_cpu"] > MOST_LOAD)

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "seconds": self.seconds,
            "core_share": self.node_cpu,
            "core_share_per_call": self.core_share_per_call,
            "waiting_for_processor": self.waiting,
            "memory": self.memory,
            "counters": self.counters,
            "complaints": self.complaints,
            **self.seen,
        }


class LiveLoad:
    """Calls that are up and talk, from ``start`` on. They are measured once."""

    def __init__(self, node: Node, ends: Child, calls: list[Answered], seconds: float) -> None:
        self._node = node
        self._ends = ends
        self.calls = calls
        self._seconds = seconds
        self._counted = node.metrics()

    def start(self) -> None:
        """Returns when the measuring begins."""
        for call in self.calls:
            path = f"/api/call/{call.call_id}/stream?api_key={KEY}"
            self._ends.say(f"{call.rtp_port} {self._node.http_port} {path}")
        self._ends.hear()
        self._cpu, self._waiting = self._node.cpu_seconds(), self._node.waiting_seconds()

    def figures(self) -> Figures:
        """Waits for the end of the measuring; call it before then."""
        node = self._node
        self._ends.hear()
        cpu, waiting = node.cpu_seconds() - self._cpu, node.waiting_seconds() - self._waiting
        seen = json.loads(self._ends.hear())
        return Figures(
            calls=len(self.calls),
            seconds=self._seconds,
            node_cpu=cpu / self._seconds,
            waiting=waiting / self._seconds,
            memory=node.memory_bytes(),
            counters=risen(self._counted, node.metrics()),
            seen=seen,
            complaints=node.complaints(),
        )


def risen(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The counters of media and of the pacer that rose, packets apart."""
    rose = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {
        name: value
        for name, value in rose.items()
        if value and "_total" in name and TELLING.match(name) and "packets_" not in name
    }


def load_argv(folder: Path, calls: int, seconds: float) -> list[str | Path]:
    """``load.c`` as a program in ``folder``, and its arguments."""
    return [compiled(folder), str(calls), f"{seconds:g}", f"{SETTLE_SECONDS:g}"]


@contextmanager
def live_load(
    node: Node, callers: Callers, calls: int, seconds: float, core: int = 1
) -> Iterator[LiveLoad]:
    """``calls`` calls that are answered; hung up at the end."""
    with tempfile.TemporaryDirectory() as folder:
        argv = load_argv(Path(folder), calls, seconds)
        with running(argv, core) as ends:
            ports = [int(port) for port in ends.hear().split()]
            answered = callers.call(ports)
            try:
                yield LiveLoad(node, ends, answered, seconds)
            finally:
                callers.hang_up()


def measured(node: Node, calls: int, seconds: float, core: int = 1) -> Figures:
    """One run of ``calls`` echoed calls on ``node``."""
    with callers_of(node) as callers, live_load(node, callers, calls, seconds, core) as load:
        load.start()
        return load.figures()


HEAD = (
    f"{'calls':>6}{'% a call':>10}{'% a core':>10}{'in p50':>8}{'p99':>7}{'out p50':>9}{'p99':>7}"
    f"{'gaps<25':>10}{'lost':>6}{'waited':>8}{'load':>6}"
)


def row(figures: Figures) -> str:
    seen = figures.seen
    inward, outward = seen["inward"], seen["outward"]
    note = "  THE LOAD IS THE LIMIT" if figures.load_is_the_limit else ""
    return (
        f"{figures.calls:6}{figures.core_share_per_call:10.3%}{figures.node_cpu:10.1%}"
        f"{inward['p50']:8.2f}{inward['p99']:7.2f}{outward['p50']:9.2f}{outward['p99']:7.2f}"
        f"{1 - seen['gaps']['above_25']:10.3%}{figures.lost:6}{figures.waiting:8.1%}"
        f"{seen['load_cpu']:6.0%}{note}"
    )
