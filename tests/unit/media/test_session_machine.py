"""Any order of commands: nothing raises, nothing leaks, and everybody hears exactly the others.

Every person and every agent says a level that is a bit of its own, so that what somebody hears
tells who is in it.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringback.audio import codec
from ringback.media.agent_port import BridgePort
from ringback.media.phone_leg import PhoneLeg
from ringback.media.plane import OpenSession, VoiceSpec
from ringback.media.session import MediaSession
from unit.media.media_lab import LOCALHOST, Node, audio
from unit.media.ticked_leg import TickedLeg

NAMES = ("a", "b", "c", "d")
CODECS = [name for name in ("PCMU", "PCMA", "G722", "opus") if name in codec.names()]
NAME = st.sampled_from(NAMES)
BITS = 14


def level(value: int, rate: int) -> bytes:
    return struct.pack(f"<{rate // 50}h", *[value] * (rate // 50))


def said(frame: bytes | None) -> int:
    if frame is None:
        return 0
    values: set[int] = set(struct.unpack(f"<{len(frame) // 2}h", frame))
    assert len(values) == 1, "a frame that is no sum of levels"
    return values.pop()


class Wire(TickedLeg):
    """Stands between a leg and its network: says one bit, and notes what the person hears."""

    def __init__(self, leg: PhoneLeg, bit: int) -> None:
        self.bit = bit
        self.rate = 8000
        self.heard = 0
        self._set_leg_rate = leg.set_sample_rate
        for name in ("read", "write", "set_sample_rate", "hand_over", "flow"):
            setattr(leg, name, getattr(self, name))

    def read(self, now: float) -> bytes | None:
        return level(self.bit, self.rate)

    def write(self, frame: bytes | None, now: float) -> None:
        assert frame is None or len(frame) == self.rate // 25
        self.heard = said(frame)

    def set_sample_rate(self, sample_rate: int) -> None:
        self.rate = sample_rate
        self._set_leg_rate(sample_rate)


class Agent:
    def __init__(self, bit: int) -> None:
        self.bit = bit
        self.heard = 0
        self.detached = False
        self.port: BridgePort | None = None

    def on_audio(self, frame: bytes) -> None:
        self.heard = said(frame)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        pass

    def on_mark(self, name: str) -> None:
        pass

    def on_detached(self) -> None:
        self.detached = True


@dataclass
class Call:
    """What should be true of one session."""

    session: MediaSession
    wire: Wire
    host: str
    rate: int = 8000
    negotiated: bool = False
    active: bool = False
    held: bool = False
    on_hold: bool = False
    voices: int = 0
    agents: list[Agent] = field(default_factory=list)

    @property
    def away(self) -> bool:
        return self.held or self.on_hold


class Sessions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.troubles: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.troubles.append(str(context)))
        self.node = self.loop.run_until_complete(self._make())
        self.plane = self.node.plane
        self.calls: dict[str, Call] = {}
        self.bits = [1 << n for n in range(BITS)]

    async def _make(self) -> Node:
        return Node()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.plane.stop())
        self._settle()
        left = asyncio.all_tasks(self.loop)
        self.loop.close()
        assert not left
        assert self.troubles == []
        assert (len(self.plane), self.node.ports.counters.in_use) == (0, 0)
        assert self.node.ticker.slot.members == []

    def _settle(self) -> None:
        async def rounds() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    def _do(self, command: str, *arguments: object) -> None:
        async def run() -> None:
            getattr(self.plane, command)(*arguments)

        self.loop.run_until_complete(run())

    def _group(self, host: str) -> list[Call]:
        return [call for call in self.calls.values() if call.host == host]

    def _part(self, name: str) -> None:
        """In the model: ``name`` is by itself, and so is everybody who had joined it."""
        for other, call in self.calls.items():
            if call.host == name:
                call.host = other
        if name in self.calls:
            self.calls[name].host = name

    def _forget(self, name: str) -> None:
        call = self.calls.pop(name)
        self._part(name)
        self.bits += [call.wire.bit, *(agent.bit for agent in call.agents)]

    # ---- commands, also for sessions that are not there -------------------------------------

    @precondition(lambda self: self.bits)
    @rule(name=NAME)
    def open(self, name: str) -> None:
        if name in self.calls:
            return
        self.loop.run_until_complete(self.plane.open(OpenSession(name, LOCALHOST)))
        session = self.plane._sessions[name]
        leg = session._leg
        assert leg is not None
        self.calls[name] = Call(session, Wire(leg, self.bits.pop()), name)

    @rule(name=NAME, codec_name=st.sampled_from(CODECS), send=st.booleans())
    def negotiate(self, name: str, codec_name: str, send: bool) -> None:
        self._do("negotiate", name, audio(40_000, 96, codec_name, send=send))
        if name in self.calls:
            self.calls[name].rate = codec.sample_rate_of(codec_name)
            self.calls[name].negotiated = True

    @rule(name=NAME)
    def activate(self, name: str) -> None:
        self._do("activate", name)
        if name in self.calls:
            self.calls[name].active = True

    @rule(name=NAME, held=st.booleans())
    def set_hold(self, name: str, held: bool) -> None:
        self._do("set_hold", name, held)
        if name in self.calls:
            self.calls[name].held = held

    @rule(name=NAME)
    def hold(self, name: str) -> None:
        self._do("hold", name, "")
        if name in self.calls:
            self.calls[name].on_hold = True

    @rule(name=NAME)
    def resume(self, name: str) -> None:
        self._do("resume", name)
        if name in self.calls:
            self.calls[name].on_hold = False

    @rule(name=NAME, conference=NAME)
    def join(self, name: str, conference: str) -> None:
        self._do("join", name, conference)
        if name not in self.calls or conference not in self.calls:
            return
        host = self.calls[conference].host
        if self.calls[name].host == host:
            return
        for call in self._group(name) or [self.calls[name]]:
            call.host = host

    @rule(name=NAME)
    def part(self, name: str) -> None:
        self._do("part", name)
        if name in self.calls:
            self.calls[name].host = name

    @rule(name=NAME, other=NAME)
    def take_leg(self, name: str, other: str) -> None:
        self._do("take_leg", name, other)
        if name == other or name not in self.calls or other not in self.calls:
            return
        taker, donor = self.calls[name], self.calls[other]
        taker.wire, donor.wire = donor.wire, taker.wire
        taker.held = donor.held
        taker.negotiated = donor.negotiated
        taker.rate = donor.rate if donor.negotiated else taker.rate
        self._forget(other)

    @precondition(lambda self: self.bits)
    @rule(name=NAME)
    def attach(self, name: str) -> None:
        if name in self.calls:
            call = self.calls[name]
            agent = Agent(self.bits.pop())
            agent.port = call.session._bridge.attach(agent, None)
            call.agents.append(agent)

    @rule(name=NAME)
    def start_voice(self, name: str) -> None:
        self._do("start_voice", name, VoiceSpec("demo"))
        self._settle()

    @rule(name=NAME)
    def leave(self, name: str) -> None:
        if name in self.calls and self.calls[name].agents:
            agent = self.calls[name].agents.pop()
            assert agent.port is not None
            agent.port.detach()
            self.bits.append(agent.bit)

    @rule(name=NAME)
    def detach_agents(self, name: str) -> None:
        self._do("detach_agents", name)
        if name in self.calls:
            call = self.calls[name]
            assert all(agent.detached for agent in call.agents)
            self.bits += [agent.bit for agent in call.agents]
            call.agents = []

    @rule(name=NAME)
    def close(self, name: str) -> None:
        self.loop.run_until_complete(self.plane.close(name))
        if name in self.calls:
            self._forget(name)

    # ---- what must hold ---------------------------------------------------------------------

    @invariant()
    def nobody_leaks(self) -> None:
        self._settle()
        assert len(self.plane) == len(self.calls) == len(self.node.ticker.slot.members)
        assert self.node.ports.counters.in_use == len(self.calls)
        open_ones = {
            name for name in NAMES if self.loop.run_until_complete(self.plane.report(name))
        }
        assert open_ones == set(self.calls)

    @invariant()
    def everybody_hears_the_others(self) -> None:
        for call in self.calls.values():
            for agent in call.agents:
                if call.active and agent.port is not None:
                    agent.port.play(level(agent.bit, agent.port.sample_rate))

        async def tick() -> None:
            self.node.ticker.run(0.02)

        self.loop.run_until_complete(tick())
        for host in {call.host for call in self.calls.values()}:
            self._check(self._group(host))

    def _check(self, group: list[Call]) -> None:
        rate = max(call.rate for call in group)
        agents = sum(len(call.session._bridge.ports) for call in group)
        heard = any(not call.away for call in group)
        heard = heard or (agents > 1 and any(not call.held for call in group))
        total = sum(call.wire.bit for call in group if not call.away)
        total += sum(agent.bit for call in group if call.active and heard for agent in call.agents)
        for call in group:
            assert call.session._bridge.sample_rate == call.wire.rate == rate
            person = 0 if call.away else total - call.wire.bit
            assert call.wire.heard == person
            for agent in call.agents:
                own = agent.bit if call.active and heard else 0
                assert agent.heard == total - own


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSessions = pytest.mark.requirement("call.conference")(TestSessions)
