from __future__ import annotations

import itertools

import numpy as np
import pytest

from ringback.audio import level, tones
from ringback.audio.tones import BUSY_EUROPE, RINGBACK_EUROPE, ToneGenerator, TonePlan


@pytest.mark.parametrize("sample_rate", [8000, 16000, 48000])
def test_a_sine_has_its_frequency_and_level(sample_rate: int) -> None:
    pcm = tones.sine(1000, 500, sample_rate, dbfs=-12)
    assert len(pcm) == sample_rate
    assert level.dbfs(pcm) == pytest.approx(-12, abs=0.05)
    assert tones.goertzel(pcm, 1000, sample_rate) == pytest.approx(-12, abs=0.05)
    assert tones.goertzel(pcm, 1500, sample_rate) < -80


@pytest.mark.parametrize("digit", "0123456789*#ABCDa")
def test_a_key_is_its_row_and_its_column(digit: str) -> None:
    pcm = tones.dtmf(digit, 200, 8000)
    loud = {
        frequency
        for frequency in itertools.chain.from_iterable(tones.DTMF_FREQUENCIES.values())
        if tones.goertzel(pcm, frequency, 8000) > -25
    }
    assert loud == set(tones.DTMF_FREQUENCIES[digit.upper()])


def test_refuses_what_is_no_key() -> None:
    with pytest.raises(ValueError, match="'x' is not a key"):
        tones.dtmf("x", 100, 8000)


def test_chunks_join_without_a_step() -> None:
    pieces = ToneGenerator(TonePlan((425, 613)), 8000)
    whole = ToneGenerator(TonePlan((425, 613)), 8000)
    assert b"".join(pieces.generate(size) for size in (1, 160, 7, 8000, 832)) == whole.generate(
        9000
    )


def test_a_tone_is_as_clean_after_an_hour() -> None:
    generator = ToneGenerator(TonePlan((425,)), 8000)
    generator.generate(1)
    first = generator.generate(8000)
    generator._position += 8000 * 3600 - 8000
    assert generator.generate(8000) == first


def heard(pcm: bytes, ms: int = 100) -> list[bool]:
    size = 8 * ms * 2
    return [level.dbfs(pcm[at : at + size]) > -60 for at in range(0, len(pcm), size)]


def test_ringback_sounds_one_second_in_five() -> None:
    pcm = ToneGenerator(RINGBACK_EUROPE, 8000).generate(8000 * 10)
    assert heard(pcm) == ([True] * 10 + [False] * 40) * 2


def test_busy_sounds_every_other_half_second() -> None:
    pcm = ToneGenerator(BUSY_EUROPE, 8000).generate(8000 * 2)
    assert heard(pcm) == ([True] * 5 + [False] * 5) * 2


def test_mixtures_clip_instead_of_wrapping() -> None:
    pcm = tones.tone((500, 700), 100, 8000, dbfs=0)
    samples = np.frombuffer(pcm, np.int16)
    assert samples.max() == 32767
    assert np.abs(np.diff(samples.astype(int))).max() < 40000


def test_silence_is_silent() -> None:
    assert tones.silence(20, 8000) == bytes(320)
    assert tones.goertzel(bytes(320), 425, 8000) == -96
    assert tones.goertzel(b"", 425, 8000) == -96
