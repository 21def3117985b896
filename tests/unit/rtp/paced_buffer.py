"""Packets and ticks for the tests of the jitter buffer.

Packets are 20 ms of a 8000 Hz clock; ``at(n)`` is when packet ``n`` leaves its sender, and when
it arrives if nothing delays it.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import RtpPacket
from ringback.rtp.playout import Empty, Frame, Lost

SAMPLES = 160


def at(number: float) -> float:
    return 100.0 + number * 0.020


def packet(
    number: int, *, timestamp: int | None = None, ssrc: int = 1, payload_type: int = 0
) -> RtpPacket:
    stamp = number * SAMPLES if timestamp is None else timestamp
    payload = f"{ssrc}:{number}".encode()
    return RtpPacket(payload_type, number & 0xFFFF, stamp & 0xFFFFFFFF, ssrc, payload)


def played(outcome: Frame | Lost | Empty) -> int | str:
    """A frame's sequence number, or the name of what there was instead."""
    return outcome.sequence if isinstance(outcome, Frame) else type(outcome).__name__


def run(buffer: JitterBuffer, arrivals: Mapping[int, list[int]], ticks: range) -> list[int | str]:
    """What is played in each tick; arrivals are before the tick of the same number."""
    result = []
    waiting = sorted(arrivals.items())
    for tick in ticks:
        while waiting and waiting[0][0] <= tick:
            when, numbers = waiting.pop(0)
            for number in numbers:
                buffer.add(packet(number), at(when))
        result.append(played(buffer.pop(at(tick))))
    return result


def flowing(count: int = 5, **options: int) -> JitterBuffer:
    """A buffer that has received ``count`` packets and played all but the last of them."""
    buffer = JitterBuffer(8000, **options)
    outcome = run(buffer, {number: [number] for number in range(count)}, range(count))
    assert outcome == ["Empty", *range(count - 1)]
    return buffer
