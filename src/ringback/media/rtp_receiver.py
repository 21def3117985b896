"""The incoming half of a phone leg: RTP packets in, 20 ms frames of PCM out.

What is decoded stays at the codec's own rate until a whole frame is there, and is resampled to the
bridge's only where the two differ. The payload type of each packet says which codec it is for; with
a new one the rates may change in mid-stream, and with another RTP clock the packets go into a new
jitter buffer while the old one is played out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ringback.audio.codec import Codec
from ringback.audio.comfort_noise import ComfortNoise, described_level
from ringback.audio.level import is_quiet
from ringback.audio.plc import FADE_END_MS, Concealer
from ringback.audio.resample import FrameResampler, Resampler
from ringback.media.express import Inlet, alike
from ringback.media.lead import MAX_LEAD, Lead
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS
from ringback.rtp.dtmf import DtmfEvent
from ringback.rtp.dtmf_types import DtmfPayloadTypes
from ringback.rtp.errors import EventError
from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import HEADER_SIZE, RtpPacket
from ringback.rtp.playout import Empty, Frame, JitterBufferCounters, Lost
from ringback.rtp.statistics import ReceiverStatistics

COMFORT_NOISE = 13
"""The static payload type of RFC 3389, known even if nobody named it."""
MAX_PACKET_MS = 250
"""Nobody sends longer packets in good faith."""

FADE_FRAMES = FADE_END_MS // FRAME_MS + 1
"""Frames without a packet until a concealed line is plain silence."""
DECODER_FADE_FRAMES = 50
"""The same for a decoder that conceals by itself: it fades in its own way, and plays the noise
that it has learned between the rare packets of a pause (Opus DTX: one in 400 ms)."""


class RtpReceiver:
    """Packets that the latch let through go into ``receive``. What becomes of them ``read`` gives,
    a frame a tick, or, where they are handed over, a listener gets as it comes: then ``tick`` keeps
    the listener on our clock, with frames made up for what did not come. ``sample_rate`` (Hz) is
    that of the frames."""

    def __init__(self, sample_rate: int, counters: MediaCounters) -> None:
        self._sample_rate = sample_rate
        self._counters = counters
        self._codecs: Mapping[int, Codec] = {}
        self._comfort_noise_types = frozenset((COMFORT_NOISE,))
        self._dtmf = DtmfPayloadTypes({})
        self._noise: ComfortNoise | None = None
        self._in_pause = False
        self._idle_frames = 0
        self._started = False
        self._pcm = b""
        self._codec: Codec | None = None
        self._codec_rate = 0
        self._conceals_itself = False
        self._resampler: FrameResampler | None = None
        self._peeked: tuple[RtpPacket, bytes] | None = None
        self._clock_rate = 8000
        self._jitter_buffer = JitterBuffer(self._clock_rate, FRAME_MS)
        self._waiting: list[Frame] = []
        self._other_clock: tuple[RtpPacket, float] | None = None
        self._before = JitterBufferCounters()
        self.statistics = ReceiverStatistics(self._clock_rate)
        self._listener: Callable[[bytes | None], None] | None = None
        self.loss_bursts = 0
        """Runs of frames that had to be made up."""
        self._in_burst = False
        self.lead = Lead()
        """Of the listener; who keeps the clock tells it of the time that passes."""
        self._made_up = 0
        """Frames since the last one that came."""
        self._resting = True
        """Nothing comes because there is nothing: a pause, or before the first packet."""
        self.last_went_through = False
        """Whether the last packet waited for nothing and kept nothing waiting."""
        self._set_codec_rate(8000)

    @property
    def jitter_buffer(self) -> JitterBuffer:
        return self._jitter_buffer

    @property
    def heard_events(self) -> bool:
        """Whether the peer sends telephone events: it has shown that it does."""
        return self._dtmf.heard

    @property
    def packets_late(self) -> int:
        """Over all the buffers that there were."""
        return self._before.late + self._jitter_buffer.counters.late

    @property
    def buffer_ms(self) -> float:
        """The delay that the jitter buffer aims at."""
        return self._jitter_buffer.target_ms

    @property
    def codec_rate(self) -> int:
        """Hz of the audio that was decoded last."""
        return self._codec_rate

    # ---- what was agreed on -----------------------------------------------------------------

    def configure(
        self,
        codecs: Mapping[int, Codec],
        dtmf_clock_rates: Mapping[int, int],
        comfort_noise_payload_type: int | None = None,
    ) -> None:
        """Take these payload types from now on: codecs, and telephone events with their clock
        rates. What is buffered is still played, where its payload type still means something."""
        self._codecs = codecs
        self._comfort_noise_types = frozenset((COMFORT_NOISE,))
        if comfort_noise_payload_type is not None:
            self._comfort_noise_types |= {comfort_noise_payload_type}
        self._comfort_noise_types -= set(codecs)
        if dict(dtmf_clock_rates) != self._dtmf.clock_rates:
            self._dtmf = DtmfPayloadTypes(dtmf_clock_rates)
        self._peeked = None
        if not self._started:
            self._set_clock_rate(next(iter(codecs.values())).clock_rate)

    def set_sample_rate(self, sample_rate: int) -> None:
        """The bridge runs at another rate from the next frame on."""
        if sample_rate != self._sample_rate:
            self._sample_rate = sample_rate
            self._set_resampler()

    def knows(self, payload_type: int) -> bool:
        """Whether packets of this payload type can be ours."""
        return (
            payload_type in self._codecs
            or payload_type in self._dtmf.clock_rates
            or payload_type in self._comfort_noise_types
        )

    def restart(self) -> None:
        """Another source follows: its keys have nothing to do with the last one's."""
        self._dtmf.restart()

    # ---- in ---------------------------------------------------------------------------------

    def receive(self, packet: RtpPacket, now: float) -> DtmfEvent | None:
        """Take one packet; returns a key press that it completes."""
        self._counters.packets_received += 1
        self.statistics.receive(packet, now)
        codec = self._codecs.get(packet.payload_type)
        if codec is not None:
            self._take_audio(packet, codec, now)
        elif packet.payload_type in self._comfort_noise_types:
            self._jitter_buffer.add(packet, now)
        else:
            return self._take_event(packet, now)
        if self._listener is not None:
            self._release(now)
        return None

    def _take_event(self, packet: RtpPacket, now: float) -> DtmfEvent | None:
        self._jitter_buffer.pass_over(packet)
        try:
            return self._dtmf.receive(packet, now)
        except EventError:
            self._counters.dropped_malformed += 1
            return None

    def poll_dtmf(self, now: float) -> DtmfEvent | None:
        """A key press whose end never came."""
        return self._dtmf.poll(now)

    def _take_audio(self, packet: RtpPacket, codec: Codec, now: float) -> None:
        try:
            samples = codec.duration(packet.payload)
        except ValueError:
            samples = 0
        if not 0 < samples * 1000 <= MAX_PACKET_MS * codec.clock_rate:
            self._counters.dropped_malformed += 1
            self._jitter_buffer.pass_over(packet)
            return
        if codec.clock_rate == self._clock_rate:
            self._other_clock = None
            self._jitter_buffer.add(packet, now, samples)
        else:
            self._take_other_clock(packet, codec, samples, now)

    def _take_other_clock(self, packet: RtpPacket, codec: Codec, samples: int, now: float) -> None:
        """Two packets in a row of another clock start a buffer of that clock."""
        first, self._other_clock = self._other_clock, (packet, now)
        if first is None or first[0].payload_type != packet.payload_type:
            return
        self._other_clock = None
        self._waiting.extend(self._jitter_buffer.drain())
        self._set_clock_rate(codec.clock_rate)
        self._jitter_buffer.add(*first, samples)
        self._jitter_buffer.add(packet, now, samples)

    def _set_clock_rate(self, clock_rate: int) -> None:
        if clock_rate == self._clock_rate:
            return
        self._clock_rate = clock_rate
        self._before.late += self._jitter_buffer.counters.late
        self._jitter_buffer = JitterBuffer(clock_rate, FRAME_MS)
        self.statistics.set_clock_rate(clock_rate)

    # ---- out --------------------------------------------------------------------------------

    def read(self, now: float) -> bytes | None:
        """The next frame, ``None`` for silence."""
        while len(self._pcm) < self._frame_bytes:
            item = self._next_item(now)
            if isinstance(item, Frame):
                self._idle_frames = 0
                self._play(item)
            elif isinstance(item, Lost):
                self._note_made_up()
                samples = item.samples * self._codec_rate // self._clock_rate
                self._pcm += self._make_up(samples, item.following)
            elif not self._fill():
                return self._silent_frame()
        frame = self._pcm[: self._frame_bytes]
        self._pcm = self._pcm[self._frame_bytes :]
        return frame if self._resampler is None else self._resampler.process(frame)

    def _next_item(self, now: float) -> Frame | Lost | Empty:
        if self._waiting:
            return self._waiting.pop(0)
        return self._jitter_buffer.pop(now, self._is_quiet)

    def _play(self, frame: Frame) -> None:
        codec = self._codecs.get(frame.payload_type)
        if codec is not None:
            self._started = True
            self._in_pause = self._in_burst = False
            if codec is not self._codec:
                self._change_codec(codec)
            self._pcm += self._decode(codec, frame)
        elif frame.payload_type in self._comfort_noise_types:
            self._in_pause = True
            if self._noise is None:
                self._noise = ComfortNoise(self._codec_rate, np.random.default_rng(0))
            self._noise.set_level(described_level(frame.payload))
            self._fill()

    def _decode(self, codec: Codec, frame: Frame) -> bytes:
        peeked, self._peeked = self._peeked, None
        if peeked is not None and peeked[0].sequence == frame.sequence:
            return self._concealer.good(peeked[1])
        try:
            return self._concealer.good(codec.decode(frame.payload))
        except ValueError:
            self._counters.dropped_malformed += 1
            return self._make_up(frame.samples * self._codec_rate // codec.clock_rate, None)

    def _make_up(self, samples: int, following: RtpPacket | None) -> bytes:
        """In place of what is lost, from what follows it if that repeats it."""
        codec = self._codec
        if codec is None:
            return self._concealer.conceal(samples)
        made: bytes | None = None
        if following is not None and self._codecs.get(following.payload_type) is codec:
            try:
                made = codec.recover(following.payload, samples)
            except ValueError:
                made = None
        if made is None:
            made = codec.conceal(samples)
        return self._concealer.conceal(samples) if made is None else self._concealer.good(made)

    def _fill(self) -> bool:
        """The rest of a frame for which nothing came; false once that is plain silence."""
        samples = (self._frame_bytes - len(self._pcm)) // 2
        if self._in_pause and self._noise is not None:
            self._pcm += self._concealer.good(self._noise.generate(samples))
            return True
        self._idle_frames += 1
        fade_frames = DECODER_FADE_FRAMES if self._conceals_itself else FADE_FRAMES
        if not self._pcm and (not self._started or self._idle_frames > fade_frames):
            return False
        self._note_made_up()
        self._pcm += self._make_up(samples, None)
        return True

    def _note_made_up(self) -> None:
        self._counters.frames_concealed += 1
        self.loss_bursts += not self._in_burst
        self._in_burst = True

    def _silent_frame(self) -> bytes | None:
        """A resampler must not miss a frame, or it would play its past later."""
        return None if self._resampler is None else self._resampler.process(self._silence)

    def _is_quiet(self, packet: RtpPacket) -> bool:
        """Whether a packet can be left out. A decoder with memory must see it nevertheless, and
        only once: what it made of it is kept for when the packet is played after all."""
        codec = self._codecs.get(packet.payload_type)
        if codec is None or codec is not self._codec:
            return False
        if self._peeked is not None and self._peeked[0] is packet:
            return is_quiet(self._peeked[1])
        try:
            pcm = codec.decode(packet.payload)
        except ValueError:
            return True
        self._peeked = (packet, pcm)
        return is_quiet(pcm)

    # ---- handing over -----------------------------------------------------------------------

    def hand_over(self, listener: Callable[[bytes | None], None] | None) -> None:
        """Give each frame to ``listener`` as soon as it is there, ``None`` for silence, and let
        ``tick`` be called instead of ``read``. Without a listener it is as it was before."""
        if listener is None and self._listener is not None:
            self._jitter_buffer.hold_back()
        self._listener = listener
        self._peeked = None
        self.lead.frames = max(0, self.lead.frames)

    def receive_next(
        self,
        payload_type: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        payload: bytes,
        now: float,
    ) -> bool:
        """As ``receive`` for the usual packet of a stream that is handed over: audio of the same
        codec, right after the last one. ``False``, and nothing happened, where it is not that."""
        codec = self._codec
        if (
            codec is None
            or self._listener is None
            or self._waiting
            or self._codecs.get(payload_type) is not codec
            or not self.statistics.receive_next(sequence, timestamp, len(payload), now)
        ):
            return False
        self._counters.packets_received += 1
        try:
            samples = codec.duration(payload)
            self.last_went_through = self._jitter_buffer.pass_through(
                sequence, timestamp, samples, now
            )
            if self.last_went_through:
                self._hand_on(self._concealer.good(codec.decode(payload)))
                return True
        except ValueError:
            self._counters.dropped_malformed += 1
            return True
        self._take_audio(RtpPacket(payload_type, sequence, timestamp, ssrc, payload), codec, now)
        self._release(now)
        return True

    def open_inlet(self, inlet: Inlet, payload: bytes, timestamp: int, now: float) -> None:
        """Let packets like this one, which was handed over as a frame of its own, take the short
        way from now on."""
        codec = self._codec
        if self._pcm and is_quiet(self._pcm):
            self._pcm = b""  # Less than a frame, of a packet of an odd length.
        if codec is None or self._pcm or self._resampler is not None:
            return
        units = codec.duration(payload)
        whole = units * self._codec_rate * 2 == self._frame_bytes * codec.clock_rate
        if not whole or self.lead.frames > MAX_LEAD:
            return
        inlet.units = units
        inlet.timestamp = timestamp + units & 0xFFFFFFFF
        inlet.decode = alike(codec, units) if self._conceals_itself else codec.decode
        inlet.remember = self._concealer.remember
        inlet.arrivals = [now]
        inlet.size = HEADER_SIZE + len(payload)

    def settle(self, inlet: Inlet) -> None:
        """Take over what took the short way since the last time."""
        arrivals = inlet.arrivals
        count = len(arrivals) - 1
        last = inlet.timestamp - inlet.units & 0xFFFFFFFF
        self._counters.packets_received += count
        self.statistics.receive_run(arrivals, last, inlet.units, inlet.size - HEADER_SIZE)
        self._jitter_buffer.pass_run(arrivals, inlet.units)
        self.lead.frames += count
        self._in_burst = False
        self._something_came()

    def has_to_join(self) -> bool:
        """Whether the last frame was made up and the next one is to be joined to it: where it is
        quiet nobody hears the joint."""
        if self._made_up and is_quiet(self._concealer.last):
            self._concealer.leave_gap()
            return False
        return self._made_up > 0

    def tick(self, now: float, make_up: bool = True) -> None:
        """Hand over, or make up, what is due by now."""
        if self._jitter_buffer or self._waiting:
            self._release(now)
        if make_up and self.lead.frames < 0:
            self._make_up_leeway()

    def _release(self, now: float) -> None:
        """Hand over what is there in order, and what will not come."""
        while True:
            item = self._waiting.pop(0) if self._waiting else self._jitter_buffer.pop_early(now)
            if isinstance(item, Frame):
                before = len(self._pcm)
                self._play(item)
                self._something_came()
                if self.lead.ahead and self._may_leave_out(self._pcm[before:]):
                    self._pcm = self._pcm[:before]
                self._cut()
            elif isinstance(item, Empty):
                return
            elif self._made_up:
                self._made_up -= 1
            else:
                self._note_made_up()
                samples = item.samples * self._codec_rate // self._clock_rate
                self._pcm += self._make_up(samples, item.following)
                self._cut()

    def _hand_on(self, pcm: bytes) -> None:
        """What one packet of audio brought."""
        self._in_pause = self._in_burst = False
        self._something_came()
        if self.lead.ahead and self._may_leave_out(pcm):
            return
        if not self._pcm and self._resampler is None and len(pcm) == self._frame_bytes:
            self._give(pcm)
        else:
            self._pcm += pcm
            self._cut()

    def _something_came(self) -> None:
        self._resting = self._in_pause
        self._idle_frames = 0
        self._made_up = 0

    def _may_leave_out(self, pcm: bytes) -> bool:
        left_out = self.lead.may_leave_out(is_quiet(pcm))
        self._jitter_buffer.counters.shrunk += left_out
        return left_out

    def _cut(self) -> None:
        while len(self._pcm) >= self._frame_bytes:
            frame = self._pcm[: self._frame_bytes]
            self._pcm = self._pcm[self._frame_bytes :]
            self._give(frame if self._resampler is None else self._resampler.process(frame))

    def _give(self, frame: bytes | None) -> None:
        self.lead.frames += 1
        if self._listener is not None:
            self._listener(frame)

    def _make_up_leeway(self) -> None:
        """In a pause the listener is on time; else what comes late is waited for a little."""
        while self.lead.frames < 0 and (self._resting or self._is_overdue()):
            if self._fill():
                self._resting = self._in_pause
                self._made_up += 1
                self._cut()
            else:
                self._resting = True
                self._give(self._silent_frame())

    def _is_overdue(self) -> bool:
        """A frame less is not noticed where it is quiet: there we wait shorter."""
        late_by = -self.lead.frames - self._jitter_buffer.target_frames
        return late_by > 0 or (late_by == 0 and is_quiet(self._concealer.last))

    # ---- rates ------------------------------------------------------------------------------

    def _change_codec(self, codec: Codec) -> None:
        self._codec = codec
        self._conceals_itself = codec.conceal(0) is not None
        if codec.sample_rate != self._codec_rate:
            rest = Resampler(self._codec_rate, codec.sample_rate)
            waiting = rest.process(self._pcm) + rest.flush()
            self._set_codec_rate(codec.sample_rate)
            self._pcm = waiting

    def _set_codec_rate(self, codec_rate: int) -> None:
        self._codec_rate = codec_rate
        self._frame_bytes = codec_rate * FRAME_MS // 1000 * 2
        self._silence = bytes(self._frame_bytes)
        self._concealer = Concealer(codec_rate)
        self._noise = None
        self._set_resampler()

    def _set_resampler(self) -> None:
        self._resampler = None
        if self._codec_rate != self._sample_rate:
            self._resampler = FrameResampler(self._codec_rate, self._sample_rate)
