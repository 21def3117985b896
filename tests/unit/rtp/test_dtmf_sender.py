from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.rtp.dtmf import (
    DIGITS,
    DtmfEvent,
    DtmfPacket,
    DtmfReceiver,
    DtmfSender,
    TelephoneEvent,
)


def ticks(sender: DtmfSender, count: int, start: int = 0) -> list[DtmfPacket | None]:
    return [sender.tick((start + tick * 160) & 0xFFFFFFFF) for tick in range(count)]


def shape(packets: list[DtmfPacket | None]) -> str:
    """``M`` first packet, ``u`` update, ``E`` end, ``.`` audio."""
    marks = []
    for packet in packets:
        if packet is None:
            marks.append(".")
        elif packet.marker:
            marks.append("M")
        else:
            marks.append("E" if TelephoneEvent.parse(packet.payload).end else "u")
    return "".join(marks)


def test_sends_audio_while_there_is_nothing_to_dial() -> None:
    sender = DtmfSender()
    assert not sender.busy
    assert sender.tick(0) is None


@pytest.mark.requirement("rfc4733.2.5", "media.dtmf-send")
def test_a_key_starts_with_the_marker_and_ends_three_times() -> None:
    sender = DtmfSender(digit_ms=100)
    sender.send("1")
    assert shape(ticks(sender, 12)) == "MuuuEEE....."
    assert not sender.busy


@pytest.mark.requirement("rfc4733.2.5", "rfc4733.2.3")
def test_all_packets_of_a_key_carry_its_start_and_a_growing_duration() -> None:
    sender = DtmfSender(digit_ms=100)
    sender.send("#")
    packets = [packet for packet in ticks(sender, 7, start=0xFFFFFF00) if packet is not None]
    assert {packet.timestamp for packet in packets} == {0xFFFFFF00}
    events = [TelephoneEvent.parse(packet.payload) for packet in packets]
    assert {(event.event, event.volume) for event in events} == {(11, 10)}
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 800, 800]


@pytest.mark.requirement("rfc4733.2.5")
def test_keys_are_apart_and_a_comma_is_half_a_second() -> None:
    sender = DtmfSender(digit_ms=40, gap_ms=60, pause_ms=100)
    sender.send("1,2")
    assert shape(ticks(sender, 20)) == "MEEE" + "..." + "....." + "MEEE" + "...."


def test_keys_may_be_added_while_others_go_out() -> None:
    sender = DtmfSender(digit_ms=40, gap_ms=20)
    sender.send("1")
    first = ticks(sender, 2)
    sender.send("2")
    assert shape(first + ticks(sender, 10)) == "MEEE.MEEE..."


def test_clear_finishes_the_key_that_is_down() -> None:
    sender = DtmfSender(digit_ms=40, gap_ms=20)
    sender.send("12")
    first = ticks(sender, 1)
    sender.clear()
    assert shape(first + ticks(sender, 8)) == "MEEE....."


@pytest.mark.parametrize("digits", ["12x", "1 2", "+49", "1\n", "é"])
def test_refuses_what_is_no_key_and_sends_nothing_of_it(digits: str) -> None:
    sender = DtmfSender()
    with pytest.raises(ValueError, match="is not a key"):
        sender.send(digits)
    assert not sender.busy


def test_letters_may_be_small() -> None:
    sender = DtmfSender()
    sender.send("d")
    packet = sender.tick(0)
    assert packet is not None
    assert TelephoneEvent.parse(packet.payload).event == 15


def test_refuses_more_than_it_may_hold() -> None:
    sender = DtmfSender(max_queued=4)
    sender.send("123")
    with pytest.raises(ValueError, match="more than 4"):
        sender.send("45")
    sender.send("4")


@pytest.mark.requirement("rfc4733.2.5")
def test_a_very_long_key_goes_on_in_segments_rfc4733_2513() -> None:
    sender = DtmfSender(digit_ms=20_000)
    sender.send("1")
    packets = [packet for packet in ticks(sender, 1100) if packet is not None]
    events = [TelephoneEvent.parse(packet.payload) for packet in packets]
    segments = sorted({packet.timestamp for packet in packets})
    assert len(segments) == 3
    assert [event.end for event in events].index(True) == len(events) - 3
    assert [packet.marker for packet in packets].count(True) == 1
    assert segments[-1] + events[-1].duration - segments[0] == 20_000 * 8


@pytest.mark.requirement("rfc4733.2.5")
@pytest.mark.parametrize("clock_rate", [8000, 16000, 48000])
def test_a_key_of_any_length_is_heard_as_long_as_it_was(clock_rate: int) -> None:
    sender = DtmfSender(clock_rate, digit_ms=20_000)
    receiver = DtmfReceiver(clock_rate)
    sender.send("D")
    heard = []
    for tick in range(1100):
        packet = sender.tick((0xFFFF0000 + tick * clock_rate // 50) & 0xFFFFFFFF)
        if packet is not None:
            event = receiver.receive(packet.payload, packet.timestamp, 5 + tick * 0.02)
            heard += [event] if event else []
    assert heard == [DtmfEvent("D", 20_000)]


@pytest.mark.requirement("media.dtmf-send", "rfc4733.2.5")
@given(st.text(DIGITS + ",", max_size=12), st.integers(0, 0xFFFFFFFF))
def test_what_is_dialled_is_heard(digits: str, start: int) -> None:
    sender = DtmfSender()
    receiver = DtmfReceiver()
    sender.send(digits)
    heard = []
    for tick in range(len(digits) * 30 + 5):
        packet = sender.tick((start + tick * 160) & 0xFFFFFFFF)
        if packet is not None:
            heard.append(receiver.receive(packet.payload, packet.timestamp, tick * 0.02))
    assert not sender.busy
    assert [each.digit for each in heard if each] == [key for key in digits if key != ","]
    assert {each.duration_ms for each in heard if each} <= {160}
