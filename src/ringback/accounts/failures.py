"""How often one source may try a wrong key: a token bucket per address. Pure: time comes in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

BURST = 60
"""Wrong keys that a source may send at once."""
REFILL_SECONDS = 1.0
"""One more is forgiven after this time."""
MAX_SOURCES = 10_000
"""Sources that are remembered; the one that failed longest ago is forgotten first."""


@dataclass(slots=True)
class _Bucket:
    spent: float
    at: float


class FailureLimiter:
    """Counts failures; ``refused`` is how many attempts were turned away unheard."""

    def __init__(
        self,
        burst: int = BURST,
        refill_seconds: float = REFILL_SECONDS,
        max_sources: int = MAX_SOURCES,
    ) -> None:
        self._burst = burst
        self._refill_seconds = refill_seconds
        self._max_sources = max_sources
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self.refused = 0

    def allows(self, source: str, now: float) -> bool:
        """Whether ``source`` may try at ``now`` (monotonic seconds)."""
        bucket = self._buckets.get(source)
        if bucket is None or self._spent(bucket, now) <= self._burst - 1:
            return True
        self.refused += 1
        return False

    def failed(self, source: str, now: float) -> None:
        """Note a wrong key from ``source``."""
        bucket = self._buckets.get(source)
        spent = self._spent(bucket, now) if bucket else 0.0
        self._buckets[source] = _Bucket(spent + 1, now)
        self._buckets.move_to_end(source)
        while len(self._buckets) > self._max_sources:
            self._buckets.popitem(last=False)

    def _spent(self, bucket: _Bucket, now: float) -> float:
        return max(0.0, bucket.spent - (now - bucket.at) / self._refill_seconds)
