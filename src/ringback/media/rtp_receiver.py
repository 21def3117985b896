"""The incoming half of a phone leg: RTP packets in, 20 ms frames of PCM out."""

from __future__ import annotations

from collections.abc import Mapping

from ringback.audio.codec import Codec
from ringback.audio.level import is_quiet
from ringback.audio.plc import FADE_END_MS, Concealer
from ringback.audio.resample import FrameResampler
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS
from ringback.rtp.dtmf import DtmfEvent, DtmfReceiver
from ringback.rtp.errors import EventError
from ringback.rtp.jitter_buffer import Frame, JitterBuffer, Lost
from ringback.rtp.packet import RtpPacket
from ringback.rtp.statistics import ReceiverStatistics

COMFORT_NOISE = 13
"""The static payload type of RFC 3389. Its packets are pauses: silence is played."""
MAX_PAYLOAD_BYTES = 2048
"""A quarter of a second of G.711: nobody sends longer packets in good faith."""

_FADED_FRAMES = FADE_END_MS // FRAME_MS + 1


class RtpReceiver:
    """Packets that the latch let through go into ``receive``; ``read`` gives one frame a tick.

    ``sample_rate`` (Hz) is that of the frames. All codecs of one negotiation must have one
    sample rate and clock rate.
    """

    def __init__(self, sample_rate: int, counters: MediaCounters) -> None:
        self._sample_rate = sample_rate
        self._counters = counters
        self._codecs: Mapping[int, Codec] = {}
        self._dtmf_payload_type: int | None = None
        self._pcm = b""
        self._idle_frames = 0
        self._resampler: FrameResampler | None = None
        self._set_rates(8000, sample_rate)

    def _set_rates(self, clock_rate: int, codec_rate: int) -> None:
        self._clock_rate = clock_rate
        self._codec_rate = codec_rate
        self._frame_bytes = codec_rate * FRAME_MS // 1000 * 2
        self._silence = bytes(self._frame_bytes)
        self._jitter_buffer = JitterBuffer(clock_rate, FRAME_MS)
        self._concealer = Concealer(codec_rate)
        self._dtmf = DtmfReceiver(clock_rate)
        self._pcm = b""
        self._resampler = None
        if codec_rate != self._sample_rate:
            self._resampler = FrameResampler(codec_rate, self._sample_rate)
        self.statistics = ReceiverStatistics(clock_rate)
        self._started = False

    @property
    def jitter_buffer(self) -> JitterBuffer:
        return self._jitter_buffer

    def configure(self, codecs: Mapping[int, Codec], dtmf_payload_type: int | None) -> None:
        """Take these payload types from now on. What is buffered is still played, unless the
        sample rate changed."""
        self._codecs = codecs
        self._dtmf_payload_type = dtmf_payload_type
        codec = next(iter(codecs.values()))
        if (codec.clock_rate, codec.sample_rate) != (self._clock_rate, self._codec_rate):
            self._set_rates(codec.clock_rate, codec.sample_rate)

    def knows(self, payload_type: int) -> bool:
        """Whether packets of this payload type can be ours."""
        return (
            payload_type in self._codecs
            or payload_type == self._dtmf_payload_type
            or payload_type == COMFORT_NOISE
        )

    def restart(self) -> None:
        """Another source follows: its keys have nothing to do with the last one's."""
        self._dtmf = DtmfReceiver(self._clock_rate)

    def receive(self, packet: RtpPacket, now: float) -> DtmfEvent | None:
        """Take one packet; returns a key press that it completes."""
        self._counters.packets_received += 1
        self.statistics.receive(packet, now)
        if packet.payload_type in self._codecs:
            if len(packet.payload) > MAX_PAYLOAD_BYTES:
                self._counters.dropped_malformed += 1
            else:
                self._jitter_buffer.add(packet, now)
            return None
        self._jitter_buffer.pass_over(packet)
        if packet.payload_type != self._dtmf_payload_type:
            return None
        try:
            return self._dtmf.receive(packet.payload, packet.timestamp, now)
        except EventError:
            self._counters.dropped_malformed += 1
            return None

    def poll_dtmf(self, now: float) -> DtmfEvent | None:
        """A key press whose end never came."""
        return self._dtmf.poll(now)

    def read(self, now: float) -> bytes | None:
        """The next frame, ``None`` for silence."""
        pcm = self._pcm
        while len(pcm) < self._frame_bytes:
            item = self._jitter_buffer.pop(now, self._is_quiet)
            if isinstance(item, Frame):
                self._started = True
                self._idle_frames = 0
                pcm += self._decode(item)
            elif isinstance(item, Lost):
                self._counters.frames_concealed += 1
                samples = item.samples * self._codec_rate // self._clock_rate
                pcm += self._concealer.conceal(samples)
            else:
                filled = self._fill(len(pcm))
                if filled is None:
                    return self._silent_frame()
                pcm += filled
        self._pcm = pcm[self._frame_bytes :]
        return self._out(pcm[: self._frame_bytes])

    def _fill(self, have: int) -> bytes | None:
        """The rest of a frame for which nothing came; ``None`` once that is plain silence."""
        self._idle_frames += 1
        if not have and (not self._started or self._idle_frames > _FADED_FRAMES):
            return None
        self._counters.frames_concealed += 1
        return self._concealer.conceal((self._frame_bytes - have) // 2)

    def _silent_frame(self) -> bytes | None:
        """A resampler must not miss a frame, or it would play its past later."""
        return None if self._resampler is None else self._resampler.process(self._silence)

    def _out(self, frame: bytes) -> bytes:
        return frame if self._resampler is None else self._resampler.process(frame)

    def _decode(self, frame: Frame) -> bytes:
        codec = self._codecs.get(frame.payload_type)
        if codec is not None:
            try:
                return self._concealer.good(codec.decode(frame.payload))
            except ValueError:
                self._counters.dropped_malformed += 1
        return self._concealer.conceal(frame.samples * self._codec_rate // self._clock_rate)

    def _is_quiet(self, packet: RtpPacket) -> bool:
        codec = self._codecs.get(packet.payload_type)
        try:
            return codec is not None and is_quiet(codec.decode(packet.payload))
        except ValueError:
            return True
