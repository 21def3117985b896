"""What a call gets when clocks differ, ours stands still, or the person turns out elsewhere."""

from __future__ import annotations

import pytest

from ringback.media.plane import NegotiatedAudio, RtpAddress
from unit.media.recorded_call import PHONE, Call, broken, level


def stall(call: Call, frames: int) -> None:
    """As the pacer does after one: the most of it at once, and three frames by themselves."""
    call.tick(frames - 3)
    for _ in range(3):
        call.slot.run(call.now, 1, broken)


def test_what_came_while_our_process_stood_still_is_heard_and_nothing_is_made_up() -> None:
    call = Call()
    call.settle_down()
    call.ear.heard.clear()
    stall(call, 100)
    call.hear(40, 100)
    for _ in range(50):
        call.hear(50)
        call.tick()
    assert call.ear.heard == [40] * 100 + [50] * 50
    assert call.counters.frames_concealed == 0
    assert call.recorder.left[-150:] == [40] * 100 + [50] * 50


def test_a_stall_of_which_the_first_packet_is_read_before_the_clock_looks() -> None:
    call = Call()
    call.doze()
    call.ear.heard.clear()
    call.now += 2.0
    call.hear(40)
    call.now -= 2.0
    stall(call, 100)
    call.hear(40, 99)
    for _ in range(50):
        call.hear(50)
        call.tick()
    assert call.ear.heard == [40] * 100 + [50] * 50


def test_a_stall_in_which_nothing_came_is_silence_soon_after_it() -> None:
    call = Call()
    call.settle_down()
    call.ear.heard.clear()
    stall(call, 100)
    for _ in range(10):
        call.tick()
    assert len(call.ear.heard) >= 106


def test_what_waits_goes_out_as_the_agent_goes_on_and_nobody_has_to_look() -> None:
    call = Call()
    call.doze()
    call.sent.clear()
    call.say(*range(1, 7))
    ticks, at_once = call.ticks, len(call.spoken)
    assert at_once < 6
    for number in range(7, 17):
        call.hear(50)
        call.tick()
        call.say(number)
    assert call.spoken == list(range(1, at_once + 11))
    assert call.ticks - ticks <= 1  # now and then somebody does
    for _ in range(10):
        call.tick()
        call.hear(50)
    assert call.spoken == list(range(1, 17))


@pytest.mark.parametrize("before", ["nothing", "a word", "a while"])
@pytest.mark.parametrize(("frames", "each"), [(45, 1), (45, 45), (95, 5), (190, 10)])
def test_an_agent_that_speaks_ahead_is_heard_whole(before: str, frames: int, each: int) -> None:
    call = Call()
    call.settle_down() if before == "a while" else call.talk(0)
    for said in range(200):
        call.hear(50)
        if before == "a word" and said == 50:
            call.say(60)
        call.tick()
    call.sent.clear()
    numbers = [1 + number % 100 for number in range(frames)]
    for start in range(0, frames, each):
        call.port.play(b"".join(level(number) for number in numbers[start : start + each]))
        # One message after the other at once, or pieces at 1.4 times real time.
        for _ in range(each * 5 // 7 if each < frames else 0):
            call.hear(50)
            call.tick()
    for _ in range(frames + 100):
        call.hear(50)
        call.tick()
    assert call.spoken == numbers


def drift(call: Call, seconds: float, period: float) -> None:
    """The person sends a frame every ``period`` seconds, we count 20 ms."""
    sends, ticks = call.now + 0.001, call.now + 0.02
    end = call.now + seconds
    while ticks < end:
        if sends < ticks:
            call.now = sends
            call.hear(50)
            call.say(60)
            sends += period
        else:
            call.now = ticks
            call.slot.run(ticks, 1, broken)
            ticks += 0.02


def test_a_sender_with_a_slow_clock_is_followed_for_hours_without_holes() -> None:
    call = Call()
    call.settle_down()
    call.ear.heard.clear()
    drift(call, 120, 0.0201)
    assert call.ear.heard.count(None) == 0
    made_up = call.counters.frames_concealed
    assert made_up > 10
    call.lose(1)
    drift(call, 1, 0.02)
    assert call.counters.frames_concealed == made_up + 1


def test_audio_follows_a_person_that_turns_out_to_be_elsewhere() -> None:
    targets: list[tuple[str, int]] = []
    call = Call(send_rtp=lambda data, address: targets.append((address[0], address[1])))
    call.rtp.negotiate(NegotiatedAudio(RtpAddress("127.0.0.9", 9), "PCMU", 0), call.now)
    for number in range(4):
        call.say(1)
        call.tick()
        call.hear(50 + number)
    targets.clear()
    call.say(1)
    call.tick()
    assert targets == [PHONE]
