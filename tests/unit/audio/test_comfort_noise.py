from __future__ import annotations

import numpy as np
import pytest

from ringback.audio import level
from ringback.audio.comfort_noise import ComfortNoise


def noise(seed: int = 1, dbfs: float = -66.0) -> ComfortNoise:
    return ComfortNoise(8000, np.random.default_rng(seed), dbfs)


def test_has_the_level_that_was_asked_for() -> None:
    assert level.dbfs(noise(dbfs=-50).generate(16000)) == pytest.approx(-50, abs=0.2)


def test_the_same_seed_gives_the_same_noise() -> None:
    assert noise(1).generate(400) == noise(1).generate(400)
    assert noise(1).generate(400) != noise(2).generate(400)


def test_goes_on_for_ever_with_whole_frames_of_one_level() -> None:
    generator = noise(dbfs=-50)
    frames = [generator.generate(160) for _ in range(3000)]
    assert {len(frame) for frame in frames} == {320}
    assert all(-53 < level.dbfs(frame) < -47 for frame in frames)


def test_a_later_lap_is_not_the_first_one_again() -> None:
    generator = noise()
    first = generator.generate(16000)
    assert generator.generate(16000) != first


def test_one_frame_may_be_longer_than_the_pool() -> None:
    assert len(noise().generate(50_000)) == 100_000


def test_is_duller_than_white_noise() -> None:
    samples = np.frombuffer(noise(dbfs=-30).generate(16000), np.int16)
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    low, high = spectrum[: len(spectrum) // 2].sum(), spectrum[len(spectrum) // 2 :].sum()
    assert low > 4 * high
