"""One conference over two media processes.

A link stands in each of the two bridges for everybody on the other side: a member whose person is
a socket. What it hears (all but itself) goes over; what comes is what it says. Each process ticks
on its own; a few frames may wait here, and what is older than that is left out.

One SOCK_SEQPACKET datagram is one frame: its rate in Hz (4 bytes) and PCM s16le mono. Silence is
not sent.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable

from ringback.audio.resample import FrameResampler
from ringback.media.agent_port import SAMPLE_BYTES
from ringback.media.bridge import AudioBridge
from ringback.media.express import Inlet
from ringback.media.metrics import MediaCounters
from ringback.media.plane import FRAME_MS

MAX_WAITING = 3
"""Frames from the other side that wait for our tick; one would do if all were on time."""
MAX_FRAME = 4096
NARROWBAND = 8000
_RATE = struct.Struct("!I")


class LinkLeg:
    """Implements :class:`ringback.media.bridge.Leg` for those on the other side."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._sample_rate = NARROWBAND
        self._waiting: deque[bytes] = deque(maxlen=MAX_WAITING)
        self._resampler: FrameResampler | None = None
        self._resampled_from = 0
        self._inlet = Inlet()
        self.gone = False

    def read(self, now: float) -> bytes | None:
        self._receive()
        if not self._waiting:
            return None
        datagram = self._waiting.popleft()
        (rate,) = _RATE.unpack_from(datagram)
        return self._at_own_rate(datagram[_RATE.size :], rate)

    def write(self, frame: bytes | None, now: float) -> None:
        if frame is None or self.gone:
            return
        try:
            self._connection.send(_RATE.pack(self._sample_rate) + frame)
        except BlockingIOError:
            """The other side is behind: it would leave this frame out, too."""
        except OSError:
            self.gone = True

    def skip(self, frames: int) -> None:
        """Time passes by itself on the other side."""

    def set_sample_rate(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._resampled_from = 0

    def close(self) -> None:
        self.gone = True
        self._connection.close()

    def _receive(self) -> None:
        while not self.gone:
            try:
                datagram = self._connection.recv(MAX_FRAME)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram:
                self.gone = True
            elif _is_frame(datagram):
                self._waiting.append(datagram)

    def _at_own_rate(self, frame: bytes, rate: int) -> bytes:
        if rate != self._resampled_from:
            self._resampled_from = rate
            same = rate == self._sample_rate
            self._resampler = None if same else FrameResampler(rate, self._sample_rate)
        return frame if self._resampler is None else self._resampler.process(frame)

    # ---- never alone with one agent, hence never on the straight line -------------------------

    def hand_over(
        self,
        listener: Callable[[bytes | None], None] | None,
        ear: Callable[[bytes], None] | None = None,
    ) -> None:
        """Frames are read by the tick only."""

    @property
    def inlet(self) -> Inlet:
        return self._inlet

    def flow(self, now: float, frames: int) -> None:
        """Nothing flows outside a conference."""


def _is_frame(datagram: bytes) -> bool:
    """Whether it has 20 ms of its rate: anything else would stop the whole conference."""
    if len(datagram) <= _RATE.size:
        return False
    rate: int = _RATE.unpack_from(datagram)[0]
    whole = rate * FRAME_MS % 1000 == 0
    return whole and len(datagram) - _RATE.size == rate * FRAME_MS // 1000 * SAMPLE_BYTES


class ConferenceLink:
    """This side's end: a member of ``bridge``'s conference until it is closed."""

    def __init__(
        self, bridge: AudioBridge, connection: socket.socket, counters: MediaCounters
    ) -> None:
        """Raises ``LimitReached`` (code ``conference_full``)."""
        self._leg = LinkLeg(connection)
        # Its own rate never raises the conference's: both sides would keep each other up.
        self._member = AudioBridge(NARROWBAND, counters)
        try:
            self._member.join(bridge)
        except BaseException:
            self._leg.close()
            raise
        self._member.set_leg(self._leg)

    def close(self) -> None:
        """Twice is once."""
        self._leg.close()
        self._member.set_leg(None)
        self._member.part()
