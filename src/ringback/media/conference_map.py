"""Which sessions have joined which, for who places them: a forest, each tree one conference."""

from __future__ import annotations

from ringback.core.errors import LimitReached
from ringback.media.bridge import MAX_PARTICIPANTS


class ConferenceMap:
    def __init__(self) -> None:
        self._joined: dict[str, str] = {}
        self._members: dict[str, set[str]] = {}

    def host_of(self, session_id: str) -> str:
        """The session that the others came into; itself where there is no conference."""
        while session_id in self._joined:
            session_id = self._joined[session_id]
        return session_id

    def members_of(self, session_id: str) -> frozenset[str]:
        """Who joined ``session_id`` itself."""
        return frozenset(self._members.get(session_id, ()))

    def may_join(self, session_id: str, conference: str) -> bool:
        """Whether ``join`` would change anything. Raises ``LimitReached`` (code
        ``conference_full``)."""
        host = self.host_of(conference)
        if host == self.host_of(session_id):
            return False
        if self._size(host) + self._size(session_id) > MAX_PARTICIPANTS:
            raise LimitReached(
                f"A conference has {MAX_PARTICIPANTS} calls at most.", code="conference_full"
            )
        return True

    def join(self, session_id: str, conference: str) -> None:
        """``session_id`` has joined ``conference``, and is with nobody else."""
        self.part(session_id)
        self._joined[session_id] = conference
        self._members.setdefault(conference, set()).add(session_id)

    def part(self, session_id: str) -> bool:
        """Whether it was with somebody."""
        conference = self._joined.pop(session_id, None)
        if conference is None:
            return False
        members = self._members[conference]
        members.discard(session_id)
        if not members:
            del self._members[conference]
        return True

    def _size(self, session_id: str) -> int:
        return 1 + sum(self._size(each) for each in self._members.get(session_id, ()))
