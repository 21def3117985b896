from __future__ import annotations

import numpy as np
import pytest

from ringback.audio import level, tones
from ringback.audio.resample import FrameResampler, Resampler

RATES = [(8000, 24000), (24000, 8000), (8000, 16000), (16000, 8000), (8000, 48000), (48000, 8000)]
UNEVEN = [(44100, 8000), (8000, 44100), (22050, 8000), (11025, 16000)]


def frames(pcm: bytes, sample_rate: int, ms: int = 20) -> list[bytes]:
    size = sample_rate * ms // 1000 * 2
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


def stream(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    resampler = FrameResampler(from_hz, to_hz)
    return b"".join(resampler.process(frame) for frame in frames(pcm, from_hz))


def settled(pcm: bytes, sample_rate: int) -> bytes:
    """Without the first 100 ms, in which the filter fills."""
    return pcm[sample_rate // 10 * 2 :]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_keeps_its_level(from_hz: int, to_hz: int) -> None:
    out = stream(tones.sine(1000, 1000, from_hz), from_hz, to_hz)
    assert tones.goertzel(settled(out, to_hz), 1000, to_hz) == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("there", [16000, 24000, 48000])
@pytest.mark.parametrize("frequency", [300, 1000, 3000])
def test_there_and_back_keeps_speech_within_a_decibel(there: int, frequency: int) -> None:
    out = stream(stream(tones.sine(frequency, 1000, 8000), 8000, there), there, 8000)
    assert tones.goertzel(settled(out, 8000), frequency, 8000) == pytest.approx(-20, abs=1.0)


@pytest.mark.parametrize("frequency", [4600, 5000, 7000, 11000])
def test_what_8000_hz_cannot_carry_is_filtered_and_not_folded(frequency: int) -> None:
    out = stream(tones.sine(frequency, 1000, 24000), 24000, 8000)
    assert level.dbfs(settled(out, 8000)) < -60


@pytest.mark.parametrize("frequency", [500, 3000])
def test_going_up_adds_no_images(frequency: int) -> None:
    out = settled(stream(tones.sine(frequency, 1000, 8000), 8000, 24000), 24000)
    assert tones.goertzel(out, 8000 - frequency, 24000) < -75
    assert tones.goertzel(out, 8000 + frequency, 24000) < -75


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_after_the_first_frame_as_much_time_comes_out_as_goes_in(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    sizes = [len(resampler.process(bytes(from_hz // 50 * 2))) for _ in range(100)]
    whole = to_hz // 50 * 2
    assert sizes[1:] == [whole] * 99
    assert whole * 3 // 4 <= sizes[0] <= whole


@pytest.mark.parametrize(("from_hz", "to_hz"), UNEVEN)
def test_rates_that_do_not_divide_never_burst(from_hz: int, to_hz: int) -> None:
    resampler = Resampler(from_hz, to_hz)
    sizes = [len(resampler.process(bytes(from_hz // 50 * 2))) for _ in range(200)]
    whole = to_hz / 50 * 2
    assert all(whole * 0.95 <= size <= whole * 1.05 for size in sizes[1:])
    total = sum(sizes) + len(resampler.flush())
    assert total == pytest.approx(200 * (from_hz // 50) * to_hz / from_hz * 2, abs=8)


def test_flush_gives_the_delayed_rest_and_starts_anew() -> None:
    resampler = Resampler(8000, 24000)
    first = resampler.process(bytes(320))
    assert len(first) + len(resampler.flush()) == 960
    assert len(resampler.process(bytes(320))) == len(first)


def test_chunks_of_any_size_make_the_same_stream() -> None:
    tone = tones.sine(440, 400, 16000)
    whole = Resampler(16000, 8000)
    reference = whole.process(tone) + whole.flush()
    pieces = Resampler(16000, 8000)
    out = b""
    position = 0
    for size in (2, 6, 1000, 14, 3000, len(tone)):
        out += pieces.process(tone[position : position + size])
        position += size
    out += pieces.flush()
    difference = np.frombuffer(out, np.int16).astype(int) - np.frombuffer(reference, np.int16)
    assert np.abs(difference).max() <= 1


def test_equal_rates_pass_through() -> None:
    resampler = Resampler(8000, 8000)
    assert resampler.process(b"abcd") == b"abcd"
    assert resampler.flush() == b""


def test_nothing_in_is_nothing_out() -> None:
    assert Resampler(8000, 16000).process(b"") == b""


def test_refuses_half_a_sample() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        Resampler(8000, 16000).process(b"abc")


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 8000), (8000, -1)])
def test_refuses_impossible_rates(from_hz: int, to_hz: int) -> None:
    with pytest.raises(ValueError, match="cannot resample"):
        Resampler(from_hz, to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), [*RATES, (44100, 8000), (8000, 44100)])
def test_every_frame_in_is_exactly_one_frame_out(from_hz: int, to_hz: int) -> None:
    resampler = FrameResampler(from_hz, to_hz)
    tone = tones.sine(400, 4000, from_hz)
    out = [resampler.process(frame) for frame in frames(tone, from_hz)]
    assert {len(frame) for frame in out} == {to_hz // 50 * 2}
    assert tones.goertzel(settled(b"".join(out), to_hz), 400, to_hz) == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize(("from_hz", "to_hz"), [*RATES, (44100, 8000), (8000, 11200)])
def test_frames_are_the_stream_itself_after_a_first_silence(from_hz: int, to_hz: int) -> None:
    tone = tones.sine(400, 1000, from_hz)
    frame_stream = FrameResampler(from_hz, to_hz)
    out = b"".join(frame_stream.process(frame) for frame in frames(tone, from_hz))
    plain = Resampler(from_hz, to_hz)
    reference = b"".join(plain.process(frame) for frame in frames(tone, from_hz))
    lead = len(out) - len(out.lstrip(b"\0"))
    lead -= lead % 2
    aligned = reference.lstrip(b"\0") if reference[:2] == b"\0\0" else reference
    assert lead <= to_hz // 100 * 2
    assert aligned.startswith(out[lead:])


def test_the_delay_of_frames_is_a_few_milliseconds() -> None:
    click = bytearray(24000 * 2)
    click[24000:24002] = (30000).to_bytes(2, "little")
    out = np.frombuffer(stream(bytes(click), 24000, 8000), np.int16)
    assert 4000 <= int(np.argmax(np.abs(out))) <= 4000 + 8000 * 0.005


def test_frames_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="318 bytes, not 320"):
        FrameResampler(8000, 16000).process(bytes(318))


@pytest.mark.parametrize(("from_hz", "to_hz"), [(22050 + 5, 8000), (8000, 8001)])
def test_frames_are_whole_samples(from_hz: int, to_hz: int) -> None:
    with pytest.raises(ValueError, match="not whole samples"):
        FrameResampler(from_hz, to_hz)
