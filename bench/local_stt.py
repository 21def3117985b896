"""How well the local recogniser hears a telephone: word accuracy on espeak-spoken sentences.

    python bench/local_stt.py [--verbose]

Each sentence is spoken by espeak-ng, cut to 8 kHz, sent through G.711 u-law and recognised as a
caller's turn would be. Three recognisers are compared: the model as it is, with the noise floor,
and with the demo agent's phrases as hints too. Sentences that the demo agent expects and free ones
are counted apart. Synthetic speech in a quiet room: people on real lines are harder to hear.
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ringback.audio.g711 import decode_ulaw, encode_ulaw
from ringback.audio.resample import Resampler
from ringback.voice.brains.demo import HINTS
from ringback.voice.providers.local.espeak import Espeak
from ringback.voice.providers.local.sphinx import Recogniser

EXPECTED = (
    "hello",
    "what time is it",
    "what day is it today",
    "what is your name",
    "who are you",
    "are you a robot",
    "what can you do",
    "how are you",
    "can you hear me",
    "thank you very much",
    "press five",
    "goodbye",
)
FREE = (
    "i would like to book a table for two",
    "the weather is nice today",
    "my order number is four seven nine",
    "can i speak to a person",
    "where is my package",
    "what are your opening hours",
    "i want to cancel my subscription",
    "could you send me the contract",
)
VOICES = (("en-us", 160), ("en-us+f3", 150), ("en-gb", 155))
RATE = 8000
LEAD_MS, TAIL_MS = 300, 600


@dataclass
class Score:
    words: int = 0
    wrong: int = 0
    exact: int = 0
    sentences: int = 0
    audio: float = 0.0
    spent: float = 0.0
    slowest: float = 0.0

    def add(self, said: str, heard: str, audio: float, spent: float) -> None:
        self.words += len(said.split())
        self.wrong += word_errors(said.split(), heard.split())
        self.exact += said == heard
        self.sentences += 1
        self.audio += audio
        self.spent += spent
        self.slowest = max(self.slowest, spent)

    def __str__(self) -> str:
        accuracy = 100 * max(0, self.words - self.wrong) / self.words
        return (
            f"{accuracy:4.0f} % of words, {self.exact:2d} of {self.sentences} sentences exact, "
            f"{1000 * self.spent / self.sentences:4.0f} ms of CPU a sentence "
            f"(most {1000 * self.slowest:.0f}), {self.spent / self.audio:.2f} of real time"
        )


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Substitutions, insertions and deletions (Levenshtein distance over words)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def telephone(espeak: Espeak, text: str, voice: str, words_per_minute: int) -> bytes:
    """PCM s16le at 8 kHz as it comes out of a G.711 call."""
    _, pcm = espeak.handle({"voice": voice, "rate": words_per_minute, "pitch": 50}, text.encode())
    resampler = Resampler(espeak.sample_rate, RATE)
    narrow = resampler.process(pcm) + resampler.flush()
    return silence(LEAD_MS) + decode_ulaw(encode_ulaw(narrow)) + silence(TAIL_MS)


def silence(milliseconds: int) -> bytes:
    return bytes(RATE * 2 * milliseconds // 1000)


def plain(text: str) -> str:
    return re.sub(r"[^a-z' ]", "", text.lower()).replace("good bye", "goodbye").strip()


def measure(
    recogniser: Recogniser, espeak: Espeak, sentences: Sequence[str], hints: Sequence[str]
) -> tuple[Score, list[str]]:
    score, lines = Score(), []
    for voice, rate in VOICES:
        for said in sentences:
            pcm = telephone(espeak, said, voice, rate)
            before = time.process_time()
            heard = plain(recogniser.recognise(pcm, RATE, hints))
            score.add(said, heard, len(pcm) / (2 * RATE), time.process_time() - before)
            lines.append(f"    {voice:9s} {said:38s} -> {heard}")
    return score, lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Word accuracy of the local recogniser")
    parser.add_argument("--verbose", action="store_true", help="print every sentence")
    verbose = parser.parse_args().verbose
    espeak = Espeak()
    before = time.perf_counter()
    recogniser = Recogniser()
    print(f"start: {time.perf_counter() - before:.2f} s")
    bare = Recogniser(noise_rms=0.0)
    variants = (
        ("model as it is", bare, ()),
        ("noise floor", recogniser, ()),
        ("noise floor and hints", recogniser, HINTS),
    )
    for kind, sentences in (("expected sentences", EXPECTED), ("free speech", FREE)):
        print(f"{kind} ({len(sentences)} in {len(VOICES)} voices)")
        for name, each, hints in variants:
            score, lines = measure(each, espeak, sentences, hints)
            print(f"  {name:22s} {score}")
            if verbose:
                print("\n".join(lines))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"memory: {memory} MB (two models loaded; the worker has one)")


if __name__ == "__main__":
    main()
