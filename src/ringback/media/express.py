"""The usual packet of a call, and nothing about it that can be told later.

Nearly every packet is the very next one of a steady stream, and nearly every frame goes out like
the one before. For these there is one short way in and one out. What the other parts of a leg keep
about the stream (statistics, buffer, delay estimate, counters) they are told by the *run*: when it
ends, when a report is due, or when somebody asks. Whatever is not as expected takes the long way,
which decides alone when the short one opens again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ringback.audio.codec import Codec
from ringback.audio.tone_watch import Noted, ToneEar
from ringback.media.latch import Address
from ringback.media.pacer import off_the_clock
from ringback.rtp.packet import HEADER, HEADER_SIZE, PLAIN_HEADER

Receive = Callable[[bytes, Address, float], None]

CLOSED = -1
_WORDS = struct.Struct("!HHII")


def alike(codec: Codec, units: int) -> Callable[[bytes], bytes]:
    """``decode`` of a codec whose packets tell their length themselves: raises ``ValueError``, too,
    for one that is not ``units`` of its clock long."""

    def decode(payload: bytes) -> bytes:
        if codec.duration(payload) != units:
            raise ValueError("a packet of another length")
        return codec.decode(payload)

    return decode


class Inlet:
    """The short way in, in front of ``otherwise``. ``arrivals`` are those of the run, after that of
    the packet before it."""

    __slots__ = (
        "address",
        "arrivals",
        "decode",
        "ear",
        "head",
        "hear",
        "note",
        "otherwise",
        "pace",
        "remember",
        "sequence",
        "size",
        "ssrc",
        "timestamp",
        "units",
    )

    def __init__(self) -> None:
        self.otherwise: Receive = _nowhere
        self.pace = off_the_clock()
        self.size = CLOSED
        self.address: Address = ("", 0)
        self.head = self.sequence = self.timestamp = self.ssrc = self.units = 0
        self.arrivals: list[float] = []
        self.decode: Callable[[bytes], bytes] = bytes
        self.remember: Callable[[bytes], None] = _forget
        self.hear: Callable[[bytes], None] = _forget
        self.ear: ToneEar | None = None
        self.note: Callable[[Noted], None] = _forget

    def on_rtp(self, data: bytes, address: Address, now: float) -> None:
        if len(data) == self.size:
            head, sequence, timestamp, ssrc = _WORDS.unpack_from(data)
            if (
                sequence == self.sequence
                and timestamp == self.timestamp
                and head == self.head
                and ssrc == self.ssrc
                and address == self.address
            ):
                try:
                    pcm = self.decode(data[HEADER_SIZE:])
                except ValueError:
                    self.otherwise(data, address, now)
                    return
                self.sequence = sequence + 1 & 0xFFFF
                self.timestamp = timestamp + self.units & 0xFFFFFFFF
                self.arrivals.append(now)
                pace = self.pace
                pace.slot.heard[pace.index] = now
                self.remember(pcm)
                ear = self.ear
                if ear is not None:
                    self.note((ear, pcm))
                try:
                    self.hear(pcm)
                except Exception:
                    # The next packet takes the long way, which sees to an ear that fails.
                    self.sequence = CLOSED
                    raise
                return
        self.otherwise(data, address, now)

    @property
    def open(self) -> bool:
        return self.size != CLOSED

    @property
    def untold(self) -> int:
        """Frames of the clock that have begun since the call's last tick."""
        pace = self.pace
        return pace.slot.frame - pace.slot.seen[pace.index]

    @property
    def heard_at(self) -> float:
        """When the last packet of the run came."""
        return self.arrivals[-1]

    def shut(self) -> None:
        self.size = CLOSED
        self.pace.doze(False)


class Outlet:
    """The short way out, for whole frames. ``run`` and ``octets`` are its packets and their
    payload since they were accounted for."""

    __slots__ = (
        "encode",
        "head",
        "hush",
        "octets",
        "run",
        "send",
        "sequence",
        "ssrc",
        "target",
        "timestamp",
        "units",
    )

    def __init__(
        self,
        send: Callable[[bytes, Address], None],
        target: Address,
        encode: Callable[[bytes], bytes],
        hush: Callable[[], bytes],
        payload_type: int,
        ssrc: int,
        units: int,
    ) -> None:
        self.send = send
        self.target = target
        self.encode = encode
        self.hush = hush
        self.head = payload_type
        self.ssrc = ssrc
        self.units = units
        self.sequence = self.timestamp = 0
        self.run = self.octets = 0

    def write(self, frame: bytes | None) -> bool:
        """Send a frame, ``None`` for silence; ``False``: the codec has nothing to send of it."""
        payload = self.hush() if frame is None else self.encode(frame)
        if not payload:
            return False
        sequence, timestamp = self.sequence, self.timestamp
        self.sequence = sequence + 1 & 0xFFFF
        self.timestamp = timestamp + self.units & 0xFFFFFFFF
        self.run += 1
        self.octets += len(payload)
        self.send(
            HEADER.pack(PLAIN_HEADER, self.head, sequence, timestamp, self.ssrc) + payload,
            self.target,
        )
        return True


def _nowhere(data: bytes, address: Address, now: float) -> None:
    pass


def _forget(what: object) -> None:
    pass
