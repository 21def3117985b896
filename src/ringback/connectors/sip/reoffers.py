"""Offers of ours within an answered call: hold, resume, and the refresh of a session."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

from ringback.core.errors import Conflict, UpstreamFailed
from ringback.sip.errors import SipError
from ringback.sip.events import OfferFailed
from ringback.sip.invite_session import InviteSession
from ringback.sip.offer_answer import OfferAnswer
from ringback.sip.sdp_values import Direction

MAX_OFFERS = 3
"""How often one hold or resume is offered: an offer of the far end's may make ours void (491)."""
BUSY_SECONDS = 0.2
MAX_BUSY_SECONDS = 8.0
"""How long a hold or resume waits for another offer to be settled."""

REQUEST_PENDING = 491

log = structlog.get_logger(__name__)


class OfferingLeg(Protocol):
    """What a leg is to its offers."""

    session: InviteSession | None
    negotiation: OfferAnswer | None

    @property
    def answered(self) -> bool:
        """It is, and it is not over."""
        ...

    def now(self) -> float: ...

    def pump(self) -> None: ...


class Reoffers:
    def __init__(self, leg: OfferingLeg) -> None:
        self._leg = leg
        self._lock = asyncio.Lock()
        self._outcome: asyncio.Future[OfferFailed | None] | None = None

    async def turn(self, direction: Direction) -> None:
        """Offer audio in ``direction`` and return when the far end has agreed.

        Raises ``Conflict`` (code ``call_not_active``) when the leg is not answered, or ends
        meanwhile, and ``UpstreamFailed`` (``hold_refused``) when the far end refuses.
        """
        async with self._lock:
            refused: OfferFailed | None = None
            for _ in range(MAX_OFFERS):
                if self._ready()[1].direction is direction:
                    return
                refused = await self._offer(direction)
                if refused is None:
                    return
                if refused.status != REQUEST_PENDING:
                    break
            raise _refusal(refused)

    def refresh(self) -> None:
        """Offer what is agreed on again, for the session timer (RFC 4028 section 7.4)."""
        try:
            session, negotiation = self._ready()
            offer = negotiation.reoffer()
        except (Conflict, SipError) as error:
            log.info("session not refreshed", why=str(error))
            return
        if not session.reinvite(bytes(offer), now=self._leg.now()):
            negotiation.rollback()

    # ---- what the leg tells -----------------------------------------------------------------

    def settled(self, refused: OfferFailed | None) -> None:
        """An offer of ours was answered, or refused."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(refused)

    def stop(self) -> None:
        """The leg is over."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(_not_active())

    # ---- one offer --------------------------------------------------------------------------

    def _ready(self) -> tuple[InviteSession, OfferAnswer]:
        session, negotiation = self._leg.session, self._leg.negotiation
        if not self._leg.answered or session is None or negotiation is None:
            raise _not_active()
        return session, negotiation

    async def _offer(self, direction: Direction) -> OfferFailed | None:
        waited = 0.0
        while not self._begin(direction):
            if waited >= MAX_BUSY_SECONDS:
                raise _refusal(None)
            await asyncio.sleep(BUSY_SECONDS)
            waited += BUSY_SECONDS
        outcome: asyncio.Future[OfferFailed | None] = asyncio.get_running_loop().create_future()
        self._outcome = outcome
        try:
            self._leg.pump()
            return await outcome
        finally:
            self._outcome = None

    def _begin(self, direction: Direction) -> bool:
        """``False`` while another offer, of either side, is open."""
        session, negotiation = self._ready()
        try:
            offer = negotiation.offer(direction=direction)
        except SipError:
            return False
        if session.reinvite(bytes(offer), now=self._leg.now()):
            return True
        negotiation.rollback()
        return False


def _not_active() -> Conflict:
    return Conflict("The call is not active.", code="call_not_active")


def _refusal(refused: OfferFailed | None) -> UpstreamFailed:
    why = f"{refused.status} {refused.reason}" if refused is not None else "no answer in time"
    return UpstreamFailed(
        f"The far end did not agree to hold or resume ({why}).",
        code="hold_refused",
        hint="The call goes on as it was. Try again, or go on without.",
    )
