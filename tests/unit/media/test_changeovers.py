"""A call whose frames go early, or which dozes, becomes one that is mixed by the tick, and back."""

from __future__ import annotations

import pytest

from ringback.media.lead import MAX_LOUD_LEAD
from unit.media.recorded_call import Call, Ear


def test_time_that_a_call_dozed_through_is_neither_skipped_nor_cut_when_it_is_held() -> None:
    call = Call()
    call.doze()
    call.bridge.on_hold = True
    call.tick()
    call.tick()
    assert call.steps == {160}
    assert call.recorder.left[-14:] == [50] * 12 + [None] * 2
    assert call.recorder.right[-14:] == [60] * 12 + [None] * 2
    assert len(call.recorder.left) == call.slot.frame


def test_a_recording_has_its_last_half_second_too() -> None:
    call = Call()
    call.doze()
    frames = call.slot.frame
    call.slot.remove(call.bridge.pace)
    call.bridge.close()
    assert len(call.recorder.left) == frames
    assert call.recorder.left[-12:] == [50] * 12


def test_nothing_is_lost_of_a_sentence_when_a_second_agent_comes_in() -> None:
    call = Call()
    call.talk(5)
    call.sent.clear()
    call.say(*range(1, 11))
    call.bridge.attach(Ear(), 8000)
    for _ in range(12):
        call.tick()
    assert call.spoken == list(range(1, 11))


def test_the_sides_of_a_recording_stay_in_step_however_often_agents_come_and_go() -> None:
    call = Call()
    for _ in range(20):
        call.say(*range(1, 11))
        second = call.bridge.attach(Ear(), 8000)
        for _ in range(5):
            call.tick()
        second.detach()
        for _ in range(15):
            call.tick()
    call.tick()
    call.say(77)
    for _ in range(3):
        call.tick()
    assert call.recorder.right[-3:] == [77, None, None]


def test_a_recording_that_begins_while_frames_are_early_is_in_step() -> None:
    call = Call()
    call.say(1, 2, 3, 4)
    call.bridge.record(call.recorder)
    for _ in range(6):
        call.tick()
    assert call.recorder.right == [None, None, 3, 4, None, None]
    assert len(call.recorder.left) == 6


@pytest.mark.parametrize("late", [1, 5, 20])
def test_what_comes_late_delays_a_side_of_the_recording_no_longer_than_it_is_late(
    late: int,
) -> None:
    call = Call()
    call.settle_down()
    for _ in range(10):
        for _ in range(late):
            call.tick()
        call.hear(50, late)
        for _ in range(20):
            call.hear(50)
            call.tick()
    for _ in range(200):
        call.hear(126)
        call.tick()
    call.hear(77)
    for _ in range(30):
        call.tick()
    assert len(call.recorder.left) - call.recorder.left.index(77) >= 26


def test_a_port_that_is_configured_again_and_again_puts_no_side_back_further() -> None:
    call = Call()
    call.settle_down()
    for _ in range(20):
        call.hear(50, 5)
        for _ in range(20):
            call.hear(50)
            call.tick()
        call.port.listening = True
    call.hear(77)
    for _ in range(40):
        call.tick()
    assert len(call.recorder.left) - call.recorder.left.index(77) >= 40 - MAX_LOUD_LEAD


def test_time_dozed_through_is_no_lead_of_the_agent() -> None:
    call = Call()
    call.doze()
    call.port.listening = True
    call.ear.heard.clear()
    for _ in range(50):
        call.hear(126)
        call.tick()
    assert call.ear.heard == [126] * 50
    assert call.rtp.receiver.lead.frames == 0
