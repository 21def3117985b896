"""The outgoing half of a phone leg: 20 ms frames in, RTP packets of the negotiated length out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ringback.audio.codec import Codec
from ringback.audio.resample import FrameResampler
from ringback.media.express import Outlet
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS
from ringback.rtp.dtmf import DtmfPacket, DtmfSender
from ringback.rtp.packet import RtpPacketizer
from ringback.rtp.statistics import SenderStatistics

MIN_PTIME_MS = 10
MAX_PTIME_MS = 60


class RtpSender:
    """Packets for one stream, tick by tick. ``sample_rate`` (Hz) is that of the frames."""

    def __init__(
        self, packetizer: RtpPacketizer, sample_rate: int, counters: MediaCounters
    ) -> None:
        self.statistics = SenderStatistics()
        self._packetizer = packetizer
        self._sample_rate = sample_rate
        self._counters = counters
        self._codec: Codec | None = None
        self._payload_type = 0
        self._resampler: FrameResampler | None = None
        self._set_resampler()
        self._frame_samples = 0
        self._frame_units = 0
        self._packet_bytes = 0
        self._packet_units = 0
        self._whole_frames = True
        self._silent_frame = b""
        self._pcm = b""
        self._marker = True
        self._dtmf: DtmfSender | None = None
        self._dtmf_payload_type = 0

    @property
    def timestamp(self) -> int:
        """RTP time of the next sample."""
        return self._packetizer.timestamp

    @property
    def ssrc(self) -> int:
        return self._packetizer.ssrc

    def configure(
        self,
        codec: Codec,
        payload_type: int,
        ptime_ms: int,
        dtmf_payload_type: int | None,
        dtmf_clock_rate: int | None = None,
    ) -> None:
        """Use ``codec`` from the next packet on; ``ptime_ms`` is kept within 10 to 60 ms and to
        what the codec can do. ``dtmf_clock_rate`` (Hz) is what the durations of telephone events
        count, the codec's clock unless said otherwise."""
        ptime_ms = codec.packet_ms(max(MIN_PTIME_MS, min(ptime_ms, MAX_PTIME_MS)))
        if self._codec is not None and codec.clock_rate != self._codec.clock_rate:
            self._marker = True
        self._codec = codec
        self._payload_type = payload_type
        self._frame_samples = codec.sample_rate * FRAME_MS // 1000
        self._frame_units = codec.clock_rate * FRAME_MS // 1000
        self._packet_bytes = codec.sample_rate * ptime_ms // 1000 * 2
        self._packet_units = codec.clock_rate * ptime_ms // 1000
        self._whole_frames = ptime_ms == FRAME_MS
        self._silent_frame = bytes(self._frame_samples * 2)
        self._pcm = b""
        self._set_resampler()
        clock_rate = dtmf_clock_rate or codec.clock_rate
        if dtmf_payload_type is None:
            self._dtmf = None
        elif self._dtmf is None or self._dtmf.clock_rate != clock_rate:
            self._dtmf = DtmfSender(clock_rate, FRAME_MS)
        self._dtmf_payload_type = dtmf_payload_type or 0

    def set_sample_rate(self, sample_rate: int) -> None:
        """Frames have another rate (Hz) from the next one on."""
        if sample_rate != self._sample_rate:
            self._sample_rate = sample_rate
            self._set_resampler()

    def _set_resampler(self) -> None:
        self._native_silence = bytes(self._sample_rate * FRAME_MS // 1000 * 2)
        self._resampler = None
        if self._codec is not None and self._codec.sample_rate != self._sample_rate:
            self._resampler = FrameResampler(self._sample_rate, self._codec.sample_rate)

    def open_outlet(self, send: Callable[[bytes, Address], None], target: Address) -> Outlet | None:
        """The short way for whole frames of audio to ``target``, until ``settle``; ``None`` while
        there is anything special about them."""
        codec = self._codec
        if (
            codec is None
            or not self._whole_frames
            or self._resampler is not None
            or self._marker
            or (self._dtmf is not None and self._dtmf.busy)
        ):
            return None
        outlet = Outlet(
            send,
            target,
            codec.encode,
            partial(codec.silence, self._frame_samples),
            self._payload_type,
            self._packetizer.ssrc,
            self._frame_units,
        )
        outlet.sequence = self._packetizer.sequence
        outlet.timestamp = self._packetizer.timestamp
        return outlet

    def settle(self, outlet: Outlet) -> None:
        """Take over what took the short way since the last time."""
        self._packetizer.sequence = outlet.sequence
        self._packetizer.timestamp = outlet.timestamp
        self._counters.packets_sent += outlet.run
        self.statistics.packets_sent += outlet.run
        self.statistics.octets_sent += outlet.octets
        outlet.run = outlet.octets = 0

    def say_nothing(self) -> None:
        """A frame of which the codec has nothing to send (DTX)."""
        self._marker = True
        self._packetizer.skip(self._frame_units)

    def expect_loss(self, percent: int) -> None:
        """What the peer's reports say: the codec may protect what it sends."""
        if self._codec is not None:
            self._codec.expect_loss(percent)

    @property
    def sends_dtmf(self) -> bool:
        """Whether telephone events were negotiated."""
        return self._dtmf is not None

    def send_dtmf(self, digits: str) -> None:
        """Queue keys. Raises ``ValueError`` on what is no key and beyond the bound."""
        if self._dtmf is not None:
            self._dtmf.send(digits)

    def tick(self, frame: bytes | None) -> list[bytes]:
        """The packets of this tick; ``None`` is silence, which is sent like speech."""
        codec = self._codec
        if codec is None:
            return []
        if self._dtmf is not None and self._dtmf.busy:
            packets = self._tick_dtmf(codec, self._dtmf)
            if packets:
                return packets
        if self._resampler is not None:
            frame = self._resampler.process(frame or self._native_silence)
        if self._whole_frames:
            payload = codec.silence(self._frame_samples) if frame is None else codec.encode(frame)
            return self._pack(payload, self._frame_units)
        return self._collect(codec, frame or self._silent_frame)

    def pass_time(self, frames: int = 1) -> None:
        """Let frames go by unsent (the direction forbids, or ticks never happened)."""
        self._pcm = b""
        self._marker = True
        self._packetizer.skip(frames * self._frame_units)

    def _collect(self, codec: Codec, frame: bytes) -> list[bytes]:
        self._pcm += frame
        packets = []
        while len(self._pcm) >= self._packet_bytes:
            payload = codec.encode(self._pcm[: self._packet_bytes])
            self._pcm = self._pcm[self._packet_bytes :]
            packets += self._pack(payload, self._packet_units)
        return packets

    def _pack(self, payload: bytes, units: int) -> list[bytes]:
        """One packet, or none where the codec has nothing to say (DTX)."""
        if not payload:
            self._marker = True
            self._packetizer.skip(units)
            return []
        marker, self._marker = self._marker, False
        self.statistics.send(len(payload))
        return [self._packetizer.pack(self._payload_type, payload, units, marker)]

    def _tick_dtmf(self, codec: Codec, sender: DtmfSender) -> list[bytes]:
        waiting = len(self._pcm) // 2 * self._frame_units // self._frame_samples
        event = sender.tick((self._packetizer.timestamp + waiting) & 0xFFFFFFFF)
        if event is None:
            return []
        packets = []
        if self._pcm:
            packets += self._flush(codec)
        packets.append(self._pack_event(event))
        self._packetizer.skip(self._frame_units)
        self._marker = True
        return packets

    def _flush(self, codec: Codec) -> list[bytes]:
        """What waits for a packet to be full, in packets that the codec can make (all take
        multiples of 10 ms)."""
        packets = []
        while self._pcm:
            ms = codec.packet_ms(len(self._pcm) * 1000 // (2 * codec.sample_rate))
            size = codec.sample_rate * ms // 1000 * 2
            payload = codec.encode(self._pcm[:size])
            self._pcm = self._pcm[size:]
            packets += self._pack(payload, codec.clock_rate * ms // 1000)
        return packets

    def _pack_event(self, event: DtmfPacket) -> bytes:
        if event.marker:
            self._counters.dtmf_sent += 1
        self.statistics.send(len(event.payload))
        return self._packetizer.pack_at(
            event.timestamp, self._dtmf_payload_type, event.payload, event.marker
        )
