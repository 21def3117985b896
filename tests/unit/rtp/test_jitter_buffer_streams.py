"""Talkspurts, packet lengths, wraps, and streams that change under the buffer."""

from __future__ import annotations

import pytest

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.playout import EMPTY, Frame, Lost
from unit.rtp.paced_buffer import at, flowing, packet, played

# ---- talkspurts and packet sizes ------------------------------------------------------------


def test_a_talkspurt_after_a_pause_is_held_back_like_a_first_packet() -> None:
    buffer = flowing()
    assert played(buffer.pop(at(5))) == 4
    for tick in range(6, 50):
        assert buffer.pop(at(tick)) is EMPTY
    buffer.add(packet(5, timestamp=50 * 160), at(50))
    assert buffer.pop(at(50)) is EMPTY
    buffer.add(packet(6, timestamp=51 * 160), at(51))
    assert [played(buffer.pop(at(tick))) for tick in (51, 52)] == [5, 6]
    assert buffer.counters.lost == 0


def test_a_talkspurt_whose_first_packet_is_lost_starts_with_the_second() -> None:
    buffer = flowing()
    buffer.pop(at(5))
    buffer.pop(at(6))
    buffer.add(packet(6, timestamp=51 * 160), at(51))
    assert [played(buffer.pop(at(tick))) for tick in (51, 52)] == ["Empty", 6]
    assert buffer.counters.lost == 1


@pytest.mark.parametrize("ms", [10, 30, 40, 60])
def test_packets_of_another_length_come_out_whole(ms: int) -> None:
    buffer = JitterBuffer(8000)
    for number in range(4):
        buffer.add(packet(number, timestamp=number * 8 * ms), 100 + number * ms / 1000)
    outcome = [buffer.pop(100 + (number + 2) * ms / 1000) for number in range(4)]
    assert [each.samples for each in outcome if isinstance(each, Frame)] == [8 * ms] * 4


def test_packets_that_become_shorter_are_measured_by_their_timestamps() -> None:
    buffer = flowing()
    stamp = 5 * 160
    for number in range(5, 12):
        buffer.add(packet(number, timestamp=stamp), 100 + stamp / 8000)
        stamp += 80
    now = 100 + stamp / 8000
    frames = [buffer.pop(now) for _ in range(8)]
    assert [each.samples for each in frames if isinstance(each, Frame)] == [160] + [80] * 7


def test_the_first_shorter_packet_is_measured_too() -> None:
    buffer = flowing()
    buffer.pop(at(5))
    for number, stamp in ((5, 800), (6, 880)):
        buffer.add(packet(number, timestamp=stamp), 100 + stamp / 8000)
    frame = buffer.pop(at(6.5))
    assert isinstance(frame, Frame)
    assert (frame.sequence, frame.samples) == (5, 80)


def test_one_short_pause_is_no_new_packet_length() -> None:
    buffer = flowing()
    for number in (5, 7):
        buffer.add(packet(number, timestamp=(number + 1) * 160), at(number + 1))
    outcome = [buffer.pop(at(tick)) for tick in (7, 8, 9)]
    assert [played(each) for each in outcome[:2]] == [4, 5]
    assert outcome[2] == Lost(7 * 160, 160, packet(7, timestamp=8 * 160))


def test_the_payload_type_may_change_at_any_packet() -> None:
    buffer = flowing()
    buffer.add(packet(5, payload_type=8), at(5))
    buffer.add(packet(6, payload_type=0), at(6))
    outcome = [buffer.pop(at(tick)) for tick in (5, 6, 7)]
    assert [each.payload_type for each in outcome if isinstance(each, Frame)] == [0, 8, 0]


def test_event_packets_leave_no_hole() -> None:
    buffer = flowing()
    for number in (5, 6, 7):
        buffer.pass_over(packet(number, timestamp=5 * 160, payload_type=101))
    buffer.add(packet(8, timestamp=8 * 160), at(8))
    buffer.add(packet(9, timestamp=9 * 160), at(9))
    outcome = [played(buffer.pop(at(tick))) for tick in range(5, 11)]
    assert outcome == [4, "Empty", "Empty", "Empty", 8, 9]
    assert buffer.counters.lost == 0


def test_event_packets_of_strangers_or_of_the_past_are_ignored() -> None:
    buffer = JitterBuffer(8000)
    buffer.pass_over(packet(3))
    assert len(buffer) == 0
    buffer = flowing()
    buffer.pass_over(packet(5, ssrc=2))
    buffer.pass_over(packet(2))
    buffer.pass_over(packet(4))
    buffer.pass_over(packet(20000))
    assert buffer.sequences == [4]
    assert len(buffer) == 1


# ---- wraps and jumps ------------------------------------------------------------------------


def test_sequence_number_and_timestamp_wrap() -> None:
    buffer = JitterBuffer(8000)
    outcome = []
    for index in range(10):
        number = 65530 + index
        stamp = 0xFFFFFFFF - 5 * 160 + index * 160
        buffer.add(packet(number, timestamp=stamp), at(index))
        outcome.append(played(buffer.pop(at(index))))
    assert outcome == ["Empty", 65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 2]
    assert buffer.counters.lost == 0


def test_a_new_source_follows_when_its_second_packet_confirms_it() -> None:
    buffer = flowing()
    buffer.add(packet(900, ssrc=2), at(5))
    assert buffer.sequences == [4]
    buffer.add(packet(901, ssrc=2), at(6))
    assert buffer.sequences == [4, 900, 901]
    assert [played(buffer.pop(at(tick))) for tick in (6, 7, 8)] == [4, 900, 901]
    assert buffer.counters.resyncs == 1


def test_one_stray_packet_of_another_source_changes_nothing() -> None:
    buffer = flowing()
    buffer.add(packet(900, ssrc=2), at(5))
    buffer.add(packet(5), at(5))
    buffer.add(packet(77, ssrc=3), at(6))
    buffer.add(packet(78, ssrc=4), at(6))
    assert buffer.sequences == [4, 5]
    assert buffer.counters.resyncs == 0
    assert buffer.counters.stray == 2


def test_strays_that_do_not_follow_each_other_confirm_nothing() -> None:
    buffer = flowing()
    for number in (900, 5000, 4999, 4999):
        buffer.add(packet(number, ssrc=2), at(5))
    assert buffer.sequences == [4]
    assert buffer.counters.resyncs == 0


@pytest.mark.parametrize("first", [20000, 60000])
def test_a_source_that_numbers_anew_follows(first: int) -> None:
    buffer = flowing()
    for index in range(4):
        buffer.add(packet(first + index, timestamp=index * 160), at(5 + index))
    assert buffer.sequences == [4, first, first + 1, first + 2, first + 3]
    assert buffer.counters.resyncs == 1


@pytest.mark.parametrize("jump", [-5_000_000, -100_000, 100_000, 5_000_000])
def test_a_timestamp_jump_is_joined_on(jump: int) -> None:
    buffer = flowing()
    outcome = []
    for number in range(5, 12):
        buffer.add(packet(number, timestamp=number * 160 + jump), at(number))
        outcome.append(played(buffer.pop(at(number))))
    assert outcome == list(range(4, 11))
    assert (buffer.counters.resyncs, buffer.counters.lost) == (1, 0)


def test_a_sender_whose_clock_stood_still_starts_a_talkspurt() -> None:
    buffer = flowing()
    buffer.pop(at(5))
    buffer.pop(at(6))
    outcome = []
    for number in range(5, 10):
        buffer.add(packet(number), at(number + 500))
        outcome.append(played(buffer.pop(at(number + 500))))
    assert outcome == ["Empty", 5, 6, 7, 8]


def test_a_packet_from_before_a_jump_is_late() -> None:
    buffer = flowing()
    buffer.add(packet(6, timestamp=5_000_000), at(5))
    buffer.add(packet(5), at(5))
    buffer.add(packet(3), at(5))
    assert buffer.sequences == [4, 6]
    assert (buffer.counters.late, buffer.counters.duplicate) == (1, 1)


@pytest.mark.requirement("media.ptime")
@pytest.mark.parametrize("samples", [80, 320, 480, 960])
def test_a_packet_says_how_long_the_lost_one_before_it_was(samples: int) -> None:
    buffer = JitterBuffer(8000)
    for number in (0, 2):
        buffer.add(
            packet(number, timestamp=number * samples), 100 + number * samples / 8000, samples
        )
    now = 100 + 2 * samples / 8000 + 0.020
    frame = buffer.pop(now)
    lost = buffer.pop(now)
    assert isinstance(frame, Frame)
    assert isinstance(lost, Lost)
    assert frame.samples == lost.samples == samples


def test_all_that_is_buffered_can_be_had_at_once() -> None:
    buffer = JitterBuffer(8000)
    for number in (1, 3, 2, 6):
        buffer.add(packet(number), at(0))
    buffer.pass_over(packet(7))
    assert [frame.sequence for frame in buffer.drain()] == [1, 2, 3, 6]
    assert len(buffer) == 0
    assert buffer.drain() == []
