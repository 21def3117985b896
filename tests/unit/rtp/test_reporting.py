from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ringback.rtp.packet import RtpPacket
from ringback.rtp.reporting import (
    ReportScheduler,
    RtcpReporter,
    middle_bits,
    ntp_timestamp,
)
from ringback.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
)
from ringback.rtp.statistics import ReceiverStatistics, SenderStatistics

UNIX = 1_800_000_000.25


class Side:
    """One end of a call, with statistics and reporter."""

    def __init__(self, ssrc: int) -> None:
        self.sent = SenderStatistics()
        self.heard = ReceiverStatistics(8000)
        self.reporter = RtcpReporter(ssrc, b"side@host", self.heard, self.sent)

    def hears(self, ssrc: int, sequences: range, now: float = 0.0) -> None:
        for index, sequence in enumerate(sequences):
            packet = RtpPacket(0, sequence, sequence * 160, ssrc, bytes(160))
            self.heard.receive(packet, now + index * 0.02)


@pytest.fixture
def side() -> Side:
    return Side(1)


def fixed(value: float) -> Callable[[], float]:
    return lambda: value


@pytest.mark.requirement("rfc3550.6")
def test_ntp_time_counts_from_1900_in_seconds_and_fractions() -> None:
    assert ntp_timestamp(0.0) == 2_208_988_800 << 32
    assert ntp_timestamp(0.5) & 0xFFFFFFFF == 0x80000000
    assert middle_bits(0x0123456789ABCDEF) == 0x456789AB


@pytest.mark.requirement("rfc3550.6")
def test_reports_only_when_packets_came_says_receiver_report_without_blocks(side: Side) -> None:
    report, description = parse_compound(side.reporter.report(1.0, UNIX, 0))
    assert report == ReceiverReport(1)
    assert isinstance(description, SourceDescription)
    assert description.chunks[0].cname == b"side@host"


@pytest.mark.requirement("rfc3550.6", "media.rtcp")
def test_one_who_sent_says_sender_report_and_later_receiver_report(side: Side) -> None:
    side.sent.send(160)
    side.sent.send(160)
    first = parse_compound(side.reporter.report(1.0, UNIX, 0x100000001))[0]
    assert first == SenderReport(1, ntp_timestamp(UNIX), 1, 2, 320)
    second = parse_compound(side.reporter.report(6.0, UNIX + 5, 40000))[0]
    assert second == ReceiverReport(1)


@pytest.mark.requirement("rfc3550.6.4", "media.rtcp")
def test_a_block_tells_what_was_lost_and_when_the_last_report_came(side: Side) -> None:
    side.hears(2, range(100, 106))
    side.hears(2, range(110, 116), now=0.2)
    heard = SenderReport(2, 0x0123456789ABCDEF, 0, 0, 0)
    side.reporter.receive([heard], now=1.0)
    report = parse_compound(side.reporter.report(1.5, UNIX, 0))[0]
    assert report == ReceiverReport(
        1, (ReportBlock(2, 64, 4, 115, side.heard.jitter, 0x456789AB, 32768),)
    )


def test_a_sender_report_of_another_source_is_not_referred_to(side: Side) -> None:
    side.hears(2, range(3))
    side.reporter.receive([SenderReport(99, 1 << 40, 0, 0, 0)], now=1.0)
    report = parse_compound(side.reporter.report(1.5, UNIX, 0))[0]
    assert isinstance(report, ReceiverReport)
    assert (report.reports[0].last_report, report.reports[0].delay) == (0, 0)


@pytest.mark.requirement("rfc3550.6.4", "media.rtcp")
def test_round_trip_is_the_time_less_what_the_other_side_held_the_report() -> None:
    near, far = Side(1), Side(2)
    near.sent.send(160)
    far.hears(1, range(3))
    outgoing = parse_compound(near.reporter.report(10.0, UNIX, 0))
    far.reporter.receive(outgoing, now=500.04)
    answer = parse_compound(far.reporter.report(502.04, 9e8, 0))
    near.reporter.receive(answer, now=12.09)
    assert near.reporter.round_trip == pytest.approx(0.09, abs=0.001)
    assert near.reporter.remote_report is not None
    assert near.reporter.remote_report.ssrc == 1


@pytest.mark.requirement("rfc3550.6.4")
def test_no_round_trip_from_a_report_that_was_never_sent(side: Side) -> None:
    side.reporter.receive([ReceiverReport(2, (ReportBlock(1, 0, 0, 0, 0, 77, 1),))], 5.0)
    assert side.reporter.round_trip is None


@pytest.mark.requirement("rfc3550.6.4")
def test_blocks_about_others_are_not_ours(side: Side) -> None:
    side.reporter.receive([ReceiverReport(2, (ReportBlock(9, 255, 5, 0, 0),))], 5.0)
    assert side.reporter.remote_report is None


@pytest.mark.requirement("rfc3550.6")
def test_goodbye_ends_the_compound_and_is_heard() -> None:
    near, far = Side(1), Side(2)
    compound = parse_compound(near.reporter.goodbye(1.0, UNIX, 0))
    assert compound[-1] == Goodbye((1,))
    far.reporter.receive(compound, now=1.0)
    assert far.reporter.remote_left


@pytest.mark.requirement("rfc3550.6")
def test_the_first_report_comes_within_half_the_interval_and_later_ones_within_all() -> None:
    scheduler = ReportScheduler(fixed(0.5), now=100.0)
    assert scheduler.next_report == 102.5
    assert not scheduler.due(102.4)
    assert scheduler.due(102.5)
    scheduler.sent(100, now=103.0)
    assert scheduler.next_report == 108.0


@pytest.mark.requirement("rfc3550.6")
def test_intervals_are_spread_and_five_seconds_on_average() -> None:
    generator = random.Random(1)
    scheduler = ReportScheduler(generator.random, now=0.0)
    intervals = []
    for _ in range(2000):
        start = scheduler.next_report
        scheduler.sent(100, start)
        intervals.append(scheduler.next_report - start)
    assert 2.5 <= min(intervals) < 2.6
    assert 7.4 < max(intervals) <= 7.5
    assert sum(intervals) / len(intervals) == pytest.approx(5.0, rel=0.02)


@pytest.mark.requirement("rfc3550.6")
def test_long_reports_on_little_bandwidth_come_less_often() -> None:
    scheduler = ReportScheduler(fixed(0.5), now=0.0, bandwidth=50.0)
    for _ in range(100):
        scheduler.received(1000)
    scheduler.sent(1000, now=0.0)
    assert scheduler.next_report > 30
