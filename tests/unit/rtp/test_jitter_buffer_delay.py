"""How the buffer finds its delay, and how it gets rid of too much of it."""

from __future__ import annotations

import itertools

import pytest

from ringback.rtp.jitter_buffer import JitterBuffer
from ringback.rtp.packet import RtpPacket
from unit.rtp.paced_buffer import at, flowing, packet, played


@pytest.mark.requirement("media.jitter-buffer")
def test_jitter_raises_the_wanted_delay() -> None:
    buffer = JitterBuffer(8000)
    for number in range(100):
        buffer.add(packet(number), at(number + (3 if number % 5 == 0 else 0)))
        buffer.pop(at(number))
    assert buffer.target_ms == 80


@pytest.mark.requirement("media.jitter-buffer")
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
    waits = outcome.count("Empty")
    assert [each for each in outcome if each != "Empty"] == list(range(5, 500 - waits))
    assert waits == buffer.counters.stretched <= 1
    assert buffer.counters.shrunk == 0


@pytest.mark.requirement("media.jitter-buffer")
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


@pytest.mark.requirement("media.jitter-buffer")
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


@pytest.mark.requirement("media.jitter-buffer")
def test_loud_frames_are_left_out_later_and_seldom() -> None:
    buffer, number = stalled(0.4)
    follow(buffer, number, 490, quiet=False)
    assert buffer.counters.shrunk == 0
    follow(buffer, number + 490, 100, quiet=False)
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
