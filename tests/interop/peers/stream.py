"""The call WebSocket as an agent's program holds it: everything that comes, kept to look at."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from websockets.exceptions import ConnectionClosed

from interop.peers.gateway import Gateway
from interop.peers.process import PeerFailed
from interop.peers.sound import Samples

Message = dict[str, Any]


class CallStream:
    """One stream of a call; ``sample_rate`` is declared at once, and audio asked for."""

    def __init__(self, gateway: Gateway, call_id: str, sample_rate: int = 8000) -> None:
        self.sample_rate = sample_rate
        self._exits = contextlib.ExitStack()
        self._socket = self._exits.enter_context(gateway.stream(call_id))
        self._messages: list[Message] = []
        self._frames: list[bytes] = []
        self._changed = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send("audio_config", sample_rate=sample_rate, receive=True)
        self.config = self.wait("audio_config")

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in self._socket:
                with self._changed:
                    if isinstance(message, bytes):
                        self._frames.append(message)
                    else:
                        self._messages.append(json.loads(message))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def send(self, kind: str, **fields: object) -> None:
        self.send_raw(json.dumps({"type": kind, **fields}))

    def send_raw(self, message: str | bytes) -> None:
        self._socket.send(message)

    def wait(
        self,
        kind: str,
        where: Callable[[Message], bool] = lambda message: True,
        timeout: float = 15,
    ) -> Message:
        """The first message of this type that fits, past or to come."""

        def found() -> Message | None:
            return next((m for m in self._messages if m["type"] == kind and where(m)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or self._closed, timeout)
            message = found()
        if message is None:
            raise PeerFailed(f"no {kind} within {timeout:g} s among {self._messages}")
        return message

    def messages(self, kind: str) -> list[Message]:
        with self._changed:
            return [m for m in self._messages if m["type"] == kind]

    def listen(self, seconds: float, timeout: float = 15) -> Samples:
        """The next ``seconds`` of what comes."""
        frames = round(seconds * 50)
        with self._changed:
            start = len(self._frames)
            came = self._changed.wait_for(
                lambda: len(self._frames) >= start + frames or self._closed, timeout
            )
            heard = b"".join(self._frames[start : start + frames])
        if not came or len(heard) < frames * self.sample_rate // 50 * 2:
            raise PeerFailed(f"{len(heard)} bytes came instead of {seconds:g} s of audio")
        return np.frombuffer(heard, dtype="<i2").astype(np.float64)

    @property
    def frame_sizes(self) -> set[int]:
        with self._changed:
            return {len(frame) for frame in self._frames}

    def wait_closed(self, timeout: float = 15) -> int | None:
        """The close code."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed, timeout):
                raise PeerFailed(f"the stream is open after {timeout:g} s")
        return self._socket.close_code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()
        self._reader.join(5)
