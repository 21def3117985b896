"""Streaming sample-rate conversion of PCM s16le mono.

The filters keep state: every stream has its own object, and its output lags by the filter's
delay (about 2 ms at 8 kHz), which ``FrameResampler`` fills so that frames stay whole.
"""

from __future__ import annotations

from typing import Protocol

import av

from ringback.audio import polyphase
from ringback.audio.polyphase import PolyphaseResampler

SAMPLE_BYTES = 2


class _Engine(Protocol):
    def process(self, pcm: bytes) -> bytes: ...

    def slack(self, samples: int) -> int: ...

    def flush(self) -> bytes: ...


class Resampler:
    """``process`` gives back what is ready: less by the delay at first, then as much time as
    went in, give or take a block of 4 ms. Equal rates pass the bytes through."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"cannot resample {from_hz} Hz to {to_hz} Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._engine: _Engine | None = None
        if from_hz != to_hz:
            suits = polyphase.suits(from_hz, to_hz)
            self._engine = (PolyphaseResampler if suits else _FfmpegResampler)(from_hz, to_hz)

    def process(self, pcm: bytes) -> bytes:
        """Any number of samples in. Raises ``ValueError`` on half a sample."""
        if self._engine is None:
            return pcm
        if len(pcm) % SAMPLE_BYTES:
            raise ValueError(f"{len(pcm)} bytes are not whole 16-bit samples")
        return self._engine.process(pcm) if pcm else b""

    def slack(self, samples: int) -> int:
        """By how many samples later outputs may be shorter than the first few were, while
        ``samples`` go in each time."""
        return 0 if self._engine is None else self._engine.slack(samples)

    def flush(self) -> bytes:
        """The delayed rest; the next ``process`` starts a new stream."""
        return b"" if self._engine is None else self._engine.flush()


class _FfmpegResampler:
    """For rates that have little in common, such as 44100 and 8000 Hz."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._start()

    def _start(self) -> None:
        self._engine = av.AudioResampler(format="s16", layout="mono", rate=self._to_hz)

    def process(self, pcm: bytes) -> bytes:
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // SAMPLE_BYTES)
        frame.sample_rate = self._from_hz
        frame.planes[0].update(pcm)
        return _join(self._engine.resample(frame))

    def slack(self, samples: int) -> int:
        return 1

    def flush(self) -> bytes:
        rest = _join(self._engine.resample(None))
        self._start()
        return rest


def _join(frames: list[av.AudioFrame]) -> bytes:
    return b"".join(bytes(each.planes[0])[: each.samples * SAMPLE_BYTES] for each in frames)


class FrameResampler:
    """One frame in, exactly one frame of as much time out, forever: for a paced bridge.

    The delay of the filter is made up with silence before the first frame, once.
    """

    def __init__(self, from_hz: int, to_hz: int, frame_ms: int = 20) -> None:
        self._resampler = Resampler(from_hz, to_hz)
        self._in_bytes = from_hz * frame_ms // 1000 * SAMPLE_BYTES
        self._out_bytes = to_hz * frame_ms // 1000 * SAMPLE_BYTES
        if self._in_bytes * 1000 != from_hz * frame_ms * SAMPLE_BYTES:
            raise ValueError(f"{frame_ms} ms at {from_hz} Hz are not whole samples")
        if self._out_bytes * 1000 != to_hz * frame_ms * SAMPLE_BYTES:
            raise ValueError(f"{frame_ms} ms at {to_hz} Hz are not whole samples")
        self._primed = from_hz == to_hz
        self._slack = self._resampler.slack(from_hz * frame_ms // 1000) * SAMPLE_BYTES
        self._pending = b""

    def process(self, frame: bytes) -> bytes:
        """Raises ``ValueError`` when ``frame`` is not ``frame_ms`` long."""
        if len(frame) != self._in_bytes:
            raise ValueError(f"a frame of {len(frame)} bytes, not {self._in_bytes}")
        ready = self._pending + self._resampler.process(frame)
        if not self._primed:
            self._primed = True
            lead = self._out_bytes - len(ready) + self._slack
            ready = bytes(max(0, lead)) + ready
        self._pending = ready[self._out_bytes :]
        return ready[: self._out_bytes].ljust(self._out_bytes, b"\0")
