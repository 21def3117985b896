from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ringback.audio import tones
from ringback.audio.level import amplitude
from ringback.audio.vad import VoiceGate

Signal = NDArray[np.float64]

FORMANTS = ((700, 90), (1200, 110), (2500, 160))


def vowel(seconds: float, sample_rate: int, pitch: float = 120, dbfs: float = -22) -> Signal:
    """Harmonics shaped by the formants of an open vowel."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.03 * np.sin(8 * np.pi * time))) / sample_rate
    total = np.zeros(time.size)
    for harmonic in range(1, int(sample_rate / 2 / pitch / 1.05)):
        distances = [(harmonic * pitch - centre) / width for centre, width in FORMANTS]
        gain = 0.02 + sum(1 / (1 + distance**2) for distance in distances)
        total += gain * np.sin(harmonic * phase) / harmonic**0.3
    signal: Signal = total * (amplitude(dbfs) / np.sqrt(np.mean(total**2)))
    return signal


def noise(seconds: float, sample_rate: int, dbfs: float) -> Signal:
    generator = np.random.default_rng(3)
    return generator.standard_normal(round(seconds * sample_rate)) * amplitude(dbfs)


def share(gate: VoiceGate, signal: Signal, sample_rate: int, ms: int = 20) -> float:
    """Of the frames that are speech."""
    size = sample_rate * ms // 1000
    pcm = np.clip(np.rint(signal), -32768, 32767).astype(np.int16)
    verdicts = [
        gate.is_speech(pcm[at : at + size].tobytes()) for at in range(0, pcm.size - size + 1, size)
    ]
    return sum(verdicts) / len(verdicts)


@pytest.mark.parametrize("sample_rate", [8000, 16000])
@pytest.mark.parametrize("line", [-75.0, -50.0, -40.0])
def test_hears_speech_over_the_noise_of_a_line(sample_rate: int, line: float) -> None:
    gate = VoiceGate(sample_rate)
    assert share(gate, noise(4, sample_rate, line), sample_rate) < 0.05
    spoken = vowel(1, sample_rate) + noise(1, sample_rate, line)
    assert share(gate, spoken, sample_rate) > 0.95
    assert share(gate, noise(1, sample_rate, line), sample_rate) < 0.05
    spoken = vowel(0.4, sample_rate, pitch=210) + noise(0.4, sample_rate, line)
    assert share(gate, spoken, sample_rate) > 0.95


def test_hears_a_first_word_on_a_line_that_it_does_not_know() -> None:
    assert share(VoiceGate(8000), vowel(0.5, 8000), 8000) > 0.9


@pytest.mark.parametrize("ms", [10, 20, 30])
def test_takes_the_frame_lengths_of_webrtc(ms: int) -> None:
    assert share(VoiceGate(16000, ms), vowel(0.6, 16000), 16000, ms) > 0.9


def test_loud_line_noise_is_not_speech_once_it_is_known() -> None:
    gate = VoiceGate(8000, aggressiveness=0)
    share(gate, noise(4, 8000, -30), 8000)
    assert gate.noise_floor == pytest.approx(-31, abs=1)
    assert share(gate, noise(4, 8000, -30), 8000) == 0


def test_mains_hum_is_not_speech_after_two_seconds() -> None:
    hum = np.frombuffer(tones.tone((50, 150), 6000, 8000, dbfs=-32), np.int16).astype(np.float64)
    gate = VoiceGate(8000)
    share(gate, hum[:16000], 8000)
    assert share(gate, hum[16000:], 8000) == 0


def test_a_whisper_below_any_speech_is_not_speech() -> None:
    gate = VoiceGate(8000, aggressiveness=0)
    share(gate, np.zeros(8000 * 4), 8000)
    assert share(gate, vowel(1, 8000, dbfs=-62), 8000) == 0


def test_the_floor_follows_a_line_that_becomes_quieter_and_louder() -> None:
    gate = VoiceGate(8000)
    for line in (-40.0, -60.0, -45.0):
        share(gate, noise(4, 8000, line), 8000)
        assert gate.noise_floor == pytest.approx(line - 1, abs=1)


def test_silence_is_not_speech() -> None:
    assert share(VoiceGate(8000), np.zeros(8000), 8000) == 0


def test_refuses_frames_of_another_length() -> None:
    with pytest.raises(ValueError, match="318 bytes, not 320"):
        VoiceGate(8000).is_speech(bytes(318))


@pytest.mark.parametrize(
    ("sample_rate", "ms", "aggressiveness", "complaint"),
    [(24000, 20, 2, "24000 Hz"), (8000, 25, 2, "25 ms"), (8000, 20, 4, "aggressiveness 4")],
)
def test_refuses_what_webrtc_cannot_do(
    sample_rate: int, ms: int, aggressiveness: int, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        VoiceGate(sample_rate, ms, aggressiveness)
