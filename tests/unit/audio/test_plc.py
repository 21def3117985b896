from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ringback.audio import level, tones
from ringback.audio.plc import FADE_END_MS, Concealer

Signal = NDArray[np.int16]


def voiced(pitch: float, seconds: float = 8.0, sample_rate: int = 8000) -> Signal:
    """Harmonics of a pitch that wanders by 5 %, under a loudness that moves like syllables."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    wandering = pitch * (1 + 0.05 * np.sin(2 * np.pi * 3 * time))
    phase = 2 * np.pi * np.cumsum(wandering) / sample_rate
    harmonics = range(1, int(3400 / (pitch * 1.1)))
    total = sum((np.sin(k * phase) / k for k in harmonics), np.zeros(time.size))
    total *= 0.6 + 0.4 * np.sin(2 * np.pi * 2.5 * time)
    signal: Signal = np.rint(total / np.abs(total).max() * 12000).astype(np.int16)
    return signal


def frames_of(signal: Signal, sample_rate: int = 8000, ms: int = 20) -> list[bytes]:
    size = sample_rate * ms // 1000
    return [signal[at : at + size].tobytes() for at in range(0, signal.size - size + 1, size)]


def snr(frames: list[bytes], heard: list[bytes]) -> float:
    """How far what was heard is from the truth, in dB."""
    truth = np.frombuffer(b"".join(frames), np.int16).astype(np.float64)
    error = truth - np.frombuffer(b"".join(heard), np.int16)
    return float(10 * np.log10((truth**2).sum() / (error**2).sum()))


def losses(count: int, rate: float = 0.05) -> list[bool]:
    return [bool(lost) for lost in np.random.default_rng(7).random(count) < rate]


def concealed(frames: list[bytes], lost: list[bool], sample_rate: int = 8000) -> list[bytes]:
    concealer = Concealer(sample_rate)
    return [
        concealer.conceal(len(frame) // 2) if gone else concealer.good(frame)
        for frame, gone in zip(frames, lost, strict=True)
    ]


def biggest_step(pcm: bytes) -> int:
    return int(np.abs(np.diff(np.frombuffer(pcm, np.int16).astype(np.int32))).max())


@pytest.mark.requirement("media.plc")
@pytest.mark.parametrize("pitch", [75, 100, 140, 190, 250, 300])
def test_five_percent_loss_is_better_than_silence_and_than_repetition(pitch: float) -> None:
    frames = frames_of(voiced(pitch))
    lost = losses(len(frames))
    silenced = [bytes(320) if gone else frame for frame, gone in zip(frames, lost, strict=True)]
    repeated = [
        frames[at - 1] if gone and at else frame
        for at, (frame, gone) in enumerate(zip(frames, lost, strict=True))
    ]
    ours = snr(frames, concealed(frames, lost))
    assert ours > snr(frames, silenced) + 2
    assert ours > snr(frames, repeated) + 2


@pytest.mark.requirement("media.plc")
@pytest.mark.parametrize("sample_rate", [16000, 48000])
def test_wideband_is_concealed_as_well(sample_rate: int) -> None:
    frames = frames_of(voiced(120, 4, sample_rate), sample_rate)
    lost = losses(len(frames))
    silenced = [
        bytes(len(frame)) if gone else frame for frame, gone in zip(frames, lost, strict=True)
    ]
    assert snr(frames, concealed(frames, lost, sample_rate)) > snr(frames, silenced) + 3


@pytest.mark.requirement("media.plc")
def test_a_steady_tone_goes_on_as_if_nothing_had_happened() -> None:
    """200 Hz is 40 samples; the fading begins after 10 ms."""
    frames = frames_of(np.frombuffer(tones.sine(200, 200, 8000), np.int16))
    heard = concealed(frames, [False] * 4 + [True] + [False] * 5)
    assert heard[4][:160] == frames[4][:160]
    assert heard[6:] == frames[6:]


@pytest.mark.requirement("media.plc")
@pytest.mark.parametrize("pitch", [80, 133, 210])
def test_neither_joint_clicks(pitch: float) -> None:
    frames = frames_of(voiced(pitch, 2))
    for gap in (1, 2, 3, 8):
        heard = concealed(frames, [20 <= at < 20 + gap for at in range(len(frames))])
        around = b"".join(heard[19 : 22 + gap])
        assert biggest_step(around) <= 1.3 * biggest_step(b"".join(frames))


@pytest.mark.parametrize("growth", [1.0025, 0.9975])
@pytest.mark.parametrize("offset", range(0, 53, 7))
def test_a_tone_that_swells_or_dies_is_continued_without_a_click(
    growth: float, offset: int
) -> None:
    """Its last period does not fit to itself: each seam has to be smoothed."""
    time = np.arange(800)
    signal = 3000 * growth ** (time - 800.0) * np.sin(2 * np.pi * 150 * (time + offset) / 8000)
    concealer = Concealer(8000)
    frames = frames_of(np.rint(signal).astype(np.int16))
    for frame in frames:
        concealer.good(frame)
    joined = frames[-1][-40:] + concealer.conceal(480)
    assert biggest_step(joined) <= 1.1 * biggest_step(frames[-1])


def test_the_likeliest_period_is_taken_and_not_the_loudest() -> None:
    """A bang, 20 ms ago, is louder than the tone after it and nothing like it."""
    noise = np.random.default_rng(1).integers(-20000, 20000, 640).astype(np.int16)
    tone = np.frombuffer(tones.sine(200, 20, 8000), np.int16) // 4
    concealer = Concealer(8000)
    for frame in frames_of(np.concatenate([noise, tone])):
        concealer.good(frame)
    assert level.rms(concealer.conceal(80)) <= 1.1 * level.rms(tone.tobytes())


@pytest.mark.requirement("media.plc")
def test_a_longer_gap_does_not_buzz() -> None:
    """A single period of a noisy sound, repeated, is a buzz; three in turn are not."""
    time = np.arange(1600)
    noise = np.random.default_rng(1).standard_normal(1600)
    signal = 4000 * np.sin(2 * np.pi * 80 * time / 8000) + 2000 * noise
    concealer = Concealer(8000)
    for frame in frames_of(np.rint(signal).astype(np.int16)):
        concealer.good(frame)
    made_up = np.frombuffer(concealer.conceal(440), np.int16).astype(np.float64)
    piece = made_up[200:300]
    later = [made_up[200 + lag : 300 + lag] for lag in range(80, 122)]
    likeness = [piece @ each / np.sqrt((piece @ piece) * (each @ each)) for each in later]
    assert max(likeness) < 0.97


def test_the_next_gap_follows_on_what_was_played_in_the_last_one() -> None:
    frames = frames_of(np.frombuffer(tones.sine(80, 400, 8000), np.int16))
    heard = concealed(frames, [at in (8, 10) for at in range(len(frames))])
    assert snr([frames[10][:160]], [heard[10][:160]]) > 20


@pytest.mark.requirement("media.plc")
def test_a_long_gap_fades_to_silence_and_stays_silent() -> None:
    concealer = Concealer(8000)
    for frame in frames_of(voiced(120, 1)):
        concealer.good(frame)
    levels = [level.rms(concealer.conceal(80)) for _ in range(12)]
    assert levels[0] > 500
    assert levels[1] > levels[3] > levels[4] > levels[5] > 0
    assert levels[FADE_END_MS // 10 :] == [0.0] * 6


def test_speech_comes_back_softly_after_a_long_gap() -> None:
    concealer = Concealer(8000)
    for _ in range(10):
        concealer.conceal(160)
    square = np.full(160, 20000, np.int16).tobytes()
    back = np.frombuffer(concealer.good(square), np.int16)
    assert back[0] < 1000
    assert (back[80:] == 20000).all()
    assert biggest_step(back.tobytes()) < 1000


def test_good_frames_pass_untouched() -> None:
    concealer = Concealer(8000)
    frame = tones.sine(300, 20, 8000)
    assert concealer.good(frame) is frame
    assert not concealer.concealing


def test_says_whether_it_makes_things_up() -> None:
    concealer = Concealer(8000)
    concealer.good(bytes(320))
    concealer.conceal(160)
    assert concealer.concealing
    concealer.good(bytes(320))
    assert not concealer.concealing


def test_before_anything_was_heard_there_is_silence() -> None:
    assert Concealer(8000).conceal(160) == bytes(320)


def test_after_silence_there_is_silence() -> None:
    concealer = Concealer(8000)
    for _ in range(5):
        concealer.good(bytes(320))
    assert concealer.conceal(160) == bytes(320)


def test_a_reset_forgets_what_was_heard() -> None:
    concealer = Concealer(8000)
    concealer.good(tones.sine(300, 20, 8000))
    concealer.reset()
    assert concealer.conceal(160) == bytes(320)


def test_full_scale_does_not_wrap() -> None:
    square = np.where(np.arange(160) % 40 < 20, 32767, -32768).astype(np.int16).tobytes()
    concealer = Concealer(8000)
    for _ in range(4):
        concealer.good(square)
    made_up = np.frombuffer(concealer.conceal(80), np.int16).astype(np.int32)
    assert np.abs(np.abs(made_up) - 32767).max() <= 1


def test_chunks_of_any_size_make_the_same_concealment() -> None:
    frames = frames_of(voiced(110, 1))
    outcome = []
    for sizes in ((480,), (160, 160, 160), (80,) * 6, (1, 7, 152, 200, 120)):
        concealer = Concealer(8000)
        for frame in frames:
            concealer.good(frame)
        outcome.append(b"".join(concealer.conceal(size) for size in sizes))
    assert outcome[1:] == outcome[:1] * 3


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 500)), max_size=30),
    st.sampled_from([8000, 16000]),
)
def test_any_mixture_gives_as_much_as_was_asked_for(
    steps: list[tuple[bool, int]], sample_rate: int
) -> None:
    concealer = Concealer(sample_rate)
    noise = np.random.default_rng(1).integers(-32768, 32767, 500).astype(np.int16)
    for good, samples in steps:
        frame = noise[:samples].tobytes()
        out = concealer.good(frame) if good else concealer.conceal(samples)
        assert len(out) == 2 * samples
