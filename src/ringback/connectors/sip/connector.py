"""The SIP platform: one listening stack, its registrations and its legs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from ringback.connectors.contract import (
    CallSink,
    Capability,
    DialRequest,
    LegControl,
)
from ringback.connectors.sip.addresses import TrunkAddresses
from ringback.connectors.sip.directory import SipDirectory, TrunkAccount
from ringback.connectors.sip.guard import SipGuard
from ringback.connectors.sip.inbound import InboundCalls, InboundLeg
from ringback.connectors.sip.leg import LegServices, SipLeg
from ringback.connectors.sip.outbound import OutboundLeg
from ringback.connectors.sip.registrations import Registrations
from ringback.connectors.sip.stack import SipStack
from ringback.connectors.sip.trace import TraceBook
from ringback.connectors.sip.transfers import SipTransfers
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError, UpstreamFailed
from ringback.media.plane import MediaPlane
from ringback.net.resolver import Resolver, Target
from ringback.net.source_guard import source_of
from ringback.sip.events import (
    Dropped,
    Event,
    IncomingInvite,
    OutOfDialogRequest,
    Redirected,
    ResolveNeeded,
    ResponseReceived,
)
from ringback.sip.invite_session import InviteSession
from ringback.sip.registration import RegistrationChanged
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri, parse_host_port

log = structlog.get_logger(__name__)

FAREWELL_SECONDS = 0.7
"""How long a stop stays on the line after its BYEs: enough for one retransmission (T1, 0.5 s)."""


class SipConnector:
    """Implements :class:`ringback.connectors.contract.CallConnector` for SIP.

    ``stack`` is not yet listening. ``bind_host`` is where media sockets are bound.
    """

    platform = "sip"
    capabilities = frozenset(
        {
            Capability.AUDIO_IN,
            Capability.AUDIO_OUT,
            Capability.DTMF,
            Capability.HOLD,
            Capability.TRANSFER,
        }
    )

    def __init__(
        self,
        stack: SipStack,
        resolver: Resolver,
        directory: SipDirectory,
        plane: MediaPlane,
        bind_host: str,
        trace: TraceBook | None = None,
        guard: SipGuard | None = None,
    ) -> None:
        self._trace = trace
        self._guard = guard
        self._stack = stack
        self._resolver = resolver
        self._directory = directory
        self._plane = plane
        self._bind_host = bind_host
        self._legs: dict[str, SipLeg] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._registrations = Registrations(directory, stack, self)
        self._trunk_addresses = TrunkAddresses(directory, self)
        self._transfers = SipTransfers(directory, self, self._leg_of, bind_host)
        self._services: LegServices | None = None
        self._inbound: InboundCalls | None = None

    # ---- CallConnector ----------------------------------------------------------------------

    async def start(self, sink: CallSink) -> None:
        """Listen, then register. Raises ``StartupError`` when a port is taken."""
        self._services = LegServices(
            self._stack,
            self._plane,
            sink,
            self._adopt,
            self._forget,
            desk=self._transfers,
            trace=self._trace,
        )
        self._inbound = InboundCalls(
            self._directory, self._services, self._bind_host, self._transfers
        )
        self._stack.endpoint.takes_calls = sink.takes_calls
        guard = self._guard
        gate = guard.attach(self._stack.endpoint, self._calls_from) if guard else None
        await self._stack.start(self._on_event, self._trace.tap if self._trace else None, gate)
        self._directory.on_trunk_change(self._on_trunk_change)
        await self._registrations.synchronise()
        self._spawn(self._trunk_addresses.keep_fresh())

    async def dial(self, request: DialRequest) -> LegControl:
        route = await self._directory.route_outbound(request)
        if self._services is None:
            raise UpstreamFailed("The SIP connector is not running.", code="not_running")
        leg = OutboundLeg(self._services, request, route, self, self._bind_host)
        leg.start()
        return leg

    def refuse_new_calls(self) -> None:
        """From now on a new INVITE gets 503 with Retry-After."""
        self._stack.endpoint.accepting_new_calls = False

    async def stop(self) -> None:
        self.refuse_new_calls()
        legs = list(self._legs.values())
        for leg in legs:
            await leg.hang_up(EndReason.SHUTDOWN)
        await self._registrations.stop()
        if legs:
            await asyncio.sleep(FAREWELL_SECONDS)
        await self._transfers.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.stop()

    @property
    def live_legs(self) -> int:
        return len(self._legs)

    def _on_trunk_change(self) -> None:
        self._exemptions_changed()
        self._spawn(self._registrations.synchronise())
        self._trunk_addresses.refresh_now()

    def _exemptions_changed(self) -> None:
        if self._guard is not None:
            self._guard.trunks_changed()

    def _calls_from(self, source: str) -> int:
        """Calls of a stranger, by the source that its address belongs to."""
        confined = (leg.confined_to for leg in self._legs.values())
        return sum(host is not None and source_of(host) == source for host in confined)

    # ---- events of the SIP core -------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        match event:
            case IncomingInvite():
                self._on_invite(event)
            case Redirected():
                leg = self._legs.get(event.session.id)
                if isinstance(leg, OutboundLeg):
                    leg.redirected(event)
            case RegistrationChanged():
                self._registrations.changed(event)
            case ResolveNeeded():
                self._spawn(self._resolve(event))
            case Dropped():
                if self._guard is not None:
                    self._guard.dropped(event)
            case OutOfDialogRequest() | ResponseReceived():
                pass
            case _:
                leg = self._legs.get(event.session.id)
                if leg is not None:
                    leg.handle(event)

    def _on_invite(self, event: IncomingInvite) -> None:
        if self._services is None or self._inbound is None:
            event.session.reject(503, now=self._stack.now())
            return
        leg = InboundLeg(self._services, event.session)
        self._adopt(leg)
        self._spawn(self._inbound.take(event, leg, self.our_host(event.flow.hop)))

    def _leg_of(self, session: InviteSession) -> SipLeg | None:
        return self._legs.get(session.id)

    def _adopt(self, leg: SipLeg) -> None:
        if leg.session is None:
            return
        self._legs[leg.session.id] = leg
        if self._trace is not None and leg.call_id:
            self._trace.adopt(leg.session.call_id, leg.call_id)

    def _forget(self, leg: SipLeg) -> None:
        if leg.session is not None:
            self._legs.pop(leg.session.id, None)

    async def _resolve(self, event: ResolveNeeded) -> None:
        """Find the hops that the core asks for: of a registrar, or of a name in a dialog's Contact
        or Record-Route."""
        failure, hops = "", tuple[Hop, ...]()
        try:
            found = await self._registrations.hops_of(event.key)
            hops = tuple(await self._resolver.resolve(event.uri)) if found is None else found
        except RingbackError as error:
            failure = error.message
        self._stack.endpoint.resolved(event.key, hops, self._stack.now(), failure=failure)
        self._stack.pump()

    # ---- HopFinder --------------------------------------------------------------------------

    async def trunk_hops(self, trunk: TrunkAccount) -> tuple[Hop, ...]:
        host, port = (
            parse_host_port(trunk.outbound_proxy)
            if trunk.outbound_proxy
            else (trunk.host, trunk.port)
        )
        hops = await self._resolver.resolve(
            Target(host, port, trunk.transport, verify=trunk.tls_verify)
        )
        self._directory.trunk_resolved(trunk.id, [hop.host for hop in hops])
        self._exemptions_changed()
        return tuple(hops)

    async def uri_hops(self, uri: Uri, trunk: TrunkAccount) -> tuple[Hop, ...]:
        if trunk.outbound_proxy:  # it is in the Route of every request
            return await self.trunk_hops(trunk)
        return tuple(await self._resolver.resolve(Target.of(uri, verify=trunk.tls_verify)))

    def our_host(self, hop: Hop) -> str:
        """Our address for SDP, as the peer at ``hop`` should see it."""
        return self._stack.addresses.host_for(hop.host)

    # ---- tasks ------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sip task failed", exc_info=error)

    def refusals(self) -> Mapping[str, int]:
        """Inbound calls refused here, by SIP status."""
        counted = self._inbound.refusals if self._inbound is not None else {}
        return {str(status): count for status, count in counted.items()}

    def counters(self) -> Mapping[str, int]:
        """What was dropped and why, for metrics."""
        return {why.value: count for why, count in self._stack.endpoint.dropped.items()}
