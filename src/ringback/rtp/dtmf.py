"""Keys as telephone events (RFC 4733), received and sent.

Durations on the wire are in units of the RTP clock, in this API in milliseconds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from ringback.rtp.errors import EventError

DIGITS = "0123456789*#ABCD"
"""By event code: RFC 4733 section 3.2, table 3."""

PAUSE = ","
VOLUME = 10
"""-10 dBm0, what phones send."""

END_TIMEOUT = 0.25
"""Seconds without a packet of an event after which it is over: its end packets were lost."""

MAX_DURATION = 0xFFFF
END_PACKETS = 3

_PAYLOAD = struct.Struct("!BBH")
_END_BIT = 0x80
_VOLUME_BITS = 0x3F


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The payload of one packet. ``duration`` in timestamp units since the event's start."""

    event: int
    duration: int
    end: bool = False
    volume: int = VOLUME

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Raises ``EventError``. Trailing bytes (more events, RFC 2833 style) are ignored."""
        if len(payload) < _PAYLOAD.size:
            raise EventError(f"a telephone event of {len(payload)} bytes")
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        return cls(event, duration, bool(flags & _END_BIT), flags & _VOLUME_BITS)

    def __bytes__(self) -> bytes:
        flags = (_END_BIT if self.end else 0) | self.volume
        return _PAYLOAD.pack(self.event, flags, self.duration)


@dataclass(frozen=True, slots=True)
class DtmfEvent:
    """A key that was pressed and released."""

    digit: str
    duration_ms: int


@dataclass(slots=True)
class _Press:
    """The key that is down. ``segment`` is the RTP timestamp of its present segment, ``before``
    the duration of the earlier ones."""

    event: int
    segment: int
    duration: int
    before: int
    heard: float


class DtmfReceiver:
    """Makes one ``DtmfEvent`` of each key press, told apart by their timestamps alone.

    A press is over with its first end packet, with a packet of another press, or after
    ``END_TIMEOUT`` (which ``poll`` looks for). Events that are not keys are ignored.
    """

    def __init__(self, clock_rate: int = 8000) -> None:
        self._clock_rate = clock_rate
        self._press: _Press | None = None
        self._ended_at: int | None = None
        self._ready: list[DtmfEvent] = []

    def receive(self, payload: bytes, timestamp: int, now: float) -> DtmfEvent | None:
        """Take one packet; a press that it ends is returned. Raises ``EventError``."""
        packet = TelephoneEvent.parse(payload)
        if packet.event < len(DIGITS) and not self._is_old(timestamp):
            self._take(packet, timestamp, now)
        return self._next_ready()

    def poll(self, now: float) -> DtmfEvent | None:
        """A press that ended without saying so. Call it every tick; cheap when idle."""
        press = self._press
        if press is not None and now - press.heard >= END_TIMEOUT:
            self._finish(press)
        return self._next_ready() if self._ready else None

    def _next_ready(self) -> DtmfEvent | None:
        return self._ready.pop(0) if self._ready else None

    def _is_old(self, timestamp: int) -> bool:
        """A copy of a press that is over, or a packet that was overtaken by the next press."""
        reference = self._ended_at if self._press is None else self._press.segment
        if reference is None:
            return False
        behind = (reference - timestamp) & 0xFFFFFFFF
        return 0 < behind < 10 * self._clock_rate or (self._press is None and behind == 0)

    def _take(self, packet: TelephoneEvent, timestamp: int, now: float) -> None:
        press = self._press
        if press is not None and timestamp != press.segment:
            if self._continues(press, packet, timestamp):
                press.before += (timestamp - press.segment) & 0xFFFFFFFF
                press.segment = timestamp
                press.duration = 0
            else:
                self._finish(press)
                press = None
        if press is None:
            press = self._press = _Press(packet.event, timestamp, 0, 0, now)
        if packet.event != press.event:
            return
        press.heard = now
        if packet.duration < press.duration - MAX_DURATION // 2:
            press.before += MAX_DURATION + 1
            press.duration = packet.duration
        elif press.before and packet.duration > press.duration + MAX_DURATION // 2:
            return  # from before the wrap
        press.duration = max(press.duration, packet.duration)
        if packet.end:
            self._finish(press)

    def _continues(self, press: _Press, packet: TelephoneEvent, timestamp: int) -> bool:
        """A key held longer than the duration field can say goes on as a new segment that starts
        where the last one ended (RFC 4733 section 2.5.1.3)."""
        elapsed = (timestamp - press.segment) & 0xFFFFFFFF
        return (
            packet.event == press.event
            and press.duration > MAX_DURATION * 3 // 4
            and MAX_DURATION * 3 // 4 < elapsed <= MAX_DURATION + 1
        )

    def _finish(self, press: _Press) -> None:
        duration = press.before + press.duration
        self._ready.append(DtmfEvent(DIGITS[press.event], duration * 1000 // self._clock_rate))
        self._ended_at = press.segment
        self._press = None


@dataclass(frozen=True, slots=True)
class DtmfPacket:
    """What to send in this tick instead of audio: ``timestamp`` is that of the key's start."""

    payload: bytes
    timestamp: int
    marker: bool


class DtmfSender:
    """Plays keys one after another, one packet a tick.

    Each key: packets with growing duration, the first with the marker, then ``END_PACKETS``
    copies of the end, then ``gap_ms`` of audio. ``,`` is half a second of audio.
    """

    def __init__(
        self,
        clock_rate: int = 8000,
        tick_ms: int = 20,
        digit_ms: int = 160,
        gap_ms: int = 100,
        pause_ms: int = 500,
        max_queued: int = 128,
    ) -> None:
        self.clock_rate = clock_rate
        self._tick_samples = clock_rate * tick_ms // 1000
        self._digit_ticks = max(1, digit_ms // tick_ms)
        self._gap_ticks = gap_ms // tick_ms
        self._pause_ticks = pause_ms // tick_ms
        self._max_queued = max_queued
        self._queue: list[str] = []
        self._digit: str | None = None
        self._started_at = 0
        self._segment = 0
        self._ticks = 0
        self._waiting = 0

    @property
    def busy(self) -> bool:
        """Keys are going out or waiting to."""
        return bool(self._queue) or self._digit is not None

    def send(self, digits: str) -> None:
        """Queue keys and pauses. Raises ``ValueError`` on anything else, or beyond the bound;
        nothing of ``digits`` is queued then."""
        keys = digits.upper()
        for key in keys:
            if key not in DIGITS and key != PAUSE:
                raise ValueError(f"{key!r} is not a key: 0-9, A-D, *, # or a comma for a pause")
        if len(self._queue) + len(keys) > self._max_queued:
            raise ValueError(f"more than {self._max_queued} keys are waiting")
        self._queue.extend(keys)

    def clear(self) -> None:
        """Forget what is waiting; the key that is down is finished properly."""
        self._queue.clear()

    def tick(self, timestamp: int) -> DtmfPacket | None:
        """What to send now, ``timestamp`` being the RTP time; ``None`` means audio."""
        if self._digit is not None:
            return self._continue()
        if self._waiting:
            self._waiting -= 1
            return None
        if not self._queue:
            return None
        key = self._queue.pop(0)
        if key == PAUSE:
            self._waiting = self._pause_ticks - 1
            return None
        self._digit = key
        self._started_at = timestamp & 0xFFFFFFFF
        self._ticks = self._segment = 0
        return self._continue()

    def _continue(self) -> DtmfPacket:
        first = self._ticks == 0
        self._ticks += 1
        duration = min(self._ticks, self._digit_ticks) * self._tick_samples - self._segment
        if duration > MAX_DURATION:
            # The field is full: a new segment goes on where this one ends (section 2.5.1.3).
            last = duration - self._tick_samples
            self._segment += last
            self._started_at = (self._started_at + last) & 0xFFFFFFFF
            duration -= last
        digit = self._digit or ""
        end = self._ticks >= self._digit_ticks
        payload = bytes(TelephoneEvent(DIGITS.index(digit), duration, end))
        if self._ticks == self._digit_ticks + END_PACKETS - 1:
            self._digit = None
            self._waiting = self._gap_ticks
        return DtmfPacket(payload, self._started_at, first)
