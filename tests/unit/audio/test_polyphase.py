from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringback.audio import polyphase, tones
from ringback.audio.polyphase import PolyphaseResampler

PAIRS = [
    (8000, 16000),
    (16000, 8000),
    (8000, 24000),
    (24000, 8000),
    (48000, 8000),
    (8000, 48000),
    (16000, 24000),
    (24000, 16000),
    (12000, 8000),
    (32000, 8000),
]


def samples(pcm: bytes) -> NDArray[np.int32]:
    return np.frombuffer(pcm, np.int16).astype(np.int32)


def whole(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    resampler = PolyphaseResampler(from_hz, to_hz)
    return resampler.process(pcm) + resampler.flush()


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_suits_the_rates_of_telephony(from_hz: int, to_hz: int) -> None:
    assert polyphase.suits(from_hz, to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 8000), (8000, 22050), (8000, 8001)])
def test_does_not_suit_rates_with_little_in_common(from_hz: int, to_hz: int) -> None:
    assert not polyphase.suits(from_hz, to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_agrees_with_ffmpeg_on_speech_like_sound(from_hz: int, to_hz: int) -> None:
    sound = tones.tone((190, 380, 1140, 2660), 500, from_hz)
    engine = av.AudioResampler(format="s16", layout="mono", rate=to_hz)
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(sound) // 2)
    frame.sample_rate = from_hz
    frame.planes[0].update(sound)
    pieces = [*engine.resample(frame), *engine.resample(None)]
    reference = np.concatenate([piece.to_ndarray().reshape(-1) for piece in pieces])
    ours = samples(whole(sound, from_hz, to_hz))
    assert abs(ours.size - reference.size) <= 1
    middle = slice(to_hz // 20, -to_hz // 20)
    difference = ours[: reference.size][middle] - reference[: ours.size][middle]
    assert np.abs(difference).max() < 0.01 * np.abs(reference).max()


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_nothing_is_delayed_once_it_is_flushed(from_hz: int, to_hz: int) -> None:
    """A click stays where it was in time."""
    sound = np.zeros(from_hz // 10, np.int16)
    sound[from_hz // 20] = 30000
    out = np.abs(samples(whole(sound.tobytes(), from_hz, to_hz)))
    assert int(np.argmax(out)) == pytest.approx(to_hz // 20, abs=1)


def test_full_scale_is_clipped_and_not_wrapped() -> None:
    """The filter overshoots a square by a tenth."""
    square = np.where(np.arange(8000) % 80 < 40, 32767, -32768).astype(np.int16)
    out = samples(whole(square.tobytes(), 8000, 24000))
    assert (out.max(), out.min()) == (32767, -32768)
    middle_of_a_half = out[3 * 40 * 10 + 60]
    assert middle_of_a_half > 30000


def test_a_constant_stays_what_it_is() -> None:
    level = np.full(1600, 12345, np.int16).tobytes()
    for from_hz, to_hz in PAIRS:
        out = samples(whole(level, from_hz, to_hz))
        edge = to_hz // 200
        assert (out[edge:-edge] == 12345).all()


@given(
    st.sampled_from(PAIRS),
    st.lists(st.integers(0, 700), max_size=12),
)
def test_any_chunks_give_the_same_samples_and_all_of_them(
    pair: tuple[int, int], sizes: list[int]
) -> None:
    from_hz, to_hz = pair
    total = sum(sizes)
    sound = np.random.default_rng(1).integers(-20000, 20000, total).astype(np.int16).tobytes()
    resampler = PolyphaseResampler(from_hz, to_hz)
    out = b""
    position = 0
    for size in sizes:
        out += resampler.process(sound[2 * position : 2 * (position + size)])
        position += size
        behind = position - len(out) // 2 * from_hz / to_hz
        assert -1 <= behind <= from_hz * (0.004 + polyphase.LONGEST_BLOCK)
    out += resampler.flush()
    assert len(out) // 2 == -(-total * to_hz // from_hz)
    difference = samples(out) - samples(whole(sound, from_hz, to_hz))
    assert difference.size == 0 or np.abs(difference).max() <= 1


def test_a_flushed_resampler_begins_anew() -> None:
    resampler = PolyphaseResampler(8000, 16000)
    sound = tones.sine(440, 50, 8000)
    first = resampler.process(sound) + resampler.flush()
    assert resampler.process(sound) + resampler.flush() == first
    assert resampler.flush() == b""
