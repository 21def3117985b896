"""The account of what the caller really heard of what the agent said.

Sentences are entered as they are queued for playout; the port's counters tell how far playout
got. Within a sentence the place in the text is taken to be proportional to the place in its
sound: exact at the ends of sentences, within a word or so between them (vendors that give word
times can do better).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

SLACK_MS = 5
"""Playout counters are whole milliseconds: a sentence this close to its end has been heard."""

MS_PER_CHARACTER = 65
"""A usual pace of speech: how long a sentence is taken to be while it is still being made."""

_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class Heard:
    """One sentence, or what the caller heard of it. Times on the session's clock."""

    text: str
    start_ms: int
    end_ms: int
    whole: bool


@dataclass(slots=True)
class Sentence:
    """``complete``: all of its sound is queued; ``closed``: no more of it will be."""

    text: str
    queued_ms: int = 0
    gone_ms: int = 0
    played_ms: int = 0
    start_ms: int | None = None
    end_ms: int = 0
    complete: bool = False
    closed: bool = False

    @property
    def length_ms(self) -> int:
        if self.complete:
            return self.queued_ms
        return max(self.queued_ms, len(self.text) * MS_PER_CHARACTER)


def heard_text(text: str, played_ms: int, length_ms: int) -> str:
    """The whole words of ``text`` that fit into the played share of its sound."""
    if length_ms <= 0 or played_ms <= 0:
        return ""
    if played_ms + SLACK_MS >= length_ms:
        return text
    reached = len(text) * played_ms / length_ms
    heard = ""
    for word in _WORD.finditer(text):
        if word.start() + len(word.group().rstrip()) > reached:
            break
        heard += word.group()
    return heard.rstrip()


class SpokenLedger:
    """Fed with the port's counters: ``queued`` after each push, ``account`` on every tick."""

    def __init__(self) -> None:
        self._sentences: deque[Sentence] = deque()
        self._pushed = 0
        self._gone = 0
        self._played = 0

    def __bool__(self) -> bool:
        return bool(self._sentences)

    def begin(self, text: str) -> Sentence:
        """The audio queued from now on is ``text``."""
        sentence = Sentence(text)
        self._sentences.append(sentence)
        return sentence

    def queued(self, sentence: Sentence, added_ms: int) -> None:
        """``sentence`` must be the one begun last."""
        self._pushed += added_ms
        sentence.queued_ms += added_ms

    def close(self, sentence: Sentence, *, complete: bool) -> None:
        """No more sound of ``sentence`` comes: it is all there, or was given up on the way."""
        sentence.complete = complete
        sentence.closed = True

    def account(self, played_ms: int, queued_ms: int, now: int) -> list[Heard]:
        """The sentences that have been played to their end since the last call.

        ``played_ms`` and ``queued_ms`` are the port's. What left the queue without being played
        (the call was on hold) counts as not heard.
        """
        gone = self._pushed - queued_ms - self._gone
        played = played_ms - self._played
        self._gone += gone
        self._played = played_ms
        return self._spread(gone, played, now)

    def _spread(self, gone: int, played: int, now: int) -> list[Heard]:
        finished: list[Heard] = []
        while self._sentences:
            sentence = self._sentences[0]
            share = min(gone, sentence.queued_ms - sentence.gone_ms)
            of_played = min(share, played)
            gone -= share
            played -= of_played
            if of_played > 0 and sentence.start_ms is None:
                sentence.start_ms = max(0, now - of_played - max(0, played))
            sentence.gone_ms += share
            sentence.played_ms += of_played
            if of_played > 0:
                sentence.end_ms = now - max(0, played)
            if not sentence.closed or sentence.gone_ms < sentence.queued_ms:
                break
            finished.extend(_settle(self._sentences.popleft()))
        return finished

    def cut(self, played_ms: int, queued_ms: int, now: int) -> list[Heard]:
        """Playout is about to be cleared: what was heard of what is not settled yet.

        Call it before the port's ``clear``; ``cleared`` after it.
        """
        heard = self.account(played_ms, queued_ms, now)
        for sentence in self._sentences:
            heard.extend(_settle(sentence))
        self._sentences.clear()
        return heard

    def cleared(self, queued_ms: int) -> None:
        """The port dropped its queue (``queued_ms`` is what it says now)."""
        self._gone = self._pushed - queued_ms

    @property
    def started(self) -> bool:
        """Whether any of the oldest unsettled sentence has been played."""
        return bool(self._sentences) and self._sentences[0].start_ms is not None


def _settle(sentence: Sentence) -> list[Heard]:
    text = heard_text(sentence.text, sentence.played_ms, sentence.length_ms)
    if not text or sentence.start_ms is None:
        return []
    return [Heard(text, sentence.start_ms, sentence.end_ms, whole=text == sentence.text)]
