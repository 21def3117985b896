"""The buffer packet by packet. Packets are 20 ms of a 8000 Hz clock; ``at(n)`` is when packet
``n`` leaves its sender, and when it arrives if nothing delays it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from ringback.rtp.jitter_buffer import EMPTY, Empty, Frame, JitterBuffer, Lost
from ringback.rtp.packet import RtpPacket

SAMPLES = 160


def at(number: float) -> float:
    return 100.0 + number * 0.020


def packet(
    number: int, *, timestamp: int | None = None, ssrc: int = 1, payload_type: int = 0
) -> RtpPacket:
    stamp = number * SAMPLES if timestamp is None else timestamp
    payload = f"{ssrc}:{number}".encode()
    return RtpPacket(payload_type, number & 0xFFFF, stamp & 0xFFFFFFFF, ssrc, payload)


def played(outcome: Frame | Lost | Empty) -> int | str:
    """A frame's sequence number, or the name of what there was instead."""
    return outcome.sequence if isinstance(outcome, Frame) else type(outcome).__name__


def run(buffer: JitterBuffer, arrivals: Mapping[int, list[int]], ticks: range) -> list[int | str]:
    """What is played in each tick; arrivals are before the tick of the same number."""
    result = []
    waiting = sorted(arrivals.items())
    for tick in ticks:
        while waiting and waiting[0][0] <= tick:
            when, numbers = waiting.pop(0)
            for number in numbers:
                buffer.add(packet(number), at(when))
        result.append(played(buffer.pop(at(tick))))
    return result


def flowing(count: int = 5, **options: int) -> JitterBuffer:
    """A buffer that has received ``count`` packets and played all but the last of them."""
    buffer = JitterBuffer(8000, **options)
    outcome = run(buffer, {number: [number] for number in range(count)}, range(count))
    assert outcome == ["Empty", *range(count - 1)]
    return buffer


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


def test_drops_a_duplicate_of_a_waiting_packet() -> None:
    buffer = flowing()
    buffer.add(packet(4), at(5))
    assert buffer.sequences == [4]
    assert (buffer.counters.duplicate, buffer.counters.late) == (1, 0)


def test_drops_a_duplicate_of_a_played_packet() -> None:
    buffer = flowing()
    buffer.add(packet(2), at(5))
    assert buffer.sequences == [4]
    assert (buffer.counters.duplicate, buffer.counters.late) == (1, 0)


def test_drops_a_packet_whose_place_was_concealed() -> None:
    buffer = flowing()
    buffer.add(packet(6), at(6))
    assert [played(buffer.pop(at(tick))) for tick in (5, 6)] == [4, "Lost"]
    buffer.add(packet(5), at(6))
    assert buffer.sequences == [6]
    assert (buffer.counters.duplicate, buffer.counters.late) == (0, 1)


# ---- holes ----------------------------------------------------------------------------------


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
    assert buffer.pop(at(7)) == Lost(6 * 160, 160)
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


def test_of_a_burst_only_what_underruns_did_not_fill_is_concealed() -> None:
    buffer = flowing()
    assert [played(buffer.pop(at(tick))) for tick in (5, 6, 7)] == [4, "Empty", "Empty"]
    for number in (10, 11, 12):
        buffer.add(packet(number), at(7.5))
    outcome = [buffer.pop(at(tick)) for tick in (8, 9, 10, 11)]
    assert outcome[:3] == [Lost(number * 160, 160) for number in (7, 8, 9)]
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


def test_holds_no_more_than_max_frames_and_drops_the_oldest() -> None:
    buffer = JitterBuffer(8000, max_frames=4)
    for number in range(6):
        buffer.add(packet(number), at(number))
    assert buffer.sequences == [2, 3, 4, 5]
    assert buffer.counters.overflow == 2
    assert played(buffer.pop(at(6))) == 2


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


def test_a_packet_older_than_one_that_overflowed_is_late() -> None:
    buffer = JitterBuffer(8000, max_frames=4)
    for number in (1, 2, 3, 4, 5, 0):
        buffer.add(packet(number), at(4))
    assert buffer.sequences == [2, 3, 4, 5]
    assert (buffer.counters.overflow, buffer.counters.late) == (1, 1)


# ---- delay ----------------------------------------------------------------------------------


def test_jitter_raises_the_wanted_delay() -> None:
    buffer = JitterBuffer(8000)
    for number in range(100):
        buffer.add(packet(number), at(number + (3 if number % 5 == 0 else 0)))
        buffer.pop(at(number))
    assert buffer.target_ms == 80


def test_one_late_packet_in_fifty_does_not() -> None:
    buffer = JitterBuffer(8000)
    for number in range(400):
        buffer.add(packet(number), at(number + (3 if number % 50 == 25 else 0)))
        buffer.pop(at(number))
    assert buffer.target_ms == 40


def stalled(seconds: float = 0.2) -> tuple[JitterBuffer, int]:
    """A buffer whose sender stalled once and then caught up, and the next packet's number."""
    buffer = flowing()
    late = 5 + round(seconds / 0.02)
    for tick in range(5, late):
        buffer.pop(at(tick))
    for number in range(5, late):
        buffer.add(packet(number), at(late - 1))
    return buffer, late


def follow(buffer: JitterBuffer, first: int, count: int, *, quiet: bool | None) -> float:
    """Play ``count`` undelayed packets more; how much is buffered in the end."""
    hint = None if quiet is None else (lambda _: bool(quiet))
    for number in range(first, first + count):
        buffer.add(packet(number), at(number))
        buffer.pop(at(number), hint)
    return buffer.depth_ms


def test_a_delay_that_grew_is_kept_for_a_while() -> None:
    buffer, number = stalled()
    assert follow(buffer, number, 40, quiet=True) >= 180
    assert buffer.counters.shrunk == 0


def test_a_sender_that_fell_behind_for_good_is_not_cut_down() -> None:
    """Its clock stood still for 0.8 s: all that is buffered is what must be."""
    buffer = flowing()
    for tick in range(5, 45):
        buffer.pop(at(tick))
    outcome = []
    for number in range(5, 500):
        buffer.add(packet(number), at(number + 40))
        outcome.append(played(buffer.pop(at(number + 40), lambda _: True)))
    assert outcome == list(range(5, 500))
    assert buffer.counters.shrunk == 0


@pytest.mark.parametrize(("quiet", "ticks_between"), [(True, 3), (False, 25)])
def test_frames_are_left_out_one_by_one(quiet: bool, ticks_between: int) -> None:
    buffer, first = stalled(0.4)
    left_out = []
    for number in range(first, first + 800):
        before = buffer.counters.shrunk
        follow(buffer, number, 1, quiet=quiet)
        left_out += [number] * (buffer.counters.shrunk - before)
    assert len(left_out) > 10
    gaps = [later - earlier for earlier, later in itertools.pairwise(left_out)]
    assert min(gaps) == ticks_between


def test_quiet_frames_are_left_out_to_shorten_the_delay() -> None:
    buffer, number = stalled()
    assert follow(buffer, number, 500, quiet=True) <= 60
    assert 6 <= buffer.counters.shrunk <= 10


def test_every_stall_has_its_own_while() -> None:
    buffer, number = stalled()
    follow(buffer, number, 500, quiet=True)
    shrunk = buffer.counters.shrunk
    number += 500
    for tick in range(number, number + 10):
        buffer.pop(at(tick))
    for late in range(number, number + 10):
        buffer.add(packet(late), at(number + 9))
    follow(buffer, number + 10, 40, quiet=True)
    assert buffer.counters.shrunk == shrunk
    follow(buffer, number + 50, 100, quiet=True)
    assert buffer.counters.shrunk > shrunk


def test_loud_frames_are_left_out_later_and_seldom() -> None:
    buffer, number = stalled(0.4)
    follow(buffer, number, 140, quiet=False)
    assert buffer.counters.shrunk == 0
    follow(buffer, number + 140, 100, quiet=False)
    assert 3 <= buffer.counters.shrunk <= 5


def test_without_a_hint_every_frame_is_loud() -> None:
    buffer, number = stalled()
    assert follow(buffer, number, 800, quiet=None) <= 60


def test_the_hint_is_not_asked_while_the_delay_is_right() -> None:
    buffer = flowing()

    def never(_: RtpPacket) -> bool:
        raise AssertionError

    for number in range(5, 300):
        buffer.add(packet(number), at(number))
        assert played(buffer.pop(at(number), never)) == number - 1


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
    assert outcome[2] == Lost(7 * 160, 160)


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
