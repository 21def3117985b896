"""An INVITE that comes in: whose it is, whether it may, and the leg that answers it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Protocol

import structlog

from ringback.connectors.contract import Cause, InboundOffer
from ringback.connectors.sip.causes import refusal, refusal_of_error
from ringback.connectors.sip.directory import (
    InboundQuery,
    Refusal,
    Route,
    SipDirectory,
    TrunkAccount,
)
from ringback.connectors.sip.leg import LegServices, SipLeg, mismatch_of
from ringback.connectors.sip.passed_headers import received_headers
from ringback.connectors.sip.passport import claims_of
from ringback.connectors.sip.takeover import Newcomer, Takeover
from ringback.connectors.sip.terms import (
    caller_of,
    inbound_query,
    local_media,
    new_session_id,
    possible_media,
    warning_of,
)
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.plane import MediaPlane, OpenSession, SessionOpened
from ringback.sip.audio_stream import LocalMedia, NotAcceptable
from ringback.sip.bodies import session_description
from ringback.sip.errors import SipError
from ringback.sip.events import IncomingInvite, OfferAnswered
from ringback.sip.invite_session import InviteSession
from ringback.sip.offer_answer import OfferAnswer, StateError
from ringback.sip.reliable_provisionals import OPTION_TAG as RELIABLE
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import SdpTooLarge

log = structlog.get_logger(__name__)

RETRY_AFTER = 10
"""Seconds after which a trunk that has as many calls as it may, or a busy node, is worth another
try."""


class InboundLeg(SipLeg):
    """Answers one INVITE. ``accept`` waits for the media session, which opens after the offer."""

    def __init__(self, services: LegServices, session: InviteSession) -> None:
        super().__init__(services)
        self.session = session
        self._media_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._early_offer: SessionDescription | None = None
        """Ours, where it went out before the answer."""

    async def ring(self) -> None:
        sdp = b""
        if self._offers_early():
            await self._media_open
            if self.over or self.negotiation is None:
                return
            try:
                self._early_offer = self._early_offer or self.negotiation.offer()
            except StateError:  # it went out in the answer
                return
            except NotAcceptable as error:
                self.refuse_media(error)
                return
            sdp = bytes(self._early_offer)
        if self.session is not None and not self.over:
            self.session.progress(180, sdp=sdp or None, now=self._services.driver.now())
            self._services.driver.pump()

    def _offers_early(self) -> bool:
        """The first reliable response to an INVITE without an offer has to bring ours (RFC 3261
        13.2.1, RFC 3262 section 5)."""
        if self.session is None or session_description(self.session.invite) is not None:
            return False
        return RELIABLE in self.session.invite.require

    async def accept(self) -> None:
        await self._media_open
        if self.over or self.session is None or self.negotiation is None:
            return
        try:
            ours = self._early_offer or self._description(self.negotiation)
        except StateError:
            return
        except NotAcceptable as error:
            self.refuse_media(error)
            return
        self._apply_negotiated()
        self.session.accept(bytes(ours), now=self._services.driver.now())
        self._services.driver.pump()

    def _description(self, negotiation: OfferAnswer) -> SessionDescription:
        """Ours for the 200: the answer to their offer, or a late offer."""
        late = negotiation.remote_description is None
        return negotiation.offer() if late else negotiation.answer()

    def _on_offer_answered(self, event: OfferAnswered) -> None:
        """In a PRACK, an answer that is missing or cannot be used leaves nothing to talk by."""
        if self._early_offer is None or self._answered:
            super()._on_offer_answered(event)
        elif event.sdp is None or not self._take_answer(event.sdp):
            self._hang_up(self._mismatch, 488)

    def refuse_media(self, error: NotAcceptable) -> None:
        """Nothing can be agreed on after all."""
        log.info("no media agreed on", call_id=self.call_id, why=str(error))
        self._hang_up(mismatch_of(error), 488)

    async def reject(self, reason: EndReason) -> None:
        self._hang_up(reason, refusal(reason)[0])

    def stand_in(self, old: SipLeg, takeover: Takeover) -> None:
        """It is to take the place of ``old``, and reports to ``takeover`` until it has."""
        self.call_id, self.media_id = old.call_id, takeover.media_id
        self.account_id, self.trunk_id, self.terms = old.account_id, old.trunk_id, old.terms
        self._services = replace(self._services, sink=takeover)

    def media_opened(self, media: LocalMedia, offer: SessionDescription | None) -> None:
        """Raises :class:`NotAcceptable` when nothing in ``offer`` can be agreed on."""
        negotiation = OfferAnswer(media, new_session_id())
        if offer is not None:
            negotiation.receive_offer(offer)
        self.negotiation = negotiation
        self.media_refused()

    def media_refused(self) -> None:
        """There will be no media: whoever waits to accept need not."""
        if not self._media_open.done():
            self._media_open.set_result(None)

    def _finish(self, cause: Cause) -> None:
        super()._finish(cause)
        self.media_refused()


class Replacements(Protocol):
    """Which calls may be replaced by whom (``transfers.py`` implements it)."""

    def replaced_leg(self, event: IncomingInvite, route: Route | Refusal) -> SipLeg | Refusal: ...

    def takeover(self, old: SipLeg, newcomer: Newcomer) -> Takeover: ...


class InboundCalls:
    """Turns ``IncomingInvite`` events into calls, or into the refusal that each is owed."""

    def __init__(
        self,
        directory: SipDirectory,
        services: LegServices,
        bind_host: str,
        transfers: Replacements | None = None,
    ) -> None:
        self._transfers = transfers
        self._directory = directory
        self._services = services
        self._bind_host = bind_host
        self.refusals: Counter[int] = Counter()
        """Refused calls by SIP status."""

    async def take(self, event: IncomingInvite, leg: InboundLeg, our_host: str) -> None:
        """Route, offer and open one call. ``our_host`` is our address as the caller sees it."""
        try:
            await self._take(event, leg, our_host)
        except Exception:
            log.exception("an inbound call could not be taken", call_id=leg.call_id or None)
            leg.media_refused()
            self._refuse(leg, 500, "Server Internal Error", "an internal error")

    async def _take(self, event: IncomingInvite, leg: InboundLeg, our_host: str) -> None:
        try:
            query = inbound_query(event.request, event.flow)
        except SipError as error:
            self._refuse(leg, 400, "Bad Request", f"unreadable: {error}")
            return
        route = await self._directory.route_inbound(query)
        if event.replaced is not None and self._transfers is not None:
            await self._replace(event, leg, route, our_host, self._transfers)
            return
        if isinstance(route, Refusal):
            self._log_refusal(query, route)
            self._refuse(leg, route.status, route.reason, route.detail)
            return
        leg.take_place(route.lease)
        if not route.trusted:
            leg.confined_to = event.flow.hop.host
        leg.account_id, leg.trunk_id, leg.terms = route.account_id, route.trunk_id, route
        read, offer = self._read_offer(event, leg)
        if read and self._acceptable(event, leg, route, offer, our_host):
            await self._offer(event, leg, route, offer, our_host)

    def _read_offer(
        self, event: IncomingInvite, leg: InboundLeg
    ) -> tuple[bool, SessionDescription | None]:
        """Whether it can be read, and the offer. Not before it is known who calls: a stranger's
        description is not worth reading."""
        try:
            return True, SessionDescription.parse(event.sdp) if event.sdp is not None else None
        except SdpTooLarge as error:
            self._refuse(leg, 413, "Request Entity Too Large", str(error))
        except SipError as error:
            self._refuse(leg, 400, "Bad Request", f"unreadable: {error}")
        return False, None

    async def _replace(
        self,
        event: IncomingInvite,
        leg: InboundLeg,
        route: Route | Refusal,
        our_host: str,
        transfers: Replacements,
    ) -> None:
        """An INVITE that wants the place of a call's leg (RFC 3891): answered at once."""
        old = transfers.replaced_leg(event, route)
        if isinstance(route, Route):
            leg.take_place(route.lease)
        if isinstance(old, Refusal) or old.terms is None:
            status = old.status if isinstance(old, Refusal) else 481
            reason = old.reason if isinstance(old, Refusal) else ""
            self._refuse(leg, status, reason or None, "it replaces no call of its own")
            return
        read, offer = self._read_offer(event, leg)
        if not read or not self._acceptable(event, leg, old.terms, offer, our_host):
            return
        takeover = transfers.takeover(old, Newcomer(*caller_of(event.request, True)))
        takeover.new = leg
        leg.stand_in(old, takeover)
        try:
            opened = await open_media(
                self._services.plane, takeover.media_id, self._bind_host, old.call_id
            )
            media = local_media(our_host, opened, old.terms, event.flow.hop.host)
            leg.media_opened(media, offer)
            await leg.accept()
        except NotAcceptable as error:
            leg.refuse_media(error)
        except (RingbackError, SipError) as error:
            log.warning("no media for a call that replaces", call_id=old.call_id, why=str(error))
            leg.media_refused()
            leg.give_up(EndReason.INTERNAL_ERROR)

    def _acceptable(
        self,
        event: IncomingInvite,
        leg: InboundLeg,
        route: Route | TrunkAccount,
        offer: SessionDescription | None,
        our_host: str,
    ) -> bool:
        """Refuse what can never be agreed on before anybody's phone rings."""
        if offer is None:
            return True
        try:
            media = possible_media(our_host, route, event.flow.hop.host)
            OfferAnswer(media, 0).receive_offer(offer)
        except NotAcceptable as error:
            self._refuse(leg, 488, "Not Acceptable Here", str(error), (warning_of(error),))
            return False
        return True

    async def _offer(
        self,
        event: IncomingInvite,
        leg: InboundLeg,
        route: Route,
        offer: SessionDescription | None,
        our_host: str,
    ) -> None:
        caller, name = caller_of(event.request, route.trusted)
        try:
            call_id = await self._services.sink.offered(
                InboundOffer(
                    platform="sip",
                    account_id=route.account_id,
                    caller=caller,
                    caller_name=name,
                    callee=route.callee,
                    agent_id=route.agent_id,
                    auto_answer=route.auto_answer,
                    phone_number_id=route.phone_number_id,
                    trunk_id=route.trunk_id,
                    headers=received_headers(event.request),
                    identity=claims_of(event.request),
                ),
                leg,
            )
        except RingbackError as error:
            leg.media_refused()
            self._refuse(leg, *refusal_of_error(error.kind), error.message)
            return
        if not leg.bind(call_id):
            return
        try:
            opened = await open_media(self._services.plane, call_id, self._bind_host)
            media = local_media(our_host, opened, route, event.flow.hop.host)
            leg.media_opened(media, offer)
        except NotAcceptable as error:
            leg.media_refused()
            leg.refuse_media(error)
        except (RingbackError, SipError) as error:
            log.warning("no media for an inbound call", call_id=call_id, why=str(error))
            leg.media_refused()
            await leg.reject(EndReason.INTERNAL_ERROR)

    def _refuse(
        self,
        leg: InboundLeg,
        status: int,
        reason: str | None,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        log.info("inbound call refused", status=status, why=detail)
        leg.give_back()
        self.refusals[status] += 1
        if status == 503:
            headers = (*headers, ("Retry-After", str(RETRY_AFTER)))
        if leg.session is not None:
            leg.session.reject(status, reason, headers=headers, now=self._services.driver.now())
            self._services.driver.pump()

    def _log_refusal(self, query: InboundQuery, refusal: Refusal) -> None:
        log.info(
            "inbound call not routed",
            source=query.source_host,
            called=query.request_user,
            status=refusal.status,
            why=refusal.detail,
        )


async def open_media(
    plane: MediaPlane, media_id: str, bind_host: str, stands_in_for: str | None = None
) -> SessionOpened:
    """``stands_in_for`` is the call whose leg is to be replaced."""
    return await plane.open(OpenSession(media_id, bind_host, stands_in_for=stands_in_for))
