"""Calls on lines that lose, swap, repeat and hold back packets; their clock lets them doze."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest

from ringback.media.bridge import AudioBridge
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import Slot, Subscription
from ringback.media.plane import NegotiatedAudio, RtpAddress
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.rtp.packet import HEADER

PHONE = ("127.0.0.1", 4000)
FRAME = 0.02
PAYLOADS = {
    "loud": bytes((n * n) & 0xFF for n in range(160)),
    "quiet": bytes((0xFF, 0xFE)) * 80,
}


@dataclass
class Sent:
    """A phone's packets by when they arrive, and what is true of them."""

    arrivals: list[tuple[float, int]] = field(default_factory=list)
    twice: int = 0
    highest: int = -1
    distinct: int = 0

    def send(self, at: float, number: int) -> None:
        self.arrivals.append((at, number))
        self.distinct += 1
        self.highest = max(self.highest, number)


def line(random: Random, packets: int, share: float, bad: range) -> Sent:
    """``packets`` every 20 ms, of which those in ``bad`` fare badly with a chance of ``share``
    each way."""
    sent = Sent()
    stalled_until = 0.0
    for number in range(packets):
        at = max(number * FRAME + random.uniform(0, 0.003), stalled_until)
        fate = random.random() / share if number in bad else 9.0
        if fate < 1:
            continue
        if fate < 2:
            at += random.choice((1.5, 2.5, 3.5)) * FRAME
        elif fate < 3:
            sent.arrivals.append((at + random.choice((0.0, 0.5, 2.2)) * FRAME, number))
            sent.twice += 1
        elif fate < 3.3:
            stalled_until = at + random.randint(2, 15) * FRAME
            at = stalled_until
        sent.send(at, number)
    sent.arrivals.sort()
    return sent


class Ear:
    def __init__(self) -> None:
        self.frames = 0

    def on_audio(self, frame: bytes) -> None:
        self.frames += 1

    def on_dtmf(self, digit: str, duration_ms: int) -> None: ...

    def on_mark(self, name: str) -> None: ...

    def on_detached(self) -> None: ...


class Call:
    """A leg with an agent on a straight line, which speaks at an even pace."""

    def __init__(self, slot: Slot, payload: bytes, *, short: bool) -> None:
        self.short = short
        self.payload = payload
        self.counters = MediaCounters()
        self.sent = 0
        self.rtp = RtpSession(
            RtpIdentity(1, 100, 5000, b"cname"),
            8000,
            self.counters,
            send_rtp=self._sent,
            send_rtcp=lambda data, address: None,
            on_dtmf=lambda event: None,
            random=lambda: 0.5,
        )
        self.rtp.negotiate(NegotiatedAudio(RtpAddress(*PHONE), "PCMU", 0), 0.0)
        self.rtp.inlet.otherwise = self.rtp.on_rtp
        self.bridge = AudioBridge(8000, self.counters)
        self.bridge.pace = self.pace = slot.add(self._tick)
        self.bridge.talking = True
        self.bridge.set_leg(self.rtp)
        self.ear = Ear()
        self.port = self.bridge.attach(self.ear, 8000)
        self.ticks = self.most_held = 0

    def _sent(self, data: bytes, address: Address) -> None:
        self.sent += 1

    def _tick(self, now: float, unseen: int) -> None:
        self.ticks += 1
        if self.bridge.line is not None:
            self.bridge.line.tick(now, unseen)

    def receive(self, number: int, now: float) -> None:
        timestamp = (160 * number + 0xFFFFF000) & 0xFFFFFFFF
        head = HEADER.pack(0x80, 0, (65_000 + number) & 0xFFFF, timestamp, 7)
        receive = self.rtp.inlet.on_rtp if self.short else self.rtp.on_rtp
        receive(head + self.payload, PHONE, now)
        held = len(self.rtp.inlet.arrivals) + len(self.rtp.receiver.jitter_buffer)
        self.most_held = max(self.most_held, held)

    def say(self, frame: bytes) -> None:
        if not self.port.pass_on(frame):
            self.port.play(frame)

    @property
    def dozes(self) -> bool:
        return self.rtp.inlet.open and self.pace.dozes


def failed(subscription: Subscription) -> None:
    raise AssertionError("a tick failed")


def play(
    calls: list[tuple[Call, Sent]], slot: Slot, seconds: float, look: Callable[[float], None]
) -> None:
    waiting: list[tuple[float, int, Call]] = []
    for call, sent in calls:
        waiting += [(at, number, call) for at, number in sent.arrivals]
    due = iter(sorted(waiting, key=lambda each: each[0]))
    coming = next(due, None)
    for frame in range(round(seconds / FRAME)):
        now = (frame + 1) * FRAME
        while coming is not None and coming[0] <= now:
            coming[2].receive(coming[1], 10.0 + coming[0])
            coming = next(due, None)
        slot.run(10.0 + now, 1, failed)
        for call, _ in calls:
            call.say(bytes(320))
        look(now)


def seeds() -> Iterator[tuple[int, float]]:
    return iter(enumerate((0.01, 0.03, 0.08, 0.15, 0.03, 0.08, 0.01, 0.15)))


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("sound", ["loud", "quiet"])
def test_bad_lines_are_counted_as_they_are_and_forgotten_when_they_are_good_again(
    short: bool, sound: str
) -> None:
    slot = Slot()
    packets, bad = 4000, range(300, 2000)
    calls = [
        (Call(slot, PAYLOADS[sound], short=short), line(Random(seed), packets, share, bad))
        for seed, share in seeds()
    ]
    ticks: list[int] = []

    def look(now: float) -> None:
        if round(now / FRAME) == packets - 500:
            ticks.extend(call.ticks for call, _ in calls)

    play(calls, slot, packets * FRAME, look)
    for (call, sent), before in zip(calls, ticks, strict=True):
        call.rtp.settle()
        statistics = call.rtp.receiver.statistics
        assert statistics.packets_received == sent.distinct
        assert statistics.packets_duplicate == sent.twice
        assert statistics.packets_lost == sent.highest + 1 - sent.distinct
        assert call.counters.packets_received == sent.distinct + sent.twice
        assert call.most_held < 80
        assert abs(call.ear.frames - packets) < 10
        assert abs(call.sent - packets) < 10
        if short:
            assert call.dozes
            assert call.ticks - before <= 3 * 500 // 25
