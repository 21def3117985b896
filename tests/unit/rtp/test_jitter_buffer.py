"""The buffer packet by packet: order, holes, underruns, overflow."""

from __future__ import annotations

import pytest

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.playout import EMPTY, Frame, Lost
from unit.rtp.paced_buffer import at, flowing, packet, played, run

# ---- start ----------------------------------------------------------------------------------


def test_holds_the_first_packet_until_two_frames_should_be_there() -> None:
    buffer = JitterBuffer(8000)
    buffer.add(packet(0), at(0))
    assert buffer.pop(at(0)) is EMPTY
    assert buffer.sequences == [0]
    buffer.add(packet(1), at(1))
    assert buffer.pop(at(1)) == Frame(b"1:0", 0, 0, 160, 0, False)
    assert buffer.sequences == [1]


def test_a_single_packet_is_played_even_when_no_other_comes() -> None:
    assert run(JitterBuffer(8000), {0: [0]}, range(3)) == ["Empty", 0, "Empty"]


def test_with_one_frame_wanted_the_first_packet_is_played_at_once() -> None:
    buffer = JitterBuffer(8000, min_frames=1)
    assert run(buffer, {0: [0], 1: [1]}, range(2)) == [0, 1]


def test_an_empty_buffer_that_never_heard_anything_is_no_underrun() -> None:
    buffer = JitterBuffer(8000)
    assert buffer.pop(at(0)) is EMPTY
    assert buffer.counters.underruns == 0


def test_packets_reordered_at_the_very_start_are_played_in_order() -> None:
    buffer = JitterBuffer(8000)
    buffer.add(packet(1), at(1))
    assert buffer.sequences == [1]
    buffer.add(packet(0), at(1))
    assert buffer.sequences == [0, 1]
    buffer.add(packet(2), at(2))
    assert [played(buffer.pop(at(tick))) for tick in (2, 3, 4)] == [0, 1, 2]


@pytest.mark.parametrize(("low", "high"), [(0, 5), (6, 5), (-1, 1)])
def test_refuses_impossible_bounds(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="bounds"):
        JitterBuffer(8000, min_frames=low, max_frames=high)


# ---- order, duplicates, late ones -----------------------------------------------------------


def test_restores_the_order_within_the_delay() -> None:
    buffer = flowing()
    buffer.add(packet(6), at(5))
    assert buffer.sequences == [4, 6]
    buffer.add(packet(5), at(5))
    assert buffer.sequences == [4, 5, 6]
    assert [played(buffer.pop(at(tick))) for tick in (5, 6, 7)] == [4, 5, 6]
    assert buffer.counters.lost == 0


@pytest.mark.requirement("media.jitter-buffer")
def test_drops_a_duplicate_of_a_waiting_packet() -> None:
    buffer = flowing()
    buffer.add(packet(4), at(5))
    assert buffer.sequences == [4]
    assert (buffer.counters.duplicate, buffer.counters.late) == (1, 0)


@pytest.mark.requirement("media.jitter-buffer")
def test_drops_a_duplicate_of_a_played_packet() -> None:
    buffer = flowing()
    buffer.add(packet(2), at(5))
    assert buffer.sequences == [4]
    assert (buffer.counters.duplicate, buffer.counters.late) == (1, 0)


@pytest.mark.requirement("media.jitter-buffer")
def test_drops_a_packet_whose_place_was_concealed() -> None:
    buffer = flowing()
    buffer.add(packet(6), at(6))
    assert [played(buffer.pop(at(tick))) for tick in (5, 6)] == [4, "Lost"]
    buffer.add(packet(5), at(6))
    assert buffer.sequences == [6]
    assert (buffer.counters.duplicate, buffer.counters.late) == (0, 1)


# ---- holes ----------------------------------------------------------------------------------


@pytest.mark.requirement("media.jitter-buffer")
def test_a_hole_is_lost_when_its_time_has_come() -> None:
    buffer = flowing()
    outcome = run(buffer, {5: [6], 6: [7], 7: [8]}, range(5, 9))
    assert outcome == [4, "Lost", 6, 7]
    assert buffer.counters.lost == 1


def test_a_lost_frame_says_which_time_it_is_for() -> None:
    buffer = flowing()
    buffer.add(packet(7), at(6))
    buffer.pop(at(5))
    assert buffer.pop(at(6)) == Lost(5 * 160, 160)
    assert buffer.pop(at(7)) == Lost(6 * 160, 160, packet(7))
    assert played(buffer.pop(at(8))) == 7


def test_a_hole_is_waited_for_while_the_delay_allows() -> None:
    """After a stall of reordered packets the buffer wants more delay than it has."""
    buffer = flowing()
    for number in (8, 7, 6):
        buffer.add(packet(number), at(11 - number / 4))
    buffer.pop(at(9))
    assert buffer.target_ms > 40
    assert buffer.sequences == [6, 7, 8]
    buffer.add(packet(5), at(9.5))
    assert buffer.sequences == [5, 6, 7, 8]
    assert [played(buffer.pop(at(tick))) for tick in (10, 11, 12, 13)] == [5, 6, 7, 8]


def test_a_loss_that_starved_the_buffer_is_not_concealed_twice() -> None:
    buffer = JitterBuffer(8000, min_frames=1)
    arrivals: dict[int, list[int]] = {0: [0], 1: [1], 3: [3], 4: [4]}
    assert run(buffer, arrivals, range(5)) == [0, 1, "Empty", 3, 4]
    assert buffer.counters.lost == 1


def test_a_burst_of_losses_takes_its_own_time() -> None:
    buffer = flowing()
    arrivals: dict[int, list[int]] = {n: [n] for n in range(10, 20)}
    outcome = run(buffer, arrivals, range(5, 21))
    assert outcome[0] == 4
    assert outcome[1:6].count("Empty") + outcome[1:6].count("Lost") == 5
    assert outcome[6:] == [*range(10, 20)]


@pytest.mark.requirement("media.plc")
def test_of_a_burst_only_what_underruns_did_not_fill_is_concealed() -> None:
    buffer = flowing()
    assert [played(buffer.pop(at(tick))) for tick in (5, 6, 7)] == [4, "Empty", "Empty"]
    for number in (10, 11, 12):
        buffer.add(packet(number), at(7.5))
    outcome = [buffer.pop(at(tick)) for tick in (8, 9, 10, 11)]
    assert outcome[:2] == [Lost(number * 160, 160) for number in (7, 8)]
    assert outcome[2] == Lost(9 * 160, 160, packet(10))
    assert played(outcome[3]) == 10
    assert buffer.counters.lost == 5


def test_numbers_without_time_between_them_are_not_concealed() -> None:
    """Something that was no audio took the numbers 5 to 7; the timestamps go on."""
    buffer = flowing()
    buffer.add(packet(8, timestamp=5 * 160), at(5))
    assert [played(buffer.pop(at(tick))) for tick in (5, 6)] == [4, 8]


# ---- underruns ------------------------------------------------------------------------------


def test_an_underrun_waits_for_the_expected_packet() -> None:
    buffer = flowing()
    outcome = run(buffer, {9: [5, 6, 7, 8, 9], 10: [10]}, range(5, 14))
    assert outcome == [4, "Empty", "Empty", "Empty", 5, 6, 7, 8, 9]
    assert (buffer.counters.underruns, buffer.counters.lost, buffer.counters.late) == (1, 0, 0)


def test_what_a_stalled_sender_sends_at_last_is_all_played() -> None:
    buffer = flowing(max_frames=25)
    burst = list(range(5, 26))
    outcome = run(buffer, {25: burst} | {n: [n] for n in range(26, 40)}, range(5, 62))
    heard = [each for each in outcome if isinstance(each, int)]
    assert heard == list(range(4, 40))


# ---- overflow -------------------------------------------------------------------------------


@pytest.mark.requirement("media.jitter-buffer")
def test_holds_no_more_than_max_frames_and_drops_the_oldest() -> None:
    buffer = JitterBuffer(8000, max_frames=4)
    for number in range(6):
        buffer.add(packet(number), at(number))
    assert buffer.sequences == [2, 3, 4, 5]
    assert buffer.counters.overflow == 2
    assert played(buffer.pop(at(6))) == 2


@pytest.mark.requirement("media.jitter-buffer")
def test_the_bound_is_in_time_when_packets_are_longer() -> None:
    buffer = JitterBuffer(8000, max_frames=6)
    for number in range(6):
        buffer.add(packet(number, timestamp=number * 480), 100 + number * 0.06)
    assert buffer.sequences == [4, 5]
    assert buffer.depth_ms == 120


def test_an_overflow_over_a_hole_counts_the_hole_as_lost() -> None:
    buffer = flowing(max_frames=4)
    buffer.pop(at(5))
    for number in (6, 7, 8, 9, 10):
        buffer.add(packet(number), at(6))
    assert buffer.sequences == [7, 8, 9, 10]
    assert (buffer.counters.lost, buffer.counters.overflow) == (1, 1)
    buffer.add(packet(5), at(6))
    assert (buffer.counters.late, buffer.counters.duplicate) == (1, 0)


def test_a_packet_that_overflowed_does_not_come_back() -> None:
    buffer = JitterBuffer(8000, max_frames=4)
    for number in (0, 1, 2, 3, 4, 0):
        buffer.add(packet(number), at(4))
    assert buffer.sequences == [1, 2, 3, 4]
    assert buffer.counters.duplicate == 1


@pytest.mark.requirement("media.jitter-buffer")
def test_a_packet_older_than_one_that_overflowed_is_late() -> None:
    buffer = JitterBuffer(8000, max_frames=4)
    for number in (1, 2, 3, 4, 5, 0):
        buffer.add(packet(number), at(4))
    assert buffer.sequences == [2, 3, 4, 5]
    assert (buffer.counters.overflow, buffer.counters.late) == (1, 1)
