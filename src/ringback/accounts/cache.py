"""Keys that were found valid a moment ago, so that a request need not ask the database."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ringback.core.http import Principal

MAX_ENTRIES = 1000
LIFETIME_SECONDS = 30.0
"""How long another node may go on accepting a key that was revoked here."""


@dataclass(frozen=True, slots=True)
class _Entry:
    principal: Principal
    expires: float


class KeyCache:
    """Valid keys by their full digest, bounded, least recently used out first.

    ``generation`` grows with every removal: a lookup that began before one must not be stored
    after it, or a revoked key would live on.
    """

    def __init__(
        self, max_entries: int = MAX_ENTRIES, lifetime_seconds: float = LIFETIME_SECONDS
    ) -> None:
        self._max_entries = max_entries
        self._lifetime_seconds = lifetime_seconds
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.generation = 0

    def get(self, digest: str, now: float) -> Principal | None:
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry.expires <= now:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry.principal

    def put(self, digest: str, principal: Principal, now: float, generation: int) -> None:
        if generation != self.generation:
            return
        self._entries[digest] = _Entry(principal, now + self._lifetime_seconds)
        self._entries.move_to_end(digest)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def remove_key(self, key_id: str) -> None:
        self.generation += 1
        for digest in [d for d, e in self._entries.items() if e.principal.key_id == key_id]:
            del self._entries[digest]
