"""An RTCP compound: read, written, read again, and taken by the reporter."""

from __future__ import annotations

from ringback.rtp.errors import RtcpError
from ringback.rtp.reporting import RtcpReporter
from ringback.rtp.rtcp import RtcpPacket, parse_compound, serialise_compound
from ringback.rtp.statistics import ReceiverStatistics, SenderStatistics
from ringback_fuzz.targets import require

OURS = 0x11223344


def run(data: bytes) -> None:
    for reduced in (False, True):
        try:
            packets = parse_compound(data, reduced_size=reduced)
        except RtcpError as error:
            str(error)
            continue
        _report(packets)
        try:
            written = serialise_compound(packets)
        except RtcpError:
            continue  # a reduced-size packet makes no compound of its own
        again = parse_compound(written, reduced_size=reduced)
        require(again == packets, "a compound changes when it is written")


def _report(packets: list[RtcpPacket]) -> None:
    reporter = RtcpReporter(OURS, b"us", ReceiverStatistics(8000), SenderStatistics())
    first = reporter.report(1.0, 1_700_000_000.0, 160)
    reporter.receive(packets, 2.0)
    require(bool(first) and bool(reporter.report(3.0, 1_700_000_002.0, 320)), "no report")
    require(reporter.round_trip is None or reporter.round_trip >= 0, "a negative round trip")
    require((reporter.remote_packets_lost or 0) >= 0, "negative loss")
    reporter.remote_jitter(8000)
