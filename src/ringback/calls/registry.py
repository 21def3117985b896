"""The live calls of this node, in memory.

An entry is made before its call is announced and goes when its record is safe in the database, so
that a call is always found in one of the two places.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ringback.calls.gathering import Gathering
from ringback.calls.live_call import LiveCall
from ringback.calls.transcript import Transcript
from ringback.connectors.contract import LegControl
from ringback.core.moment import Moment
from ringback.media.plane import SessionReport, VoiceSpec

MOUTH = VoiceSpec("", {"listen": False, "greeting": ""})
"""A voice that only says what it is told to, with the vendor's defaults."""


class Timer(Protocol):
    def cancel(self) -> None: ...


@dataclass(slots=True, eq=False)
class Entry:
    """A live call and everything that belongs to its life on this node."""

    call: LiveCall
    voice: VoiceSpec | None = None
    """The hosted pipeline that is the agent, started with the answer."""
    mouth: VoiceSpec = MOUTH
    """What speaks for an agent outside, started when it first has something to say."""
    speaks: bool = False
    """One of the two has been started."""
    max_seconds: float | None = None
    leg: LegControl | None = None
    transcript: Transcript = field(default_factory=Transcript)
    draft: bool = False
    """Not announced yet: the connector may still turn the call down."""
    answering: bool = False
    """The answer is on its way to the caller."""
    leg_over: bool = False
    releasing: bool = False
    media_open: Moment = field(default_factory=Moment)
    quality: SessionReport | None = None
    timers: dict[str, Timer] = field(default_factory=dict)
    changed: Moment = field(default_factory=Moment)
    """Set once the call is answered or over; what ``accept`` waits for."""
    released: Moment = field(default_factory=Moment)
    """The media is closed and the record is complete."""
    watchers: list[Callable[[Entry], None]] = field(default_factory=list)
    """Called after each move of the call; one that is called may take itself out."""
    signalling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the far end is asked to hold or resume: one after the other."""
    hold_signalled: bool = False
    """The far end was told that we hold."""
    transferring: bool = False
    """A transfer that we asked for is under way."""
    gathering: Gathering | None = None
    """Who waits for keys."""
    streams: set[str] = field(default_factory=set)
    """The call WebSockets that are attached."""
    agent_left: bool = False
    """The agent was taken off the call: it was transferred."""

    @property
    def call_id(self) -> str:
        return self.call.call_id

    @property
    def account_id(self) -> str:
        return self.call.facts.account_id

    @property
    def has_agent(self) -> bool:
        """Whether somebody of ours is on the call: an agent that it belongs to, or a stream."""
        hired = self.voice is not None or self.call.facts.agent_id is not None
        return bool(self.streams) or (hired and not self.agent_left)

    def unwatch(self, watcher: Callable[[Entry], None]) -> None:
        if watcher in self.watchers:
            self.watchers.remove(watcher)

    def cancel_timer(self, name: str) -> None:
        timer = self.timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def cancel_timers(self) -> None:
        for name in list(self.timers):
            self.cancel_timer(name)


class Registry:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._live: Counter[str] = Counter()
        self._begun = 0
        self.idle = asyncio.Event()
        """Set while no call is live."""
        self.empty = asyncio.Event()
        """Set while there is no entry at all."""
        self.idle.set()
        self.empty.set()

    def add(self, entry: Entry) -> None:
        self._entries[entry.call_id] = entry
        self._begun += 1
        self._live[entry.account_id] += 1
        self.idle.clear()
        self.empty.clear()

    def update(self, entry: Entry, call: LiveCall) -> None:
        """Put ``call`` in the entry's place; the only way in which an entry's call changes."""
        if call.final and not entry.call.final:
            self._count_out(entry.account_id)
        entry.call = call

    def remove(self, entry: Entry) -> None:
        if self._entries.pop(entry.call_id, None) is None:
            return
        if not entry.call.final:
            self._count_out(entry.account_id)
        if not self._entries:
            self.empty.set()

    def _count_out(self, account_id: str) -> None:
        self._live[account_id] -= 1
        if not self._live[account_id]:
            del self._live[account_id]
        if not self._live:
            self.idle.set()

    def get(self, call_id: str) -> Entry | None:
        return self._entries.get(call_id)

    def __len__(self) -> int:
        """Entries, also of calls that are over and wait for their record to be complete."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    @property
    def live(self) -> int:
        """Calls that are not over, of all accounts."""
        return self._live.total()

    def counts(self) -> tuple[int, int]:
        """Calls that are not over, and those that were ever begun here."""
        return self._live.total(), self._begun

    def live_of(self, account_id: str) -> int:
        return self._live[account_id]

    def calls_of(self, account_id: str) -> list[Entry]:
        """The account's calls that are announced and not over, oldest first."""
        return [
            entry
            for entry in self._entries.values()
            if entry.account_id == account_id and not entry.draft and not entry.call.final
        ]
