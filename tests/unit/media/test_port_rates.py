"""What becomes of an agent's port when the bridge changes its rate in the middle of a call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.media.agent_port import BridgePort, PlayoutQueue
from ringback.media.metrics import MediaCounters

RATES = [8000, 16000, 48000]


class Ear:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.marks: list[str] = []

    def on_audio(self, frame: bytes) -> None:
        self.frames.append(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        pass

    def on_mark(self, name: str) -> None:
        self.marks.append(name)

    def on_detached(self) -> None:
        pass


def port(ear: Ear, rate: int | None, native: int = 8000) -> BridgePort:
    return BridgePort(ear, rate, native, MediaCounters(), lambda _: None)


def sine(hz: float, rate: int, seconds: float) -> bytes:
    wave = 8000 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)
    return wave.astype(np.int16).tobytes()


def frequency(pcm: bytes, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, np.int16)))
    return float(np.argmax(spectrum)) * rate / (len(pcm) // 2)


@pytest.mark.requirement("media.wideband")
def test_what_is_queued_is_played_on_at_the_new_rate_and_marks_keep_their_time() -> None:
    ear = Ear()
    agent = port(ear, 8000)
    agent.play(sine(500, 8000, 0.1))
    agent.mark("middle")
    agent.play(sine(500, 8000, 0.1))
    agent.mark("end")
    for _ in range(2):
        agent.take()
    agent.set_native_rate(48000)
    assert (agent.played_ms, agent.queued_ms) == (40, 160)
    frames = [agent.take() or b"" for _ in range(3)]
    assert ear.marks == ["middle"]
    frames += [agent.take() or b"" for _ in range(5)]
    assert ear.marks == ["middle", "end"]
    assert {len(frame) for frame in frames} == {1920}
    assert frequency(b"".join(frames), 48000) == pytest.approx(500, abs=7)
    assert agent.played_ms == 200


def test_a_port_without_a_rate_of_its_own_follows_and_is_told() -> None:
    follower, chooser, told = port(Ear(), None), port(Ear(), 8000), list[int]()
    follower.on_native_rate = lambda: told.append(follower.sample_rate)
    follower.set_native_rate(16000)
    chooser.set_native_rate(16000)
    assert (follower.sample_rate, chooser.sample_rate) == (16000, 8000)
    follower.set_native_rate(16000)
    follower.set_sample_rate(24000)
    follower.set_native_rate(48000)
    assert (follower.sample_rate, told) == (24000, [16000, 24000])


@pytest.mark.requirement("media.wideband")
@pytest.mark.parametrize("rate", [*RATES, 24000, 11025])
def test_an_ear_keeps_its_rate_whatever_the_bridge_s_becomes(rate: int) -> None:
    ear = Ear()
    agent = port(ear, rate)
    for native in (8000, 48000, 16000):
        agent.set_native_rate(native)
        for _ in range(4):
            agent.hear(bytes(native // 25))
    assert {len(frame) // 2 for frame in ear.frames} <= {rate // 50, rate // 50 + 1}


def test_a_detached_port_does_not_care() -> None:
    agent = port(Ear(), None)
    agent.detach()
    agent.set_native_rate(48000)
    assert agent.native_rate == 8000


@given(
    pushes=st.lists(st.integers(0, 3000), max_size=6),
    taken=st.integers(0, 4000),
    rates=st.lists(st.sampled_from(RATES), min_size=1, max_size=5),
)
def test_no_time_is_lost_or_made_up_over_any_changes(
    pushes: list[int], taken: int, rates: list[int]
) -> None:
    queue = PlayoutQueue()
    for samples in pushes:
        queue.push(bytes(2 * samples))
    queue.take(2 * taken)
    total = sum(pushes) / 8000
    rate = 8000
    for new in rates:
        if new != rate:
            queue.change_rate(rate, new)
            rate = new
        seconds = (queue.position + queue.queued) / 2 / rate
        assert seconds == pytest.approx(total, abs=len(rates) * 2 / 8000)
        assert queue.queued % 2 == queue.position % 2 == 0
