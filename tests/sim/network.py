"""A bad network in virtual time, the same for the same seed.

It carries datagrams between named hosts, each direction of each pair by its own conditions: loss,
duplication, delay and its variation (which reorders), and partitions. Nothing waits: the world's
clock jumps from event to event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Protocol

Address = tuple[str, int]
Deliver = Callable[[bytes, Address, Address], None]
"""Called with a datagram, where it comes from and the address that it was sent to."""


class Ticking(Protocol):
    """Something with timers of its own: the world asks when, and calls then."""

    def next_timer(self) -> float | None: ...

    def handle_timeout(self, now: float) -> None: ...


class World:
    """Virtual time, in seconds. ``at`` plans one thing, ``attach`` something with timers."""

    def __init__(self, seed: int, start: float = 1000.0) -> None:
        self.random = Random(seed)
        self.now = start
        self.steps = 0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._ticking: list[Ticking] = []

    def at(self, moment: float, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._planned, (max(moment, self.now), self._count, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.now + seconds, action)

    def every(self, seconds: float, action: Callable[[], object]) -> None:
        """For ever, beginning now; a float that ``action`` was given no say in does not drift."""
        begun, count = self.now, 0

        def once() -> None:
            nonlocal count
            action()
            count += 1
            self.at(begun + count * seconds, once)

        self.at(begun, once)

    def attach(self, ticking: Ticking) -> None:
        self._ticking.append(ticking)

    def run(self, seconds: float) -> None:
        """Let time pass: everything that is due happens, in order."""
        end = self.now + seconds
        while (moment := self._next()) is not None and moment <= end:
            self.now = max(self.now, moment)
            self.steps += 1
            for ticking in self._ticking:
                due = ticking.next_timer()
                if due is not None and due <= self.now:
                    ticking.handle_timeout(self.now)
            while self._planned and self._planned[0][0] <= self.now:
                heappop(self._planned)[2]()
        self.now = end

    def _next(self) -> float | None:
        moments = [t for t in (ticking.next_timer() for ticking in self._ticking) if t is not None]
        if self._planned:
            moments.append(self._planned[0][0])
        return min(moments, default=None)


@dataclass(frozen=True)
class Conditions:
    """Of one direction. ``loss``, ``duplicate`` and ``reorder`` are shares; ``delay`` seconds at
    least, ``jitter`` up to so many more (evenly), ``late_by`` those that ``reorder`` hits."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0
    reorder: float = 0.0
    late_by: float = 0.1


FINE = Conditions()
ROUGH = Conditions(loss=0.1, duplicate=0.05, delay=0.03, jitter=0.06, reorder=0.05)
AWFUL = Conditions(loss=0.3, duplicate=0.1, delay=0.05, jitter=0.4, reorder=0.1, late_by=1.0)


@dataclass
class Traffic:
    """What happened in one direction."""

    sent: int = 0
    lost: int = 0
    doubled: int = 0
    delivered: int = 0
    overtaken: int = 0
    """Delivered after a datagram that was sent later."""
    last_delivered: int = 0


class Network:
    """``listen`` names a host; ``send`` carries. A pair without conditions has ``usual``."""

    def __init__(self, world: World, usual: Conditions = FINE) -> None:
        self.world = world
        self.usual = usual
        self.traffic: dict[tuple[str, str], Traffic] = {}
        self._hosts: dict[str, Deliver] = {}
        self._conditions: dict[tuple[str, str], Conditions] = {}
        self._cut: set[tuple[str, str]] = set()

    def listen(self, host: str, deliver: Deliver) -> None:
        self._hosts[host] = deliver

    def set(self, source: str, target: str, conditions: Conditions) -> None:
        """The conditions from ``source`` to ``target``; the way back keeps its own."""
        self._conditions[source, target] = conditions

    def part(self, source: str, target: str, *, both: bool = True) -> None:
        """From now on nothing arrives; what is under way does not either."""
        self._cut |= {(source, target), (target, source)} if both else {(source, target)}

    def heal(self) -> None:
        self._cut.clear()

    def send(self, data: bytes, source: Address, target: Address) -> None:
        way = source[0], target[0]
        conditions = self._conditions.get(way, self.usual)
        traffic = self.traffic.setdefault(way, Traffic())
        traffic.sent += 1
        random = self.world.random
        if way in self._cut or random.random() < conditions.loss:
            traffic.lost += 1
            return
        copies = 1
        if random.random() < conditions.duplicate:
            traffic.doubled += 1
            copies = 2
        number = traffic.sent
        for _ in range(copies):
            delay = conditions.delay + random.random() * conditions.jitter
            if random.random() < conditions.reorder:
                delay += conditions.late_by
            self.world.after(delay, lambda: self._arrive(data, source, target, number))

    def _arrive(self, data: bytes, source: Address, target: Address, number: int) -> None:
        deliver = self._hosts.get(target[0])
        if deliver is None or (source[0], target[0]) in self._cut:
            return
        traffic = self.traffic[source[0], target[0]]
        traffic.delivered += 1
        traffic.overtaken += number < traffic.last_delivered
        traffic.last_delivered = max(traffic.last_delivered, number)
        deliver(data, source, target)
