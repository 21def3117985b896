from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp.dtmf import DIGITS, DtmfEvent, DtmfReceiver, TelephoneEvent
from ringback.rtp.errors import EventError

Step = tuple[int, int, bool]
"""Timestamp, duration, end."""


def receive(receiver: DtmfReceiver, event: int, steps: list[Step], now: float = 0.0) -> list[str]:
    """What comes of packets 20 ms apart, as ``digit:ms``."""
    events = []
    for index, (timestamp, duration, end) in enumerate(steps):
        payload = bytes(TelephoneEvent(event, duration, end))
        events.append(receiver.receive(payload, timestamp, now + index * 0.02))
    return [f"{each.digit}:{each.duration_ms}" for each in events if each is not None]


PRESS: list[Step] = [
    (1000, 160, False),
    (1000, 320, False),
    (1000, 480, False),
    (1000, 640, True),
    (1000, 640, True),
    (1000, 640, True),
]


@pytest.mark.requirement("rfc4733.2.3")
@pytest.mark.parametrize(("code", "digit"), list(enumerate("0123456789*#ABCD")))
def test_every_key_has_its_code(code: int, digit: str) -> None:
    assert receive(DtmfReceiver(), code, PRESS) == [f"{digit}:80"]


@pytest.mark.requirement("rfc4733.2.3")
def test_the_duration_is_in_ms_of_the_clock() -> None:
    assert receive(DtmfReceiver(48000), 5, [(0, 4800, True)]) == ["5:100"]


@pytest.mark.requirement("media.dtmf-rfc4733", "rfc4733.2.5")
@pytest.mark.parametrize("kept", [[0, 3], [3], [5], [0, 1, 2, 5], [2, 4]])
def test_one_key_comes_of_any_packets_that_reach_us(kept: list[int]) -> None:
    assert receive(DtmfReceiver(), 1, [PRESS[index] for index in kept]) == ["1:80"]


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_order_within_a_press_does_not_matter() -> None:
    shuffled = [PRESS[index] for index in (1, 0, 2, 3, 5, 4)]
    assert receive(DtmfReceiver(), 1, shuffled) == ["1:80"]


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_a_packet_that_comes_after_the_end_of_its_press_is_no_second_press() -> None:
    receiver = DtmfReceiver()
    assert receive(receiver, 1, [PRESS[3], PRESS[1], PRESS[2], PRESS[5]]) == ["1:80"]
    assert receiver.poll(10.0) is None


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_the_same_key_twice_is_two_presses() -> None:
    again = [(3000, duration, end) for _, duration, end in PRESS]
    assert receive(DtmfReceiver(), 1, PRESS + again) == ["1:80", "1:80"]


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_a_press_whose_end_was_lost_ends_with_the_next_one() -> None:
    receiver = DtmfReceiver()
    assert receive(receiver, 1, PRESS[:3]) == []
    assert receive(receiver, 2, [(3000, 160, False)], now=0.1) == ["1:60"]
    assert receiver.poll(0.11) is None


def test_two_presses_known_at_once_are_told_one_after_the_other() -> None:
    receiver = DtmfReceiver()
    receive(receiver, 1, PRESS[:3])
    assert receive(receiver, 2, [(3000, 800, True)], now=0.1) == ["1:60"]
    assert receiver.poll(0.12) == DtmfEvent("2", 100)
    assert receiver.poll(0.14) is None


@pytest.mark.requirement("media.dtmf-rfc4733")
def test_a_press_whose_end_was_lost_ends_after_a_while() -> None:
    receiver = DtmfReceiver()
    receive(receiver, 1, PRESS[:3], now=5.0)
    assert receiver.poll(5.04 + 0.24) is None
    assert receiver.poll(5.04 + 0.26) == DtmfEvent("1", 60)
    assert receiver.poll(9.0) is None
    assert receive(receiver, 1, PRESS[3:], now=6.0) == []


def test_a_packet_overtaken_by_the_next_press_is_ignored() -> None:
    receiver = DtmfReceiver()
    assert receive(receiver, 1, PRESS[:4]) == ["1:80"]
    assert receive(receiver, 2, [(3000, 160, False), (1000, 640, True), (3000, 320, True)]) == [
        "2:40"
    ]


def test_the_timestamp_may_wrap_between_presses() -> None:
    receiver = DtmfReceiver()
    assert receive(receiver, 1, [(0xFFFFFF00, 640, True)]) == ["1:80"]
    assert receive(receiver, 2, [(0x00000900, 640, True)]) == ["2:80"]


def test_a_source_that_starts_far_back_is_heard() -> None:
    receiver = DtmfReceiver()
    assert receive(receiver, 1, [(2_000_000_000, 640, True)]) == ["1:80"]
    assert receive(receiver, 2, [(1_000, 640, True)]) == ["2:80"]


@pytest.mark.requirement("rfc4733.2.5")
def test_a_long_press_goes_on_in_a_new_segment_rfc4733_2513() -> None:
    steps = [(1000, 160, False), (1000, 0xFFFF, False), (1000 + 0xFFFF, 160, False)]
    steps.append((1000 + 0xFFFF, 8000, True))
    assert receive(DtmfReceiver(), 7, steps) == [f"7:{(0xFFFF + 8000) // 8}"]


@pytest.mark.requirement("rfc4733.2.5")
def test_a_segment_counts_whole_when_its_last_packets_were_lost() -> None:
    steps = [(1000, 60000, False), (1000 + 0xFFFF, 800, True)]
    assert receive(DtmfReceiver(), 7, steps) == [f"7:{(0xFFFF + 800) // 8}"]


def test_the_same_key_seconds_later_is_no_segment_of_a_short_press() -> None:
    receiver = DtmfReceiver()
    receive(receiver, 1, PRESS[:3])
    assert receive(receiver, 1, [(1000 + 60000, 160, False)]) == ["1:60"]


@pytest.mark.requirement("rfc4733.2.5")
def test_the_duration_is_the_longest_that_was_said() -> None:
    receiver = DtmfReceiver()
    receive(receiver, 1, [PRESS[2], PRESS[1]], now=1.0)
    assert receiver.poll(2.0) == DtmfEvent("1", 60)


@pytest.mark.requirement("rfc4733.2.5")
def test_a_long_press_may_wrap_its_duration() -> None:
    steps = [(1000, 65000, False), (1000, 500, False), (1000, 65500, False), (1000, 900, True)]
    assert receive(DtmfReceiver(), 7, steps) == [f"7:{(0x10000 + 900) // 8}"]


def test_another_key_right_after_a_long_one_is_another_press() -> None:
    receiver = DtmfReceiver()
    receive(receiver, 7, [(1000, 0xFFFF, False)])
    assert receive(receiver, 8, [(1000 + 0xFFFF, 160, True)]) == ["7:8191"]
    assert receiver.poll(0.1) == DtmfEvent("8", 20)


def test_a_code_that_changes_within_a_press_is_ignored() -> None:
    receiver = DtmfReceiver()
    receive(receiver, 1, PRESS[:2])
    assert receive(receiver, 2, [(1000, 640, True)]) == []
    assert receive(receiver, 1, [(1000, 640, True)]) == ["1:80"]


@pytest.mark.requirement("rfc4733.2.3")
@pytest.mark.parametrize("event", [16, 32, 255])
def test_events_that_are_no_keys_are_ignored(event: int) -> None:
    receiver = DtmfReceiver()
    assert receive(receiver, event, PRESS) == []
    assert receiver.poll(9.0) is None


def test_nothing_is_no_press() -> None:
    assert DtmfReceiver().poll(1.0) is None


@pytest.mark.parametrize("payload", [b"", b"\x01\x0a\x00"])
def test_refuses_what_is_too_short(payload: bytes) -> None:
    with pytest.raises(EventError):
        DtmfReceiver().receive(payload, 0, 0.0)


@pytest.mark.requirement("rfc4733.2.3")
def test_reads_the_bits_where_they_are() -> None:
    assert TelephoneEvent.parse(bytes.fromhex("0b8a0320")) == TelephoneEvent(11, 800, True, 10)
    assert TelephoneEvent.parse(bytes.fromhex("0b4a0320 ffff")) == TelephoneEvent(11, 800)


@pytest.mark.requirement("rfc4733.2.3")
@given(st.integers(0, 255), st.integers(0, 0xFFFF), st.booleans(), st.integers(0, 63))
def test_what_is_written_is_read_back(event: int, duration: int, end: bool, volume: int) -> None:
    payload = TelephoneEvent(event, duration, end, volume)
    assert TelephoneEvent.parse(bytes(payload)) == payload


@pytest.mark.requirement("media.dtmf-rfc4733")
@given(
    st.lists(st.integers(0, 15), min_size=1, max_size=5),
    st.integers(0, 0xFFFFFFFF),
    st.data(),
)
def test_dialled_digits_survive_loss_doubling_and_overtaking(
    codes: list[int], start: int, data: st.DataObject
) -> None:
    """Of each press at least one packet arrives, in any order and number within the press."""
    receiver = DtmfReceiver()
    heard = []
    now = 0.0
    for index, code in enumerate(codes):
        timestamp = (start + index * 2000) & 0xFFFFFFFF
        steps = data.draw(st.lists(st.sampled_from(PRESS), min_size=1, max_size=8))
        for _, duration, end in steps:
            payload = bytes(TelephoneEvent(code, duration, end))
            heard.append(receiver.receive(payload, timestamp, now))
        for _ in range(15):
            now += 0.02
            heard.append(receiver.poll(now))
    assert [each.digit for each in heard if each is not None] == [DIGITS[code] for code in codes]
