"""Cuts a stream of text into sentences, so that the first can be spoken while the rest is made."""

from __future__ import annotations

import re

MAX_SENTENCE = 240
"""Characters; a longer one is cut at a comma or a space."""

_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|\n+")
_ABBREVIATION = re.compile(
    r"\b(?:(?i:mr|mrs|ms|dr|prof|vs|e\.g|i\.e|approx|dept|ext|jr|sr)|[A-HJ-Z])\.$"
)
_ENUMERATION = re.compile(r"^\s*\d{1,3}\.$")
_SPEAKABLE = re.compile(r"\w")


class SentenceChunker:
    """``push`` returns what became complete, ``flush`` the rest. Bounded by ``MAX_SENTENCE``."""

    def __init__(self) -> None:
        self._pending = ""

    def push(self, text: str) -> list[str]:
        self._pending += text
        sentences: list[str] = []
        while (end := self._next_end()) is not None:
            sentence, self._pending = self._pending[:end], self._pending[end:]
            _append(sentences, sentence)
        return sentences

    def flush(self) -> list[str]:
        """What is left, as a last sentence; nothing when there is nothing to pronounce."""
        sentences: list[str] = []
        _append(sentences, self._pending)
        self._pending = ""
        return sentences

    def _next_end(self) -> int | None:
        for found in _END.finditer(self._pending):
            head = self._pending[: found.end()]
            if found.end() > MAX_SENTENCE:
                break
            if found.group().startswith(".") and _is_no_end(head):
                continue
            return found.end()
        return _forced_end(self._pending) if len(self._pending) > MAX_SENTENCE else None


def _is_no_end(head: str) -> bool:
    return bool(_ABBREVIATION.search(head) or _ENUMERATION.match(head))


def _forced_end(text: str) -> int:
    head = text[:MAX_SENTENCE]
    for mark in (", ", "; ", ": ", " "):
        cut = head.rfind(mark, MAX_SENTENCE // 3)
        if cut >= 0:
            return cut + len(mark)
    return MAX_SENTENCE


def _append(sentences: list[str], text: str) -> None:
    if _SPEAKABLE.search(text):
        sentences.append(" ".join(text.split()))
