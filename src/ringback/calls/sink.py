"""What connectors and media report, turned into moves of the calls."""

from __future__ import annotations

from dataclasses import replace

import structlog

from ringback.calls import live_call
from ringback.calls.admission import Admission
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.live_call import CallFacts
from ringback.calls.ports import AgentProfile, Agents, Platform
from ringback.calls.registry import MOUTH, Entry, Registry
from ringback.calls.states import CallEvent, Direction, Party
from ringback.calls.texts import (
    MAX_HEADER,
    MAX_IDENTITY,
    MAX_TARGET,
    one_line,
    recording_name,
)
from ringback.calls.transfer import Transfer, TransferMode, TransferState
from ringback.calls.transfers import keep_transfer
from ringback.connectors.contract import Cause, InboundOffer, LegControl
from ringback.core.clock import Clock
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, NotConfigured, NotFound, RingbackError
from ringback.core.ids import new_id
from ringback.media.plane import MediaPlane

log = structlog.stdlib.get_logger(__name__)


class CallReports:
    """Implements :class:`ringback.connectors.contract.CallSink`."""

    def __init__(
        self,
        *,
        registry: Registry,
        lifecycle: Lifecycle,
        admission: Admission,
        agents: Agents,
        platforms: dict[str, Platform],
        plane: MediaPlane,
        clock: Clock,
        ring_timeout: float,
        records: bool,
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._admission = admission
        self._agents = agents
        self._platforms = platforms
        self._plane = plane
        self._clock = clock
        self._ring_timeout = ring_timeout
        self._records = records

    # ---- an inbound call --------------------------------------------------------------------

    def takes_calls(self) -> bool:
        return self._admission.takes_calls()

    async def offered(self, offer: InboundOffer, leg: LegControl) -> str:
        """The call rings, everybody is told, and it is answered at once where that is wanted.

        ``ring`` or ``accept`` is sent to the leg after this has returned.
        """
        try:
            profile = await self._profile(offer)
            self._admission.check(Direction.INBOUND, offer.account_id, profile)
        except RingbackError as error:
            self._admission.turned_away(Direction.INBOUND, error)
            raise
        entry = self._enter(offer, leg, profile)
        self._lifecycle.announce(entry)
        log.info(
            "call_offered",
            call_id=entry.call_id,
            caller=offer.caller,
            callee=offer.callee,
            agent_id=offer.agent_id,
            auto_answer=offer.auto_answer,
        )
        if offer.auto_answer:
            self._lifecycle.answer(entry)
        else:
            self._lifecycle.ring(entry, self._ring_timeout)
        return entry.call_id

    async def _profile(self, offer: InboundOffer) -> AgentProfile | None:
        if offer.agent_id is None:
            return None
        try:
            profile = await self._agents.profile(offer.account_id, offer.agent_id)
        except NotFound as error:
            raise NotConfigured(
                "The agent of this number is gone.", code="agent_not_found"
            ) from error
        if not profile.inbound:
            raise NotConfigured(
                f"The agent {profile.name or profile.agent_id} takes no inbound calls.",
                code="agent_not_inbound",
            )
        return profile

    def _enter(self, offer: InboundOffer, leg: LegControl, profile: AgentProfile | None) -> Entry:
        platform = self._platforms[offer.platform]
        now = self._clock.now()
        call_id = new_id("call")
        records = self._records and (profile is None or profile.records)
        facts = CallFacts(
            call_id=call_id,
            account_id=offer.account_id,
            platform=offer.platform,
            direction=Direction.INBOUND,
            caller=one_line(offer.caller, MAX_IDENTITY),
            callee=one_line(offer.callee, MAX_IDENTITY),
            created_at=now,
            caller_name=one_line(offer.caller_name, MAX_IDENTITY),
            agent_id=offer.agent_id,
            agent_name=profile.name if profile else "",
            hosted=bool(profile and profile.voice),
            phone_number_id=offer.phone_number_id,
            trunk_id=offer.trunk_id,
            capabilities=platform.connector.capabilities,
            sample_rate=platform.sample_rate,
            recording=recording_name(call_id, now) if records else None,
            headers={name: one_line(value, MAX_HEADER) for name, value in offer.headers.items()},
            identity=offer.identity,
        )
        entry = Entry(
            live_call.inbound(facts),
            voice=profile.voice if profile else None,
            mouth=(profile and profile.mouth) or MOUTH,
            max_seconds=profile.max_seconds if profile else None,
            leg=leg,
        )
        self._registry.add(entry)
        return entry

    # ---- the life of a leg ------------------------------------------------------------------

    def leg_ringing(self, call_id: str) -> None:
        if (entry := self._registry.get(call_id)) is not None:
            self._lifecycle.advance(entry, CallEvent.REMOTE_RINGING)

    def leg_early_media(self, call_id: str) -> None:
        """Audio before the answer: the agent hears it already; the call still rings."""
        if (entry := self._registry.get(call_id)) is not None:
            self._lifecycle.advance(entry, CallEvent.REMOTE_RINGING)

    def leg_answered(self, call_id: str) -> None:
        if (entry := self._registry.get(call_id)) is not None:
            self._lifecycle.advance(entry, CallEvent.ANSWERED)

    def leg_held(self, call_id: str, held: bool) -> None:
        if (entry := self._registry.get(call_id)) is not None:
            self._lifecycle.hold(entry, Party.REMOTE, held)

    def leg_dtmf(self, call_id: str, digit: str, duration_ms: int) -> None:
        """A key by signalling. Media tells it on, once, however often it comes."""
        entry = self._registry.get(call_id)
        if entry is not None and not entry.call.final:
            self._plane.dtmf(call_id, digit, duration_ms)

    # ---- transfers by the far end -----------------------------------------------------------

    async def leg_transfer_requested(self, call_id: str, target: str) -> None:
        """Whoever is at the far end may spend as much as a placed call may."""
        entry = self._registry.get(call_id)
        if entry is None or not entry.call.answered:
            raise Conflict("The call is not active.", code="call_not_active")
        if entry.transferring:
            raise Conflict("The call is being transferred.", code="transfer_in_progress")
        try:
            self._admission.check(Direction.OUTBOUND, entry.account_id, continues=True)
        except RingbackError as error:
            self._admission.turned_away(Direction.OUTBOUND, error)
            raise
        target = one_line(target, MAX_TARGET)
        asked = Transfer(self._clock.now(), Party.REMOTE, target, TransferMode.REFER)
        keep_transfer(self._lifecycle, entry, asked)
        log.info("transfer_by_far_end", call_id=call_id, target=target)

    def leg_replaced(self, call_id: str, leg: LegControl, remote: str, name: str) -> None:
        """Another person is on the call from now on; the record keeps who it was before."""
        entry = self._registry.get(call_id)
        if entry is None or entry.call.final:
            return
        entry.leg = leg
        entry.hold_signalled = False
        remote, name = one_line(remote, MAX_IDENTITY), one_line(name, MAX_IDENTITY)
        self._lifecycle.put(entry, replace(entry.call, remote=remote, remote_name=name))
        self._lifecycle.hold(entry, Party.REMOTE, False)
        asked = _requested(entry)
        done = asked or Transfer(self._clock.now(), Party.REMOTE, remote, TransferMode.REFER)
        keep_transfer(self._lifecycle, entry, done.step(TransferState.DONE), asked)
        log.info("leg_replaced", call_id=call_id, remote=remote)

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        cause = replace(cause, text=one_line(cause.text, MAX_IDENTITY))
        entry = self._registry.get(call_id)
        if entry is None:
            self._lifecycle.leg_of_unknown_call_ended(call_id)
            return
        if cause.reason is EndReason.INTERNAL_ERROR:
            log.error("call_failed", call_id=call_id, text=cause.text)
        self._lifecycle.leg_ended(entry, cause)


def _requested(entry: Entry) -> Transfer | None:
    """The last transfer that the far end asked for and that is not decided."""
    for transfer in reversed(entry.call.transfers):
        if transfer.by is Party.REMOTE and not transfer.state.final:
            return transfer
    return None
