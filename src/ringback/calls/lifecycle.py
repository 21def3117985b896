"""How a live call moves, and everything that follows from a move.

The one place that changes an entry's call: it applies the pure reducer, tells the bus and the
streams, hands the record to the journal, keeps the timers and the media in step, and releases
what a call held when it is over. All of it happens on the event loop and without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog

from ringback.calls import events, live_call
from ringback.calls.background import Background
from ringback.calls.journal import Journal
from ringback.calls.live_call import LiveCall
from ringback.calls.metrics import CallMetrics
from ringback.calls.registry import Entry, Registry, Timer
from ringback.calls.rows import call_row, line_row
from ringback.calls.states import CallEvent, CallState, Direction, Party
from ringback.calls.texts import sound
from ringback.connectors.contract import Cause, LegControl
from ringback.core.bus import Bus
from ringback.core.clock import Clock
from ringback.core.end_reason import EndReason
from ringback.core.errors import RingbackError
from ringback.media.plane import MediaPlane, TranscriptLine, VoiceSpec

MAX_CALL_SECONDS = 4 * 3600.0
"""The longest call, where the agent sets no other limit."""
ANSWER_SECONDS = 40.0
"""Until a call that we answer has to be answered (a 2xx is repeated for 32 s)."""
DIAL_GRACE_SECONDS = 10.0
"""Beyond its ringing time, until a dialled call that reports nothing is given up."""
LEG_END_SECONDS = 5.0
"""Until the media of a call that is over is closed though its leg has not reported its end."""
RECORD_SECONDS = 30.0
"""Until a call whose record the database does not take is dropped from memory anyway (the
journal still has the record)."""

_TURNED_DOWN = frozenset({EndReason.UNANSWERED, EndReason.REFUSED})

Schedule = Callable[[float, Callable[[], None]], Timer]
"""``schedule(seconds, callback)``, as ``loop.call_later``."""

log = structlog.stdlib.get_logger(__name__)


class LegAction(Protocol):
    def __call__(self, leg: LegControl) -> Awaitable[None]: ...


class Lifecycle:
    def __init__(
        self,
        *,
        node_id: str,
        registry: Registry,
        journal: Journal,
        bus: Bus,
        plane: MediaPlane,
        clock: Clock,
        metrics: CallMetrics,
        recordings_dir: Path,
        schedule: Schedule | None = None,
    ) -> None:
        self._node_id = node_id
        self._registry = registry
        self._journal = journal
        self._bus = bus
        self._plane = plane
        self._clock = clock
        self._metrics = metrics
        self._recordings_dir = recordings_dir
        self._schedule = schedule
        self.background = Background()
        self.on_release: Callable[[Entry], None] = lambda entry: None
        """Called once with each call whose media is closed."""

    # ---- the beginning ----------------------------------------------------------------------

    def announce(self, entry: Entry) -> None:
        """Make the call known: an invitation to an inbound one, ``connecting`` to an outbound
        one, and where it has got to since."""
        entry.draft = False
        facts = entry.call.facts
        self._metrics.started(facts.direction)
        if facts.direction is Direction.INBOUND:
            first = live_call.inbound(facts)
            self._bus.publish(entry.account_id, events.call_invite(first))
        else:
            first = live_call.outbound(facts)
            self._bus.publish(entry.account_id, events.call_state(first))
        self._record(entry)
        if entry.call.state is not first.state:
            self._tell(entry)
        if entry.call.final:
            self._release_soon(entry)

    def withdraw(self, entry: Entry) -> None:
        """Forget a draft that its connector turned down."""
        entry.cancel_timers()
        self._registry.remove(entry)
        self.background.spawn(self._close_media(entry), f"withdraw-{entry.call_id}")

    # ---- the moves --------------------------------------------------------------------------

    def advance(self, entry: Entry, event: CallEvent) -> None:
        """Apply an event that does not end the call; one that means nothing now is ignored."""
        call = live_call.advance(entry.call, event, self._clock.now())
        if call is entry.call:
            return
        self._registry.update(entry, call)
        self._tell(entry)
        if event is CallEvent.ANSWERED:
            self._answered(entry)
        self._tell_watchers(entry)

    def hold(self, entry: Entry, party: Party, held: bool) -> None:
        """``party`` begins or ends its hold."""
        call = live_call.hold(entry.call, party, held)
        if call is not entry.call:
            self._registry.update(entry, call)
            self._tell(entry)

    def put(self, entry: Entry, call: LiveCall) -> None:
        """``call`` differs from the entry's in what its record tells, not in its state."""
        self._registry.update(entry, call)
        if not entry.draft:
            self._record(entry)

    def release_agent(self, entry: Entry) -> None:
        """Take the agent off the call: the people on it go on without, as long as any call may."""
        entry.agent_left = True
        entry.speaks = False
        entry.streams.clear()
        self._plane.detach_agents(entry.call_id)
        if entry.call.answered:
            self.after(entry, "max_duration", MAX_CALL_SECONDS, lambda: self._too_long(entry))

    def _tell_watchers(self, entry: Entry) -> None:
        for watcher in list(entry.watchers):
            watcher(entry)

    def _answered(self, entry: Entry) -> None:
        entry.answering = False
        entry.cancel_timers()
        entry.changed.set()
        limit = entry.max_seconds or MAX_CALL_SECONDS
        self.after(entry, "max_duration", limit, lambda: self._too_long(entry))
        self._plane.activate(entry.call_id, self._recording_path(entry))
        if entry.voice is None:
            return
        try:
            self._start_voice(entry, entry.voice)
        except RingbackError as error:
            log.error("voice_not_started", call_id=entry.call_id, error=error.message)
            self.hang_up(entry, EndReason.INTERNAL_ERROR)

    def ensure_mouth(self, entry: Entry) -> None:
        """Let Ringback speak on this call. Raises what the voice raises where it has none."""
        if not entry.speaks:
            self._start_voice(entry, entry.mouth)

    def _start_voice(self, entry: Entry, spec: VoiceSpec) -> None:
        self._plane.start_voice(entry.call_id, spec)
        entry.speaks = True

    def _too_long(self, entry: Entry) -> None:
        self.hang_up(entry, EndReason.MAX_DURATION)

    def _recording_path(self, entry: Entry) -> str | None:
        recording = entry.call.facts.recording
        if recording is None:
            return None
        return str(self._recordings_dir / recording)

    def say_line(self, entry: Entry, said: TranscriptLine) -> None:
        """Add what was said to the transcript, and tell it on."""
        if not entry.call.facts.transcripts:
            return
        text = sound(said.text).replace("\x00", "")
        line = entry.transcript.add(said.speaker, text, said.start_ms, said.end_ms)
        if line is None:
            return
        self._journal.add_line(line_row(entry.call_id, line))
        self.publish(entry, events.call_transcript(entry.call, line))

    def announce_dtmf(self, entry: Entry, message: events.Message) -> None:
        """To those who follow the account; the streams have the key from the bridge."""
        self._bus.publish(entry.account_id, message)

    def publish(self, entry: Entry, message: events.Message) -> None:
        """To everybody who follows the account, and to the streams of the call."""
        self._bus.publish(entry.account_id, message)
        self._plane.notify(entry.call_id, message)

    def _tell(self, entry: Entry) -> None:
        if entry.draft:
            return
        self.publish(entry, events.call_state(entry.call))
        self._record(entry)

    def _record(self, entry: Entry) -> int:
        return self._journal.record(call_row(entry.call, self._node_id, entry.quality))

    # ---- the answer -------------------------------------------------------------------------

    def answer(self, entry: Entry) -> None:
        """Send the answer to a ringing call; it is active when the far end has it."""
        if entry.answering or entry.leg is None or entry.call.state is not CallState.RINGING:
            return
        entry.answering = True
        entry.cancel_timer("ring")
        self.after(
            entry, "answer", ANSWER_SECONDS, lambda: self.hang_up(entry, EndReason.ACK_TIMEOUT)
        )
        self.tell_leg(entry, "accept", lambda leg: leg.accept())

    def ring(self, entry: Entry, seconds: float) -> None:
        """Let an inbound call ring until somebody accepts it."""
        self.after(entry, "ring", seconds, lambda: self.hang_up(entry, EndReason.UNANSWERED))
        self.tell_leg(entry, "ring", lambda leg: leg.ring())

    def await_answer(self, entry: Entry, seconds: float) -> None:
        """Give up a dialled call that its connector does not end in time."""
        self.after(
            entry,
            "dial",
            seconds + DIAL_GRACE_SECONDS,
            lambda: self.hang_up(entry, EndReason.NO_ANSWER),
        )

    def after(self, entry: Entry, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Do ``action`` once unless the timer is cancelled; the end of the call cancels all."""

        def due() -> None:
            entry.timers.pop(name, None)
            action()

        schedule = self._schedule or asyncio.get_running_loop().call_later
        entry.cancel_timer(name)
        entry.timers[name] = schedule(seconds, due)

    def tell_leg(self, entry: Entry, what: str, action: LegAction) -> None:
        """Start ``action`` on the leg; if it fails, so does the call."""
        leg = entry.leg
        if leg is not None:
            self.background.spawn(self._act(entry, leg, what, action), f"{what}-{entry.call_id}")

    async def _act(self, entry: Entry, leg: LegControl, what: str, action: LegAction) -> None:
        try:
            await action(leg)
        except Exception as error:
            log.error("leg_failed", call_id=entry.call_id, action=what, exc_info=error)
            if not entry.call.final:
                self.hang_up(entry, EndReason.INTERNAL_ERROR)

    # ---- the end ----------------------------------------------------------------------------

    def hang_up(self, entry: Entry, reason: EndReason, text: str = "") -> None:
        """End the call from our side; nothing happens to one that is over. ``text`` is a sentence
        for the record."""
        if entry.call.final:
            return
        if entry.call.facts.direction is Direction.INBOUND and reason in _TURNED_DOWN:
            self.tell_leg(entry, "reject", lambda leg: leg.reject(reason))
        else:
            self.tell_leg(entry, "hang-up", lambda leg: leg.hang_up(reason))
        self.end(entry, Cause(reason, text=text))

    def end(self, entry: Entry, cause: Cause) -> None:
        """The call is over because of ``cause``, unless it was over before."""
        was_over = entry.call.final
        call = live_call.end(entry.call, cause, self._clock.now())
        if call is entry.call:
            return
        self._registry.update(entry, call)
        if was_over:
            self._record(entry)
            return
        entry.cancel_timers()
        entry.changed.set()
        self._metrics.ended(call)
        if call.state is CallState.DISCONNECTED:
            self._plane.notify(entry.call_id, events.bridge_disconnected(entry.call_id))
        self._tell(entry)
        self._tell_watchers(entry)
        if entry.leg_over or entry.draft:
            return
        self.after(entry, "release", LEG_END_SECONDS, lambda: self._release_soon(entry))

    def leg_ended(self, entry: Entry, cause: Cause) -> None:
        """The leg is over, and with it the call. Its media can be closed now."""
        entry.leg_over = True
        self.end(entry, cause)
        if not entry.draft:
            self._release_soon(entry)

    def leg_of_unknown_call_ended(self, call_id: str) -> None:
        """A leg reports its end after its call was released: free what it may have opened."""
        self.background.spawn(self._close_session(call_id), f"close-{call_id}")

    def _release_soon(self, entry: Entry) -> None:
        if entry.releasing:
            return
        entry.releasing = True
        entry.cancel_timers()
        self.background.spawn(self._release(entry), f"release-{entry.call_id}")

    async def _release(self, entry: Entry) -> None:
        await self._close_media(entry)
        number = self._record(entry)
        self.on_release(entry)
        entry.released.set()
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await self._journal.written(number, hurry=False)
        except TimeoutError:
            log.warning("record_delayed", call_id=entry.call_id)
        finally:
            self._registry.remove(entry)

    async def _close_media(self, entry: Entry) -> None:
        try:
            entry.quality = await self._plane.close(entry.call_id)
        except Exception as error:
            log.error("media_not_closed", call_id=entry.call_id, exc_info=error)

    async def _close_session(self, call_id: str) -> None:
        await self._plane.close(call_id)
