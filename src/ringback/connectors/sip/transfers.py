"""Transfers that concern more than one leg: REFERs in and out, and INVITEs with Replaces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog

from ringback.connectors.contract import Cause, DialRequest, LegControl
from ringback.connectors.sip.causes import refusal, refusal_of_error
from ringback.connectors.sip.directory import OutboundRoute, Refusal, Route, SipDirectory
from ringback.connectors.sip.leg import LegServices, SipLeg
from ringback.connectors.sip.outbound import HopFinder, OutboundLeg, StandIn, dial_uri
from ringback.connectors.sip.takeover import Newcomer, OldLeg, Takeover, TakeoverWatcher
from ringback.connectors.sip.terms import tidy_number
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, InvalidRequest, RingbackError
from ringback.core.ids import new_id
from ringback.sip.errors import ParseError
from ringback.sip.events import IncomingInvite
from ringback.sip.headers import Replaces
from ringback.sip.invite_session import InviteSession
from ringback.sip.refer import ReferTo
from ringback.sip.referral import Referral
from ringback.sip.replaces import NO_TAG
from ringback.sip.uri import Uri

FAREWELL_GRACE = 4.0
"""Seconds that the far end has to hang up the leg whose place was taken; then we do."""
NEW_LEG_SECONDS = 60.0
"""How long the new call of a REFER may ring."""
FORBIDDEN, DECLINE, PENDING = 403, 603, 491

log = structlog.get_logger(__name__)


class SipTransfers:
    """Implements :class:`ringback.connectors.sip.leg.TransferDesk`. ``leg_of`` finds the leg of a
    session, ``bind_host`` is where media sockets are bound."""

    def __init__(
        self,
        directory: SipDirectory,
        hops: HopFinder,
        leg_of: Callable[[InviteSession], SipLeg | None],
        bind_host: str,
    ) -> None:
        self._directory = directory
        self._hops = hops
        self._leg_of = leg_of
        self._bind_host = bind_host
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- we transfer the far end ------------------------------------------------------------

    async def refer_to(
        self, leg: SipLeg, target: str, replaces: LegControl | None
    ) -> ReferTo | None:
        if replaces is not None:
            return _in_place_of(leg, replaces)
        uri = _address(target)
        if leg.trunk_id is None:
            if uri is not None and uri.is_sip:
                return ReferTo(uri)
            raise _no_target(f"`{target}` is no SIP address, and the call has no trunk.")
        try:
            route = await self._route(leg, target)
        except InvalidRequest as error:
            if uri is not None and uri.is_sip and error.code == "no_trunk_for_host":
                return ReferTo(uri)  # the far end may well reach it
            raise
        _release(route)  # the call is theirs, not ours
        if uri is not None and uri.is_sip:  # its host and port are the asker's to choose
            return ReferTo(replace(uri, user=route.user))
        return ReferTo(dial_uri(route.trunk, route.user))

    async def _route(self, leg: SipLeg, target: str) -> OutboundRoute:
        return await self._directory.route_outbound(
            DialRequest(leg.call_id, leg.account_id, target, trunk_id=leg.trunk_id)
        )

    # ---- the far end transfers us -----------------------------------------------------------

    def follow(self, leg: SipLeg, referral: Referral) -> None:
        if leg.trunk_id is None:
            log.info("transfer refused", call_id=leg.call_id, why="the call has no trunk")
            self._reject(leg, referral, FORBIDDEN)
        elif leg.takeover is not None or not leg.answered:
            self._reject(leg, referral, PENDING)
        else:
            self._spawn(self._follow(leg, referral))

    async def _follow(self, leg: SipLeg, referral: Referral) -> None:
        try:
            route = await self._route(leg, await self._dialled(leg, referral.refer_to.target))
        except RingbackError as error:
            self._refuse(leg, referral, error)
            return
        user = route.user
        try:
            shown = tidy_number(referral.refer_to.target.user or user)
            await leg.services.sink.leg_transfer_requested(leg.call_id, shown)
        except RingbackError as error:
            _release(route)
            self._refuse(leg, referral, error)
            return
        except BaseException:
            _release(route)
            raise
        if not leg.answered or leg.takeover is not None:
            _release(route)
            self._reject(leg, referral, PENDING)
            return
        referral.accept(now=leg.now())
        self._dial(leg, referral, route, Newcomer(shown, referral.refer_to.display))
        leg.pump()

    async def _dialled(self, leg: SipLeg, target: Uri) -> str:
        """Whom the trunk is to be asked for: its own users and numbers, whatever host it names."""
        if not target.is_sip:
            return target.number or ""
        trunks = await self._directory.trunks()
        domain = next((trunk.domain for trunk in trunks if trunk.id == leg.trunk_id), target.host)
        return str(Uri("sip", user=target.user, host=domain)) if target.user else str(target)

    def _dial(
        self, leg: SipLeg, referral: Referral, route: OutboundRoute, newcomer: Newcomer
    ) -> None:
        watcher = _FollowedReferral(referral, leg, self)
        takeover = self.takeover(leg, newcomer, watcher)
        refer_to = referral.refer_to
        stand_in = StandIn(
            takeover.media_id,
            # A dialog lives at the address that the REFER gives, and nowhere else.
            refer_to.target if refer_to.replaces is not None else None,
            _headers_of(referral),
        )
        new = OutboundLeg(
            replace(leg.services, sink=takeover),
            DialRequest(
                leg.call_id, leg.account_id, str(refer_to.target), ring_timeout=NEW_LEG_SECONDS
            ),
            route,
            self._hops,
            self._bind_host,
            stand_in,
        )
        takeover.new = new
        new.start()

    def _refuse(self, leg: SipLeg, referral: Referral, error: RingbackError) -> None:
        log.info("transfer refused", call_id=leg.call_id, why=error.message)
        self._reject(leg, referral, refusal_of_error(error.kind)[0])

    def _reject(self, leg: SipLeg, referral: Referral, status: int) -> None:
        referral.reject(status, now=leg.now())
        leg.pump()

    # ---- another call takes the place of one of ours ----------------------------------------

    def replaced_leg(self, event: IncomingInvite, route: Route | Refusal) -> SipLeg | Refusal:
        """The leg that the caller of ``event`` may replace: one of its own trunk. Who comes from
        elsewhere is refused as it would be without Replaces."""
        wanted = event.replaced
        old = self._leg_of(wanted.session) if wanted is not None and wanted.session else None
        if isinstance(route, Refusal) and (old is None or not _same_server(event, old)):
            return route
        if wanted is None or wanted.session is None:
            status = wanted.status if wanted is not None else 481
            return Refusal(status, "", "no call that could be replaced")
        if old is None or not old.answered or old.takeover is not None:
            return Refusal(481, "", "the call to be replaced is not one")
        if old.trunk_id is None or not (_same_server(event, old) or _same_trunk(route, old)):
            return Refusal(FORBIDDEN, "", "the call to be replaced is another trunk's")
        return old

    def takeover(
        self, old: SipLeg, newcomer: Newcomer, watcher: TakeoverWatcher | None = None
    ) -> Takeover:
        """Prepare for a new leg in the place of ``old``; set ``new`` before it reports."""
        services = old.services
        takeover = Takeover(
            old,
            newcomer,
            new_id("leg"),
            services.sink,
            services.plane,
            watcher or _HungUp(),
            lambda media_id: self._spawn(_closed(services, media_id)),
        )
        old.takeover = takeover
        return takeover

    def hang_up_later(self, leg: SipLeg) -> None:
        self._spawn(_farewell(leg))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a transfer failed", exc_info=error)


class _FollowedReferral:
    """Tells the transferor how the new call goes."""

    def __init__(self, referral: Referral, leg: SipLeg, transfers: SipTransfers) -> None:
        self._referral = referral
        self._leg = leg
        self._transfers = transfers

    def ringing(self) -> None:
        self._report(180)

    def taken(self, old: OldLeg) -> None:
        self._report(200)
        self._transfers.hang_up_later(self._leg)

    def failed(self, cause: Cause) -> None:
        self._report(cause.sip_code or refusal(cause.reason)[0], cause.text)

    def _report(self, status: int, reason: str = "") -> None:
        self._referral.report(status, reason, now=self._leg.now())
        self._leg.pump()


class _HungUp:
    """For Replaces: the old leg is hung up by us at once (RFC 3891 section 3)."""

    def ringing(self) -> None: ...

    def taken(self, old: OldLeg) -> None:
        old.give_up(EndReason.TRANSFERRED)

    def failed(self, cause: Cause) -> None: ...


async def _farewell(leg: SipLeg) -> None:
    await asyncio.sleep(FAREWELL_GRACE)
    leg.give_up(EndReason.TRANSFERRED)


async def _closed(services: LegServices, media_id: str) -> None:
    await services.plane.close(media_id)


def _release(route: OutboundRoute) -> None:
    if route.lease is not None:
        route.lease.release()


def _in_place_of(leg: SipLeg, other: LegControl) -> ReferTo | None:
    """The dialog of ``other`` as its peer knows it: what is ours is from-tag there."""
    if not isinstance(other, SipLeg) or not other.answered or other.session is None:
        raise Conflict("The other call is not active.", code="call_not_active")
    session = other.session
    if other.trunk_id != leg.trunk_id or session.remote_target is None:
        return None
    dialog = Replaces(session.call_id, session.remote_tag or NO_TAG, session.local_tag)
    return ReferTo(session.remote_target, dialog)


def _headers_of(referral: Referral) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    if referral.refer_to.replaces is not None:
        headers += [("Require", "replaces"), ("Replaces", str(referral.refer_to.replaces))]
    if referral.referred_by is not None:
        headers.append(("Referred-By", str(referral.referred_by)))
    return tuple(headers)


def _same_server(event: IncomingInvite, old: SipLeg) -> bool:
    """The new call comes from where the peer of the old one is."""
    session = old.session
    return (
        old.trunk_id is not None
        and session is not None
        and session.flow.hop.host == event.flow.hop.host
    )


def _same_trunk(route: Route | Refusal, old: SipLeg) -> bool:
    return (
        isinstance(route, Route)
        and route.trunk_id == old.trunk_id
        and route.account_id == old.account_id
    )


def _address(target: str) -> Uri | None:
    """``None`` where it is a number. Raises ``InvalidRequest`` for an address that is none."""
    scheme, colon, _ = target.partition(":")
    if not colon or scheme.lower() not in ("sip", "sips", "tel"):
        return None
    try:
        uri = Uri.parse(target)
    except ParseError as error:
        raise _no_target(f"`{target}` is not a SIP address: {error}.") from error
    return replace(uri.without_param("method"), headers=()) if uri.is_sip else uri


def _no_target(message: str) -> InvalidRequest:
    return InvalidRequest(
        message,
        code="invalid_target",
        hint="Write sip:user@host or a number (+33612345678).",
        field="target",
    )
