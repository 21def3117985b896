from __future__ import annotations

import logging
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback.core.errors import InvalidRequest, LimitReached
from ringback.media.agent_port import (
    MAX_PENDING_MARKS,
    MAX_QUEUED_MS,
    BridgePort,
    PlayoutQueue,
    UnevenFrameResampler,
)
from ringback.media.metrics import MediaCounters

FRAME = 320


class Ear:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.digits: list[tuple[str, int]] = []
        self.marks: list[str] = []
        self.detached = 0

    def on_audio(self, frame: bytes) -> None:
        self.frames.append(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        self.digits.append((digit, duration_ms))

    def on_mark(self, name: str) -> None:
        self.marks.append(name)

    def on_detached(self) -> None:
        self.detached += 1


class BrokenEar(Ear):
    def on_audio(self, frame: bytes) -> None:
        raise RuntimeError("broken ear")

    def on_mark(self, name: str) -> None:
        raise RuntimeError("broken ear")

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        raise RuntimeError("broken ear")


def make_port(
    ear: Ear | None = None, rate: int = 8000, native: int = 8000
) -> tuple[BridgePort, MediaCounters, list[BridgePort]]:
    counters = MediaCounters()
    gone: list[BridgePort] = []
    return BridgePort(ear or Ear(), rate, native, counters, gone.append), counters, gone


def pcm(samples: int, start: int = 0) -> bytes:
    return struct.pack(f"<{samples}h", *((start + n) % 30000 + 1 for n in range(samples)))


def tone(samples: int, rate: int, hz: float = 440.0) -> bytes:
    wave = (int(12000 * math.sin(2 * math.pi * hz * n / rate)) for n in range(samples))
    return struct.pack(f"<{samples}h", *wave)


def test_a_frame_goes_through_untouched() -> None:
    port, _, _ = make_port()
    frame = pcm(160)
    port.play(frame)
    assert port.take() is frame


def test_pushes_of_any_size_are_realigned_to_frames_in_order() -> None:
    port, _, _ = make_port()
    audio = pcm(160 * 5)
    for start, end in ((0, 2), (2, 700), (700, 700), (700, 702), (702, 1598), (1598, 1600)):
        port.play(audio[start:end])
    frames = [port.take() for _ in range(5)]
    assert b"".join(frame or b"" for frame in frames) == audio
    assert all(len(frame or b"") == FRAME for frame in frames)


def test_with_nothing_queued_there_is_nothing_to_play() -> None:
    port, _, _ = make_port()
    assert port.take() is None
    assert port.played_ms == 0


def test_the_tail_of_a_sentence_waits_one_tick_and_is_played_padded() -> None:
    port, _, _ = make_port()
    port.play(pcm(200))
    assert port.take() == pcm(160)
    assert port.take() is None
    tail = port.take()
    assert tail == pcm(40, 160) + bytes(240)
    assert port.played_ms == 25
    assert port.take() is None


def test_part_of_a_frame_is_joined_with_what_comes_within_a_tick() -> None:
    port, _, _ = make_port()
    port.play(pcm(100))
    assert port.take() is None
    port.play(pcm(60, 100))
    assert port.take() == pcm(160)


def test_half_a_sample_is_refused_and_nothing_is_queued() -> None:
    port, _, _ = make_port()
    with pytest.raises(InvalidRequest) as refused:
        port.play(b"\x01\x02\x03")
    assert refused.value.code == "odd_byte_count"
    assert port.queued_ms == 0


def test_more_than_the_bound_is_refused_whole() -> None:
    port, counters, _ = make_port()
    port.play(bytes(16 * (MAX_QUEUED_MS - 20)))
    port.play(bytes(FRAME))
    with pytest.raises(LimitReached) as refused:
        port.play(b"\0\0")
    assert refused.value.code == "playout_full"
    assert port.queued_ms == MAX_QUEUED_MS
    assert counters.playout_full == 1


def test_the_bound_is_in_time_whatever_the_agents_rate() -> None:
    port, _, _ = make_port(rate=48000)
    second = bytes(96000)
    for _ in range(MAX_QUEUED_MS // 1000):
        port.play(second)
    with pytest.raises(LimitReached):
        port.play(second)


def test_clear_drops_at_once_and_says_how_much() -> None:
    port, counters, _ = make_port()
    port.play(pcm(8000))
    port.take()
    assert port.clear() == 980
    assert port.take() is None
    assert (port.queued_ms, port.played_ms) == (0, 20)
    assert counters.playout_cleared_ms == 980
    assert port.clear() == 0


def test_a_mark_fires_when_what_was_queued_before_it_has_been_played() -> None:
    ear = Ear()
    port, _, _ = make_port(ear)
    port.play(pcm(320))
    port.mark("end of sentence")
    port.play(pcm(160))
    port.mark("end of turn")
    fired: list[list[str]] = []
    for _ in range(3):
        port.take()
        fired.append(list(ear.marks))
    assert fired == [[], ["end of sentence"], ["end of sentence", "end of turn"]]


def test_a_mark_with_nothing_before_it_fires_at_once() -> None:
    ear = Ear()
    port, _, _ = make_port(ear)
    port.mark("now")
    assert ear.marks == ["now"]


def test_clear_fires_the_marks_that_were_waiting() -> None:
    ear = Ear()
    port, _, _ = make_port(ear)
    port.play(pcm(1600))
    port.mark("a")
    port.mark("b")
    port.clear()
    assert ear.marks == ["a", "b"]


def test_marks_are_bounded() -> None:
    port, _, _ = make_port()
    port.play(pcm(160))
    for n in range(MAX_PENDING_MARKS):
        port.mark(str(n))
    with pytest.raises(LimitReached) as refused:
        port.mark("one too many")
    assert refused.value.code == "too_many_marks"


def test_a_mark_inside_the_last_partial_frame_fires_when_that_is_played() -> None:
    ear = Ear()
    port, _, _ = make_port(ear)
    port.play(pcm(40))
    port.mark("tail")
    assert port.take() is None
    assert ear.marks == []
    port.take()
    assert ear.marks == ["tail"]


def test_what_passes_on_hold_counts_neither_as_played_nor_as_queued() -> None:
    ear = Ear()
    port, counters, _ = make_port(ear)
    port.play(pcm(480))
    port.mark("end")
    port.take()
    port.discard()
    port.discard()
    port.discard()
    assert (port.played_ms, port.queued_ms) == (20, 0)
    assert counters.playout_discarded_ms == 40
    assert ear.marks == ["end"]


@pytest.mark.parametrize(("rate", "native"), [(24000, 8000), (8000, 16000), (11025, 8000)])
def test_a_resampled_sentence_is_played_to_its_end(rate: int, native: int) -> None:
    port, _, _ = make_port(rate=rate, native=native)
    port.play(tone(rate // 2, rate))
    heard = bytearray()
    idle = 0
    while idle < 3:
        frame = port.take()
        idle = idle + 1 if frame is None else 0
        heard += frame or b""
    assert abs(port.played_ms - 500) <= 1
    samples = struct.unpack(f"<{len(heard) // 2}h", heard)
    last_loud = max(n for n, sample in enumerate(samples) if abs(sample) > 3000)
    assert last_loud >= native * 0.495


def test_the_ear_hears_its_own_rate() -> None:
    ear = Ear()
    port, _, _ = make_port(ear, rate=24000)
    for _ in range(10):
        port.hear(bytes(FRAME))
    assert [len(frame) for frame in ear.frames] == [960] * 10


def test_at_an_uneven_rate_frames_differ_by_a_sample_and_no_time_is_lost() -> None:
    ear = Ear()
    port, _, _ = make_port(ear, rate=11025)
    for n in range(50):
        port.hear(tone(160 * 50, 8000)[n * FRAME : (n + 1) * FRAME])
    assert {len(frame) for frame in ear.frames} == {440, 442}
    assert sum(len(frame) for frame in ear.frames) == 11025 * 2


def test_an_uneven_stream_has_no_gap_after_its_start() -> None:
    resampler = UnevenFrameResampler(8000, 22050)
    audio = tone(160 * 100, 8000, 1000.0)
    out = b"".join(resampler.process(audio[n : n + FRAME]) for n in range(0, len(audio), FRAME))
    samples = struct.unpack(f"<{len(out) // 2}h", out)[200:]
    longest = max(
        sum(1 for _ in run)
        for run in "".join("." if abs(s) < 100 else "x" for s in samples).split("x")
    )
    assert longest <= 2


def test_the_rate_can_change_while_audio_is_queued() -> None:
    ear = Ear()
    port, _, _ = make_port(ear)
    port.play(pcm(160))
    port.set_sample_rate(16000)
    assert port.sample_rate == 16000
    assert port.take() == pcm(160)
    port.hear(bytes(FRAME))
    assert len(ear.frames[0]) == 640


def test_audio_at_its_own_rate_follows_what_was_queued_before() -> None:
    port, _, _ = make_port()
    port.play(pcm(160))
    port.play_at(tone(2400, 24000), 24000)
    port.play(pcm(160))
    assert port.take() == pcm(160)
    assert abs(port.queued_ms - 120) <= 1


def test_an_ear_that_fails_is_detached_once_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ear = BrokenEar()
    port, counters, gone = make_port(ear)
    with caplog.at_level(logging.ERROR):
        port.hear(bytes(FRAME))
    assert counters.ear_errors == 1
    assert ear.detached == 1
    assert gone == [port]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("call", ["mark", "dtmf"])
def test_an_ear_that_fails_on_an_event_is_detached(call: str) -> None:
    ear = BrokenEar()
    port, counters, gone = make_port(ear)
    if call == "mark":
        port.mark("x")
    else:
        port.hear_dtmf("1", 100)
    assert (counters.ear_errors, gone) == (1, [port])


def test_a_detached_port_plays_and_queues_nothing_and_says_goodbye_once() -> None:
    ear = Ear()
    port, _, gone = make_port(ear)
    port.play(pcm(1600))
    port.close()
    port.close()
    port.detach()
    port.play(pcm(160))
    port.mark("late")
    assert port.take() is None
    assert (ear.detached, ear.marks, gone) == (1, [], [port])


def test_an_agent_that_detaches_itself_is_not_told_that_it_did() -> None:
    ear = Ear()
    port, _, gone = make_port(ear)
    port.detach()
    assert (ear.detached, gone) == (0, [port])


operations = st.lists(
    st.one_of(
        st.tuples(st.just("play"), st.integers(0, 900)),
        st.tuples(st.just("take"), st.integers(1, 6)),
        st.tuples(st.just("clear"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(operations)
def test_what_is_played_is_what_was_pushed_less_what_clear_dropped(
    steps: list[tuple[str, int]],
) -> None:
    port, _, _ = make_port()
    expected = bytearray()
    waiting = bytearray()
    played = bytearray()
    counter = 0
    for step, amount in steps:
        if step == "play":
            audio = pcm(amount, counter)
            counter += amount
            port.play(audio)
            waiting += audio
        elif step == "clear":
            assert port.clear() == len(waiting) // 16
            waiting.clear()
        else:
            for _ in range(amount):
                before = port.queued_ms
                frame = port.take()
                if frame is None:
                    continue
                assert len(frame) == FRAME
                size = min(len(waiting), FRAME)
                assert frame == bytes(waiting[:size]) + bytes(FRAME - size)
                assert port.queued_ms == (len(waiting) - size) // 16 <= before
                expected += waiting[:size]
                played += frame[:size]
                del waiting[:size]
        assert port.played_ms == len(played) // 16
    assert played == expected


@given(st.lists(st.binary(max_size=50), max_size=30), st.lists(st.integers(1, 60), max_size=60))
def test_the_queue_gives_back_every_byte_in_order(pushed: list[bytes], sizes: list[int]) -> None:
    queue = PlayoutQueue()
    for chunk in pushed:
        queue.push(chunk)
    taken = b"".join(queue.take(size) for size in sizes)
    whole = b"".join(pushed)
    assert taken == whole[: sum(sizes)]
    assert queue.position == len(taken)
    assert queue.queued == len(whole) - len(taken)
    assert queue.clear() == len(whole) - len(taken)
    assert queue.position == len(whole)
