"""The meeting point of a call: everybody hears everybody else, never themselves (mix-minus).

A bridge has one person (the leg) and any number of agents (the ports). Bridges meet in a
conference: those that joined another one are moved by that one's tick, and everybody hears
everybody of all of them; what belongs to one call (its recording, whether it is held, its agents)
stays with its own bridge.

All frames here are 20 ms of PCM s16le mono at the highest rate that a person in the conference
has. With one leg and one agent, or whenever only one of the others speaks, bytes are passed through
untouched; numbers are only added when there are two frames to add. As long as there is nothing to
mix, nobody waits for the tick either (``straight_line``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringback.audio.mix import Mix
from ringback.core.errors import LimitReached
from ringback.media.agent_port import SAMPLE_BYTES, BridgePort
from ringback.media.express import Inlet
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import Slot
from ringback.media.plane import FRAME_MS
from ringback.media.port import AgentEar
from ringback.media.straight_line import StraightLine
from ringback.media.tape import Recorder, Tape

MAX_PARTICIPANTS = 33
"""Calls in one conference: the one that the others come into, and 32 more."""


class Leg(Protocol):
    """A person's end of the bridge. ``None`` stands for a frame of silence."""

    def read(self, now: float) -> bytes | None:
        """The next 20 ms that came from the person."""
        ...

    def write(self, frame: bytes | None, now: float) -> None:
        """The next 20 ms that the person is to hear."""
        ...

    def skip(self, frames: int) -> None:
        """``frames`` of what the person is to hear are left out: let their time pass."""
        ...

    def set_sample_rate(self, sample_rate: int) -> None:
        """From now on frames have ``sample_rate`` (Hz), both ways."""
        ...

    def hand_over(
        self,
        listener: Callable[[bytes | None], None] | None,
        ear: Callable[[bytes], None] | None = None,
    ) -> None:
        """Give what comes from the person to ``listener`` as soon as it is there; ``None``: to who
        ``read``s, as at first. A frame that needs nothing done to it may go to ``ear`` instead."""
        ...

    @property
    def inlet(self) -> Inlet:
        """While it is open, frames are coming and ``flow`` may wait."""
        ...

    def flow(self, now: float, frames: int) -> None:
        """``frames`` ticks have passed: instead of ``read``, while frames are handed over."""
        ...


class HoldMusic(Protocol):
    """What a person hears whom we hold."""

    def take(self, sample_rate: int) -> bytes | None:
        """The next 20 ms at ``sample_rate`` Hz, ``None`` for silence."""
        ...


class AudioBridge:
    """One call's person and agents around one 20 ms tick.

    ``talking`` says whether agents are let through (the call is answered): before that they
    already hear early media, and what they push waits. ``held`` (by the far end) and ``on_hold``
    (by us, with ``music``) take the person out: who is away is not heard, hears nobody and is not
    recorded. What agents push while there is nobody to hear it passes unheard.
    """

    def __init__(self, sample_rate: int, counters: MediaCounters) -> None:
        _check(sample_rate)
        self._talking = False
        self._held = False
        self._on_hold = False
        self.line: StraightLine | None = None
        """What moves this bridge's frames while there is nothing to mix."""
        self.music: HoldMusic | None = None
        self._tape: Tape | None = None
        self._ahead = 0
        """Frames that the person was given before their time, and which are held back now."""
        self.pace = Slot(room=1).add(_untold)
        """This call's place on the clock."""
        self._counters = counters
        self._native_rate = sample_rate
        self._sample_rate = sample_rate
        self._silence = _silence(sample_rate)
        self._leg: Leg | None = None
        # Replaced, never changed: a tick may detach a port while it goes through them.
        self._ports: tuple[BridgePort, ...] = ()
        self._members: tuple[AudioBridge, ...] = (self,)
        self._host: AudioBridge = self
        self._spoke = -1

    # ---- one call ---------------------------------------------------------------------------

    @property
    def talking(self) -> bool:
        return self._talking

    @talking.setter
    def talking(self, talking: bool) -> None:
        self._talking = talking
        if self.line is not None:
            self.line.talking = talking

    @property
    def held(self) -> bool:
        return self._held

    @held.setter
    def held(self, held: bool) -> None:
        self._held = held
        self.arrange()

    @property
    def on_hold(self) -> bool:
        return self._on_hold

    @on_hold.setter
    def on_hold(self, on_hold: bool) -> None:
        self._on_hold = on_hold
        self.arrange()

    def arrange(self) -> None:
        """Draw a straight line while there is nobody to mix, and no more than that."""
        self._end_line()
        simple = self._members == (self,) and len(self._ports) < 2
        if simple and self._leg is not None and not self.away:
            self.line = StraightLine(
                self._leg,
                self._ports[0] if self._ports else None,
                self._tape,
                self._silence,
                self.pace,
                talking=self._talking,
                ahead=self._ahead,
            )

    def _end_line(self) -> None:
        if self.line is not None:
            self._ahead = self.line.end()
            self.line = None

    @property
    def sample_rate(self) -> int:
        """Hz of the frames: the highest ``native_rate`` of the conference."""
        return self._sample_rate

    @property
    def native_rate(self) -> int:
        """Hz of the person's codec."""
        return self._native_rate

    @property
    def away(self) -> bool:
        """Whether the person neither hears nor is heard."""
        return self.held or self.on_hold

    @property
    def ports(self) -> tuple[BridgePort, ...]:
        return self._ports

    @property
    def leg(self) -> Leg | None:
        return self._leg

    def set_leg(self, leg: Leg | None, native_rate: int | None = None) -> None:
        """Put ``leg`` where the person was, with its codec's rate (Hz); ``None``: as before.

        Raises ``ValueError`` for a rate at which 20 ms are no whole samples.
        """
        self._end_line()
        self._leg = leg
        if leg is not None:
            leg.set_sample_rate(self._sample_rate)
        self.arrange()
        if native_rate is not None:
            self.set_native_rate(native_rate)

    def set_native_rate(self, sample_rate: int) -> None:
        """The person's codec has another rate (Hz): everything follows without a gap. Raises
        ``ValueError`` for a rate at which 20 ms are no whole samples."""
        if sample_rate != self._native_rate:
            _check(sample_rate)
            self._native_rate = sample_rate
            self._host._tune()

    def record(self, recorder: Recorder | None) -> None:
        """Copy both sides to ``recorder``, whose rate must be the present one."""
        self._tape = None if recorder is None else Tape(recorder)
        self.arrange()

    def attach(
        self, ear: AgentEar, sample_rate: int | None, *, listening: bool = True
    ) -> BridgePort:
        """Give an agent a port at ``sample_rate`` Hz; ``None`` is the bridge's own, whatever it
        becomes."""
        port = BridgePort(
            ear,
            sample_rate,
            self._sample_rate,
            self._counters,
            self._remove_port,
            listening=listening,
        )
        self._ports = (*self._ports, port)
        port.on_listening = self.arrange
        self.arrange()
        return port

    def dtmf(self, digit: str, duration_ms: int) -> None:
        """Tell every agent of this call about a key that its person pressed."""
        for port in self._ports:
            port.hear_dtmf(digit, duration_ms)

    def close(self) -> None:
        """Leave every conference and detach every port. Twice is once."""
        self.part()
        for member in self._members[1:]:
            member.part()
        self.detach_agents()
        self.set_leg(None)

    def detach_agents(self) -> None:
        """Detach every port and tell its ear."""
        for port in self._ports:
            port.close()

    def _remove_port(self, port: BridgePort) -> None:
        self._ports = tuple(each for each in self._ports if each is not port)
        self.arrange()

    # ---- conference -------------------------------------------------------------------------

    @property
    def host(self) -> AudioBridge:
        """The bridge whose tick moves this one: itself, or the one that it joined."""
        return self._host

    @property
    def members(self) -> tuple[AudioBridge, ...]:
        """Everybody that this bridge's tick moves; none while it is joined to another."""
        return self._members

    def join(self, other: AudioBridge) -> None:
        """Come into the conference of ``other`` with everybody who is here. Nothing happens to
        those who are together already.

        Raises ``LimitReached`` (code ``conference_full``) beyond ``MAX_PARTICIPANTS``.
        """
        host = other._host
        if host is self._host:
            return
        coming = self._members or (self,)
        if len(host._members) + len(coming) > MAX_PARTICIPANTS:
            raise LimitReached(
                f"A conference has {MAX_PARTICIPANTS} calls at most.", code="conference_full"
            )
        self.part()
        for member in coming:
            member._members = ()
            member._host = host
            member.arrange()
        host._members = (*host._members, *coming)
        host.arrange()
        host._tune()

    def part(self) -> None:
        """Leave the conference that was joined; who joined this bridge stays."""
        host = self._host
        if host is self:
            return
        host._members = tuple(each for each in host._members if each is not self)
        self._members = (self,)
        self._host = self
        host.arrange()
        self.arrange()
        host._tune()
        self._tune()

    def _tune(self) -> None:
        """Run all members at the highest of their rates."""
        rate = max(member._native_rate for member in self._members)
        for member in self._members:
            if member._sample_rate != rate:
                member._set_sample_rate(rate)

    def _set_sample_rate(self, rate: int) -> None:
        self._sample_rate = rate
        self._silence = _silence(rate)
        if self._leg is not None:
            self._leg.set_sample_rate(rate)
        if self._tape is not None:
            self._tape.set_sample_rate(rate)
        for port in self._ports:
            port.set_native_rate(rate)
        self.arrange()

    # ---- the tick ---------------------------------------------------------------------------

    def tick(self, now: float, skipped: int = 0) -> None:
        """Move 20 ms of everything that this bridge is the host of."""
        if self.line is not None:
            self.pace.slot.owed[self.pace.index] += 1 + skipped
            self.line.tick(now, skipped)
            return
        members = self._members
        if skipped:
            for member in members:
                member._skip(skipped)
        frames: list[bytes] = []
        for member in members:
            member._hear_person(frames, now)
        heard = _anybody_hears(members)
        for member in members:
            if member.talking and member._ports:
                member._hear_agents(frames, heard)
        mix = Mix(frames)
        for member in members:
            member._deliver(mix, frames, now)

    def _hear_person(self, frames: list[bytes], now: float) -> None:
        self._spoke = -1
        if self._leg is not None:
            frame = self._leg.read(now)
            if frame is not None and not self.held and not self.on_hold:
                self._spoke = len(frames)
                frames.append(frame)

    def _hear_agents(self, frames: list[bytes], heard: bool) -> None:
        for port in self._ports:
            port.spoke = -1
            if not heard:
                port.discard()
                continue
            frame = port.take()
            if frame is not None:
                port.spoke = len(frames)
                frames.append(frame)

    def _deliver(self, mix: Mix, frames: list[bytes], now: float) -> None:
        spoke = self._spoke
        said = heard = None
        if self.held or self.on_hold:
            if self.on_hold and not self.held and self.music is not None:
                heard = self.music.take(self._sample_rate)
            self._let_hear(heard, now)
            heard = None
        else:
            heard = mix.without(spoke)
            if spoke >= 0:
                said = frames[spoke]
            self._let_hear(heard, now)
        if self._tape is not None:
            self._tape.said(said)
            self._tape.heard(heard)
            self._tape.tick()
        for port in self._ports:
            if port.listening:
                port.hear(mix.without(port.spoke) or self._silence)

    def _let_hear(self, frame: bytes | None, now: float) -> None:
        if self._ahead:
            self._ahead -= 1
        elif self._leg is not None:
            self._leg.write(frame, now)

    def _skip(self, frames: int) -> None:
        if self._leg is not None:
            self._leg.skip(frames)
        if self._tape is not None:
            self._tape.skip(frames)


def _anybody_hears(members: tuple[AudioBridge, ...]) -> bool:
    """Whether what an agent says has a listener: a person, or another agent while we hold."""
    for member in members:
        if not member.held and not member.on_hold:
            return True
    agents = sum(len(member.ports) for member in members)
    return agents > 1 and not all(member.held for member in members)


def _untold(now: float, unseen: int) -> None:
    pass


def _check(sample_rate: int) -> None:
    if sample_rate <= 0 or sample_rate * FRAME_MS % 1000:
        raise ValueError(f"{FRAME_MS} ms at {sample_rate} Hz are not whole samples")


def _silence(sample_rate: int) -> bytes:
    return bytes(sample_rate * FRAME_MS // 1000 * SAMPLE_BYTES)
