"""Tones as Q.24 describes them, and sounds that are none."""

from __future__ import annotations

import math
import shutil
import subprocess
import weakref

import numpy as np
import pytest
from numpy.typing import NDArray

from ringback.audio import g711, level, tones
from ringback.audio.dtmf_detector import DtmfDetector, TonePress
from ringback.audio.resample import Resampler
from ringback.audio.tone_watch import ToneEar, ToneWatch
from ringback.audio.tones import DTMF_FREQUENCIES

KEYS = tuple(DTMF_FREQUENCIES)
DBM0 = -6.15
"""0 dBm0 as the RMS of a sine in dBFS."""

Wave = NDArray[np.float64]


def tone(
    key: str,
    ms: float,
    rate: int = 8000,
    low: float = -10.0,
    high: float = -10.0,
    off: tuple[float, float] = (0.0, 0.0),
) -> Wave:
    """Two sines at levels in dBm0, each ``off`` its frequency by a share of it."""
    time = np.arange(round(rate * ms / 1000)) / rate
    wave: Wave = np.zeros(len(time))
    for frequency, dbm0, deviation in zip(DTMF_FREQUENCIES[key], (low, high), off, strict=True):
        peak = level.amplitude(dbm0 + DBM0) * math.sqrt(2)
        wave += peak * np.sin(2 * np.pi * frequency * (1 + deviation) * time + 1)
    return wave


def gap(ms: float, rate: int = 8000) -> Wave:
    return np.zeros(round(rate * ms / 1000))


def detect(*parts: Wave, rate: int = 8000) -> list[TonePress]:
    """What the detector hears; one that is only woken by suspects hears the same."""
    detector = DtmfDetector(rate)
    wave = np.concatenate((*parts, gap(60, rate)))
    size = rate // 50
    wave = np.concatenate((wave, np.zeros(-len(wave) % size)))
    pcm = np.clip(np.rint(wave), -32768, 32767).astype(np.int16).tobytes()
    frames = [pcm[n : n + 2 * size] for n in range(0, len(pcm), 2 * size)]
    presses = [press for frame in frames if (press := detector.process(frame)) is not None]
    assert [(each.digit, each.duration_ms) for each in watch(frames, rate)] == [
        (each.digit, each.duration_ms) for each in presses
    ]
    return presses


def watch(frames: list[bytes], rate: int) -> list[TonePress]:
    presses: list[TonePress] = []
    tone_watch, ear = ToneWatch(), ToneEar(rate, presses.append)
    for number, frame in enumerate(frames):
        tone_watch.note(ear, frame)
        tone_watch.tick(number * 0.02)
    tone_watch.judge()
    return presses


def keys(presses: list[TonePress]) -> str:
    return "".join(press.digit for press in presses)


# ---- what must be heard ---------------------------------------------------------------------


@pytest.mark.requirement("media.dtmf-inband")
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize("key", KEYS)
def test_forty_milliseconds_at_the_lowest_level_are_a_key_wherever_they_begin(
    key: str, rate: int
) -> None:
    for lead in range(20, 40, 3):
        presses = detect(gap(lead, rate), tone(key, 40, rate, -25, -25), rate=rate)
        assert keys(presses) == key
        assert presses[0].duration_ms == pytest.approx(40, abs=6)
        assert presses[0].start_ms == pytest.approx(lead, abs=12)


@pytest.mark.parametrize("ms", [50, 70, 100, 173, 500, 3000])
def test_the_duration_is_told(ms: int) -> None:
    (press,) = detect(gap(33), tone("8", ms))
    assert press.duration_ms == pytest.approx(ms, abs=10)


@pytest.mark.requirement("media.dtmf-inband")
def test_keys_follow_each_other_with_forty_milliseconds_between() -> None:
    parts = [part for key in "1123A*#D" for part in (tone(key, 45), gap(40))]
    assert keys(detect(gap(7), *parts)) == "1123A*#D"


def test_a_dropout_of_ten_milliseconds_splits_no_key() -> None:
    wave = tone("6", 130)
    for start in range(480, 560, 7):
        torn = wave.copy()
        torn[start : start + 80] = 0
        assert keys(detect(gap(20), torn)) == "6"


@pytest.mark.parametrize("deviation", [-0.015, 0.015])
@pytest.mark.parametrize("key", KEYS)
def test_frequencies_may_be_off_by_one_and_a_half_percent(key: str, deviation: float) -> None:
    for off in (
        (deviation, deviation),
        (deviation, 0.0),
        (0.0, deviation),
        (deviation, -deviation),
    ):
        assert keys(detect(gap(13), tone(key, 60, off=off))) == key


@pytest.mark.parametrize(("low", "high"), [(-14, -10), (-10, -18)])
@pytest.mark.parametrize("key", KEYS)
def test_one_frequency_may_be_louder_than_the_other(key: str, low: float, high: float) -> None:
    assert keys(detect(gap(13), tone(key, 50, low=low, high=high))) == key


@pytest.mark.parametrize("key", KEYS)
def test_noise_fifteen_decibels_down_hides_no_key(key: str) -> None:
    generator = np.random.default_rng(1)
    for seconds in range(5):
        wave = np.concatenate((gap(20 + seconds), tone(key, 60, low=-15, high=-15), gap(60)))
        noise = generator.standard_normal(len(wave)) * level.amplitude(-12 - 15 + DBM0)
        assert keys(detect(wave + noise)) == key


@pytest.mark.parametrize("key", KEYS)
def test_keys_survive_a_telephone_line(key: str) -> None:
    """As our own tones, through G.711."""
    detector = DtmfDetector(8000)
    pcm = tones.silence(40, 8000) + tones.dtmf(key, 100, 8000) + tones.silence(60, 8000)
    line = g711.decode_alaw(g711.encode_alaw(pcm))
    presses = [detector.process(line[n : n + 320]) for n in range(0, len(line), 320)]
    assert [press.digit for press in presses if press] == [key]


def test_a_key_ends_when_silence_is_not_even_a_frame() -> None:
    detector = DtmfDetector(8000)
    pcm = tones.dtmf("3", 100, 8000)
    for n in range(0, len(pcm), 320):
        assert detector.process(pcm[n : n + 320]) is None
    presses = [detector.process(None) for _ in range(5)]
    assert [press.digit for press in presses if press] == ["3"]


# ---- what must not --------------------------------------------------------------------------


@pytest.mark.requirement("media.dtmf-inband")
@pytest.mark.parametrize("ms", [10, 15, 20, 23])
@pytest.mark.parametrize("key", KEYS)
def test_what_is_shorter_than_a_key_is_none(key: str, ms: int) -> None:
    for lead in range(20, 40, 3):
        assert detect(gap(lead), tone(key, ms)) == []


@pytest.mark.parametrize("deviation", [-0.035, 0.035])
@pytest.mark.parametrize("key", KEYS)
def test_frequencies_three_and_a_half_percent_off_are_none(key: str, deviation: float) -> None:
    for off in ((deviation, deviation), (deviation, 0.0), (0.0, deviation)):
        assert detect(gap(13), tone(key, 100, off=off)) == []


@pytest.mark.parametrize(("low", "high"), [(-20, -10), (-5, -18), (-40, -40)])
@pytest.mark.parametrize("key", KEYS)
def test_too_much_twist_or_too_little_level_is_none(key: str, low: float, high: float) -> None:
    assert detect(gap(13), tone(key, 100, low=low, high=high)) == []


def test_call_progress_tones_are_none() -> None:
    for plan in (
        tones.RINGBACK_EUROPE,
        tones.BUSY_EUROPE,
        tones.RINGBACK_NORTH_AMERICA,
        tones.BUSY_NORTH_AMERICA,
        tones.TonePlan((350, 440)),
        tones.TonePlan((950, 1400, 1800)),
        tones.TonePlan((697, 770, 1209)),
        tones.TonePlan((2100,)),
    ):
        wave = np.frombuffer(tones.ToneGenerator(plan, 8000).generate(40_000), np.int16)
        assert detect(wave.astype(np.float64)) == []


def voice(seconds: float, seed: int) -> Wave:
    """A pitch that wanders under formants that wander, with pauses: vowels without consonants."""
    generator = np.random.default_rng(seed)
    rate = 8000
    count = round(seconds * rate)
    knots = np.arange(0, count + rate, rate // 8)

    def wander(lowest: float, highest: float) -> Wave:
        return np.interp(np.arange(count), knots, generator.uniform(lowest, highest, len(knots)))

    pitch = wander(90, 300)
    turn = 2 * np.pi * np.cumsum(pitch) / rate
    formants = [wander(*band) for band in ((300, 900), (900, 2200), (2200, 3200))]
    wave: Wave = np.zeros(count)
    for harmonic in range(1, 40):
        frequency = harmonic * pitch
        gain = sum(
            strength / (1 + ((frequency - formant) / 150) ** 2)
            for formant, strength in zip(formants, (1.0, 0.7, 0.3), strict=True)
        )
        wave += np.where(frequency < 3800, gain, 0) * np.sin(harmonic * turn)
    wave *= np.interp(np.arange(count), knots, generator.choice([0.0, 1.0, 1.0], len(knots)))
    wave *= 8000 / np.abs(wave).max()
    return wave


@pytest.mark.requirement("media.dtmf-inband")
@pytest.mark.parametrize("seed", range(4))
def test_voices_are_no_keys(seed: int) -> None:
    assert detect(voice(60, seed)) == []


@pytest.mark.requirement("media.dtmf-inband")
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng here")
@pytest.mark.parametrize("language", ["en", "en+f3", "de", "es+f2", "ru", "cmn"])
def test_spoken_words_are_no_keys(language: str) -> None:
    """About five minutes of each voice."""
    text = "The quick brown fox, 1 2 3 4 5 6 7 8 9, jumps over 20 lazy dogs. Ooh, aah, eee! " * 40
    speech = subprocess.run(
        ["espeak-ng", "-v", language, "--stdout"],
        input=text.encode(),
        capture_output=True,
        check=True,
    ).stdout[44:]
    pcm = Resampler(22_050, 8000).process(speech[: len(speech) & ~1])
    assert detect(np.frombuffer(pcm, np.int16).astype(np.float64)) == []


@pytest.mark.requirement("media.dtmf-inband")
def test_music_is_no_keys() -> None:
    """Chords of a piano: notes of the scale with their overtones, dying away."""
    generator = np.random.default_rng(2)
    time = np.arange(8000 * 3 // 10) / 8000
    parts = []
    for _ in range(400):
        wave: Wave = np.zeros(len(time))
        for note in generator.integers(-24, 15, 3):
            for overtone in range(1, 7):
                frequency = 440 * 2 ** (note / 12) * overtone
                if frequency < 3900:
                    wave += np.sin(2 * np.pi * frequency * time) / overtone
        parts.append(wave * np.exp(-4 * time) * 4000)
    assert detect(*parts) == []


@pytest.mark.parametrize("rate", [0, 4000, 11_025])
def test_rates_without_whole_windows_are_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="Hz"):
        DtmfDetector(rate)


# ---- many streams, one watch ----------------------------------------------------------------


def frames_of(*parts: np.ndarray) -> list[bytes]:
    wave = np.concatenate(parts)
    pcm = np.clip(np.rint(wave), -32768, 32767).astype(np.int16).tobytes()
    return [pcm[n : n + 320] for n in range(0, len(pcm) - 319, 320)]


@pytest.mark.requirement("media.dtmf-inband")
def test_streams_that_come_unevenly_are_told_apart() -> None:
    presses: list[list[TonePress]] = [[], [], []]
    tone_watch = ToneWatch()
    ears = [ToneEar(8000, each.append) for each in presses]
    streams = [
        frames_of(gap(113), tone("1", 60), gap(300)),
        frames_of(gap(40), tone("9", 90), gap(300)),
        frames_of(gap(500)),
    ]
    # The first one's frames come in pairs every other round, the second's one in each.
    for number in range(20):
        if number % 2:
            for frame in streams[0][number - 1 : number + 1]:
                tone_watch.note(ears[0], frame)
        for ear, stream in zip(ears[1:], streams[1:], strict=True):
            tone_watch.note(ear, stream[number])
        tone_watch.judge()
    assert [keys(each) for each in presses] == ["1", "9", ""]
    assert presses[0][0].duration_ms == pytest.approx(60, abs=10)


def test_an_ear_that_hears_nothing_more_is_forgotten() -> None:
    tone_watch = ToneWatch()
    ear = ToneEar(8000, lambda press: None)
    gone = weakref.ref(ear)
    for frame in frames_of(gap(40), tone("5", 100)):
        tone_watch.note(ear, frame)
        tone_watch.judge()
    assert ear.awake
    del ear
    other = ToneEar(8000, lambda press: None)
    for frame in frames_of(gap(1200), tone("1", 40), gap(60)):
        tone_watch.note(other, frame)
        tone_watch.judge()
    assert gone() is None


def test_a_key_in_which_the_stream_stops_is_told_and_the_next_one_is_another() -> None:
    presses: list[TonePress] = []
    tone_watch, ear = ToneWatch(), ToneEar(8000, presses.append)
    for frame in frames_of(gap(40), tone("5", 100)):
        tone_watch.note(ear, frame)
        tone_watch.judge()
    for _ in range(60):
        tone_watch.note(ToneEar(8000, presses.append), b"\0" * 960)
        tone_watch.judge()
    assert keys(presses) == "5"
    for frame in frames_of(gap(400), tone("5", 100), gap(100)):
        tone_watch.note(ear, frame)
        tone_watch.judge()
    assert [press.duration_ms for press in presses] == pytest.approx([100, 100], abs=10)


def test_an_ear_without_a_shared_watch_hears_at_once() -> None:
    presses: list[TonePress] = []
    tone_watch, ear = ToneWatch(at_once=True), ToneEar(8000, presses.append)
    note = tone_watch.notes(320)
    for frame in frames_of(gap(40), tone("5", 100), gap(60)):
        note((ear, frame))
    assert keys(presses) == "5"


def test_a_frame_of_another_length_spoils_nobodys_round() -> None:
    presses: list[TonePress] = []
    tone_watch, ear = ToneWatch(), ToneEar(8000, presses.append)
    note = tone_watch.notes(320)
    note((ToneEar(8000, presses.append), b"\0" * 318))
    tone_watch.judge()
    for frame in frames_of(gap(20), tone("5", 100), gap(100)):
        note((ear, frame))
        note((ToneEar(8000, presses.append), b"\0" * 322))
        tone_watch.judge()
    assert keys(presses) == "5"
