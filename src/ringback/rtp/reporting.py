"""When an RTCP report is due, what it says, and what the other side's tells (RFC 3550 6.3, 6.4).

For two parties: the membership is known, so nothing of section 6.3 that estimates it is here,
neither the reconsideration of timers nor what compensates for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ringback.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    serialise_compound,
)
from ringback.rtp.statistics import ReceiverStatistics, SenderStatistics

MINIMUM_INTERVAL = 5.0
"""Seconds between reports, on average at least; half of it before the first one."""

RTCP_BANDWIDTH = 400.0
"""Octets a second that both sides' reports may take: 5 % of 64 kbit/s."""

_MEMBERS = 2
_UDP_IP_OCTETS = 28
_NTP_EPOCH = 2_208_988_800
_REMEMBERED_REPORTS = 4
_LONGEST_COMPOUND = 1500
_LONGEST_ROUND_TRIP = 60.0
_LARGEST_JITTER = 10.0
_MAX_DELAY = 0xFFFFFFFF


def ntp_timestamp(unix_seconds: float) -> int:
    """64 bits: seconds since 1900 and their fraction, as in section 4."""
    return round((unix_seconds + _NTP_EPOCH) * 0x100000000) & 0xFFFFFFFFFFFFFFFF


def middle_bits(ntp: int) -> int:
    """The 32 bits that reports refer to a sender report by."""
    return ntp >> 16 & 0xFFFFFFFF


class ReportScheduler:
    """``random`` gives numbers from 0 up to 1; ``now`` is when the session began."""

    def __init__(
        self,
        random: Callable[[], float],
        now: float,
        minimum: float = MINIMUM_INTERVAL,
        bandwidth: float = RTCP_BANDWIDTH,
    ) -> None:
        self._random = random
        self._minimum = minimum
        self._bandwidth = bandwidth
        self._average_octets = 100.0 + _UDP_IP_OCTETS
        self.next_report = now + self._interval(minimum / 2)

    def due(self, now: float) -> bool:
        return now >= self.next_report

    def sent(self, octets: int, now: float) -> None:
        """A report went out: the next one is due an interval later."""
        self._average(octets)
        self.next_report = now + self._interval(self._minimum)

    def received(self, octets: int) -> None:
        self._average(octets)

    def _average(self, octets: int) -> None:
        octets = min(octets, _LONGEST_COMPOUND)
        self._average_octets += (octets + _UDP_IP_OCTETS - self._average_octets) / 16

    def _interval(self, minimum: float) -> float:
        calculated = max(minimum, _MEMBERS * self._average_octets / self._bandwidth)
        return calculated * (0.5 + self._random())


class RtcpReporter:
    """Writes this side's reports and reads the other's.

    ``round_trip`` in seconds, ``None`` until the other side has answered a sender report;
    ``remote_report`` is the last that the other side said about our stream. What it says is
    believed within what can be: nobody loses more than was sent, or answers before it was asked.
    """

    def __init__(
        self,
        ssrc: int,
        cname: bytes,
        receiver: ReceiverStatistics,
        sender: SenderStatistics,
    ) -> None:
        self._ssrc = ssrc
        self._cname = cname
        self._receiver = receiver
        self._sender = sender
        self._reported_sent = 0
        self._sent_reports: list[tuple[int, float]] = []
        self._heard_report: tuple[int, int, float] | None = None
        self.round_trip: float | None = None
        self.remote_report: ReportBlock | None = None
        self.remote_left = False

    @property
    def remote_packets_lost(self) -> int | None:
        """Of what we sent, in total; ``None`` until the other side has reported."""
        if self.remote_report is None:
            return None
        return max(0, min(self.remote_report.packets_lost, self._sender.packets_sent))

    @property
    def remote_fraction_lost(self) -> float | None:
        """Of what we sent since its report before, 0 to 1."""
        return None if self.remote_report is None else self.remote_report.fraction_lost / 256

    def remote_jitter(self, clock_rate: int) -> float | None:
        """Seconds; ``clock_rate`` (Hz) is that of our stream."""
        if self.remote_report is None:
            return None
        return min(self.remote_report.jitter / clock_rate, _LARGEST_JITTER)

    def report(self, now: float, unix_seconds: float, rtp_timestamp: int) -> bytes:
        """A compound of SR (RR when nothing was sent since the last one) and SDES.

        ``now`` and ``unix_seconds`` are the same moment on two clocks, and so is
        ``rtp_timestamp`` on the stream's.
        """
        return serialise_compound(self._packets(now, unix_seconds, rtp_timestamp))

    def goodbye(self, now: float, unix_seconds: float, rtp_timestamp: int) -> bytes:
        """The last compound: as ``report``, and BYE."""
        packets = self._packets(now, unix_seconds, rtp_timestamp)
        return serialise_compound([*packets, Goodbye((self._ssrc,))])

    def receive(self, packets: Iterable[RtcpPacket], now: float) -> None:
        """Take a compound of the other side that arrived at ``now``."""
        for packet in packets:
            match packet:
                case SenderReport():
                    middle = middle_bits(packet.ntp_timestamp)
                    self._heard_report = (packet.ssrc, middle, now)
                    self._read(packet.reports, now)
                case ReceiverReport():
                    self._read(packet.reports, now)
                case Goodbye():
                    self.remote_left = True
                case _:
                    pass

    def _packets(self, now: float, unix_seconds: float, rtp_timestamp: int) -> list[RtcpPacket]:
        report: RtcpPacket
        blocks = self._blocks(now)
        if self._sender.packets_sent == self._reported_sent:
            report = ReceiverReport(self._ssrc, blocks)
        else:
            self._reported_sent = self._sender.packets_sent
            ntp = ntp_timestamp(unix_seconds)
            self._sent_reports.append((middle_bits(ntp), now))
            del self._sent_reports[:-_REMEMBERED_REPORTS]
            report = SenderReport(
                self._ssrc,
                ntp,
                rtp_timestamp & 0xFFFFFFFF,
                self._sender.packets_sent,
                self._sender.octets_sent,
                blocks,
            )
        return [report, SourceDescription.with_cname(self._ssrc, self._cname)]

    def _blocks(self, now: float) -> tuple[ReportBlock, ...]:
        receiver = self._receiver
        if receiver.ssrc is None or not receiver.expected:
            return ()
        last_report = delay = 0
        if self._heard_report is not None and self._heard_report[0] == receiver.ssrc:
            last_report = self._heard_report[1]
            delay = min(round((now - self._heard_report[2]) * 65536), _MAX_DELAY)
        return (
            ReportBlock(
                receiver.ssrc,
                receiver.take_fraction_lost(),
                receiver.cumulative_lost,
                receiver.highest_sequence & 0xFFFFFFFF,
                receiver.jitter & 0xFFFFFFFF,
                last_report,
                delay,
            ),
        )

    def _read(self, reports: tuple[ReportBlock, ...], now: float) -> None:
        for block in reports:
            if block.ssrc != self._ssrc:
                continue
            self.remote_report = block
            for middle, sent in self._sent_reports:
                round_trip = now - sent - block.delay / 65536
                if block.last_report == middle and round_trip <= _LONGEST_ROUND_TRIP:
                    self.round_trip = max(0.0, round_trip)
