"""An adaptive jitter buffer with no clock of its own.

Packets go in as they come (``add``) and come out in order when they are due (``pop``). The
pacer calls ``pop`` whenever it has less than one tick of audio left: with 20 ms packets that is
once per 20 ms, with 10 ms packets twice, with 60 ms packets every third time.

A packet's *transit* is its arrival time less its timestamp; the smallest transit of the last
seconds is that of an undelayed packet. So for every timestamp there is a time at which it would
have come undelayed, and the *delay* is how long after that it is played. The wanted delay covers
most of the recent packets (``jitter_estimate``). From that follows:

- nothing is there (underrun): ``Empty``, and the expected packet stays expected, so the packets
  of a sender that stalled are still played and the delay grows by the stall;
- packets are there but not the expected one (hole): it is waited for until the wanted delay is
  over, then it is ``Lost``, unless underruns have already filled its time;
- a talkspurt starts (first packet, or the timestamp jumped over a pause): it is held back for
  the wanted delay;
- the delay has been too long for a while: a frame is left out, a quiet one if possible;
- nothing of the smallest delay is left: a quiet frame waits for a frame's time (``Empty``), so that
  a sender whose clock is slower than ours is followed in the pauses of speech.

A listener who needs no even pace (an agent) takes packets as they come, in order: ``pass_through``
and ``pop_early``. The delay is then that of holes alone.

A new SSRC, a timestamp jump or a sequence jump joins the new numbering to the end of the old one
(resync): what was buffered is still played, what follows is a new talkspurt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringback.rtp.jitter_estimate import DelayEstimator
from ringback.rtp.packet import RtpPacket
from ringback.rtp.playout import EMPTY, Empty, Frame, JitterBufferCounters, Lost
from ringback.rtp.serial import sequence_delta, timestamp_delta

MAX_SEQUENCE_AHEAD = 3000
MAX_SEQUENCE_BEHIND = 100
"""Beyond these a sequence number belongs to another numbering (RFC 3550 appendix A.1)."""

MAX_TIMESTAMP_JUMP = 1.0
"""Seconds by which timestamps and arrivals may disagree about the time between two packets."""

SHRINK_QUIET_AFTER = 1.0
SHRINK_LOUD_AFTER = 10.0
"""Seconds of too long a delay after which a quiet frame, or any frame, may be left out: within ten
seconds most talk has a pause, and what is cut from a pause nobody misses."""

SHRINK_QUIET_EVERY = 0.06
SHRINK_LOUD_EVERY = 0.5
"""Seconds from one frame left out to the next."""

HOLE_PATIENCE = 0.01
"""Seconds that a packet out of order may come later when nothing else is kept waiting."""

STRETCH_EVERY = 0.06
"""Seconds from one quiet frame that waits to the next."""

_SHORTEST_PACKET = 0.005
_LONGEST_PACKET = 0.12
_PRECISION = 0.001
_CONFIRMATION_GAP = 3
_HISTORY = 128
_HISTORY_MASK = (1 << _HISTORY) - 1


class JitterBuffer:
    """``clock_rate`` in Hz, the bounds in frames of ``frame_ms``: ``min_frames`` are wanted in
    the buffer at least when a talkspurt starts, ``max_frames`` are held at most."""

    def __init__(
        self, clock_rate: int, frame_ms: int = 20, min_frames: int = 2, max_frames: int = 25
    ) -> None:
        if not 1 <= min_frames <= max_frames:
            raise ValueError(f"bounds of {min_frames} to {max_frames} frames")
        self.counters = JitterBufferCounters()
        self._rate = clock_rate
        self._frame_seconds = frame_ms / 1000
        self._frame_samples = clock_rate * frame_ms // 1000
        self._least_delay = (min_frames - 1.5) * self._frame_seconds
        self._max_samples = max_frames * self._frame_samples
        self._estimator = DelayEstimator(self._frame_seconds, min_frames, max_frames)
        self._packet_samples = self._frame_samples
        self._declared = 0
        self._last_step = 0
        # A position is a sequence number and a time is a timestamp, both unwrapped and carried
        # on over resyncs. A slot is time, length and packet, or none that is audio.
        self._slots: dict[int, tuple[int, int, RtpPacket | None]] = {}
        self._ssrc: int | None = None
        self._newest_timestamp = 0
        self._newest_sequence = 0
        self._newest_position = -1
        self._newest_time = 0
        self._newest_arrival = 0.0
        self._candidate: RtpPacket | None = None
        self._next_position = 0
        self._next_time = 0
        self._next_timestamp = 0
        self._started = False
        self._history = 0
        self._starved_since: float | None = None
        self._too_long_since: float | None = None
        self._shrunk_at = float("-inf")
        self._stretched_at = float("-inf")

    # ---- what is in it ----------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def sequences(self) -> list[int]:
        """The sequence numbers of the buffered packets, in playing order."""
        packets = (self._slots[position][2] for position in sorted(self._slots))
        return [packet.sequence for packet in packets if packet is not None]

    @property
    def depth_ms(self) -> float:
        """How much audio is buffered."""
        return len(self._slots) * self._packet_samples * 1000 / self._rate

    @property
    def target_ms(self) -> float:
        """How much is wanted in the buffer at the time of a pop."""
        return self._estimator.target_frames * self._frame_seconds * 1000

    @property
    def target_frames(self) -> int:
        """``target_ms`` in frames."""
        return self._estimator.target_frames

    # ---- in ---------------------------------------------------------------------------------

    def add(self, packet: RtpPacket, now: float, samples: int = 0) -> None:
        """Take a packet that arrived at ``now``. ``samples`` is its length in clock units if the
        caller can tell; without, timestamps will. Never raises, whatever the packet says."""
        self.counters.received += 1
        if self._ssrc is None:
            self._declare(samples)
            self._splice(packet, now)
            return
        ahead = sequence_delta(packet.sequence, self._newest_sequence)
        if packet.ssrc != self._ssrc or not (-MAX_SEQUENCE_BEHIND <= ahead <= MAX_SEQUENCE_AHEAD):
            self._doubt(packet, now, samples)
            return
        if self._candidate is not None:
            self._candidate = None
            self.counters.stray += 1
        if ahead > 0:
            self._declare(samples)
        step = timestamp_delta(packet.timestamp, self._newest_timestamp)
        if abs(step / self._rate - now + self._newest_arrival) <= MAX_TIMESTAMP_JUMP:
            self._place(packet, self._newest_position + ahead, self._newest_time + step, now)
        elif ahead > 0:
            self._splice(packet, now)
        elif self._was_taken(self._newest_position + ahead):
            self.counters.duplicate += 1
        else:
            self.counters.late += 1

    def pass_through(self, sequence: int, timestamp: int, samples: int, now: float) -> bool:
        """Take a packet of the present source that is to be played right now, if it is the very
        next one and nothing waits: as ``add`` and ``pop(early=True)``, without its being kept."""
        if (
            self._slots
            or not self._started
            or sequence != (self._newest_sequence + 1) & 0xFFFF
            or samples != self._packet_samples
            or (timestamp - self._newest_timestamp) & 0xFFFFFFFF != samples
            or self._next_position != self._newest_position + 1
            or now - self._newest_arrival > MAX_TIMESTAMP_JUMP
        ):
            return False
        self._candidate = None
        self.counters.received += 1
        self.counters.played += 1
        self._newest_sequence = sequence
        self._newest_timestamp = timestamp
        self._newest_position += 1
        self._newest_arrival = now
        self._last_step = samples
        time = self._newest_time = self._newest_time + samples
        self._estimator.observe(now - time / self._rate, now)
        self._next_position += 1
        self._next_time = time + samples
        self._next_timestamp = timestamp + samples & 0xFFFFFFFF
        self._history = self._history << 1 & _HISTORY_MASK | 1
        self._starved_since = None
        return True

    def pass_run(self, arrivals: Sequence[float], samples: int) -> None:
        """As ``pass_through`` for all but the first of ``arrivals``, packets of ``samples`` each
        that followed each other."""
        count = len(arrivals) - 1
        self.counters.received += count
        self.counters.played += count
        begin, step = self._newest_time / self._rate, samples / self._rate
        followers = enumerate(arrivals[1:], 1)
        self._estimator.observe_run(
            [arrival - begin - number * step for number, arrival in followers], arrivals[-1]
        )
        time = self._newest_time + count * samples
        self._newest_time = time
        self._newest_sequence = self._newest_sequence + count & 0xFFFF
        self._newest_timestamp = self._newest_timestamp + count * samples & 0xFFFFFFFF
        self._newest_position += count
        self._newest_arrival = arrivals[-1]
        self._next_position += count
        self._next_time = time + samples
        self._next_timestamp = self._newest_timestamp + samples & 0xFFFFFFFF
        self._history = (self._history << min(count, _HISTORY) | (1 << count) - 1) & _HISTORY_MASK

    def pass_over(self, packet: RtpPacket) -> None:
        """Note a packet of the stream that is not audio (a telephone event): its sequence number
        is not missing, and it takes no time in the audio."""
        if packet.ssrc != self._ssrc:
            return
        ahead = sequence_delta(packet.sequence, self._newest_sequence)
        position = self._newest_position + ahead
        if not -MAX_SEQUENCE_BEHIND <= ahead <= MAX_SEQUENCE_AHEAD:
            return
        if position < self._next_position or position in self._slots:
            return
        if ahead > 0:
            self._newest_position = position
            self._newest_sequence = packet.sequence
        self._store(position, self._newest_time, None)

    def _place(self, packet: RtpPacket, position: int, time: int, now: float) -> None:
        if position > self._newest_position:
            if position == self._newest_position + 1:
                self._learn_length(time - self._newest_time)
            self._note_newest(packet, position, time, now)
        elif position in self._slots or self._was_taken(position):
            self.counters.duplicate += 1
            return
        self._estimator.observe(now - time / self._rate, now)
        if position < self._next_position:
            if self._started or self._history:
                self.counters.late += 1
                return
            self._expect(position, time, packet.timestamp)
        self._store(position, time, packet)

    def _note_newest(self, packet: RtpPacket, position: int, time: int, now: float) -> None:
        self._ssrc = packet.ssrc
        self._newest_timestamp = packet.timestamp
        self._newest_sequence = packet.sequence
        self._newest_position = position
        self._newest_time = time
        self._newest_arrival = now

    def _declare(self, samples: int) -> None:
        """Packets have another length from here on."""
        if samples and samples != self._declared:
            self._declared = self._packet_samples = samples

    def _learn_length(self, step: int) -> None:
        """Packets changed their length when two steps in a row agree (one alone is a pause)."""
        if step != self._packet_samples and step == self._last_step:
            if _SHORTEST_PACKET <= step / self._rate <= _LONGEST_PACKET:
                self._packet_samples = step
        self._last_step = step

    def _store(self, position: int, time: int, packet: RtpPacket | None) -> None:
        slots = self._slots
        slots[position] = (time, self._packet_samples, packet)
        while len(slots) * self._packet_samples > self._max_samples and len(slots) > 1:
            oldest = self._next_position if self._next_position in slots else min(slots)
            self.counters.lost += oldest - self._next_position
            self._move_on(oldest - self._next_position, 0)
            self.counters.overflow += slots[oldest][2] is not None
            self._take(oldest)

    def _doubt(self, packet: RtpPacket, now: float, samples: int) -> None:
        """Another numbering: believed when the next packet carries it on, so that one stray
        packet breaks nothing (RFC 3550 appendix A.1)."""
        candidate, self._candidate = self._candidate, packet
        if candidate is None:
            return
        if candidate.ssrc == packet.ssrc:
            ahead = (packet.sequence - candidate.sequence) & 0xFFFF
            if 0 < ahead <= _CONFIRMATION_GAP:
                self._candidate = None
                self._splice(candidate, now)
                self.counters.received -= 1
                self.add(packet, now, samples)
                return
        self.counters.stray += 1

    def _splice(self, packet: RtpPacket, now: float) -> None:
        """Let ``packet`` follow on what is buffered, as if it had come undelayed."""
        position = self._newest_position + 1
        time = round((now - self._estimator.base) * self._rate)
        if self._ssrc is None:
            time = 0
            self._expect(position, time, packet.timestamp)
        else:
            self.counters.resyncs += 1
        self._note_newest(packet, position, time, now)
        self._estimator.observe(now - time / self._rate, now)
        self._store(position, time, packet)

    def _was_taken(self, position: int) -> bool:
        behind = self._next_position - 1 - position
        return 0 <= behind < _HISTORY and bool(self._history >> behind & 1)

    # ---- out --------------------------------------------------------------------------------

    def pop(
        self, now: float, is_quiet: Callable[[RtpPacket], bool] | None = None
    ) -> Frame | Lost | Empty:
        """What to play now. ``is_quiet`` is asked, only while the delay is too long, whether
        a packet can be left out without anybody hearing it."""
        while True:
            slot = self._slots.get(self._next_position)
            if slot is None:
                missing = self._hole(now)
                if missing is not None:
                    return missing
                continue
            time, _, packet = slot
            if packet is None:
                self._take(self._next_position)
                continue
            late_by = now - self._estimator.base - time / self._rate
            wanted = self._estimator.target_delay
            if late_by < wanted - _PRECISION and (
                not self._started or time - self._next_time > self._packet_samples // 2
            ):
                return EMPTY
            if late_by <= wanted + self._frame_seconds + _PRECISION:
                self._too_long_since = None
                if late_by < self._least_delay and self._may_wait(packet, now, is_quiet):
                    self.counters.stretched += 1
                    return EMPTY
            elif self._may_leave_out(packet, now, is_quiet):
                self._take(self._next_position)
                self.counters.shrunk += 1
                continue
            self._started = True
            self._starved_since = None
            self.counters.played += 1
            return _frame(packet, self._take(self._next_position))

    def pop_early(self, now: float) -> Frame | Lost | Empty:
        """What is next, as soon as it is there: for a listener who paces by himself. Only a hole
        is waited for."""
        while self._slots:
            slot = self._slots.get(self._next_position)
            if slot is None:
                missing = self._hole(now, HOLE_PATIENCE)
                if missing is not None:
                    return missing
                continue
            samples, packet = self._take(self._next_position), slot[2]
            if packet is not None:
                self._started = True
                self._starved_since = None
                self.counters.played += 1
                return _frame(packet, samples)
        return EMPTY

    def hold_back(self) -> None:
        """After ``pop_early``: what comes next waits for the wanted delay, as a talkspurt does."""
        self._started = False

    def drain(self) -> list[Frame]:
        """All that is buffered, in order, due or not."""
        frames = []
        for position in sorted(self._slots):
            self._next_position = position
            packet = self._slots[position][2]
            samples = self._take(position)
            if packet is not None:
                frames.append(_frame(packet, samples))
        return frames

    def _take(self, position: int) -> int:
        """Move on over the packet at ``position``, which is next; its length in samples."""
        time, samples, packet = self._slots.pop(position)
        following = self._slots.get(position + 1)
        if following is not None:
            step = following[0] - time
            if 0 < step < samples or step == self._packet_samples:
                samples = step
        self._move_on(1, 1)
        if packet is not None:
            self._next_time = time + samples
            self._next_timestamp = packet.timestamp + samples & 0xFFFFFFFF
        return samples

    def _move_on(self, packets: int, taken: int) -> None:
        """``taken``: 1 when they were there, 0 when they never came."""
        self._next_position += packets
        self._history = (self._history << min(packets, _HISTORY) | taken) & _HISTORY_MASK

    def _expect(self, position: int, time: int, timestamp: int) -> None:
        self._next_position = position
        self._next_time = time
        self._next_timestamp = timestamp & 0xFFFFFFFF

    def _hole(self, now: float, patience: float = 0.0) -> Lost | Empty | None:
        """The next packet is not there: wait ``patience`` (seconds) longer than usual. ``None``:
        moved on, look again."""
        if not self._slots:
            if self._started and self._starved_since is None:
                self._starved_since = now
                self.counters.underruns += 1
            return EMPTY
        position = min(self._slots)
        time = self._slots[position][0]
        missing = position - self._next_position
        length = self._packet_samples
        pause = time - self._next_time > missing * length + length // 2
        late_by = now - self._estimator.base - (time if pause else self._next_time) / self._rate
        if late_by < self._estimator.target_delay + patience - _PRECISION:
            if self._starved_since is None and not patience:
                self._starved_since = now
            return EMPTY
        return self._give_up(missing, None if pause else time, now)

    def _give_up(self, missing: int, until: int | None, now: float) -> Lost | None:
        """Conceal one of the missing packets, less those whose time underruns have filled.

        ``until`` is the time of the next packet that is there, or ``None`` after a pause, in
        which nothing is missed.
        """
        length = self._packet_samples
        filled = 0.0 if self._starved_since is None else (now - self._starved_since) * self._rate
        self._starved_since = None
        to_conceal = 0
        if until is not None:
            gap = until - self._next_time
            to_conceal = min(max(int((gap - filled) / length + 0.5), 0), missing)
            if to_conceal < missing:
                self._advance(gap - to_conceal * length)
        self.counters.lost += missing - to_conceal
        self._move_on(missing - to_conceal, 0)
        if not to_conceal:
            return None
        following = self._slots.get(self._next_position + 1)
        lost = Lost(self._next_timestamp, length, following[2] if following else None)
        self.counters.lost += 1
        self._move_on(1, 0)
        self._advance(length)
        return lost

    def _advance(self, samples: int) -> None:
        self._next_time += samples
        self._next_timestamp = self._next_timestamp + samples & 0xFFFFFFFF

    def _may_wait(
        self, packet: RtpPacket, now: float, is_quiet: Callable[[RtpPacket], bool] | None
    ) -> bool:
        if is_quiet is None or now - self._stretched_at < STRETCH_EVERY or not is_quiet(packet):
            return False
        self._stretched_at = now
        return True

    def _may_leave_out(
        self, packet: RtpPacket, now: float, is_quiet: Callable[[RtpPacket], bool] | None
    ) -> bool:
        if self._too_long_since is None:
            self._too_long_since = now
        too_long = now - self._too_long_since
        wanted = self._estimator.target_frames * self._frame_samples
        if too_long < SHRINK_QUIET_AFTER or len(self._slots) * self._packet_samples <= wanted:
            return False
        since_last = now - self._shrunk_at
        if too_long >= SHRINK_LOUD_AFTER and since_last >= SHRINK_LOUD_EVERY:
            self._shrunk_at = now
            return True
        if is_quiet is not None and since_last >= SHRINK_QUIET_EVERY and is_quiet(packet):
            self._shrunk_at = now
            return True
        return False


def _frame(packet: RtpPacket, samples: int) -> Frame:
    return Frame(
        packet.payload,
        packet.payload_type,
        packet.timestamp,
        samples,
        packet.sequence,
        packet.marker,
    )
