"""What the other side says, in words, with whatever recognition is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ringback.core.errors import RingbackError
from ringback.voice.contract import Final, SttStream

FRAME_MS = 20
END_OF_SPEECH_MS = 800


class Transcriber:
    """Cuts the sound heard into utterances at pauses and hands each to the recogniser."""

    def __init__(self, stream: SttStream, on_text: Callable[[str], None]) -> None:
        self._stream = stream
        self._on_text = on_text
        self._speaking = False
        self._quiet_ms = 0
        self._task = asyncio.get_running_loop().create_task(self._read())

    def hear(self, frame: bytes, loud: bool) -> None:
        self._stream.push(frame)
        if loud:
            self._speaking, self._quiet_ms = True, 0
            return
        self._quiet_ms += FRAME_MS
        if self._speaking and self._quiet_ms >= END_OF_SPEECH_MS:
            self._speaking = False
            self._stream.end_of_speech()

    async def _read(self) -> None:
        try:
            async for heard in self._stream.results():
                if isinstance(heard, Final) and heard.text:
                    self._on_text(heard.text)
        except RingbackError as error:
            self._on_text(f"({error.message})")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.close()
