"""Several people in one call: the rooms of this node.

A *room* belongs to a call, its host, and has that call's id: the bridges of its members are joined
to the host's. A room whose agent left (the host was transferred here) lives as long as two people
are in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from ringback.calls import events
from ringback.calls.dialler import Dialler, PlaceCall
from ringback.calls.finder import Finder, not_found
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry
from ringback.connectors.contract import Capability
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, InvalidRequest, LimitReached, NotFound
from ringback.media.plane import MediaPlane

MAX_PARTICIPANTS = 32
"""People in a room beside its host, those that are still being called included."""

log = structlog.stdlib.get_logger(__name__)


class Role(StrEnum):
    HOST = "host"
    PARTICIPANT = "participant"


@dataclass(frozen=True, slots=True)
class Participant:
    """One person of a room. ``joined``: hears the others."""

    entry: Entry
    role: Role
    joined: bool


@dataclass(frozen=True, slots=True)
class Invitation:
    """Somebody to call into a room; ``timeout`` in seconds until they must have answered."""

    target: str
    caller_id: str | None = None
    trunk_id: str | None = None
    timeout: float | None = None


@dataclass(slots=True)
class _Room:
    host: Entry
    members: dict[str, Entry] = field(default_factory=dict)
    called: dict[str, Entry] = field(default_factory=dict)
    """Those who have not answered yet."""
    without_agent: bool = False
    """It was made by a transfer: there is nobody of ours for whom one person should wait."""

    def __len__(self) -> int:
        return len(self.members) + len(self.called)


class Conferences:
    def __init__(
        self, finder: Finder, lifecycle: Lifecycle, dialler: Dialler, plane: MediaPlane
    ) -> None:
        self._finder = finder
        self._lifecycle = lifecycle
        self._dialler = dialler
        self._plane = plane
        self._rooms: dict[str, _Room] = {}
        """By the id of their host."""
        self._places: dict[str, _Room] = {}
        """By the id of a member, or of one who is called."""

    def __len__(self) -> int:
        return len(self._rooms)

    # ---- the operations ---------------------------------------------------------------------

    async def invite(self, account_id: str, call_id: str, wanted: Invitation) -> Participant:
        """Call somebody into the call. They are in it when they answer; events tell.

        Raises ``Conflict`` for a call that is not answered, ``LimitReached`` for a full room, and
        what placing a call raises.
        """
        host = self._host(self._finder.answered(account_id, call_id, Capability.AUDIO_OUT))
        self._check_free(host)
        self._check_size(host)
        facts = host.call.facts
        place = PlaceCall(
            platform=facts.platform,
            meeting_url=wanted.target,
            agent_name=facts.agent_name,
            caller_id=wanted.caller_id,
            trunk_id=wanted.trunk_id,
            recording=False,
            transcripts=False,
            parent_call_id=host.call_id,
            ring_timeout=wanted.timeout,
        )
        entry = await self._dialler.place(account_id, place)
        if host.call.final:
            self._lifecycle.hang_up(entry, EndReason.CONFERENCE_ENDED)
            raise not_found()
        try:
            self._check_size(host)  # others may have been faster
        except LimitReached:
            self._lifecycle.hang_up(entry, EndReason.CANCELLED)
            raise
        room = self._room(host)
        room.called[entry.call_id] = entry
        self._enter(room, entry)
        self._changed(entry)
        return Participant(entry, Role.PARTICIPANT, entry.call_id in room.members)

    def join(self, account_id: str, call_id: str, other_id: str) -> Participant:
        """Bring another live call, its people and its agents, into this one.

        Raises ``InvalidRequest`` for the same call twice, ``Conflict`` where one of them is not
        answered, is being transferred, or has a room of its own.
        """
        host = self._host(self._finder.answered(account_id, call_id, Capability.AUDIO_OUT))
        entry = self._finder.answered(account_id, other_id, Capability.AUDIO_OUT)
        self._check_free(host)
        self._check_free(entry)
        self._join(host, entry)
        return Participant(entry, Role.PARTICIPANT, True)

    def list(self, account_id: str, call_id: str) -> list[Participant]:
        """Who is in the call, the host first."""
        host = self._host(self._finder.live(account_id, call_id))
        people = [Participant(host, Role.HOST, host.call.answered)]
        room = self._rooms.get(host.call_id)
        if room is not None:
            people += [Participant(e, Role.PARTICIPANT, True) for e in room.members.values()]
            people += [Participant(e, Role.PARTICIPANT, False) for e in room.called.values()]
        return people

    def remove(self, account_id: str, call_id: str, other_id: str, keep: bool = False) -> Entry:
        """Take somebody out: hang up on them, or with ``keep`` let their call go on by itself.

        Raises ``NotFound`` (``participant_not_found``) for one that is not in this call's room.
        """
        host = self._host(self._finder.live(account_id, call_id))
        room = self._rooms.get(host.call_id)
        if room is None or self._places.get(other_id) is not room:
            raise NotFound(
                "There is no such participant in this call.",
                code="participant_not_found",
                hint=f"List them with GET /api/call/{call_id}/participants.",
            )
        entry = room.members.get(other_id) or room.called[other_id]
        if keep:
            self._leave(entry)
        else:
            answered = entry.call.answered
            reason = EndReason.AGENT_HANGUP if answered else EndReason.CANCELLED
            self._lifecycle.hang_up(entry, reason)
        return entry

    # ---- the end of a transfer --------------------------------------------------------------

    def check_bridge(self, entry: Entry, other: Entry) -> None:
        """Raises what :meth:`bridge` would raise now."""
        self._check_joinable(self._host(entry), other)

    def bridge(self, entry: Entry, other: Entry) -> None:
        """Let the people of two answered calls talk to each other without our agents. Raises as
        :meth:`join`."""
        host = self._host(entry)
        room = self._join(host, other)
        self._lifecycle.release_agent(entry)
        self._lifecycle.release_agent(other)
        room.without_agent = not any(e.has_agent for e in (host, *room.members.values()))

    # ---- the rooms --------------------------------------------------------------------------

    def _host(self, entry: Entry) -> Entry:
        """The host of the room that ``entry`` is in, itself where it is in none."""
        room = self._places.get(entry.call_id)
        return room.host if room is not None else entry

    def _check_free(self, entry: Entry) -> None:
        if entry.transferring:
            raise Conflict(
                f"The call {entry.call_id} is being transferred.",
                code="transfer_in_progress",
                hint="Wait for `call_transfer` to say `done` or `failed`.",
            )

    def _check_joinable(self, host: Entry, entry: Entry) -> None:
        room = self._places.get(entry.call_id)
        if entry is host or (room is not None and room.host is host):
            raise InvalidRequest(
                "The two are one call already.", code="already_joined", field="call_id"
            )
        if entry.call_id in self._rooms:
            raise Conflict(
                "That call has participants of its own.",
                code="is_a_conference",
                hint="Join this call to that one instead.",
            )
        self._check_size(host)

    def _check_size(self, host: Entry) -> None:
        room = self._rooms.get(host.call_id)
        if room is not None and len(room) >= MAX_PARTICIPANTS:
            raise LimitReached(
                f"A call has at most {MAX_PARTICIPANTS} participants beside its own.",
                code="too_many_participants",
                hint="Remove one of them first.",
            )

    def _room(self, host: Entry) -> _Room:
        room = self._rooms.get(host.call_id)
        if room is None:
            room = self._rooms[host.call_id] = _Room(host)
            host.watchers.append(self._changed)
        return room

    def _enter(self, room: _Room, entry: Entry) -> None:
        self._places[entry.call_id] = room
        entry.watchers.append(self._changed)

    def _join(self, host: Entry, entry: Entry) -> _Room:
        self._check_joinable(host, entry)
        self._leave(entry)
        room = self._room(host)
        try:
            self._plane.join(entry.call_id, host.call_id)
        except LimitReached:
            self._thin_out(room)
            raise
        self._enter(room, entry)
        self._admitted(room, entry)
        return room

    def _admit(self, room: _Room, entry: Entry) -> None:
        """Somebody who was called has answered."""
        try:
            self._plane.join(entry.call_id, room.host.call_id)
        except LimitReached as error:
            log.warning("participant_not_joined", call_id=entry.call_id, why=error.message)
            self._lifecycle.hang_up(entry, EndReason.CONFERENCE_ENDED, error.message)
            return
        self._admitted(room, entry)

    def _admitted(self, room: _Room, entry: Entry) -> None:
        """From now on everybody hears ``entry``."""
        room.called.pop(entry.call_id, None)
        room.members[entry.call_id] = entry
        for one in (room.host, entry):
            self._lifecycle.put(one, replace(one.call, conference_id=room.host.call_id))
        self._tell(room, events.participant_joined(room.host.call, entry.call))

    def _changed(self, entry: Entry) -> None:
        """The call of a host, a member or one who is called has moved."""
        room = self._rooms.get(entry.call_id)
        if room is not None and entry.call.final:
            self._close(room)
        room = self._places.get(entry.call_id)
        if room is None:
            return
        if entry.call.final:
            self._gone(room, entry)
        elif entry.call.answered and entry.call_id in room.called:
            self._admit(room, entry)

    def _gone(self, room: _Room, entry: Entry) -> None:
        """A member, or one who was called, has hung up or never answered."""
        joined = entry.call_id in room.members
        self._forget(room, entry)
        told = events.participant_left if joined else events.participant_failed
        self._tell(room, told(room.host.call, entry.call))
        self._thin_out(room)

    def _leave(self, entry: Entry) -> None:
        """``entry`` goes on by itself, where it is in a room."""
        room = self._places.get(entry.call_id)
        if room is None:
            return
        joined = entry.call_id in room.members
        self._forget(room, entry)
        if joined:
            self._plane.part(entry.call_id)
            self._lifecycle.put(entry, replace(entry.call, conference_id=None))
            self._tell(room, events.participant_left(room.host.call, entry.call))
        self._thin_out(room)

    def _forget(self, room: _Room, entry: Entry) -> None:
        room.members.pop(entry.call_id, None)
        room.called.pop(entry.call_id, None)
        del self._places[entry.call_id]
        entry.unwatch(self._changed)

    def _thin_out(self, room: _Room) -> None:
        """An empty room is none; nobody is left alone in a room that has no agent."""
        if len(room) or self._rooms.get(room.host.call_id) is not room:
            return
        del self._rooms[room.host.call_id]
        room.host.unwatch(self._changed)
        if room.host.call.final:
            return
        self._lifecycle.put(room.host, replace(room.host.call, conference_id=None))
        if room.without_agent:
            self._lifecycle.hang_up(room.host, EndReason.CONFERENCE_ENDED)

    def _close(self, room: _Room) -> None:
        """The host's call is over: those who have nobody of their own to talk to go, too."""
        for entry in [*room.members.values(), *room.called.values()]:
            if entry.has_agent and entry.call_id in room.members:
                self._leave(entry)
            else:
                self._lifecycle.hang_up(entry, EndReason.CONFERENCE_ENDED)

    def _tell(self, room: _Room, message: events.Message) -> None:
        """To the account, and to the streams of everybody who is in the room."""
        self._lifecycle.publish(room.host, message)
        for entry in room.members.values():
            self._plane.notify(entry.call_id, message)
