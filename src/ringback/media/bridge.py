"""The meeting point of one call: everybody hears everybody else, never themselves (mix-minus).

All frames here are 20 ms of PCM s16le mono at the bridge's native rate. With one leg and one
agent, or whenever only one of the others speaks, bytes are passed through untouched; numbers are
only added when there are two frames to add.
"""

from __future__ import annotations

from typing import Protocol

from ringback.audio.mix import mix
from ringback.media.agent_port import SAMPLE_BYTES, BridgePort
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS
from ringback.media.port import AgentEar


class Leg(Protocol):
    """A person's end of the bridge. ``None`` stands for a frame of silence."""

    def read(self, now: float) -> bytes | None:
        """The next 20 ms that came from the person."""
        ...

    def write(self, frame: bytes | None, now: float) -> None:
        """The next 20 ms that the person is to hear."""
        ...

    def skip(self, frames: int) -> None:
        """``frames`` ticks never happened: let their time pass."""
        ...


class Recorder(Protocol):
    """Where a copy of both sides goes, one call per tick."""

    def write(self, caller: bytes | None, agent: bytes | None) -> None: ...

    def skip(self, frames: int) -> None: ...


class AudioBridge:
    """Legs and agent ports around one 20 ms tick.

    ``talking`` says whether agents are let through (the call is answered): before that they
    already hear early media, and what they push waits. ``held`` cuts both directions: agents
    hear silence, and what they push passes unheard.
    """

    def __init__(self, sample_rate: int, counters: MediaCounters) -> None:
        if sample_rate <= 0 or sample_rate * FRAME_MS % 1000:
            raise ValueError(f"{FRAME_MS} ms at {sample_rate} Hz are not whole samples")
        self.sample_rate = sample_rate
        self.talking = False
        self.held = False
        self.recorder: Recorder | None = None
        self._counters = counters
        self._silence = bytes(sample_rate * FRAME_MS // 1000 * SAMPLE_BYTES)
        # Replaced, never changed: a tick may detach a port while it goes through them.
        self._legs: tuple[Leg, ...] = ()
        self._ports: tuple[BridgePort, ...] = ()

    @property
    def ports(self) -> tuple[BridgePort, ...]:
        return self._ports

    def add_leg(self, leg: Leg) -> None:
        self._legs = (*self._legs, leg)

    def remove_leg(self, leg: Leg) -> None:
        self._legs = tuple(each for each in self._legs if each is not leg)

    def attach(self, ear: AgentEar, sample_rate: int, *, listening: bool = True) -> BridgePort:
        """Give an agent a port at ``sample_rate`` Hz."""
        port = BridgePort(
            ear,
            sample_rate,
            self.sample_rate,
            self._counters,
            self._remove_port,
            listening=listening,
        )
        self._ports = (*self._ports, port)
        return port

    def dtmf(self, digit: str, duration_ms: int) -> None:
        """Tell every agent about a key that the person pressed."""
        for port in self._ports:
            port.hear_dtmf(digit, duration_ms)

    def close(self) -> None:
        """Detach every port. Twice is once."""
        for port in self._ports:
            port.close()
        self._legs = ()

    def tick(self, now: float, skipped: int = 0) -> None:
        """Move 20 ms of everything."""
        if skipped:
            self._skip(skipped)
        from_legs = [(leg, leg.read(now)) for leg in self._legs]
        if self.held:
            self._tick_held(now)
            return
        spoken: list[tuple[object, bytes]] = [
            (leg, frame) for leg, frame in from_legs if frame is not None
        ]
        callers = len(spoken)
        if self.talking:
            for port in self._ports:
                frame = port.take()
                if frame is not None:
                    spoken.append((port, frame))
        for leg in self._legs:
            leg.write(_heard(leg, spoken), now)
        if self.recorder is not None:
            self.recorder.write(_mixed(spoken[:callers]), _mixed(spoken[callers:]))
        for port in self._ports:
            if port.listening:
                port.hear(_heard(port, spoken) or self._silence)

    def _tick_held(self, now: float) -> None:
        for leg in self._legs:
            leg.write(None, now)
        if self.recorder is not None:
            self.recorder.write(None, None)
        for port in self._ports:
            port.discard()
            if port.listening:
                port.hear(self._silence)

    def _skip(self, frames: int) -> None:
        for leg in self._legs:
            leg.skip(frames)
        if self.recorder is not None:
            self.recorder.skip(frames)

    def _remove_port(self, port: BridgePort) -> None:
        self._ports = tuple(each for each in self._ports if each is not port)


def _heard(listener: object, spoken: list[tuple[object, bytes]]) -> bytes | None:
    """What ``listener`` hears: the sum of everybody else, ``None`` when nobody speaks."""
    return _mixed([each for each in spoken if each[0] is not listener])


def _mixed(spoken: list[tuple[object, bytes]]) -> bytes | None:
    if not spoken:
        return None
    if len(spoken) == 1:
        return spoken[0][1]
    return mix([frame for _, frame in spoken])
