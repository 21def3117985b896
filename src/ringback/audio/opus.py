"""Opus for calls (RFC 6716, RFC 7587): mono, tuned for speech, as the peer's parameters wish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ringback.audio import opus_library as lib
from ringback.audio import opus_packet
from ringback.audio.opus_library import OpusDecoder, OpusEncoder, OpusLibrary

SAMPLE_RATES = (8000, 12000, 16000, 24000, 48000)
"""Of the PCM: the decoder makes any of them of any packet."""

COMPLEXITY = 5
"""Of 0 to 10: above it the processor works much more for what few can hear."""

EXPECTED_LOSS_PERCENT = 5
"""Until reports tell: enough for the encoder to repeat frames where the peer can use that."""

MIN_BITRATE = 6000
MAX_BITRATE = 510_000
PACKET_MS = (10, 20, 40, 60)

_BANDWIDTHS = (
    (8000, lib.NARROWBAND, 14_000),
    (12000, lib.MEDIUMBAND, 18_000),
    (16000, lib.WIDEBAND, 24_000),
    (24000, lib.SUPERWIDEBAND, 28_000),
    (48000, lib.FULLBAND, 32_000),
)
"""Highest rate (Hz), what libopus calls its bandwidth, and bit/s for speech of it: the middle of
what RFC 7587 section 3.1.1 recommends."""

_QUANTUM = 400
"""The shortest frame is a 400th of a second."""


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """What the peer wants to get (RFC 7587 section 6.1). What makes no sense is as if not said."""

    max_playback_rate: int = 48_000
    max_average_bitrate: int = MAX_BITRATE
    in_band_fec: bool = False
    dtx: bool = False
    cbr: bool = False
    stereo: bool = False

    @classmethod
    def parse(cls, fmtp: str) -> Self:
        values: dict[str, int] = {}
        for part in fmtp.split(";"):
            name, _, value = part.partition("=")
            value = value.strip()
            if value.isascii() and value.isdigit() and len(value) <= 6:
                values[name.strip().lower()] = int(value)
        return cls(
            max(8000, min(values.get("maxplaybackrate", 48_000), 48_000)),
            max(MIN_BITRATE, min(values.get("maxaveragebitrate", MAX_BITRATE), MAX_BITRATE)),
            values.get("useinbandfec") == 1,
            values.get("usedtx") == 1,
            values.get("cbr") == 1,
            values.get("stereo") == 1,
        )

    def __str__(self) -> str:
        said = {
            "maxplaybackrate": (self.max_playback_rate, 48_000),
            "maxaveragebitrate": (self.max_average_bitrate, MAX_BITRATE),
            "useinbandfec": (int(self.in_band_fec), 0),
            "usedtx": (int(self.dtx), 0),
            "cbr": (int(self.cbr), 0),
            "stereo": (int(self.stereo), 0),
        }
        return ";".join(
            f"{name}={value}" for name, (value, usual) in said.items() if value != usual
        )


class Opus:
    """Implements ``codec.Codec``. ``sample_rate`` (Hz) is that of the PCM, one of
    ``SAMPLE_RATES``: libopus converts on its own."""

    name = "opus"
    clock_rate = opus_packet.CLOCK_RATE

    def __init__(self, library: OpusLibrary, fmtp: str = "", sample_rate: int = 48_000) -> None:
        if sample_rate not in SAMPLE_RATES:
            raise ValueError(f"no Opus at {sample_rate} Hz")
        self.sample_rate = sample_rate
        self.parameters = OpusParameters.parse(fmtp)
        self._library = library
        self._encoder: OpusEncoder | None = None
        self._decoder: OpusDecoder | None = None
        self._loss_percent = EXPECTED_LOSS_PERCENT
        self._quantum = sample_rate // _QUANTUM

    # ---- out --------------------------------------------------------------------------------

    def packet_ms(self, wanted_ms: int) -> int:
        return max((ms for ms in PACKET_MS if ms <= wanted_ms), default=PACKET_MS[0])

    def encode(self, pcm: bytes) -> bytes:
        if self._encoder is None:
            self._encoder = self._make_encoder()
        packet = self._encoder.encode(pcm)
        return b"" if self.parameters.dtx and opus_packet.is_silence(packet) else packet

    def silence(self, samples: int) -> bytes:
        return self.encode(bytes(2 * samples))

    def expect_loss(self, percent: int) -> None:
        percent = max(EXPECTED_LOSS_PERCENT, min(percent, 100))
        if percent != self._loss_percent:
            self._loss_percent = percent
            if self._encoder is not None:
                self._encoder.set(lib.SET_PACKET_LOSS_PERC, percent)

    def _make_encoder(self) -> OpusEncoder:
        wishes = self.parameters
        highest = min(wishes.max_playback_rate, self.sample_rate)
        bandwidth, bitrate = lib.NARROWBAND, _BANDWIDTHS[0][2]
        for rate, its_bandwidth, its_bitrate in _BANDWIDTHS:
            if rate <= highest:
                bandwidth, bitrate = its_bandwidth, its_bitrate
        encoder = OpusEncoder(self._library, self.sample_rate)
        encoder.set(lib.SET_COMPLEXITY, COMPLEXITY)
        encoder.set(lib.SET_SIGNAL, lib.SIGNAL_VOICE)
        encoder.set(lib.SET_MAX_BANDWIDTH, bandwidth)
        encoder.set(lib.SET_BITRATE, min(bitrate, wishes.max_average_bitrate))
        encoder.set(lib.SET_VBR, int(not wishes.cbr))
        encoder.set(lib.SET_DTX, int(wishes.dtx))
        encoder.set(lib.SET_INBAND_FEC, int(wishes.in_band_fec))
        encoder.set(lib.SET_PACKET_LOSS_PERC, self._loss_percent)
        return encoder

    # ---- in ---------------------------------------------------------------------------------

    def duration(self, payload: bytes) -> int:
        return opus_packet.duration(payload)

    def decode(self, payload: bytes) -> bytes:
        opus_packet.duration(payload)
        return self._receiving().decode(payload)

    def conceal(self, samples: int) -> bytes:
        """Whole frames of 2.5 ms are made up and the rest of the last one dropped."""
        made = b""
        while len(made) < 2 * samples:
            wanted = -(-(samples - len(made) // 2) // self._quantum) * self._quantum
            made += self._receiving().conceal(wanted)
        return made[: 2 * samples]

    def recover(self, following: bytes, samples: int) -> bytes | None:
        if samples % self._quantum or samples > self.sample_rate * 60 // 1000:
            return None
        opus_packet.duration(following)
        return self._receiving().recover(following, samples)

    def _receiving(self) -> OpusDecoder:
        if self._decoder is None:
            self._decoder = OpusDecoder(self._library, self.sample_rate)
        return self._decoder
