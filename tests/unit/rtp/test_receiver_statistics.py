from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp.packet import RtpPacket
from ringback.rtp.statistics import ReceiverStatistics, SenderStatistics


def packet(sequence: int, timestamp: int | None = None, ssrc: int = 1) -> RtpPacket:
    stamp = sequence * 160 if timestamp is None else timestamp
    return RtpPacket(0, sequence & 0xFFFF, stamp & 0xFFFFFFFF, ssrc, bytes(160))


def heard(*sequences: int) -> ReceiverStatistics:
    statistics = ReceiverStatistics(8000)
    for index, sequence in enumerate(sequences):
        statistics.receive(packet(sequence), index * 0.02)
    return statistics


@pytest.mark.requirement("rfc3550.A.1")
def test_a_source_is_believed_after_two_packets_in_order() -> None:
    statistics = ReceiverStatistics(8000)
    assert [statistics.receive(packet(s), 0.0) for s in (10, 12, 13)] == [False, False, True]
    assert statistics.expected == 2
    assert statistics.packets_lost == 0


@pytest.mark.requirement("rfc3550.6.4")
def test_counts_what_is_missing() -> None:
    statistics = heard(1, 2, 3, 7, 8)
    assert (statistics.expected, statistics.packets_received, statistics.packets_lost) == (8, 5, 3)


@pytest.mark.requirement("rfc3550.6.4")
def test_a_packet_that_comes_out_of_order_is_not_lost() -> None:
    statistics = heard(1, 2, 4, 3, 5)
    assert statistics.packets_lost == 0
    assert statistics.highest_sequence == 5


@pytest.mark.requirement("media.jitter-buffer", "rfc3550.6.4")
def test_duplicates_are_counted_apart() -> None:
    statistics = heard(1, 2, 3, 3, 2, 5)
    assert statistics.packets_duplicate == 2
    assert statistics.packets_received == 4
    assert statistics.packets_lost == 1


@pytest.mark.requirement("rfc3550.A.1")
def test_the_sequence_number_wraps_into_the_upper_bits() -> None:
    statistics = heard(65533, 65534, 65535, 0, 1)
    assert statistics.highest_sequence == 0x10001
    assert statistics.expected == 5
    assert statistics.packets_lost == 0


@pytest.mark.requirement("rfc3550.A.1")
def test_a_late_packet_from_before_the_wrap_is_not_lost() -> None:
    statistics = heard(65533, 65534, 0, 65535, 1)
    assert statistics.packets_lost == 0
    assert statistics.packets_duplicate == 0


@pytest.mark.requirement("rfc3550.A.1")
def test_a_single_stray_number_changes_nothing() -> None:
    statistics = heard(1, 2, 3, 30000, 4, 5)
    assert (statistics.expected, statistics.packets_lost) == (5, 0)


@pytest.mark.requirement("rfc3550.A.1")
def test_a_packet_may_be_very_late() -> None:
    statistics = heard(*range(1, 20), *range(21, 100), 20, 100)
    assert (statistics.expected, statistics.packets_lost) == (100, 0)


@pytest.mark.requirement("rfc3550.A.1")
def test_a_restart_may_wrap() -> None:
    statistics = heard(20000, 20001, 20002, 65535, 0, 1)
    assert (statistics.highest_sequence, statistics.expected) == (1, 2)


@pytest.mark.requirement("rfc3550.A.1")
def test_two_numbers_in_a_row_beyond_a_jump_are_a_restart() -> None:
    statistics = heard(1, 2, 3, 5, 30000, 30001, 30002)
    assert statistics.highest_sequence == 30002
    assert statistics.expected == 2
    assert statistics.packets_lost == 1


def test_another_ssrc_starts_anew_and_keeps_the_totals() -> None:
    statistics = heard(1, 2, 4)
    for index, sequence in enumerate((500, 501, 503)):
        statistics.receive(packet(sequence, ssrc=2), 1 + index * 0.02)
    assert statistics.ssrc == 2
    assert statistics.packets_received == 6
    assert statistics.packets_lost == 2
    assert statistics.cumulative_lost == 1


@pytest.mark.requirement("rfc3550.6.4")
def test_fraction_lost_is_of_256_since_the_last_time() -> None:
    statistics = heard(1, 2, 3, 4)
    assert statistics.take_fraction_lost() == 0
    for sequence in (6, 8):
        statistics.receive(packet(sequence), 0.0)
    assert statistics.take_fraction_lost() == 128
    assert statistics.take_fraction_lost() == 0


@pytest.mark.requirement("rfc3550.6.4")
def test_fraction_lost_is_never_negative() -> None:
    statistics = heard(1, 2, 4)
    statistics.take_fraction_lost()
    statistics.receive(packet(3), 0.1)
    assert statistics.take_fraction_lost() == 0


@pytest.mark.requirement("rfc3550.6.4")
def test_cumulative_loss_is_clamped_to_24_bits() -> None:
    statistics = ReceiverStatistics(8000)
    sequence = 0
    statistics.receive(packet(0), 0.0)
    statistics.receive(packet(1), 0.0)
    for _ in range(2900):
        sequence += 2900
        statistics.receive(packet(sequence), 0.0)
    assert statistics.packets_lost > 0x7FFFFF
    assert statistics.cumulative_lost == 0x7FFFFF


@pytest.mark.requirement("rfc3550.6.4")
def test_even_arrivals_have_no_jitter() -> None:
    assert heard(*range(100)).jitter == 0


@pytest.mark.requirement("rfc3550.6.4")
def test_jitter_follows_appendix_a8() -> None:
    statistics = ReceiverStatistics(8000)
    expected = 0.0
    previous = 0.0
    for index, delay in enumerate((0.0, 0.010, 0.0, 0.025, 0.005)):
        statistics.receive(packet(index), 100 + index * 0.02 + delay)
        if index:
            expected += (abs(delay - previous) * 8000 - expected) / 16
        previous = delay
    assert statistics.jitter == int(expected)
    assert statistics.jitter_ms == pytest.approx(expected / 8, abs=0.001)


@pytest.mark.requirement("rfc3550.6.4")
def test_jitter_survives_the_wrap_of_the_timestamp() -> None:
    statistics = ReceiverStatistics(8000)
    for index in range(10):
        stamp = 0xFFFFFFFF - 480 + index * 160
        statistics.receive(packet(index, stamp), 5000 + index * 0.02)
    assert statistics.jitter == 0


def test_nothing_heard_is_nothing_expected() -> None:
    statistics = ReceiverStatistics(8000)
    assert statistics.expected == 0
    assert statistics.packets_lost == 0
    assert statistics.highest_sequence == 0
    assert statistics.take_fraction_lost() == 0


@given(st.integers(0, 0xFFFF), st.lists(st.booleans(), min_size=1, max_size=300))
def test_received_and_lost_add_up_to_expected(start: int, arrives: list[bool]) -> None:
    arrives = [True, True, *arrives, True]
    numbers = [start + index for index, came in enumerate(arrives) if came]
    statistics = heard(*numbers)
    assert statistics.expected == len(arrives)
    assert statistics.packets_received == len(numbers)
    assert statistics.packets_lost == len(arrives) - len(numbers)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(1, 2)), max_size=200))
def test_any_numbers_leave_the_counts_sane(arrivals: list[tuple[int, int]]) -> None:
    statistics = ReceiverStatistics(8000)
    for index, (sequence, ssrc) in enumerate(arrivals):
        statistics.receive(packet(sequence, ssrc=ssrc), index * 0.02)
        assert 0 <= statistics.take_fraction_lost() <= 255
        assert statistics.packets_lost >= 0
        assert 0 <= statistics.packets_received + statistics.packets_duplicate <= index + 1


def test_sender_counts_packets_and_payload() -> None:
    statistics = SenderStatistics()
    statistics.send(160)
    statistics.send(80)
    assert (statistics.packets_sent, statistics.octets_sent) == (2, 240)
