"""One agent on the call WebSocket: its messages in, audio and events out.

``stream_messages`` has the protocol and ``stream_socket`` brings the connection. A stream that
reads too slowly loses audio frames (counted) and, when even the events pile up, its connection;
the call goes on.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from ringback.core.errors import RingbackError
from ringback.core.moment import Moment
from ringback.media import stream_messages as messages
from ringback.media.agent_port import BridgePort
from ringback.media.metrics import MediaCounters
from ringback.media.outbox import running_outbox
from ringback.media.plane import FRAME_MS

MAX_MESSAGE_BYTES = max(messages.MAX_AUDIO_BYTES, messages.MAX_TEXT_BYTES)
MAX_FRAME_BYTES = 4 * 1024 * 1024
"""A WebSocket frame beyond this is not read at all: the connection is closed with 1009."""
MAX_AUDIO_BACKLOG = 64 * 1024
"""Unsent bytes beyond which audio frames are dropped."""
MAX_EVENT_BACKLOG = 512 * 1024
"""Unsent bytes beyond which the connection is given up."""
SOCKET_SEND_BUFFER = 64 * 1024
"""Small, so that a stalled reader is seen here and not hidden by seconds of kernel buffer."""
PING_SECONDS = 20.0
CLOSE_SECONDS = 1.0
"""How long a peer has to answer a close frame before the connection is cut."""

BINARY = WSMsgType.BINARY
NO_STATUS = 1005
ABNORMAL = 1006


class StreamHost(Protocol):
    """What a stream needs of its session."""

    @property
    def elapsed_ms(self) -> int: ...

    def stream_opened(self, stream: CallStream) -> BridgePort: ...

    def stream_closed(self, stream: CallStream, code: int) -> None: ...

    def stream_command(self, stream: CallStream, message: messages.Json) -> None: ...


class CallStream(WSListener):
    """The server's end of one call WebSocket, and the ``AgentEar`` of its bridge port."""

    def __init__(self, stream_id: str, host: StreamHost, counters: MediaCounters) -> None:
        super().__init__()
        self.stream_id = stream_id
        self._host = host
        self._counters = counters
        self._transport: WSTransport | None = None
        self._port: BridgePort | None = None
        self._backlog: Callable[[], int] = int
        self._timestamps = False
        self._frames_each = 1
        self._gathered: list[bytes] = []
        self._gathered_from = (0, 0)
        """When it began, in milliseconds of the call, and its sample rate."""
        self._fragments = bytearray()
        self._fragment_type: WSMsgType | None = None
        self._close_sent: int | None = None
        self._close_received: int | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._closed = Moment()
        self._outbox = running_outbox()

    # ---- the connection ---------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        underlying = transport.underlying_transport
        self._backlog = underlying.get_write_buffer_size
        connection = underlying.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_SEND_BUFFER)
        self._port = self._host.stream_opened(self)
        self._port.listening = False
        self._port.on_native_rate = self._tell_audio_config

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._cut is not None:
            self._cut.cancel()
        self._transport = None
        self._closed.set()
        code = self._close_received if self._close_sent is None else self._close_sent
        if self._port is not None:
            self._port.detach()
            self._host.stream_closed(self, ABNORMAL if code is None else code)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        port = self._port
        if (
            kind == BINARY
            and port is not None
            and frame.fin
            and self._fragment_type is None
            and self._close_sent is None
            and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
            and port.pass_on(frame.get_payload_as_bytes())
        ):
            return
        if kind == WSMsgType.CLOSE:
            self._on_close(transport, frame)
        elif self._close_sent is not None or kind == WSMsgType.PONG:
            return
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(WSCloseCode.PROTOCOL_ERROR, "no extension was negotiated")
        elif kind == WSMsgType.CONTINUATION or not frame.fin:
            self._on_fragment(kind, frame)
        elif self._fragment_type is not None:
            self.close(WSCloseCode.PROTOCOL_ERROR, "a new message inside a fragmented one")
        else:
            self._on_message(kind, frame.get_payload_as_bytes())

    def pause_writing(self) -> None:
        """Nothing to do: the backlog is looked at before each frame."""

    def resume_writing(self) -> None:
        """Nothing to do."""

    def close(self, code: WSCloseCode, reason: str = "") -> None:
        """Say why and close; a peer that does not answer is cut off. Twice is once."""
        if self._transport is None or self._close_sent is not None:
            return
        self._send_gathered()
        self._outbox.flush()
        self._close_sent = code.value
        self._transport.send_close(code, reason)
        self._cut_later(self._transport)

    async def wait_closed(self) -> None:
        """Until the connection is gone; bounded by ``CLOSE_SECONDS`` after ``close``."""
        await self._closed.wait()

    def _on_close(self, transport: WSTransport, frame: WSFrame) -> None:
        code = frame.get_close_code()
        unstated = code == WSCloseCode.NO_INFO
        self._close_received = NO_STATUS if unstated else code.value
        if self._close_sent is None:
            transport.send_close(WSCloseCode.OK if unstated else code)
            self._cut_later(transport)
        transport.disconnect()

    def _cut_later(self, transport: WSTransport) -> None:
        self._cut = asyncio.get_running_loop().call_later(
            CLOSE_SECONDS, transport.disconnect, False
        )

    # ---- messages in ------------------------------------------------------------------------

    def _on_fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        if (kind == WSMsgType.CONTINUATION) == (self._fragment_type is None):
            self.close(WSCloseCode.PROTOCOL_ERROR, "fragments out of order")
            return
        if self._fragment_type is None:
            self._fragment_type = kind
        if len(self._fragments) + frame.payload_size > MAX_FRAME_BYTES:
            self.close(WSCloseCode.MESSAGE_TOO_BIG, "the fragmented message is too large")
            return
        self._fragments += frame.get_payload_as_bytes()
        if frame.fin:
            kind, payload = self._fragment_type, bytes(self._fragments)
            self._fragment_type = None
            self._fragments = bytearray()
            self._on_message(kind, payload)

    def _on_message(self, kind: WSMsgType, payload: bytes) -> None:
        try:
            if kind == WSMsgType.BINARY:
                self._on_pcm(payload, None)
            else:
                self._on_text(payload)
        except RingbackError as error:
            self._counters.stream_messages_rejected += 1
            self.send_json(messages.error_message(error))

    def _on_pcm(self, pcm: bytes, sample_rate: int | None) -> None:
        if len(pcm) > messages.MAX_AUDIO_BYTES:
            raise messages.too_large(len(pcm), messages.MAX_AUDIO_BYTES)
        if self._port is not None:
            if sample_rate is None:
                self._port.play(pcm)
            else:
                self._port.play_at(pcm, sample_rate)

    def _on_text(self, payload: bytes) -> None:
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            self.close(WSCloseCode.INVALID_TEXT, "a text message that is not UTF-8")
            return
        port = self._port
        if port is None:
            return
        match messages.parse_message(text):
            case messages.AudioMessage(pcm, sample_rate):
                self._on_pcm(pcm, sample_rate)
            case messages.AudioConfig() as config:
                self._configure(port, config)
            case messages.Clear():
                self.send_json({"type": "cleared", "dropped_ms": port.clear()})
            case messages.Mark(name):
                port.mark(name)
            case messages.Command(message):
                self._host.stream_command(self, message)

    def _configure(self, port: BridgePort, config: messages.AudioConfig) -> None:
        self._send_gathered()
        if config.sample_rate is not None:
            port.set_sample_rate(config.sample_rate)
        if config.receive is not None:
            port.listening = config.receive
        if config.timestamps is not None:
            self._timestamps = config.timestamps
        if config.frame_duration_ms is not None:
            self._frames_each = config.frame_duration_ms // FRAME_MS
        self._tell_audio_config()

    def _tell_audio_config(self) -> None:
        """The answer to a client's ``audio_config``, and what tells that the native rate is another
        one: a client that never chose a rate has the native one."""
        self._send_gathered()
        port = self._port
        if port is not None:
            self.send_json(
                messages.audio_config_answer(
                    port.sample_rate,
                    port.native_rate,
                    port.listening,
                    self._timestamps,
                    self._frames_each * FRAME_MS,
                )
            )

    # ---- out --------------------------------------------------------------------------------

    def on_audio(self, frame: bytes) -> None:
        if self._frames_each > 1:
            self._gather(frame)
        elif self._timestamps:
            self._send_audio(frame, self._now_and_rate())
        else:
            self._send_audio(frame)

    def _now_and_rate(self) -> tuple[int, int]:
        return self._host.elapsed_ms, 0 if self._port is None else self._port.sample_rate

    def _gather(self, frame: bytes) -> None:
        if not self._gathered:
            self._gathered_from = self._now_and_rate()
        self._gathered.append(frame)
        if len(self._gathered) >= self._frames_each:
            self._send_gathered()

    def _send_gathered(self) -> None:
        if self._gathered:
            audio = b"".join(self._gathered)
            self._gathered.clear()
            self._send_audio(audio, self._gathered_from if self._timestamps else None)

    def _send_audio(self, audio: bytes, begun: tuple[int, int] | None = None) -> None:
        """``begun``, which the message is to say: as ``_gathered_from``."""
        transport = self._transport
        if transport is None or self._close_sent is not None:
            return
        if self._backlog() > MAX_AUDIO_BACKLOG:
            self._counters.stream_audio_dropped += 1
        elif begun is not None:
            elapsed_ms, sample_rate = begun
            self.send_json(messages.audio_message(audio, sample_rate, elapsed_ms))
        else:
            self._outbox.post(transport.send, BINARY, audio, _gone)

    def on_dtmf(self, digit: str, duration_ms: int) -> None:
        self.send_json({"type": "dtmf", "digit": digit, "duration_ms": duration_ms})

    def on_mark(self, name: str) -> None:
        self.send_json({"type": "mark_played", "name": name})

    def on_detached(self) -> None:
        self.close(WSCloseCode.INTERNAL_ERROR, "the stream was detached from its call")

    def send_json(self, message: messages.Json) -> None:
        self.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    def send_text(self, text: str) -> None:
        """One JSON message. A client that lets ``MAX_EVENT_BACKLOG`` pile up is closed (1013)."""
        if self._transport is None or self._close_sent is not None:
            return
        if self._backlog() > MAX_EVENT_BACKLOG:
            self._counters.stream_slow_closed += 1
            self.close(WSCloseCode.TRY_AGAIN_LATER, "events are not being read")
        else:
            self._outbox.flush()
            self._transport.send(WSMsgType.TEXT, text)


def _gone() -> None:
    """The connection broke: its end tells."""
