"""A new leg that takes the place of a call's leg, once it is answered.

Until then the new leg reports here instead of to the call, and its audio is a session of its own.
If it fails the call goes on as it was; and if the old leg has gone meanwhile (a phone that
transfers often hangs up at once) the call ends then, with the reason of the old leg.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from ringback.connectors.contract import CallSink, Cause, InboundOffer, LegControl
from ringback.core.end_reason import EndReason
from ringback.media.plane import MediaPlane

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who is on the call afterwards: number and name."""

    remote: str
    name: str


class OldLeg(LegControl, Protocol):
    call_id: str

    def retire(self) -> None:
        """Report nothing more."""
        ...

    def takeover_failed(self) -> None:
        """Go on; or, where the session is over already, end."""
        ...

    def give_up(self, reason: EndReason) -> None:
        """End it, whatever its state."""
        ...


class NewLeg(LegControl, Protocol):
    def settle(self, call_id: str, sink: CallSink) -> None:
        """From now on it is the leg of ``call_id`` and reports to ``sink``."""
        ...

    def give_up(self, reason: EndReason) -> None:
        """End it, whatever its state."""
        ...


class TakeoverWatcher(Protocol):
    """Who wanted it: told of each step, once of ``taken`` or ``failed``."""

    def ringing(self) -> None: ...

    def taken(self, old: OldLeg) -> None:
        """``old`` is still up: it is for the watcher to have it hung up."""
        ...

    def failed(self, cause: Cause) -> None: ...


class Takeover:
    """Implements ``CallSink`` for the new leg. ``media_id`` is the session of its audio."""

    def __init__(
        self,
        old: OldLeg,
        newcomer: Newcomer,
        media_id: str,
        sink: CallSink,
        plane: MediaPlane,
        watcher: TakeoverWatcher,
        close_media: Callable[[str], None],
    ) -> None:
        self.new: NewLeg | None = None
        self.media_id = media_id
        self._old = old
        self._newcomer = newcomer
        self._sink = sink
        self._plane = plane
        self._watcher = watcher
        self._close_media = close_media
        self._over = False

    @property
    def over(self) -> bool:
        return self._over

    def abort(self, reason: EndReason) -> None:
        """The call is being hung up by us."""
        if self.new is not None and not self._over:
            self.new.give_up(reason)

    # ---- what the new leg reports -----------------------------------------------------------

    def takes_calls(self) -> bool:
        return self._sink.takes_calls()

    async def offered(self, offer: InboundOffer, leg: LegControl) -> str:
        raise RuntimeError("a leg that takes over is not offered")

    def leg_ringing(self, call_id: str) -> None:
        if not self._over:
            self._watcher.ringing()

    def leg_early_media(self, call_id: str) -> None:
        """The person who is still on the call is the one to be heard."""

    def leg_held(self, call_id: str, held: bool) -> None:
        """Told again after the takeover."""

    def leg_dtmf(self, call_id: str, digit: str, duration_ms: int) -> None:
        """Nobody on the call pressed it."""

    async def leg_transfer_requested(self, call_id: str, target: str) -> None:
        raise RuntimeError("a leg that takes over is not yet part of a call")

    def leg_replaced(self, call_id: str, leg: LegControl, remote: str, name: str) -> None:
        raise RuntimeError("a leg that takes over is not yet part of a call")

    def leg_answered(self, call_id: str) -> None:
        if self._over or self.new is None:
            return
        self._over = True
        call_id = self._old.call_id
        self._plane.take_leg(call_id, self.media_id)
        self._old.retire()
        self.new.settle(call_id, self._sink)
        self._sink.leg_replaced(call_id, self.new, self._newcomer.remote, self._newcomer.name)
        log.info("leg replaced", call_id=call_id, remote=self._newcomer.remote)
        self._watcher.taken(self._old)

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        if self._over:
            return
        self._over = True
        self._close_media(self.media_id)
        log.info("leg not replaced", call_id=self._old.call_id, why=cause.reason.value)
        self._watcher.failed(cause)
        self._old.takeover_failed()
