"""A whole call on a clock that is moved by hand: a leg, an agent, a recording."""

from __future__ import annotations

from itertools import pairwise

from ringback.audio.g711 import decode_ulaw, encode_ulaw
from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.pacer import DOZE_FRAMES, Slot, Subscription
from ringback.media.plane import NegotiatedAudio, RtpAddress
from ringback.media.rtcp_side import Send
from ringback.media.rtp_session import RtpIdentity, RtpSession
from ringback.rtp.packet import HEADER, RtpPacket

PHONE = ("127.0.0.1", 4000)
SILENT = 0x7F


def level(number: int) -> bytes:
    """A loud frame that is told from others after µ-law: ``number`` from 1 to 100."""
    return decode_ulaw(bytes([0x80 + number]) * 160)


def number_of(frame: bytes | None) -> int | None:
    """Of a frame of ``level``; ``None`` for silence."""
    if frame is None or not any(frame):
        return None
    return encode_ulaw(frame[:2])[0] - 0x80


class Recorder:
    def __init__(self) -> None:
        self.left: list[int | None] = []
        self.right: list[int | None] = []

    def write(self, caller: bytes | None, agent: bytes | None) -> None:
        self.left.append(number_of(caller))
        self.right.append(number_of(agent))

    def skip(self, frames: int) -> None:
        self.left += [None] * frames
        self.right += [None] * frames

    def set_sample_rate(self, sample_rate: int) -> None: ...


class Ear:
    def __init__(self) -> None:
        self.heard: list[int | None] = []

    def on_audio(self, frame: bytes) -> None:
        self.heard.append(number_of(frame))

    def on_dtmf(self, digit: str, duration_ms: int) -> None: ...

    def on_mark(self, name: str) -> None: ...

    def on_detached(self) -> None: ...


def broken(subscription: Subscription) -> None:
    raise AssertionError("a tick failed")


class Call:
    def __init__(self, send_rtp: Send | None = None) -> None:
        self.counters = MediaCounters()
        self.sent: list[RtpPacket] = []
        self.rtp = RtpSession(
            RtpIdentity(1, 100, 0, b"cname"),
            8000,
            self.counters,
            send_rtp=send_rtp or (lambda data, address: self.sent.append(RtpPacket.parse(data))),
            send_rtcp=lambda data, address: None,
            on_dtmf=lambda event: None,
            random=lambda: 0.5,
        )
        self.rtp.inlet.otherwise = self.rtp.on_rtp
        self.rtp.negotiate(NegotiatedAudio(RtpAddress(*PHONE), "PCMU", 0), 0.0)
        self.bridge = AudioBridge(8000, self.counters)
        self.slot = Slot()
        self.bridge.pace = self.slot.add(self._tick)
        self.bridge.talking = True
        self.bridge.set_leg(self.rtp)
        self.ear = Ear()
        self.port = self.bridge.attach(self.ear, 8000)
        self.recorder = Recorder()
        self.bridge.record(self.recorder)
        self.now = 10.0
        self.sequence = 0
        self.ticks = 0

    def _tick(self, now: float, unseen: int) -> None:
        self.ticks += 1
        if self.bridge.line is not None:
            self.bridge.line.tick(now, unseen)
        else:
            self.bridge.tick(now, unseen)

    def tick(self, frames: int = 1) -> None:
        self.now += 0.02 * frames
        self.slot.run(self.now, frames, broken)

    def hear(self, number: int, count: int = 1) -> None:
        for _ in range(count):
            self.sequence += 1
            header = HEADER.pack(0x80, 0, self.sequence, self.sequence * 160, 7)
            payload = bytes([0x80 + number]) * 160
            self.rtp.inlet.on_rtp(header + payload, PHONE, self.now)

    def say(self, *numbers: int) -> None:
        for each in numbers:
            frame = level(each)
            if not self.port.pass_on(frame):
                self.port.play(frame)

    def lose(self, count: int) -> None:
        self.sequence += count

    def talk(self, frames: int) -> None:
        """Both speak, in time."""
        for _ in range(frames):
            self.hear(50)
            self.say(60)
            self.tick()

    def settle_down(self) -> None:
        """Long enough for an agent that speaks in real time to be known for it."""
        self.talk(130)

    def doze(self) -> None:
        """Until the clock has left it alone for a while."""
        self.settle_down()
        pace = self.bridge.pace
        while pace.slot.frame - pace.slot.seen[pace.index] < DOZE_FRAMES // 2:
            self.talk(1)

    @property
    def spoken(self) -> list[int]:
        """What the person was sent, without silence."""
        numbers = [packet.payload[0] - 0x80 for packet in self.sent]
        return [each for each in numbers if each != SILENT]

    @property
    def steps(self) -> set[int]:
        """Between the timestamps of the packets that were sent."""
        return {after.timestamp - before.timestamp for before, after in pairwise(self.sent)}
