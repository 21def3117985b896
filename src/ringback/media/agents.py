"""The agents of one session: its hosted voice and its call streams."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from picows import WSCloseCode

from ringback.media.agent_port import BridgePort
from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.plane import (
    MediaEvent,
    StreamAttached,
    StreamCommand,
    StreamDetached,
    VoiceSpec,
)
from ringback.media.port import VoiceFactory, VoiceHost, VoiceSession
from ringback.media.stream import CallStream
from ringback.media.stream_messages import Json
from ringback.media.stream_socket import serve

logger = logging.getLogger(__name__)

MAX_STREAMS = 16
"""Open call WebSockets of one session."""
VOICE_CLOSE_SECONDS = 5.0
CALL_IS_OVER = "the call is over"


class SessionAgents:
    """Whoever speaks and listens for us in one session. Implements ``StreamHost``."""

    def __init__(
        self,
        session_id: str,
        host: VoiceHost,
        bridge: AudioBridge,
        counters: MediaCounters,
        emit: Callable[[MediaEvent], None],
    ) -> None:
        self._session_id = session_id
        self._host = host
        self._bridge = bridge
        self._counters = counters
        self._emit = emit
        self.outlived = False
        """A voice may go on after its call, and ask the session for something."""
        self._active = False
        self._closed = False
        self._voice: VoiceSession | None = None
        self._streams: dict[str, CallStream] = {}
        self._stream_count = 0
        self._last_state: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- the hosted voice -------------------------------------------------------------------

    def activate(self) -> None:
        """The call is answered."""
        self._active = True
        if self._voice is not None:
            self._voice.start()

    def start_voice(self, spec: VoiceSpec, voices: VoiceFactory) -> None:
        """Raises ``NotConfigured`` from the factory. A voice that is there already is closed."""
        voice = voices(self._session_id, spec, self._host)
        self._end_voice()
        self._voice = voice
        if self._active:
            voice.start()

    def say(self, text: str) -> None:
        if self._voice is not None:
            self._voice.say(text)

    def stop_speaking(self) -> None:
        if self._voice is not None:
            self._voice.stop_speaking()

    def _end_voice(self) -> None:
        if self._voice is not None:
            self._spawn(self._close_voice(self._voice))
            self._voice = None

    async def _close_voice(self, voice: VoiceSession) -> None:
        try:
            async with asyncio.timeout(VOICE_CLOSE_SECONDS):
                await voice.close()
        except TimeoutError:
            self.outlived = True
            logger.warning("a voice pipeline did not close within %s s", VOICE_CLOSE_SECONDS)
        except Exception:
            self.outlived = True
            logger.exception("a voice pipeline failed while it was closed")

    # ---- streams ----------------------------------------------------------------------------

    def attach_stream(self, connection: socket.socket, request: bytes) -> None:
        self._spawn(serve(connection, request, self._new_stream))

    def notify(self, message: Mapping[str, Any]) -> None:
        """One JSON message to every stream; the last ``call_state`` is kept for new ones."""
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        if message.get("type") == "call_state":
            self._last_state = text
        for stream in list(self._streams.values()):
            stream.send_text(text)

    @property
    def elapsed_ms(self) -> int:
        return self._host.elapsed_ms

    def stream_opened(self, stream: CallStream) -> BridgePort:
        self._streams[stream.stream_id] = stream
        self._counters.streams_attached += 1
        self._emit(StreamAttached(self._session_id, stream.stream_id))
        if self._last_state is not None:
            stream.send_text(self._last_state)
        return self._bridge.attach(stream, None, listening=False)

    def stream_closed(self, stream: CallStream, code: int) -> None:
        del self._streams[stream.stream_id]
        self._emit(StreamDetached(self._session_id, stream.stream_id, code))

    def stream_command(self, stream: CallStream, message: Json) -> None:
        self._emit(StreamCommand(self._session_id, stream.stream_id, message))

    def _new_stream(self) -> CallStream | None:
        if self._closed or len(self._streams) >= MAX_STREAMS:
            self._counters.streams_refused += 1
            return None
        self._stream_count += 1
        return CallStream(f"stream-{self._stream_count}", self, self._counters)

    # ---- the end ----------------------------------------------------------------------------

    def detach(self, why: str) -> None:
        """End the voice and the streams (1000); others may come."""
        for stream in list(self._streams.values()):
            stream.close(WSCloseCode.OK, why)
        self._bridge.detach_agents()
        self._end_voice()

    async def close(self) -> None:
        """As ``detach``, and nobody comes any more. Returns when all are gone."""
        self._closed = True
        streams = list(self._streams.values())
        self.detach(CALL_IS_OVER)
        endings: list[Awaitable[object]] = [stream.wait_closed() for stream in streams]
        endings += self._tasks
        for result in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(result, Exception):
                logger.error("an agent of a call did not close cleanly", exc_info=result)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
