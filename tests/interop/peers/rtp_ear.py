"""A UDP port that hears: G.711 A-law RTP, kept as samples, for peers that play nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

import numpy as np

from interop.peers.process import PeerFailed
from interop.peers.sound import Samples, level
from ringback.audio.g711 import decode_alaw

RTP_HEADER_BYTES = 12
PCMA = 8
RATE = 8000


class RtpEar:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._socket.settimeout(0.5)
        self._stopped = False
        self._samples = bytearray()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopped:
                with contextlib.suppress(TimeoutError):
                    self._take(self._socket.recv(2048))

    def _take(self, packet: bytes) -> None:
        if len(packet) > RTP_HEADER_BYTES and packet[1] & 0x7F == PCMA:
            with self._changed:
                self._samples += decode_alaw(packet[RTP_HEADER_BYTES:])
                self._changed.notify_all()

    def listen(self, seconds: float, timeout: float = 15) -> Samples:
        """The next ``seconds`` of what comes."""
        wanted = 2 * int(seconds * RATE)
        with self._changed:
            start = len(self._samples)
            if not self._changed.wait_for(lambda: len(self._samples) >= start + wanted, timeout):
                raise PeerFailed(f"no {seconds:g} s of audio within {timeout:g} s")
            heard = bytes(self._samples[start : start + wanted])
        return np.frombuffer(heard, dtype="<i2").astype(np.float64)

    def wait_for(self, present: float, absent: float, tries: int = 25) -> None:
        """Bounded wait until one tone (Hz) is there and the other is not."""
        for _ in range(tries):
            samples = self.listen(0.4)
            if level(samples, present, RATE) > 1000 and level(samples, absent, RATE) < 150:
                return
        raise PeerFailed(f"{present:g} Hz without {absent:g} Hz never came")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        self._reader.join(5)
        self._socket.close()
