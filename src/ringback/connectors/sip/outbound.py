"""A call that we place: resolve the trunk, offer audio, follow it until it is answered or over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from ringback.connectors.contract import Cause, DialRequest
from ringback.connectors.sip.directory import OutboundRoute, TrunkAccount
from ringback.connectors.sip.inbound import open_media
from ringback.connectors.sip.leg import LegServices, SipLeg, mismatch_of
from ringback.connectors.sip.passed_headers import sent_headers
from ringback.connectors.sip.terms import local_media, new_session_id
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.plane import SessionOpened
from ringback.sip.audio_stream import NotAcceptable
from ringback.sip.authentication import Credentials
from ringback.sip.events import Answered, ProvisionalReceived, Redirected
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import InviteRequest
from ringback.sip.offer_answer import OfferAnswer
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri

log = structlog.get_logger(__name__)

HOP_TIMEOUT = 4.0
"""Seconds of complete silence after which the next host of a trunk is tried."""


class HopFinder(Protocol):
    """Where the messages of a trunk go, and how it sees us (implemented by the connector)."""

    async def trunk_hops(self, trunk: TrunkAccount) -> tuple[Hop, ...]:
        """Raises ``UpstreamFailed`` when the trunk's name cannot be resolved."""
        ...

    async def uri_hops(self, uri: Uri, trunk: TrunkAccount) -> tuple[Hop, ...]: ...

    def our_host(self, hop: Hop) -> str: ...


@dataclass(frozen=True, slots=True)
class StandIn:
    """What a leg that is to take another's place has of its own: the media session, the exact
    address to call (``None``: by the route), and header fields."""

    media_id: str
    target: Uri | None = None
    headers: tuple[tuple[str, str], ...] = ()


class OutboundLeg(SipLeg):
    """Dials over a trunk. ``start`` returns at once; everything else is reported to the sink."""

    def __init__(
        self,
        services: LegServices,
        request: DialRequest,
        route: OutboundRoute,
        hops: HopFinder,
        bind_host: str,
        stand_in: StandIn | None = None,
    ) -> None:
        super().__init__(services)
        self.call_id = request.call_id
        self.media_id = stand_in.media_id if stand_in is not None else request.call_id
        self.account_id, self.trunk_id = request.account_id, route.trunk.id
        self.terms = route.trunk
        self._stand_in = stand_in
        self._request = request
        self._route = route
        self.lease = route.lease
        self._hops = hops
        self._bind_host = bind_host
        self._ring_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._spawn(self._dial())
        self._ring_timer = asyncio.get_running_loop().call_later(
            self._request.ring_timeout, self._hang_up, EndReason.NO_ANSWER
        )

    async def _dial(self) -> None:
        try:
            await self._place()
        except Exception:
            log.exception("a call could not be placed", call_id=self.call_id)
            self._hang_up(EndReason.INTERNAL_ERROR)

    async def _place(self) -> None:
        trunk = self._route.trunk
        try:
            hops = await self._hops.trunk_hops(trunk)
            our_host = self._hops.our_host(hops[0])
            opened = await self._open_media()
        except RingbackError as error:
            log.warning("cannot dial", call_id=self.call_id, trunk=trunk.id, why=error.message)
            upstream = error.kind.value == "upstream"
            reason = EndReason.NETWORK_ERROR if upstream else EndReason.INTERNAL_ERROR
            self._finish(Cause(reason, text=error.message))
            return
        if self.over:
            return
        media = local_media(our_host, opened, trunk, hops[0].host)
        self.negotiation = OfferAnswer(media, new_session_id())
        try:
            offer = self.negotiation.offer()
        except NotAcceptable as error:
            self._finish(Cause(mismatch_of(error), text=str(error)))
            return
        driver = self._services.driver
        self.session = driver.endpoint.invite(
            self._invite(trunk, bytes(offer)), hops, now=driver.now()
        )
        self._services.adopt(self)
        driver.pump()

    async def _open_media(self) -> SessionOpened:
        instead = self.call_id if self._stand_in is not None else None
        return await open_media(self._services.plane, self.media_id, self._bind_host, instead)

    def _invite(self, trunk: TrunkAccount, sdp: bytes) -> InviteRequest:
        target = dial_uri(trunk, self._route.user)
        caller = self._route.caller_id
        identity = dial_uri(trunk, caller or trunk.username or "ringback", with_port=False)
        asserted = (("P-Asserted-Identity", f"<{identity}>"),) if caller else ()
        headers = (*asserted, *sent_headers(self._request.headers))
        if self._stand_in is not None:
            target = self._stand_in.target or target
            headers = (*headers, *self._stand_in.headers)
        return InviteRequest(
            target=target,
            from_=NameAddr(uri=identity),
            sdp=sdp,
            contact_user=trunk.username or "ringback",
            headers=headers,
            credentials=credentials_of(trunk),
            routes=routes_of(trunk),
            hop_timeout=HOP_TIMEOUT,
        )

    # ---- events -----------------------------------------------------------------------------

    def _on_provisional(self, event: ProvisionalReceived) -> None:
        if event.response.status == 100:
            return
        if event.sdp is not None and self._take_answer(event.sdp):
            self._services.sink.leg_early_media(self.call_id)
        self._services.sink.leg_ringing(self.call_id)

    def _on_answered(self, event: Answered) -> None:
        self._stop_ringing()
        usable = self._take_answer(event.sdp) if event.sdp is not None else False
        if not usable and self._awaits_answer():
            self._hang_up(self._mismatch)
            return
        self._report_answered()

    def redirected(self, event: Redirected) -> None:
        """Follow a 302 to the same number elsewhere; never to another number, which could cost
        more than the one that was asked for."""
        target = next((uri for uri in event.targets if uri.user == self._route.user), None)
        if target is None:
            log.info("redirect to another number refused", call_id=self.call_id)
            event.session.refuse_redirect(now=self._services.driver.now())
            self._services.driver.pump()
            return
        self._spawn(self._follow(event, target))

    async def _follow(self, event: Redirected, target: Uri) -> None:
        try:
            hops = await self._hops.uri_hops(target, self._route.trunk)
        except RingbackError as error:
            log.info("redirect not resolved", call_id=self.call_id, why=error.message)
            event.session.refuse_redirect(now=self._services.driver.now())
        else:
            event.session.follow_redirect(target, hops, now=self._services.driver.now())
        self._services.driver.pump()

    # ---- housekeeping -----------------------------------------------------------------------

    def _finish(self, cause: Cause) -> None:
        self._stop_ringing()
        super()._finish(cause)

    def _stop_ringing(self) -> None:
        if self._ring_timer is not None:
            self._ring_timer.cancel()
            self._ring_timer = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def dial_uri(trunk: TrunkAccount, user: str, *, with_port: bool = True) -> Uri:
    """``user`` at the trunk's domain; the port appears only where the trunk names one."""
    port = trunk.port if with_port and trunk.domain == trunk.host else None
    return Uri(scheme="sip", user=user, host=trunk.domain, port=port)


def credentials_of(trunk: TrunkAccount) -> Credentials | None:
    if not trunk.password:
        return None
    return Credentials(trunk.auth_username or trunk.username, trunk.password)


def routes_of(trunk: TrunkAccount) -> tuple[NameAddr, ...]:
    """The outbound proxy as a loose route (RFC 3261 8.1.2)."""
    if not trunk.outbound_proxy:
        return ()
    proxy = Uri.parse(f"sip:{trunk.outbound_proxy}")
    return (NameAddr(uri=replace(proxy, params=proxy.params.set("lr"))),)
