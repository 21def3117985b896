"""A jitter buffer fed by nonsense: bounded, never stuck, and every packet is accounted for.

Steps of six bytes: sequence, timestamp (in frames) and time, each relative; bits choose between
another SSRC, an event, a pop and a drain.
"""

from __future__ import annotations

import struct

from ringback.rtp.jitter_buffer import MAX_SEQUENCE_AHEAD, JitterBuffer
from ringback.rtp.packet import RtpPacket
from ringback.rtp.playout import Empty, Frame, Lost
from ringback_fuzz.targets import require

STEP = struct.Struct("!BbbBH")
MAX_STEPS = 600
FRAME = 160
MAX_FRAMES = 25
MAX_HELD = 8 * MAX_FRAMES
"""Packets of the shortest kind (2.5 ms) that fit into the bound of 25 frames."""


def run(data: bytes) -> None:
    buffer = JitterBuffer(8000, max_frames=MAX_FRAMES)
    sequence, timestamp, now = 1000, 50_000, 10.0
    size = min(len(data) // STEP.size, MAX_STEPS) * STEP.size
    for kind, ahead, frames, wait, jump in STEP.iter_unpack(data[:size]):
        now += wait / 1000
        sequence = (sequence + ahead) & 0xFFFF
        timestamp = (timestamp + frames * FRAME) & 0xFFFFFFFF
        if kind & 8:
            sequence, timestamp = jump, (timestamp + jump * 65521) & 0xFFFFFFFF
        packet = RtpPacket(0, sequence, timestamp, 2 if kind & 16 else 1, bytes(kind))
        if kind & 1:
            buffer.add(packet, now, FRAME if kind & 32 else 0)
        elif kind & 2:
            buffer.pass_over(packet)
        elif kind & 64 and kind & 128:
            require(all(isinstance(frame, Frame) for frame in buffer.drain()), "no frame")
        else:
            got = buffer.pop(now, (lambda _: True) if kind & 64 else None)
            require(isinstance(got, Frame | Lost | Empty), "an odd answer")
        require(len(buffer) <= MAX_HELD, f"{len(buffer)} packets are held")
    counters = buffer.counters
    require(counters.played <= counters.received, "more is played than came")
    for _ in range((MAX_FRAMES + 1) * MAX_SEQUENCE_AHEAD):
        if not len(buffer):
            return
        now += 1.0  # timestamps may have run ahead of time by seconds with every packet
        buffer.pop(now)
    require(len(buffer) == 0, "packets are stuck")
