"""One key press, however many ways it comes in.

A phone may send a key as telephone events (RFC 4733), by SIP INFO and as a tone in the audio, all
at once and up to a second out of step. Each way brings every key once and in order, so the n-th key
of one way is the n-th of the others: a report that finds a recent key of the same digit, not yet
told by its own way and after the last one that was, is that key; any other is a new one. Two quick
presses of one key stay two, because each way says them twice.

Tones are recognised from sound, which speech can imitate: they are believed only until another way
has brought a key. Pure: ``now`` is monotonic seconds.
"""

from __future__ import annotations

from enum import Enum

WINDOW_SECONDS = 1.0
"""How far two ways may be out of step, beside the duration of the key itself."""
MAX_DURATION_MS = 10_000
"""A longer press, or a duration that is made up, widens the window no further."""
MAX_KEYS = 64
"""Keys that are remembered. Nobody presses more within the longest window."""


class Way(Enum):
    EVENTS = "rfc4733"
    INFO = "info"
    TONES = "tones"


class _Key:
    """A key that was reported. ``ways`` have told it."""

    __slots__ = ("at", "digit", "ways")

    def __init__(self, digit: str, at: float, way: Way) -> None:
        self.digit = digit
        self.at = at
        self.ways = {way}


class KeyMerge:
    """The state of one phone leg."""

    def __init__(self) -> None:
        self._keys: list[_Key] = []
        self._proved: set[Way] = set()

    @property
    def tones_wanted(self) -> bool:
        """Whether it is worth listening for tones: no better way has brought a key yet."""
        return not self._proved - {Way.TONES}

    def report(self, way: Way, digit: str, duration_ms: int, now: float) -> bool:
        """``way`` brings a key that lasted for ``duration_ms`` and ended by ``now``. Returns
        whether it is a new one."""
        earliest = now - min(max(duration_ms, 0), MAX_DURATION_MS) / 1000 - WINDOW_SECONDS
        key = self._untold(way, digit, earliest)
        wanted = way is not Way.TONES or self.tones_wanted
        self._proved.add(way)
        if key is not None:
            key.ways.add(way)
            return False
        if wanted:
            self._keys.append(_Key(digit, now, way))
            del self._keys[:-MAX_KEYS]
        return wanted

    def _untold(self, way: Way, digit: str, earliest: float) -> _Key | None:
        """The first key of ``digit`` that another way has told since ``earliest``, and ``way``
        neither has nor told one after it."""
        found: _Key | None = None
        for key in reversed(self._keys):
            if way in key.ways or key.at < earliest:
                break
            if key.digit == digit:
                found = key
        return found
