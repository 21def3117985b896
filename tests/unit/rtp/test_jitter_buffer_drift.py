"""Whole calls of an hour between clocks that do not agree."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import RtpPacket
from ringback.rtp.playout import Empty, Frame, Lost

TICKS = 3600 * 50
TRANSIT = 0.030
LOUD, QUIET = b"l", b"q"


@dataclass
class Hour:
    buffer: JitterBuffer
    delays: list[float] = field(default_factory=list)
    """Seconds from the undelayed arrival to the playing of each frame."""
    filled_in_talk: int = 0
    """Ticks inside talk for which nothing was there, and nothing was known to be lost."""
    never_came: int = 0
    deepest: int = 0


def hour(ppm: float, loss: float = 0.0, jitter: float = 0.0) -> Hour:
    """Somebody talks for 2 to 5 s and pauses for 0.4 to 1.2 s; the gaps are sent like the talk."""
    generator = random.Random(5)
    call = Hour(JitterBuffer(8000))
    period = 0.020 / (1 + ppm * 1e-6)
    under_way: list[tuple[float, int, bytes]] = []
    sent, left, kind = 0, 150, LOUD
    talking = 0
    for tick in range(TICKS):
        now = tick * 0.020 + 0.007
        while sent * period <= now:
            left -= 1
            if not left:
                kind = QUIET if kind == LOUD else LOUD
                left = generator.randint(100, 250) if kind == LOUD else generator.randint(20, 60)
            arrival = sent * period + TRANSIT + max(0.0, generator.gauss(0, jitter))
            if generator.random() < loss:
                call.never_came += 1
            else:
                heapq.heappush(under_way, (arrival, sent, kind))
            sent += 1
        while under_way and under_way[0][0] <= now:
            arrival, number, said = heapq.heappop(under_way)
            payload = said + number.to_bytes(4, "big")
            packet = RtpPacket(0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 1, payload)
            call.buffer.add(packet, arrival, 160)
        item = call.buffer.pop(now, lambda packet: packet.payload[:1] == QUIET)
        call.deepest = max(call.deepest, len(call.buffer))
        if isinstance(item, Frame):
            number = int.from_bytes(item.payload[1:], "big")
            call.delays.append(now - number * period - TRANSIT)
            talking = talking + 1 if item.payload[:1] == LOUD else 0
        elif isinstance(item, Empty) and talking > 2:
            call.filled_in_talk += 1
        else:
            assert isinstance(item, Empty | Lost)
    return call


@pytest.mark.requirement("media.clock-drift")
@pytest.mark.parametrize("ppm", [200, -200])
def test_an_hour_of_drift_is_followed_in_the_pauses(ppm: float) -> None:
    call = hour(ppm)
    counters = call.buffer.counters
    slips = counters.shrunk + counters.stretched
    assert 30 <= slips <= 42  # 720 ms
    assert counters.lost == counters.late == counters.underruns == 0
    assert call.deepest <= 4
    assert max(call.delays) < 0.060
    assert call.filled_in_talk <= counters.stretched


@pytest.mark.requirement("media.clock-drift", "media.jitter-buffer")
@pytest.mark.parametrize("ppm", [200, -200])
def test_an_hour_of_drift_with_loss_and_jitter_stays_in_sync(ppm: float) -> None:
    call = hour(ppm, loss=0.02, jitter=0.008)
    counters = call.buffer.counters
    assert counters.late <= 0.001 * TICKS
    assert counters.lost <= call.never_came + counters.late
    assert len(call.delays) >= TICKS - call.never_came - 0.001 * TICKS
    assert counters.overflow == counters.resyncs == 0
    assert call.deepest <= 6
    assert max(call.delays) < 0.080
    start, end = call.delays[3000:6000], call.delays[-3000:]
    assert sum(end) / len(end) == pytest.approx(sum(start) / len(start), abs=0.020)
