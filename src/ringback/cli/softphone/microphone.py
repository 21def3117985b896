"""A person's own microphone and loudspeaker, by PortAudio (extra ``microphone``)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from ringback.core.errors import NotConfigured

RATE = 16000
BLOCK = RATE // 50
MAX_QUEUED_FRAMES = 25
"""Half a second: a loudspeaker that falls behind loses the oldest sound, never time."""


class Headset:
    """Implements ``person.Sound``. Raises ``NotConfigured`` where there is no sound device."""

    sample_rate = RATE

    def __init__(self) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            raise NotConfigured(
                f"There is no microphone to use: {error}.",
                hint="Install the extra with `.venv/bin/uv pip install sounddevice` and PortAudio "
                "(Debian: libportaudio2), or use --say or --wav.",
            ) from error
        self._device: Any = sounddevice
        self._streams: list[Any] = []
        self._speaker: deque[bytes] = deque(maxlen=MAX_QUEUED_FRAMES)

    def open(self, on_sound: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()

        def capture(data: Any, frames: int, time: Any, status: Any) -> None:
            loop.call_soon_threadsafe(on_sound, bytes(data))

        def render(data: Any, frames: int, time: Any, status: Any) -> None:
            frame = self._speaker.popleft() if self._speaker else bytes(len(data))
            data[:] = frame.ljust(len(data), b"\0")[: len(data)]

        options = {"samplerate": RATE, "channels": 1, "dtype": "int16", "blocksize": BLOCK}
        try:
            self._streams = [
                self._device.RawInputStream(callback=capture, **options),
                self._device.RawOutputStream(callback=render, **options),
            ]
            for stream in self._streams:
                stream.start()
        except self._device.PortAudioError as error:
            raise NotConfigured(
                f"The sound device cannot be used: {error}.", hint="Use --say or --wav instead."
            ) from error

    def play(self, frame: bytes) -> None:
        self._speaker.append(frame)

    def close(self) -> None:
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.close()
