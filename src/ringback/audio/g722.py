"""G.722 at 64 kbit/s (ITU-T G.722): 16 kHz audio of which RTP counts 8000 (RFC 3551 4.5.2)."""

from __future__ import annotations

from G722 import G722 as Engine

_BITRATE = 64_000


class G722:
    """Implements ``codec.Codec``, static payload type 9. Two samples are one byte."""

    name = "G722"
    clock_rate = 8000
    sample_rate = 16_000

    def __init__(self) -> None:
        self._engine = Engine(self.sample_rate, _BITRATE, use_numpy=False)

    def packet_ms(self, wanted_ms: int) -> int:
        return wanted_ms

    def encode(self, pcm: bytes) -> bytes:
        if len(pcm) % 4:
            raise ValueError(f"{len(pcm)} bytes are not whole pairs of samples")
        payload: bytes = self._engine.encode(memoryview(pcm).cast("h"))
        return payload

    def silence(self, samples: int) -> bytes:
        return self.encode(bytes(2 * samples))

    def expect_loss(self, percent: int) -> None:
        pass

    def duration(self, payload: bytes) -> int:
        return len(payload)

    def decode(self, payload: bytes) -> bytes:
        pcm: bytes = self._engine.decode(payload).tobytes()
        return pcm

    def conceal(self, samples: int) -> bytes | None:
        return None

    def recover(self, following: bytes, samples: int) -> bytes | None:
        return None
