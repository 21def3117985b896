from __future__ import annotations

import pytest

from ringback.media.plane import RtpAddress
from ringback.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialise_compound,
)
from unit.media.leg_lab import (
    PCMU,
    PHONE,
    STRANGER,
    TICK,
    Bench,
    Phone,
    audio,
)


def run_for(bench: Bench, phone: Phone, seconds: float) -> None:
    for _ in range(round(seconds / TICK)):
        bench.receive(phone.packet(PCMU.silence(160)))
        bench.tick()


@pytest.mark.requirement("media.rtcp", "rfc3550.6")
def test_reports_go_out_about_every_five_seconds_with_a_cname() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    run_for(bench, phone, 60)
    assert 8 <= len(bench.rtcp) <= 24
    report, description = parse_compound(bench.rtcp[-1][0])
    assert isinstance(report, SenderReport)
    assert isinstance(description, SourceDescription)
    assert report.ssrc == 0x1234
    assert report.packet_count > 2000
    assert report.reports[0].ssrc == 0xBEEF
    assert description.chunks[0].cname == b"cname@ringback"
    assert {address for _, address in bench.rtcp} == {(PHONE[0], PHONE[1] + 1)}


@pytest.mark.requirement("media.rtcp")
def test_reports_go_where_the_sdp_says_or_where_reports_come_from() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio(remote_rtcp=RtpAddress(PHONE[0], 9999)))
    run_for(bench, phone, 20)
    assert bench.rtcp[-1][1] == (PHONE[0], 9999)
    bench.session.on_rtcp(bench.rtcp[-1][0], (PHONE[0], 7777), bench.now)
    run_for(bench, phone, 20)
    assert bench.rtcp[-1][1] == (PHONE[0], 7777)


@pytest.mark.requirement("media.rtcp")
def test_with_rtcp_mux_everything_is_on_one_port() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio(mux=True))
    run_for(bench, phone, 20)
    assert bench.rtcp == []
    reports = [data for data, _ in bench.rtp if 192 <= data[1] <= 223]
    assert reports
    bench.receive(reports[0])
    assert bench.counters.rtcp_received == 1


@pytest.mark.requirement("media.rtcp")
def test_the_round_trip_is_measured_from_the_answer_to_our_report() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    run_for(bench, phone, 20)
    sent = parse_compound(bench.rtcp[-1][0])[0]
    assert isinstance(sent, SenderReport)
    middle = sent.ntp_timestamp >> 16 & 0xFFFFFFFF
    block = ReportBlock(0x1234, 0, 0, 0, 0, middle, 0)
    answer = serialise_compound(
        [ReceiverReport(0xBEEF, (block,)), SourceDescription.with_cname(0xBEEF, b"phone")]
    )
    before = bench.session.round_trip_ms
    bench.session.on_rtcp(answer, (PHONE[0], PHONE[1] + 1), bench.now)
    after = bench.session.round_trip_ms
    assert before is None
    assert after is not None
    assert 0 <= after < 8000


@pytest.mark.requirement("bad.rtp-flood")
def test_rtcp_of_strangers_and_nonsense_is_dropped() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    run_for(bench, phone, 10)
    bench.session.on_rtcp(bench.rtcp[-1][0], STRANGER, bench.now)
    assert bench.counters.dropped_wrong_source == 1
    bench.session.on_rtcp(b"\x80\xc8\xff", PHONE, bench.now)
    assert bench.counters.dropped_malformed == 1
    assert bench.counters.rtcp_received == 0


@pytest.mark.requirement("rfc3550.6")
def test_leaving_says_goodbye_once_and_then_nothing_more() -> None:
    bench, phone = Bench(), Phone()
    bench.negotiate(audio())
    run_for(bench, phone, 1)
    bench.session.leave(bench.now, 1_700_000_000.0)
    bench.session.leave(bench.now, 1_700_000_000.0)
    assert isinstance(parse_compound(bench.rtcp[-1][0])[-1], Goodbye)
    count = len(bench.rtp), len(bench.rtcp)
    run_for(bench, phone, 10)
    assert (len(bench.rtp), len(bench.rtcp)) == count
