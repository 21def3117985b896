"""Hold and resume, by us: for an agent that asks, and around a transfer."""

from __future__ import annotations

import structlog

from ringback.calls.finder import Finder
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry
from ringback.calls.states import HeldBy, Party
from ringback.connectors.contract import Capability
from ringback.core.errors import Conflict, RingbackError
from ringback.media.plane import MediaPlane

SILENCE = ""

log = structlog.stdlib.get_logger(__name__)

_OURS = (HeldBy.AGENT, HeldBy.BOTH)


class Holding:
    """``music`` is the path of the WAV that held people hear; ``None``: what media has itself."""

    def __init__(
        self, finder: Finder, lifecycle: Lifecycle, plane: MediaPlane, music: str | None
    ) -> None:
        self._finder = finder
        self._lifecycle = lifecycle
        self._plane = plane
        self._music = music

    async def hold(self, account_id: str, call_id: str, music: bool = True) -> Entry:
        """Let the person wait, with music or in silence; returns when the far end knows.

        The person is cut off from the agent at once. A far end that refuses to be held hears the
        music all the same. Raises ``Conflict`` before the answer and during a transfer.
        """
        entry = self._settled(account_id, call_id)
        self._hold_media(entry, self._music if music else SILENCE)
        async with entry.signalling:
            if held_by_us(entry) and not entry.hold_signalled and entry.leg is not None:
                try:
                    await entry.leg.hold()
                    entry.hold_signalled = True
                except RingbackError as error:
                    log.info("hold_not_signalled", call_id=call_id, why=error.message)
        return entry

    async def resume(self, account_id: str, call_id: str) -> Entry:
        """End :meth:`hold`. Raises ``Conflict`` where it is the far end that holds, and
        ``UpstreamFailed`` where that refuses to go on; the person then still waits."""
        entry = self._settled(account_id, call_id)
        if entry.call.held_by is HeldBy.REMOTE:
            raise Conflict(
                "It is the far end that holds this call: only it can resume it.",
                code="held_by_remote",
            )
        async with entry.signalling:
            await self._resume(entry)
        return entry

    async def release(self, entry: Entry) -> None:
        """Bring the person back for others to talk to, whatever the far end says."""
        async with entry.signalling:
            try:
                await self._resume(entry)
            except RingbackError as error:
                log.warning("resume_refused", call_id=entry.call_id, why=error.message)
                self._resume_media(entry)

    def park(self, entry: Entry) -> bool:
        """Let the person hear music for a while, without a word to the far end. ``False`` where
        an agent holds the call already."""
        if held_by_us(entry):
            return False
        self._hold_media(entry, self._music)
        return True

    def unpark(self, entry: Entry) -> None:
        """Undo a :meth:`park` that did something."""
        self._resume_media(entry)

    def _settled(self, account_id: str, call_id: str) -> Entry:
        entry = self._finder.answered(account_id, call_id, Capability.HOLD)
        if entry.transferring:
            raise Conflict(
                "The call is being transferred.",
                code="transfer_in_progress",
                hint="Wait for `call_transfer` to say `done` or `failed`.",
            )
        return entry

    async def _resume(self, entry: Entry) -> None:
        if not held_by_us(entry):
            return
        if entry.hold_signalled and entry.leg is not None:
            await entry.leg.resume()
            entry.hold_signalled = False
        self._resume_media(entry)

    def _hold_media(self, entry: Entry, music: str | None) -> None:
        self._plane.hold(entry.call_id, music)
        self._lifecycle.hold(entry, Party.AGENT, True)

    def _resume_media(self, entry: Entry) -> None:
        self._plane.resume(entry.call_id)
        self._lifecycle.hold(entry, Party.AGENT, False)


def held_by_us(entry: Entry) -> bool:
    return entry.call.answered and entry.call.held_by in _OURS
