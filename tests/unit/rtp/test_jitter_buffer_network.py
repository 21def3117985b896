"""The buffer over minutes of seeded bad network: how much is heard, and how late."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import RtpPacket
from ringback.rtp.playout import Empty, Frame, Lost

Delay = Callable[[random.Random, float], float | None]
"""The transit of a packet sent at a time (seconds since the start), ``None`` when it is lost."""


@dataclass
class Outcome:
    buffer: JitterBuffer
    delays: list[float] = field(default_factory=list)
    """From sending to playing, in ms, of every frame that was played."""
    lost: int = 0
    empty: int = 0

    def delay_at(self, share: float) -> float:
        return sorted(self.delays)[int(len(self.delays) * share)]

    @property
    def last_second(self) -> float:
        return sum(self.delays[-50:]) / 50


def simulate(seconds: float, delay: Delay, *, drift: float = 0.0, **bounds: int) -> Outcome:
    """One call. ``drift`` is how much faster the sender's clock is (1e-6 is one ppm); the first
    packet is sent at 0, the pacer ticks 7 ms off."""
    generator = random.Random(1)
    outcome = Outcome(JitterBuffer(8000, **bounds))
    period = 0.020 / (1 + drift)
    arrivals: list[tuple[float, int]] = []
    sent = 0
    start = 1000.0
    for tick in range(round(seconds * 50)):
        now = tick * 0.020 + 0.007
        while sent * period <= now:
            transit = delay(generator, sent * period)
            if transit is not None:
                heapq.heappush(arrivals, (sent * period + transit, sent))
            sent += 1
        while arrivals and arrivals[0][0] <= now:
            when, number = heapq.heappop(arrivals)
            packet = RtpPacket(
                0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 1, number.to_bytes(4, "big")
            )
            outcome.buffer.add(packet, start + when)
        frame = outcome.buffer.pop(start + now, lambda packet: packet.sequence % 10 < 5)
        if isinstance(frame, Frame):
            number = int.from_bytes(frame.payload, "big")
            outcome.delays.append((now - number * period) * 1000)
        elif isinstance(frame, Lost):
            outcome.lost += 1
        elif isinstance(frame, Empty):
            outcome.empty += 1
    return outcome


def test_a_perfect_network_costs_40_ms_and_nothing_else() -> None:
    outcome = simulate(60, lambda _, __: 0.030)
    assert outcome.lost == 0
    assert outcome.empty <= 4
    assert outcome.delay_at(0.99) <= 30 + 40


def test_losses_are_concealed_one_by_one() -> None:
    outcome = simulate(60, lambda r, _: None if r.random() < 0.05 else 0.030)
    missing = 3000 - outcome.buffer.counters.received
    assert outcome.lost + outcome.empty == pytest.approx(missing, abs=6)
    assert outcome.buffer.counters.late == outcome.buffer.counters.shrunk == 0
    assert outcome.delay_at(0.99) <= 30 + 40


@pytest.mark.parametrize("spread", [0.010, 0.030, 0.060, 0.100])
def test_jitter_costs_its_own_spread_in_delay_and_hardly_a_packet(spread: float) -> None:
    outcome = simulate(120, lambda r, _: 0.030 + r.random() * spread)
    assert outcome.lost + outcome.empty <= 0.005 * 6000
    assert outcome.delay_at(0.95) <= 30 + spread * 1000 + 60


def test_rare_spikes_do_not_raise_the_delay_of_everything() -> None:
    outcome = simulate(120, lambda r, _: 0.130 if r.random() < 0.01 else 0.030)
    assert outcome.delay_at(0.5) <= 30 + 60
    assert outcome.lost + outcome.empty <= 0.02 * 6000


def test_one_late_packet_in_twenty_raises_the_delay() -> None:
    outcome = simulate(120, lambda r, _: 0.130 if r.random() < 0.05 else 0.030)
    assert outcome.lost + outcome.empty <= 0.005 * 6000
    assert outcome.delay_at(0.5) <= 130 + 40


def test_a_slower_route_is_the_new_measure_after_a_while() -> None:
    outcome = simulate(60, lambda _, t: 0.030 if t < 10 else 0.330)
    assert outcome.buffer.target_ms == 40
    assert outcome.last_second <= 330 + 60


def test_bursts_of_losses_do_not_move_the_delay() -> None:
    outcome = simulate(60, lambda _, t: None if t % 5 < 0.3 else 0.030)
    assert outcome.last_second <= 30 + 60


def test_a_slower_route_is_followed_and_forgotten() -> None:
    outcome = simulate(40, lambda _, t: 0.130 if 10 < t < 20 else 0.030)
    assert outcome.lost == 0
    assert outcome.last_second <= 30 + 60


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.9, 3.0])
def test_a_stall_is_caught_up_with(seconds: float) -> None:
    """Packets sent during the stall come all at once at its end."""
    outcome = simulate(60, lambda _, t: 0.030 + (max(0.0, 10 + seconds - t) if t > 10 else 0.0))
    counters = outcome.buffer.counters
    assert counters.late == 0
    assert counters.overflow <= max(0, round(seconds * 50) - 24)
    assert outcome.last_second <= 30 + 60


@pytest.mark.requirement("media.clock-drift")
@pytest.mark.parametrize("drift", [500e-6, -500e-6])
def test_clocks_that_drift_apart_cost_a_frame_now_and_then(drift: float) -> None:
    """600 ms in 20 minutes: 30 frames to leave out, or to fill in."""
    outcome = simulate(1200, lambda r, _: 0.030 + r.random() * 0.010, drift=drift)
    counters = outcome.buffer.counters
    assert outcome.lost == counters.late == counters.overflow == 0
    assert counters.shrunk + outcome.empty <= 40
    assert outcome.delay_at(0.99) <= 30 + 100
    assert outcome.last_second <= 30 + 100


def test_a_network_out_of_bounds_is_held_to_them() -> None:
    outcome = simulate(60, lambda r, _: r.random() * 2.0, max_frames=10)
    assert outcome.buffer.depth_ms <= 200
    assert outcome.delay_at(1 - 1e-9) <= 2000 + 200 + 100
