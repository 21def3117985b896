"""What RTCP reports say about a stream: RFC 3550 section 6.4 and appendices A.1, A.3 and A.8."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ringback.rtp.packet import RtpPacket
from ringback.rtp.serial import sequence_delta

MIN_SEQUENTIAL = 2
"""In-order packets until a source is believed."""

MAX_DROPOUT = 3000
MAX_MISORDER = 100
"""How far a sequence number may jump ahead or back and still belong to the stream."""

_RECENT = 128
_RECENT_MASK = (1 << _RECENT) - 1
_CUMULATIVE_MIN = -0x800000
_CUMULATIVE_MAX = 0x7FFFFF


class ReceiverStatistics:
    """One incoming stream, across changes of its SSRC. ``clock_rate`` in Hz.

    The counts are over the whole life; what RTCP reports (``highest_sequence``, ``fraction_lost``
    and the block's cumulative loss) is of the present source alone.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self.ssrc: int | None = None
        self.packets_received = 0
        self.octets_received = 0
        self.packets_duplicate = 0
        self._lost_before = 0
        self._begin()

    def _begin(self) -> None:
        self._probation = MIN_SEQUENTIAL
        self._base = 0
        self._highest = -1
        self._received = 0
        self._recent = 0
        self._restart_at: int | None = None
        self._jitter = 0.0
        self._transit: float | None = None
        self._expected_prior = 0
        self._received_prior = 0

    def set_clock_rate(self, clock_rate: int) -> None:
        """The stream goes on with another clock: jitter is measured anew, counts are kept."""
        if clock_rate != self._clock_rate:
            self._jitter *= clock_rate / self._clock_rate
            self._clock_rate = clock_rate
            self._transit = None

    def receive(self, packet: RtpPacket, now: float) -> bool:
        """Count a packet that arrived at ``now``; whether its source is believed by now.

        Duplicates are counted apart and not as received.
        """
        if packet.ssrc != self.ssrc:
            self._lost_before = self.packets_lost
            self.ssrc = packet.ssrc
            self._begin()
        if not self._update_sequence(packet.sequence):
            return False
        self._received += 1
        self.packets_received += 1
        self.octets_received += len(packet.payload)
        self._update_jitter(packet.timestamp, now)
        return self._probation == 0

    def receive_next(self, sequence: int, timestamp: int, octets: int, now: float) -> bool:
        """As ``receive`` for the usual case, the packet after the last one of a source that is
        believed; ``False``, and nothing is counted, where it is not that."""
        if (self._highest + 1) & 0xFFFF != sequence or self._probation:
            return False
        self._highest += 1
        self._recent = (self._recent << 1 | 1) & _RECENT_MASK
        self._received += 1
        self.packets_received += 1
        self.octets_received += octets
        transit = now * self._clock_rate - timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference >= 0x80000000:
                difference = abs((difference + 0x80000000) % 0x100000000 - 0x80000000)
            self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return True

    def receive_run(
        self, arrivals: Sequence[float], timestamp: int, units: int, octets: int
    ) -> None:
        """As ``receive_next`` for all but the first of ``arrivals``, whose packets were ``units``
        apart and had ``octets`` of payload each; ``timestamp`` is the last one's."""
        count = len(arrivals) - 1
        self._highest += count
        self._recent = (self._recent << min(count, _RECENT) | (1 << count) - 1) & _RECENT_MASK
        self._received += count
        self.packets_received += count
        self.octets_received += count * octets
        rate, jitter = self._clock_rate, self._jitter
        for earlier, later in pairwise(arrivals):
            jitter += (abs((later - earlier) * rate - units) - jitter) / 16
        self._jitter = jitter
        self._transit = arrivals[-1] * rate - timestamp

    def _update_sequence(self, sequence: int) -> bool:
        if self._highest < 0:
            self._start(sequence)
            self._probation -= 1
            return True
        ahead = sequence_delta(sequence, self._highest)
        if self._probation and ahead != 1:
            self._start(sequence)
            self._received = 0
            self._probation = MIN_SEQUENTIAL - 1
            return True
        if 0 < ahead < MAX_DROPOUT:
            self._probation = max(0, self._probation - 1)
            self._highest += ahead
            self._recent = (self._recent << min(ahead, _RECENT) | 1) & _RECENT_MASK
            return True
        if -MAX_MISORDER < ahead <= 0:
            mark = 1 << -ahead
            if self._recent & mark:
                self.packets_duplicate += 1
                return False
            self._recent |= mark
            return True
        return self._big_jump(sequence)

    def _big_jump(self, sequence: int) -> bool:
        """Two packets in a row beyond the jump: the source started its numbering again."""
        if sequence != self._restart_at:
            self._restart_at = (sequence + 1) & 0xFFFF
            return False
        self._lost_before = self.packets_lost
        self._begin()
        self._start(sequence)
        self._probation = 0
        return True

    def _start(self, sequence: int) -> None:
        self._base = sequence
        self._highest = sequence
        self._recent = 1

    def _update_jitter(self, timestamp: int, now: float) -> None:
        """Appendix A.8, with the timestamp's wrap taken out of the difference."""
        transit = now * self._clock_rate - timestamp
        if self._transit is not None:
            difference = (transit - self._transit + 0x80000000) % 0x100000000 - 0x80000000
            self._jitter += (abs(difference) - self._jitter) / 16
        self._transit = transit

    @property
    def highest_sequence(self) -> int:
        """The extended highest sequence number: wraps in the upper, the number in the lower 16
        bits."""
        return max(self._highest, 0)

    @property
    def expected(self) -> int:
        return self._highest - self._base + 1 if self._highest >= 0 else 0

    @property
    def packets_lost(self) -> int:
        """Never negative, over all sources."""
        return self._lost_before + max(0, self.expected - self._received)

    @property
    def jitter(self) -> int:
        """Interarrival jitter in timestamp units."""
        return int(self._jitter)

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000 / self._clock_rate

    @property
    def cumulative_lost(self) -> int:
        """Of the present source, clamped to the 24 signed bits of a report."""
        return max(_CUMULATIVE_MIN, min(self.expected - self._received, _CUMULATIVE_MAX))

    def take_fraction_lost(self) -> int:
        """Loss since the last call as a fraction of 256 (appendix A.3); starts a new interval."""
        expected = self.expected - self._expected_prior
        lost = expected - (self._received - self._received_prior)
        self._expected_prior = self.expected
        self._received_prior = self._received
        if expected <= 0 or lost <= 0:
            return 0
        return (lost << 8) // expected


class SenderStatistics:
    """What was sent on one stream, for sender reports."""

    __slots__ = ("octets_sent", "packets_sent")

    def __init__(self) -> None:
        self.packets_sent = 0
        self.octets_sent = 0

    def send(self, payload_octets: int) -> None:
        self.packets_sent += 1
        self.octets_sent += payload_octets
