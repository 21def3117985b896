"""What a jitter buffer gives out, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass

from ringback.rtp.packet import RtpPacket


@dataclass(slots=True)
class Frame:
    """One packet whose time has come. ``samples`` is its length in clock units, told by the
    timestamps; the rest is the packet's own."""

    payload: bytes
    payload_type: int
    timestamp: int
    samples: int
    sequence: int
    marker: bool


@dataclass(slots=True)
class Lost:
    """A packet that will not come in time: conceal ``samples`` (clock units). ``following`` is
    the packet right after it, if that is there: it may repeat what was lost."""

    timestamp: int
    samples: int
    following: RtpPacket | None = None


@dataclass(slots=True)
class Empty:
    """Nothing to play now: conceal, or fill one tick. No time passes in the stream."""


EMPTY = Empty()


@dataclass(slots=True)
class JitterBufferCounters:
    """In packets, over the life of the buffer."""

    received: int = 0
    played: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    overflow: int = 0
    """The oldest, thrown away because ``max_frames`` were held."""
    stray: int = 0
    """Single packets from outside the numbering, thrown away."""
    shrunk: int = 0
    """Left out to shorten the delay."""
    stretched: int = 0
    """Waits in a pause, to lengthen it."""
    underruns: int = 0
    resyncs: int = 0
