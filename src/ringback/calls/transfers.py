"""Transfers: handing the person over to somebody else.

A *blind* transfer has a target to call, an *attended* one another live call of the account. Either
the far end does it (REFER), or Ringback joins the two calls and stays in the middle.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import structlog

from ringback.calls import events
from ringback.calls.conferences import Conferences
from ringback.calls.dialler import Dialler, PlaceCall
from ringback.calls.finder import Finder
from ringback.calls.holding import Holding
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry
from ringback.calls.states import CallState, Party
from ringback.calls.texts import MAX_IDENTITY, MAX_TARGET, one_line
from ringback.calls.transfer import (
    MAX_KEPT,
    Transfer,
    TransferMode,
    TransferState,
    reason_of_status,
)
from ringback.connectors.contract import Capability, LegControl, TransferResult
from ringback.core.clock import Clock
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, InvalidRequest, NotConfigured, NotFound, RingbackError

DEFAULT_SECONDS = 60.0
"""Until the target has to have answered."""
REFER_GRACE_SECONDS = 5.0
"""Beyond that, until the far end has to have told what became of a REFER."""
REFUSAL_SECONDS = 0.25
"""How long a request waits for its own transfer to be refused out of hand (a target that is none,
a limit), so that it can be answered with the error."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TransferWanted:
    """Exactly one of ``target`` (a number or SIP URI) and ``to_call_id`` is set. ``timeout`` in
    seconds; ``caller_id`` and ``trunk_id`` are for a call that Ringback itself places."""

    target: str | None = None
    to_call_id: str | None = None
    mode: TransferMode = TransferMode.AUTO
    timeout: float | None = None
    caller_id: str | None = None
    trunk_id: str | None = None


@dataclass(slots=True)
class _Pending:
    """A transfer under way: who is transferred, to which call of ours (once there is one)."""

    entry: Entry
    wanted: TransferWanted
    transfer: Transfer
    other: Entry | None = None
    failure: RingbackError | None = None


class Transfers:
    def __init__(
        self,
        finder: Finder,
        lifecycle: Lifecycle,
        dialler: Dialler,
        holding: Holding,
        conferences: Conferences,
        clock: Clock,
    ) -> None:
        self._finder = finder
        self._lifecycle = lifecycle
        self._dialler = dialler
        self._holding = holding
        self._conferences = conferences
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self.refer_grace = REFER_GRACE_SECONDS

    # ---- the operations ---------------------------------------------------------------------

    async def start(self, account_id: str, call_id: str, wanted: TransferWanted) -> Transfer:
        """Begin. Returns at once; ``call_transfer`` events tell how it goes on. A call that is
        transferred by REFER ends as ``transferred``; one that is not goes on as it was.

        Raises ``NotFound``, ``InvalidRequest`` (also for a target that is none), ``Conflict``
        (not answered, or being transferred already), and what placing a call raises.
        """
        pending = self._begin(account_id, call_id, wanted)
        name = f"transfer-{call_id}"
        task = self._lifecycle.background.spawn(self._run(pending), name)
        await asyncio.wait([task], timeout=REFUSAL_SECONDS)
        if pending.failure is not None:
            raise pending.failure
        return pending.transfer

    def cancel(self, account_id: str, call_id: str) -> Transfer:
        """Give up a transfer whose new call is not answered: the person is back with the agent.

        Raises ``Conflict`` where there is none, or the far end is already at it.
        """
        entry = self._finder.live(account_id, call_id)
        pending = self._pending.get(call_id)
        if pending is None or pending.other is None or pending.other.call.answered:
            raise Conflict(
                "There is no transfer that could be cancelled.",
                code="no_transfer",
                hint="A transfer that the far end makes by itself cannot be taken back."
                if entry.transferring
                else "",
            )
        self._lifecycle.hang_up(pending.other, EndReason.CANCELLED)
        return pending.transfer

    def _begin(self, account_id: str, call_id: str, wanted: TransferWanted) -> _Pending:
        entry = self._finder.answered(account_id, call_id, Capability.TRANSFER)
        if (wanted.target is None) == (wanted.to_call_id is None):
            raise InvalidRequest(
                "Exactly one of `target` and `to_call_id` is needed.",
                code="invalid_target",
                field="target",
            )
        other = None
        if wanted.to_call_id is not None:
            other = self._consulted(account_id, entry, wanted.to_call_id)
        for one in (entry, other):
            if one is not None and one.transferring:
                raise Conflict(
                    f"The call {one.call_id} is being transferred already.",
                    code="transfer_in_progress",
                    hint="Wait for `call_transfer` to say `done` or `failed`.",
                )
        pending = _Pending(entry, wanted, self._new(entry, wanted, other), other)
        self._pending[call_id] = pending
        entry.transferring = True
        if other is not None:
            other.transferring = True
        self._keep(entry, pending.transfer)
        return pending

    def _consulted(self, account_id: str, entry: Entry, call_id: str) -> Entry:
        try:
            other = self._finder.answered(account_id, call_id, Capability.AUDIO_OUT)
        except NotFound as error:
            raise InvalidRequest(
                "`to_call_id` is not a live call of this account.",
                code="call_not_found",
                hint=error.hint,
                field="to_call_id",
            ) from None
        self._conferences.check_bridge(entry, other)
        return other

    def _new(self, entry: Entry, wanted: TransferWanted, other: Entry | None) -> Transfer:
        target = one_line(wanted.target or "", MAX_TARGET)
        mode = TransferMode.BRIDGE if wanted.mode is TransferMode.BRIDGE else TransferMode.REFER
        return Transfer(
            at=self._clock.now(),
            by=Party.AGENT,
            target=other.call.person if other is not None else target,
            mode=mode,
            to_call_id=other.call_id if other is not None else None,
        )

    # ---- the course of one ------------------------------------------------------------------

    async def _run(self, pending: _Pending) -> None:
        try:
            await self._transfer(pending)
        except RingbackError as error:
            pending.failure = error
            self._fail(pending, reason=error.code, text=error.message)
        except Exception:
            self._fail(pending, reason=EndReason.INTERNAL_ERROR.value)
            raise
        finally:
            del self._pending[pending.entry.call_id]
            pending.entry.transferring = False
            if pending.other is not None:
                pending.other.transferring = False

    async def _transfer(self, pending: _Pending) -> None:
        if pending.wanted.mode is not TransferMode.BRIDGE and self._can_refer(pending):
            result = await self._refer(pending)
            if result is None:
                return
            if result.done:
                self._transferred(pending)
                return
            if not result.refused or pending.wanted.mode is TransferMode.REFER:
                reason = reason_of_status(result.status).value
                self._fail(pending, reason, result.text, result.status)
                return
            log.info("refer_refused", call_id=pending.entry.call_id, status=result.status)
        if pending.wanted.to_call_id is None:
            await self._bridge_to_target(pending)
        else:
            await self._bridge_to_call(pending)

    def _can_refer(self, pending: _Pending) -> bool:
        """Whether one REFER can do it: an attended one needs both legs on the same platform, and
        neither in a room with others."""
        entry, other = pending.entry, pending.other
        alone = entry.call.conference_id is None
        if other is not None:
            same = other.call.facts.platform == entry.call.facts.platform
            alone = alone and same and other.call.conference_id is None
        if not alone and pending.wanted.mode is TransferMode.REFER:
            raise Conflict(
                "A call that is joined with others cannot be handed to the far end.",
                code="in_conference",
                hint="Use mode auto or bridge.",
            )
        return alone

    async def _refer(self, pending: _Pending) -> TransferResult | None:
        """What the far end made of it; ``None`` where it did not tell (the transfer has failed)."""
        leg = pending.entry.leg
        if leg is None:
            raise Conflict("The call has no leg to transfer.", code="call_not_active")
        replaces: LegControl | None = pending.other.leg if pending.other is not None else None
        self._step(pending, TransferState.TRYING)
        seconds = (pending.wanted.timeout or DEFAULT_SECONDS) + self.refer_grace
        try:
            async with asyncio.timeout(seconds):
                return await leg.transfer(pending.transfer.target, replaces)
        except TimeoutError:
            self._fail(pending, EndReason.NO_ANSWER.value, "The far end did not say how it ended.")
            return None

    def _transferred(self, pending: _Pending) -> None:
        """The far end went on without us: what we have of the two calls ends."""
        self._step(pending, TransferState.DONE)
        for entry in (pending.entry, pending.other):
            if entry is not None:
                self._lifecycle.hang_up(entry, EndReason.TRANSFERRED)

    async def _bridge_to_target(self, pending: _Pending) -> None:
        entry = pending.entry
        self._step(pending, TransferState.TRYING, mode=TransferMode.BRIDGE)
        parked = self._holding.park(entry)
        try:
            other = pending.other = await self._dial(pending)
            other.transferring = True
            self._step(pending, TransferState.TRYING, to_call_id=other.call_id)
            await self._wait_for_answer(pending, other)
            if not entry.call.answered:
                self._fail(pending, "hangup", "The person hung up.")
                return
            if other.call.answered:
                await self._join(pending, other)
                return
        finally:
            if pending.transfer.state is not TransferState.DONE:
                if parked:
                    self._holding.unpark(entry)
                if pending.other is not None:
                    self._lifecycle.hang_up(pending.other, EndReason.CANCELLED)
        cause = other.call.cause
        reason = cause.reason if cause is not None else EndReason.UNAVAILABLE
        self._fail(
            pending, reason.value, cause.text if cause else "", cause.sip_code if cause else None
        )

    async def _bridge_to_call(self, pending: _Pending) -> None:
        other = pending.other
        self._step(pending, TransferState.TRYING, mode=TransferMode.BRIDGE)
        if other is None or not (other.call.answered and pending.entry.call.answered):
            self._fail(pending, "hangup", "One of the two calls is over.")
            return
        await self._join(pending, other)

    async def _join(self, pending: _Pending, other: Entry) -> None:
        entry = pending.entry
        self._conferences.check_bridge(entry, other)
        await asyncio.gather(self._holding.release(entry), self._holding.release(other))
        if not (entry.call.answered and other.call.answered):
            self._fail(pending, "hangup", "One of the two calls is over.")
            return
        self._conferences.bridge(entry, other)
        self._step(pending, TransferState.DONE)

    async def _dial(self, pending: _Pending) -> Entry:
        """The call to the target, over the trunk of the call where that can."""
        wanted, facts = pending.wanted, pending.entry.call.facts
        place = PlaceCall(
            platform=facts.platform,
            meeting_url=wanted.target,
            agent_name=facts.agent_name,
            caller_id=wanted.caller_id,
            trunk_id=wanted.trunk_id,
            recording=False,
            transcripts=False,
            parent_call_id=facts.call_id,
            continues=True,
            ring_timeout=wanted.timeout or DEFAULT_SECONDS,
        )
        is_number = ":" not in (wanted.target or "")
        if wanted.trunk_id is None and facts.trunk_id is not None and is_number:
            same_trunk = replace(place, trunk_id=facts.trunk_id)
            try:
                return await self._dialler.place(facts.account_id, same_trunk)
            except (InvalidRequest, NotConfigured) as error:
                if error.code not in ("trunk_not_found", "no_sip_trunk"):
                    raise
        return await self._dialler.place(facts.account_id, place)

    async def _wait_for_answer(self, pending: _Pending, other: Entry) -> None:
        """Return when ``other`` is answered or over, or the person has hung up."""
        moved = asyncio.Event()

        def watch(entry: Entry) -> None:
            if entry is other and entry.call.state is CallState.RINGING:
                self._step(pending, TransferState.RINGING)
            moved.set()

        both = (pending.entry, other)
        for entry in both:
            entry.watchers.append(watch)
        watch(other)
        try:
            while not (other.call.answered or other.call.final or pending.entry.call.final):
                moved.clear()
                await moved.wait()
        finally:
            for entry in both:
                entry.unwatch(watch)

    # ---- telling ----------------------------------------------------------------------------

    def _step(self, pending: _Pending, state: TransferState, **changes: Any) -> None:
        after = pending.transfer.step(state, **changes)
        if after is not pending.transfer:
            before, pending.transfer = pending.transfer, after
            self._keep(pending.entry, after, before)

    def _fail(
        self, pending: _Pending, reason: str, text: str = "", sip_code: int | None = None
    ) -> None:
        text = one_line(text, MAX_IDENTITY)
        self._step(pending, TransferState.FAILED, reason=reason, text=text, sip_code=sip_code)
        log.info("transfer_failed", call_id=pending.entry.call_id, reason=reason)

    def _keep(self, entry: Entry, transfer: Transfer, before: Transfer | None = None) -> None:
        """Put ``transfer`` into the record, in the place of ``before``, and tell it."""
        keep_transfer(self._lifecycle, entry, transfer, before)


def keep_transfer(
    lifecycle: Lifecycle, entry: Entry, transfer: Transfer, before: Transfer | None = None
) -> None:
    """Put ``transfer`` into the call's record, in the place of ``before``, and tell it."""
    kept = tuple(one for one in entry.call.transfers if one is not before)
    call = replace(entry.call, transfers=(*kept, transfer)[-MAX_KEPT:])
    lifecycle.put(entry, call)
    lifecycle.publish(entry, events.call_transfer(call, transfer))
