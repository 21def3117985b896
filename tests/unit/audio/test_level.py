from __future__ import annotations

import numpy as np
import pytest

from ringback.audio import tones
from ringback.audio.level import amplitude, dbfs, is_quiet, rms


def test_a_full_scale_square_is_zero_dbfs() -> None:
    assert dbfs(np.full(160, -32768, np.int16).tobytes()) == 0.0


def test_a_full_scale_sine_is_three_decibels_below() -> None:
    assert dbfs(tones.sine(1000, 20, 8000, dbfs=-3.01)) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("silence", [b"", bytes(320)])
def test_silence_has_a_floor(silence: bytes) -> None:
    assert rms(silence) == 0
    assert dbfs(silence) == -96.0


def test_one_step_of_noise_is_above_the_floor() -> None:
    assert -91 < dbfs(np.ones(160, np.int16).tobytes()) < -90


def test_amplitude_is_the_inverse() -> None:
    assert rms(tones.sine(500, 100, 8000, dbfs=-30)) == pytest.approx(amplitude(-30), rel=0.001)


def test_quiet_is_background_and_not_speech() -> None:
    assert is_quiet(bytes(320))
    assert is_quiet(tones.sine(200, 20, 8000, dbfs=-50))
    assert not is_quiet(tones.sine(200, 20, 8000, dbfs=-40))
