"""pocketsphinx: PCM in, words out. Runs in its worker process.

The English model is made for 16 kHz studio speech; three things make telephone audio fit for it,
each measured by ``bench/local_stt.py``:

- a noise floor. The model has never seen digital silence, and the empty upper half of upsampled
  8 kHz audio is just that: without noise it understands next to nothing.
- one loudness for everybody.
- the phrases that the brain expects, tried first. A phrase is believed when it explains the sound
  about as well as a free sequence of phonemes does, and has about as many of them. Otherwise the
  general language model has its word.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pocketsphinx

from ringback.audio.resample import Resampler
from ringback.voice.providers.local.engine import EngineError
from ringback.voice.providers.local.frames import Header

MODEL_RATE = 16_000
MIN_AUDIO_MS = 150
MAX_PHRASES = 500
MAX_PHRASE_SETS = 8
"""Sets of expected phrases kept ready; the one used longest ago goes first."""

NOISE_RMS = 100.0
SPEECH_RMS = 4000.0
MAX_GAIN = 8.0
PADDING_MS = 200
QUIET_SHARE = 0.03
"""Frames at the edges softer than this share of the loud ones are not speech."""
WORST_FIT = -1.2
"""Log-likelihood per 10 ms frame by which a phrase may fall behind the free phonemes."""
MOST_SOUNDS = 1.2
"""Phonemes heard per phoneme of the phrase: more means that words are missing from it."""

_SEARCH = {"fwdflat": False, "maxhmmpf": 5000, "maxwpf": 20}
"""A narrow search in one pass: a third of the work for the same accuracy."""
_SCORE_SCALE = 1024.0
"""The decoder shifts its scores right by 10 bits."""
_FRAME_MS = 20
_GENERAL = "_default"
_PHONES = "phones"
_VARIANT = re.compile(r"\(\d+\)")
_NOT_WORDS = re.compile(r"[^a-z' ]+")
_FILLERS = frozenset({"SIL", "+SPN+", "+NSN+"})


@dataclass(frozen=True, slots=True)
class _Result:
    text: str
    fit: float
    """Log-likelihood per frame."""


class Recogniser:
    """Loads the models (half a second, 110 MB)."""

    def __init__(self, noise_rms: float = NOISE_RMS) -> None:
        self._decoder = pocketsphinx.Decoder(samprate=MODEL_RATE, loglevel="FATAL", **_SEARCH)
        model = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
        self._decoder.add_allphone_file(_PHONES, model)
        self._phrase_sets: OrderedDict[tuple[str, ...], tuple[str, frozenset[str]]] = OrderedDict()
        self._made = 0
        self._noise = np.random.default_rng(0).normal(0.0, noise_rms, MODEL_RATE * 4)

    def handle(self, header: Header, payload: bytes) -> tuple[Header, bytes]:
        """``header``: ``sample_rate``, ``hints``; payload: PCM s16le. Answers with ``text``."""
        rate, hints = header.get("sample_rate"), header.get("hints", [])
        if not isinstance(rate, int) or not isinstance(hints, list):
            raise EngineError("bad_request", "sample_rate or hints are missing")
        return {"text": self.recognise(payload, rate, [str(hint) for hint in hints])}, b""

    def recognise(self, pcm: bytes, sample_rate: int, hints: Sequence[str] = ()) -> str:
        """The words in one utterance, in lower case; empty when there are none."""
        if len(pcm) < sample_rate * 2 * MIN_AUDIO_MS // 1000:
            return ""
        audio = self._condition(pcm, sample_rate)
        expected = self._expected(audio, hints)
        if expected is not None:
            return expected
        return self._decode(audio, _GENERAL).text

    def _expected(self, audio: bytes, hints: Sequence[str]) -> str | None:
        phrases = self._phrase_set(hints)
        if phrases is None:
            return None
        name, known = phrases
        phrase = self._decode(audio, name)
        if phrase.text not in known:
            return None
        free = self._decode(audio, _PHONES)
        sounds = sum(sound not in _FILLERS for sound in free.text.upper().split())
        if phrase.fit - free.fit < WORST_FIT or sounds > MOST_SOUNDS * self._sounds(phrase.text):
            return None
        return phrase.text

    def _phrase_set(self, hints: Sequence[str]) -> tuple[str, frozenset[str]] | None:
        """The name of the search for ``hints`` and the phrases that the dictionary knows."""
        key = tuple(hints)
        if key in self._phrase_sets:
            self._phrase_sets.move_to_end(key)
            return self._phrase_sets[key]
        plain = (" ".join(_NOT_WORDS.sub(" ", hint.lower()).split()) for hint in key)
        known = frozenset([phrase for phrase in plain if self._sounds(phrase)][:MAX_PHRASES])
        if not known:
            return None
        self._made += 1
        name = f"phrases{self._made}"
        alternatives = " | ".join(sorted(known))
        self._decoder.add_jsgf_string(
            name, f"#JSGF V1.0; grammar expected; public <phrase> = {alternatives};"
        )
        self._phrase_sets[key] = (name, known)
        if len(self._phrase_sets) > MAX_PHRASE_SETS:
            _, (oldest, _) = self._phrase_sets.popitem(last=False)
            self._decoder.remove_search(oldest)
        return name, known

    def _sounds(self, phrase: str) -> int:
        """How many phonemes ``phrase`` has; 0 when a word of it is not in the dictionary."""
        spelt = [self._decoder.lookup_word(word) for word in phrase.split()]
        return 0 if None in spelt else sum(len(word.split()) for word in spelt if word)

    def _decode(self, audio: bytes, search: str) -> _Result:
        decoder = self._decoder
        decoder.activate_search(search)
        # Nothing of what was heard before (another caller, perhaps) may count here.
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(audio, no_search=False, full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        if hypothesis is None:
            return _Result("", -math.inf)
        text = " ".join(_VARIANT.sub("", hypothesis.hypstr).split())
        score = math.log(hypothesis.best_score) if hypothesis.best_score > 0 else -math.inf
        return _Result(text, score * _SCORE_SCALE / max(1, decoder.n_frames()))

    def _condition(self, pcm: bytes, sample_rate: int) -> bytes:
        resampler = Resampler(sample_rate, MODEL_RATE)
        wide = resampler.process(pcm[: len(pcm) & ~1]) + resampler.flush()
        speech = _levelled(np.frombuffer(wide, np.int16).astype(np.float64))
        padding = np.zeros(MODEL_RATE * PADDING_MS // 1000)
        samples = np.concatenate((padding, speech, padding))
        samples += np.resize(self._noise, samples.size)
        return np.clip(samples, -32768, 32767).astype(np.int16).tobytes()


Samples = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _levelled(samples: Samples) -> Samples:
    """The part with speech in it, its loud frames (90th percentile) at ``SPEECH_RMS``.

    The silence around it must go: the decoder subtracts the mean spectrum of all that it is given.
    """
    size = MODEL_RATE * _FRAME_MS // 1000
    frames = samples[: samples.size // size * size].reshape(-1, size)
    levels = np.sqrt(np.mean(frames**2, axis=1))
    peak = float(levels.max(initial=0.0))
    if peak <= 0:
        return samples
    loud = float(np.percentile(levels[levels > peak * QUIET_SHARE], 90))
    heard = np.flatnonzero(levels > loud * QUIET_SHARE)
    speech = samples[heard[0] * size : (heard[-1] + 1) * size]
    return speech * min(MAX_GAIN, SPEECH_RMS / loud)
