"""Placing a call: check, draft, dial, announce."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from ringback.calls import live_call
from ringback.calls.admission import Admission
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.live_call import CallFacts
from ringback.calls.ports import AgentProfile, Agents, Platform
from ringback.calls.registry import MOUTH, Entry, Registry
from ringback.calls.states import Direction
from ringback.calls.texts import MAX_IDENTITY, MAX_TARGET, one_line, recording_name
from ringback.connectors.contract import DialRequest
from ringback.core.clock import Clock
from ringback.core.errors import InvalidRequest, NotConfigured, NotFound, RingbackError
from ringback.core.ids import new_id

DEFAULT_AGENT_NAME = "AI Agent"

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """An outbound call as it is asked for. ``meeting_url`` is what to dial."""

    platform: str
    meeting_url: str | None = None
    agent_name: str = DEFAULT_AGENT_NAME
    agent_id: str | None = None
    caller_id: str | None = None
    trunk_id: str | None = None
    recording: bool | None = None
    """``None``: as the agent has it, else yes."""
    transcripts: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    """``X-`` headers to send along."""
    ring_timeout: float | None = None
    """Seconds until an answer; ``None``: the node's."""
    parent_call_id: str | None = None
    """The call for whose transfer or conference this one is placed."""
    continues: bool = False
    """The parent goes on in this one: it is transferred."""


class Dialler:
    def __init__(
        self,
        *,
        registry: Registry,
        lifecycle: Lifecycle,
        admission: Admission,
        agents: Agents,
        platforms: dict[str, Platform],
        clock: Clock,
        ring_timeout: float,
        records: bool,
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._admission = admission
        self._agents = agents
        self._platforms = platforms
        self._clock = clock
        self._ring_timeout = ring_timeout
        self._records = records

    async def place(self, account_id: str, wanted: PlaceCall) -> Entry:
        """Raises what :meth:`ringback.calls.service.CallService.place` documents."""
        try:
            entry = await self._begin(account_id, wanted)
        except RingbackError as error:
            self._admission.turned_away(Direction.OUTBOUND, error)
            raise
        self._lifecycle.announce(entry)
        log.info("call_placed", call_id=entry.call_id, target=entry.call.facts.target)
        return entry

    async def _begin(self, account_id: str, wanted: PlaceCall) -> Entry:
        platform = self._platform(wanted.platform)
        if not wanted.meeting_url or not wanted.meeting_url.strip():
            raise InvalidRequest(
                "meeting_url required",
                code="meeting_url_required",
                hint="Say whom to call: a SIP URI or a phone number, as in "
                "`sip:+33612345678@sip.example.com`.",
                field="meeting_url",
            )
        profile = await self._profile(account_id, wanted.agent_id)
        continues = wanted.continues
        self._admission.check(Direction.OUTBOUND, account_id, profile, continues=continues)
        entry = self._draft(account_id, wanted.meeting_url, wanted, platform, profile)
        await self._dial(entry, wanted, platform)
        return entry

    def _platform(self, name: str) -> Platform:
        platform = self._platforms.get(name)
        if platform is None:
            raise NotConfigured(
                f"There are no calls on {one_line(name, 64)!r} here.",
                code="platform_not_available",
                hint=f"Available: {', '.join(sorted(self._platforms)) or 'none'}.",
                field="platform",
            )
        return platform

    async def _profile(self, account_id: str, agent_id: str | None) -> AgentProfile | None:
        if agent_id is None:
            return None
        try:
            return await self._agents.profile(account_id, agent_id)
        except NotFound as error:
            raise InvalidRequest(
                "`agent_id` is not an agent of this account.",
                code="agent_not_found",
                hint="List the agents with GET /api/agents.",
                field="agent_id",
            ) from error

    def _draft(
        self,
        account_id: str,
        meeting_url: str,
        wanted: PlaceCall,
        platform: Platform,
        profile: AgentProfile | None,
    ) -> Entry:
        now = self._clock.now()
        call_id = new_id("call")
        target = one_line(meeting_url, MAX_TARGET)
        records = wanted.recording
        if records is None:
            records = self._records and (profile is None or profile.records)
        facts = CallFacts(
            call_id=call_id,
            account_id=account_id,
            platform=wanted.platform,
            direction=Direction.OUTBOUND,
            caller=one_line(wanted.caller_id or "", MAX_IDENTITY),
            callee=target,
            created_at=now,
            target=target,
            agent_id=wanted.agent_id,
            agent_name=one_line(wanted.agent_name, MAX_IDENTITY),
            hosted=bool(profile and profile.voice),
            trunk_id=wanted.trunk_id,
            capabilities=platform.connector.capabilities,
            sample_rate=platform.sample_rate,
            transcripts=wanted.transcripts,
            recording=recording_name(call_id, now) if records else None,
            headers=dict(wanted.headers),
            parent_call_id=wanted.parent_call_id,
        )
        entry = Entry(
            live_call.outbound(facts),
            voice=profile.voice if profile else None,
            mouth=(profile and profile.mouth) or MOUTH,
            max_seconds=profile.max_seconds if profile else None,
            draft=True,
        )
        self._registry.add(entry)
        return entry

    async def _dial(self, entry: Entry, wanted: PlaceCall, platform: Platform) -> None:
        ring_timeout = wanted.ring_timeout or self._ring_timeout
        request = DialRequest(
            call_id=entry.call_id,
            account_id=entry.account_id,
            target=entry.call.facts.target,
            caller_id=wanted.caller_id,
            trunk_id=wanted.trunk_id,
            ring_timeout=ring_timeout,
            headers=wanted.headers,
        )
        try:
            leg = await platform.connector.dial(request)
        except BaseException:
            self._lifecycle.withdraw(entry)
            raise
        entry.leg = leg
        facts = replace(entry.call.facts, trunk_id=leg.trunk_id)
        entry.call = replace(entry.call, facts=facts)
        cause = entry.call.cause
        if cause is None:
            self._lifecycle.await_answer(entry, ring_timeout)
        elif not entry.leg_over:
            await leg.hang_up(cause.reason)
