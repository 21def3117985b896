"""What an Opus packet says about itself before it is decoded (RFC 6716 section 3)."""

from __future__ import annotations

CLOCK_RATE = 48_000
"""Of the RTP timestamp, whatever the audio's bandwidth (RFC 7587 section 4.1)."""

MAX_SAMPLES = CLOCK_RATE * 120 // 1000

_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)
_FRAME_SAMPLES = _SILK * 3 + _HYBRID * 2 + _CELT * 4
"""By the configuration number in the TOC byte: table 2."""

_DTX_BYTES = 2
"""A packet up to this long carries no audio: its sender had nothing to say."""


def duration(packet: bytes) -> int:
    """Length of the audio in samples of ``CLOCK_RATE``, from the TOC byte and the frame count.

    Raises ``ValueError`` for what no decoder would take: nothing at all, no frame, more than
    120 ms.
    """
    if not packet:
        raise ValueError("an empty Opus packet")
    code = packet[0] & 3
    if code == 3:
        if len(packet) < 2:
            raise ValueError("an Opus packet without its frame count")
        frames = packet[1] & 0x3F
    else:
        frames = 2 if code else 1
    samples = frames * _FRAME_SAMPLES[packet[0] >> 3]
    if not 0 < samples <= MAX_SAMPLES:
        raise ValueError(f"an Opus packet of {frames} frames, {samples / 48} ms")
    return samples


def is_silence(packet: bytes) -> bool:
    """Whether the packet only says that nothing is said (DTX)."""
    return len(packet) <= _DTX_BYTES
