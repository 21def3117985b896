"""An INVITE that comes in: whose it is, whether it may, and the leg that answers it."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from ringback.connectors.contract import Cause, InboundOffer
from ringback.connectors.sip.causes import refusal, refusal_of_error
from ringback.connectors.sip.directory import InboundQuery, Refusal, Route, SipDirectory
from ringback.connectors.sip.leg import LegServices, SipLeg, mismatch_of
from ringback.connectors.sip.terms import (
    caller_of,
    inbound_query,
    local_media,
    passed_headers,
    possible_media,
    warning_of,
)
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.plane import MediaPlane, OpenSession, SessionOpened
from ringback.sip.audio_stream import LocalMedia, NotAcceptable
from ringback.sip.errors import SipError
from ringback.sip.events import IncomingInvite
from ringback.sip.invite_session import InviteSession
from ringback.sip.offer_answer import OfferAnswer, StateError
from ringback.sip.sdp import SessionDescription
from ringback.sip.sdp_values import SdpTooLarge

log = structlog.get_logger(__name__)

RETRY_AFTER = 10
"""Seconds after which a trunk that has as many calls as it may is worth another try."""


class InboundLeg(SipLeg):
    """Answers one INVITE. ``accept`` waits for the media session, which opens after the offer."""

    def __init__(self, services: LegServices, session: InviteSession) -> None:
        super().__init__(services)
        self.session = session
        self._media_open: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ring(self) -> None:
        if self.session is not None and not self.over:
            self.session.progress(180, now=self._services.driver.now())
            self._services.driver.pump()

    async def accept(self) -> None:
        await self._media_open
        if self.over or self.session is None or self.negotiation is None:
            return
        try:
            late = self.negotiation.remote_description is None
            ours = self.negotiation.offer() if late else self.negotiation.answer()
        except StateError:
            return
        except NotAcceptable as error:
            self.refuse_media(error)
            return
        self._apply_negotiated()
        self.session.accept(bytes(ours), now=self._services.driver.now())
        self._services.driver.pump()

    def refuse_media(self, error: NotAcceptable) -> None:
        """Nothing can be agreed on after all."""
        log.info("no media agreed on", call_id=self.call_id, why=str(error))
        self._hang_up(mismatch_of(error), 488)

    async def reject(self, reason: EndReason) -> None:
        self._hang_up(reason, refusal(reason)[0])

    def media_opened(self, media: LocalMedia, offer: SessionDescription | None) -> None:
        """Raises :class:`NotAcceptable` when nothing in ``offer`` can be agreed on."""
        negotiation = OfferAnswer(media, media.port)
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


class InboundCalls:
    """Turns ``IncomingInvite`` events into calls, or into the refusal that each is owed."""

    def __init__(self, directory: SipDirectory, services: LegServices, bind_host: str) -> None:
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
        if isinstance(route, Refusal):
            self._log_refusal(query, route)
            later = (("Retry-After", str(RETRY_AFTER)),) if route.status == 503 else ()
            self._refuse(leg, route.status, route.reason, route.detail, later)
            return
        leg.take_place(route.lease)
        try:  # only now: a stranger's description is not worth reading
            offer = SessionDescription.parse(event.sdp) if event.sdp is not None else None
        except SdpTooLarge as error:
            self._refuse(leg, 413, "Request Entity Too Large", str(error))
            return
        except SipError as error:
            self._refuse(leg, 400, "Bad Request", f"unreadable: {error}")
            return
        if not route.trusted:
            leg.confined_to = event.flow.hop.host
        if not self._acceptable(leg, route, offer, our_host):
            return
        await self._offer(event, leg, route, offer, our_host)

    def _acceptable(
        self, leg: InboundLeg, route: Route, offer: SessionDescription | None, our_host: str
    ) -> bool:
        """Refuse what can never be agreed on before anybody's phone rings."""
        if offer is None:
            return True
        try:
            OfferAnswer(possible_media(our_host, route), 0).receive_offer(offer)
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
                    headers=passed_headers(event.request),
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
            leg.media_opened(local_media(our_host, opened, route), offer)
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
        reason: str,
        detail: str,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        log.info("inbound call refused", status=status, why=detail)
        leg.give_back()
        self.refusals[status] += 1
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


async def open_media(plane: MediaPlane, call_id: str, bind_host: str) -> SessionOpened:
    return await plane.open(OpenSession(call_id, bind_host))
