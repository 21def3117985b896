"""Streaming sample-rate conversion by FFmpeg's resampler. PCM s16le mono in and out.

The filter keeps state: every stream has its own object, and its output lags by the filter's
delay (about 2 ms at 8 kHz), which ``FrameResampler`` fills so that frames stay whole.
"""

from __future__ import annotations

import av

SAMPLE_BYTES = 2


class Resampler:
    """``process`` gives back what is ready: the first call less by the delay, then as much time
    as went in, to a sample. Equal rates pass the bytes through."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"cannot resample {from_hz} Hz to {to_hz} Hz")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._engine = self._new_engine()

    def _new_engine(self) -> av.AudioResampler | None:
        if self.from_hz == self.to_hz:
            return None
        return av.AudioResampler(format="s16", layout="mono", rate=self.to_hz)

    def process(self, pcm: bytes) -> bytes:
        """Any number of samples in. Raises ``ValueError`` on half a sample."""
        if self._engine is None:
            return pcm
        samples, odd = divmod(len(pcm), SAMPLE_BYTES)
        if odd:
            raise ValueError(f"{len(pcm)} bytes are not whole 16-bit samples")
        if not samples:
            return b""
        frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
        frame.sample_rate = self.from_hz
        frame.planes[0].update(pcm)
        return _join(self._engine.resample(frame))

    def flush(self) -> bytes:
        """The delayed rest; the next ``process`` starts a new stream."""
        if self._engine is None:
            return b""
        rest = _join(self._engine.resample(None))
        self._engine = self._new_engine()
        return rest


def _join(frames: list[av.AudioFrame]) -> bytes:
    if len(frames) == 1:
        return bytes(frames[0].planes[0])[: frames[0].samples * SAMPLE_BYTES]
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
        self._pending = b""

    def process(self, frame: bytes) -> bytes:
        """Raises ``ValueError`` when ``frame`` is not ``frame_ms`` long."""
        if len(frame) != self._in_bytes:
            raise ValueError(f"a frame of {len(frame)} bytes, not {self._in_bytes}")
        ready = self._pending + self._resampler.process(frame)
        if not self._primed:
            self._primed = True
            ready = bytes(max(0, self._out_bytes - len(ready))) + ready
        missing = self._out_bytes - len(ready)
        if missing > 0:
            ready += ready[-SAMPLE_BYTES:] * (missing // SAMPLE_BYTES)
        self._pending = ready[self._out_bytes :]
        return ready[: self._out_bytes]
