from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import websockets
from picows import WSCloseCode
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ringback.media import stream as stream_module
from ringback.media.agent_port import BridgePort
from ringback.media.bridge import AudioBridge
from ringback.media.metrics import MediaCounters
from ringback.media.stream import MAX_AUDIO_BACKLOG, CallStream
from ringback.media.stream_messages import MAX_AUDIO_BYTES, Json
from ringback.media.stream_socket import canonical_request, duplicate_socket, serve

Run = Callable[[Coroutine[object, object, None]], None]
FRAME = 320


def level(value: int, samples: int = 160) -> bytes:
    return struct.pack(f"<{samples}h", *([value] * samples))


class Leg:
    def __init__(self) -> None:
        self.says: bytes | None = None
        self.heard: list[bytes | None] = []

    def read(self, now: float) -> bytes | None:
        return self.says

    def write(self, frame: bytes | None, now: float) -> None:
        self.heard.append(frame)

    def skip(self, frames: int) -> None:
        raise AssertionError("no tick is left out here")


class Host:
    """A session around a bridge that is ticked by hand."""

    def __init__(self) -> None:
        self.counters = MediaCounters()
        self.bridge = AudioBridge(8000, self.counters)
        self.bridge.talking = True
        self.leg = Leg()
        self.bridge.add_leg(self.leg)
        self.streams: list[CallStream] = []
        self.commands: list[Json] = []
        self.closed: list[int] = []
        self.gone = asyncio.Event()
        self.full = False

    @property
    def elapsed_ms(self) -> int:
        return 1240

    def new_stream(self) -> CallStream | None:
        return None if self.full else CallStream("s1", self, self.counters)

    def stream_opened(self, stream: CallStream) -> BridgePort:
        self.streams.append(stream)
        return self.bridge.attach(stream, self.bridge.sample_rate, listening=False)

    def stream_closed(self, stream: CallStream, code: int) -> None:
        self.closed.append(code)
        self.gone.set()

    def stream_command(self, stream: CallStream, message: Json) -> None:
        self.commands.append(message)


@contextlib.asynccontextmanager
async def http_server(host: Host) -> AsyncIterator[int]:
    """Reads an upgrade request like an HTTP server does and hands the connection over."""
    handovers: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        connection = duplicate_socket(writer.transport)
        writer.transport.abort()
        await serve(connection, request, host.new_stream)

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(accept(reader, writer))
        handovers.add(task)
        task.add_done_callback(handovers.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for stream in host.streams:
            await asyncio.wait_for(stream.wait_closed(), 5)


@contextlib.asynccontextmanager
async def attached(host: Host) -> AsyncIterator[ClientConnection]:
    async with (
        http_server(host) as port,
        websockets.connect(f"ws://127.0.0.1:{port}/api/call/c1/stream", compression=None) as ws,
    ):
        yield ws


async def receive(ws: ClientConnection) -> dict[str, Any]:
    message = await asyncio.wait_for(ws.recv(), 5)
    answer = json.loads(message)
    assert isinstance(message, str)
    assert isinstance(answer, dict)
    return answer


async def ask(ws: ClientConnection, message: object) -> dict[str, Any]:
    await ws.send(json.dumps(message))
    return await receive(ws)


async def settle(ws: ClientConnection) -> None:
    """Until the server has read everything that was sent before."""
    pong = await ws.ping()
    await asyncio.wait_for(pong, 5)


def test_audio_config_answers_a_query_with_the_documented_fields(run: Run) -> None:
    async def main() -> None:
        async with attached(Host()) as ws:
            answer = await ask(ws, {"type": "audio_config"})
            documented = {
                "type": "audio_config",
                "sample_rate": 8000,
                "native_sample_rate": 8000,
                "resampling": False,
                "format": "pcm_s16le",
                "channels": 1,
                "frame_duration_ms": 20,
                "frame_bytes": 320,
                "ready": True,
            }
            assert answer.items() >= documented.items()

    run(main())


def test_a_declared_rate_holds_for_both_directions(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            config = {"type": "audio_config", "sample_rate": 24000, "receive": True}
            answer = await ask(ws, config)
            assert (answer["sample_rate"], answer["frame_bytes"]) == (24000, 960)
            assert answer["resampling"] is True
            host.bridge.tick(0.0)
            assert len(await asyncio.wait_for(ws.recv(), 5)) == 960
            await ws.send(bytes(24000 * 2))
            await settle(ws)
            assert 990 <= host.bridge.ports[0].queued_ms <= 1000

    run(main())


@pytest.mark.parametrize("rate", [7999, 48001, "24000", 24000.0, True, -1])
def test_a_rate_that_cannot_be_is_refused_by_name(run: Run, rate: object) -> None:
    async def main() -> None:
        async with attached(Host()) as ws:
            answer = await ask(ws, {"type": "audio_config", "sample_rate": rate})
            assert (answer["type"], answer["code"]) == ("call_error", "invalid_field")
            assert answer["field"] == "sample_rate"
            assert "sample_rate" in answer["message"]
            assert (await ask(ws, {"type": "audio_config"}))["sample_rate"] == 8000

    run(main())


def test_pcm_is_played_byte_for_byte_and_heard_without_an_echo(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.leg.says = level(77)
        async with attached(host) as ws:
            await ask(ws, {"type": "audio_config", "receive": True})
            said = b"".join(level(n) for n in range(1, 6))
            for cut in (said[:2], said[2:900], said[900:]):
                await ws.send(cut)
            await settle(ws)
            for n in range(5):
                host.bridge.tick(n * 0.02)
            assert b"".join(frame or b"" for frame in host.leg.heard) == said
            for _ in range(5):
                assert await asyncio.wait_for(ws.recv(), 5) == level(77)

    run(main())


def test_nothing_is_heard_before_it_is_asked_for_and_after_it_is_declined(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            host.bridge.tick(0.0)
            await ask(ws, {"type": "audio_config", "receive": True})
            await ask(ws, {"type": "audio_config", "receive": False})
            host.bridge.tick(0.02)
            assert (await ask(ws, {"type": "audio_config"}))["receive"] is False

    run(main())


def test_base64_audio_is_played_at_its_own_rate(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            native = base64.b64encode(level(9)).decode()
            await ws.send(json.dumps({"type": "audio", "audio": native}))
            other = base64.b64encode(level(500, 4800)).decode()
            await ws.send(json.dumps({"type": "audio", "audio": other, "sample_rate": 24000}))
            await settle(ws)
            assert 210 <= host.bridge.ports[0].queued_ms <= 220
            host.bridge.tick(0.0)
            assert host.leg.heard == [level(9)]

    run(main())


def test_clear_answers_how_much_was_dropped_and_marks_come_back(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(bytes(16000))
            await ws.send(json.dumps({"type": "mark", "name": "end"}))
            await settle(ws)
            host.bridge.tick(0.0)
            await ws.send(json.dumps({"type": "clear"}))
            assert await receive(ws) == {"type": "mark_played", "name": "end"}
            assert await receive(ws) == {"type": "cleared", "dropped_ms": 980}

    run(main())


def test_keys_go_both_ways(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(json.dumps({"type": "dtmf", "digits": "12,a#"}))
            await ws.send(json.dumps({"type": "dtmf", "digit": "*"}))
            await settle(ws)
            assert host.commands == [
                {"type": "dtmf", "digits": "12,A#"},
                {"type": "dtmf", "digits": "*"},
            ]
            host.bridge.dtmf("7", 160)
            assert await receive(ws) == {"type": "dtmf", "digit": "7", "duration_ms": 160}

    run(main())


@pytest.mark.parametrize(
    "message",
    [
        {"type": "say", "text": "Hello"},
        {"type": "send_chat", "text": "Hi", "sender_name": "Agent"},
        {"type": "stop_speaking"},
        {"type": "typing"},
        {"type": "hangup"},
        {"type": "hold"},
        {"type": "resume"},
        {"type": "transfer", "target": "sip:bob@example.com"},
    ],
)
def test_what_call_control_does_is_passed_on_whole(run: Run, message: Json) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(json.dumps(message))
            await settle(ws)
            assert host.commands == [message]

    run(main())


def base64_of(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("sent", "code", "field"),
    [
        ("{", "invalid_json", None),
        ("[1]", "invalid_json", None),
        ("[" * 100_000, "invalid_json", None),
        ('{"type":"nonsense"}', "unknown_type", "type"),
        ('{"type":7}', "unknown_type", "type"),
        ("{}", "unknown_type", "type"),
        (b"\0", "odd_byte_count", "audio"),
        (bytes(MAX_AUDIO_BYTES + 2), "message_too_large", None),
        ('{"type":"audio"}', "invalid_field", "audio"),
        ('{"type":"audio","audio":"=?="}', "invalid_base64", "audio"),
        ('{"type":"audio","audio":"\u00e9"}', "invalid_base64", "audio"),
        ('{"type":"audio","audio":"AAAA","sample_rate":1}', "invalid_field", "sample_rate"),
        ('{"type":"audio","audio":"' + base64_of(3) + '"}', "odd_byte_count", "audio"),
        ('{"type":"say","text":""}', "invalid_field", "text"),
        ('{"type":"say","text":"' + "x" * 10_001 + '"}', "invalid_field", "text"),
        ('{"type":"mark"}', "invalid_field", "name"),
        ('{"type":"dtmf","digits":"1E"}', "invalid_field", "digits"),
        ('{"type":"transfer"}', "invalid_field", "target"),
        ('{"type":"audio_config","receive":1}', "invalid_field", "receive"),
        ('{"type":"audio_config","format":"mp3"}', "invalid_field", "format"),
        (" " * 1_500_001, "message_too_large", None),
    ],
)
def test_a_bad_message_is_answered_and_the_connection_stays(
    run: Run, sent: str | bytes, code: str, field: str | None
) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send(sent)
            answer = await receive(ws)
            assert (answer["type"], answer["code"]) == ("call_error", code)
            assert answer.get("field") == field
            assert answer["message"]
            assert (await ask(ws, {"type": "audio_config"}))["ready"] is True
            assert host.counters.stream_messages_rejected == 1

    run(main())


def test_a_full_megabyte_is_taken_in_one_message(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ask(ws, {"type": "audio_config", "sample_rate": 48000})
            await ws.send(bytes(MAX_AUDIO_BYTES))
            await settle(ws)
            assert host.bridge.ports[0].queued_ms > 10_900

    run(main())


def test_more_than_a_minute_of_audio_is_refused_with_a_hint(run: Run) -> None:
    async def main() -> None:
        async with attached(Host()) as ws:
            await ws.send(bytes(960_000))
            await ws.send(b"\0\0")
            answer = await receive(ws)
            assert (answer["code"], bool(answer["hint"])) == ("playout_full", True)

    run(main())


def test_a_message_in_fragments_is_one_message(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.send([b"\1\0", b"\2", b"\0\3\0"])
            await ws.send(['{"type":', '"clear"}'])
            assert await receive(ws) == {"type": "cleared", "dropped_ms": 0}

    run(main())


def test_timestamps_come_with_the_audio_when_asked_for(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.leg.says = level(3)
        async with attached(host) as ws:
            config = {"type": "audio_config", "receive": True, "timestamps": True}
            assert (await ask(ws, config))["timestamps"] is True
            host.bridge.tick(0.0)
            message = await receive(ws)
            assert base64.b64decode(message.pop("audio")) == level(3)
            assert message == {"type": "audio", "sample_rate": 8000, "timestamp_ms": 1240}

    run(main())


@pytest.mark.parametrize(
    "broken",
    [
        b"\x82\x02\0\0",  # not masked
        b"\xc2\x82\0\0\0\0\0\0",  # a reserved bit
        b"\x80\x82\0\0\0\0\0\0",  # a continuation of nothing
        b"\x81\x82\0\0\0\0\xff\xff",  # text that is not UTF-8
        b"\x02\x82\0\0\0\0\0\0\x82\x82\0\0\0\0\0\0",  # a message inside another one
        b"\x82\xff\0\0\0\0\0\x50\0\0\0\0\0\0",  # five megabytes announced
    ],
)
def test_breaking_the_websocket_protocol_closes_the_connection(run: Run, broken: bytes) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            ws.transport.write(broken)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(ws.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code in (1002, 1007, 1009)
            await asyncio.wait_for(host.gone.wait(), 5)
            assert host.bridge.ports == ()

    run(main())


def test_a_client_that_leaves_is_reported_with_its_close_code(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            await ws.close(4321, "bye")
            assert ws.close_code == 4321
            await asyncio.wait_for(host.gone.wait(), 5)
        assert host.closed == [4321]
        assert host.bridge.ports == ()

    run(main())


def test_a_client_that_vanishes_is_reported_as_abnormal(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            ws.transport.abort()
            await asyncio.wait_for(host.gone.wait(), 5)
        assert host.closed == [1006]

    run(main())


def test_the_server_closes_with_a_code_and_a_reason(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            host.streams[0].close(WSCloseCode.OK, "the call is over")
            host.streams[0].close(WSCloseCode.INTERNAL_ERROR)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)
            assert (ws.close_code, ws.close_reason) == (1000, "the call is over")
            await asyncio.wait_for(host.streams[0].wait_closed(), 5)
        assert host.closed == [1000]

    run(main())


def test_a_peer_that_does_not_answer_the_close_is_cut_off(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_SECONDS", 0.01)

    async def main() -> None:
        host = Host()
        async with http_server(host) as port:
            with deaf_client(port) as client:
                await asyncio.to_thread(client.recv, 4096)
                host.streams[0].close(WSCloseCode.OK)
                await asyncio.wait_for(host.streams[0].wait_closed(), 5)

    run(main())


UPGRADE = (
    b"GET /api/call/c1/stream?api_key=k HTTP/1.1\r\n"
    b"Host: gateway\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Cookie: a=b\r\n\r\n"
)


def deaf_client(port: int, request: bytes = UPGRADE) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(request)
    return client


def test_a_browsers_connection_header_is_understood(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with http_server(host) as port:
            with deaf_client(port) as client:
                answer = await asyncio.to_thread(client.recv, 4096)
                assert answer.startswith(b"HTTP/1.1 101 ")
                assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer

    run(main())


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        UPGRADE.replace(b"Version: 13", b"Version: 99"),
        UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        UPGRADE.replace(b"websocket", b"h2c"),
        b"nonsense\r\n\r\n",
    ],
)
def test_a_request_that_is_no_upgrade_gets_400_and_the_connection_ends(
    run: Run, request_head: bytes
) -> None:
    async def main() -> None:
        host = Host()
        async with http_server(host) as port:
            with deaf_client(port, request_head) as client:
                answer = await asyncio.to_thread(client.recv, 4096)
                assert answer.startswith(b"HTTP/1.1 400 ")
                assert await asyncio.to_thread(client.recv, 4096) == b""
        assert host.streams == []

    run(main())


def test_a_session_with_enough_streams_answers_503(run: Run) -> None:
    async def main() -> None:
        host = Host()
        host.full = True
        async with http_server(host) as port:
            with pytest.raises(InvalidStatus) as refused:
                await websockets.connect(f"ws://127.0.0.1:{port}/")
            assert refused.value.response.status_code == 503
            assert b"too_many_streams" in (refused.value.response.body or b"")

    run(main())


def test_a_request_without_an_end_or_too_long_is_made_a_bad_one() -> None:
    assert b"Upgrade" not in canonical_request(UPGRADE[:-2])
    assert b"Upgrade" not in canonical_request(UPGRADE[:-2] + b"x: " + b"y" * 20_000 + b"\r\n\r\n")


def test_bytes_after_the_request_are_kept() -> None:
    assert canonical_request(UPGRADE + b"\x82\x80").endswith(b"\r\n\r\n\x82\x80")


def test_a_slow_reader_loses_audio_first_and_then_the_connection(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with http_server(host) as port:
            with deaf_client(port) as client:
                await asyncio.to_thread(client.recv, 4096)
                stream = host.streams[0]
                host.bridge.ports[0].listening = True
                for _ in range(20_000):
                    host.bridge.tick(0.0)
                assert host.counters.stream_audio_dropped > 0
                assert stream._backlog() <= MAX_AUDIO_BACKLOG + 2 * FRAME
                event = json.dumps({"type": "call_transcript", "text": "x" * 1000})
                for _ in range(2_000):
                    stream.send_text(event)
                assert host.counters.stream_slow_closed == 1
                await asyncio.wait_for(stream.wait_closed(), 5)
        assert host.closed == [1013]

    run(main())


def test_a_failure_in_the_ear_detaches_the_stream_with_1011(run: Run) -> None:
    async def main() -> None:
        host = Host()
        async with attached(host) as ws:
            host.bridge.ports[0].close()
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)
            assert ws.close_code == 1011
        assert host.closed == [1011]

    run(main())


def test_a_peer_that_is_gone_before_the_handover_is_no_error(run: Run) -> None:
    async def main() -> None:
        host = Host()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            connection, _ = listener.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await serve(connection, UPGRADE, host.new_stream)
        for stream in host.streams:
            await asyncio.wait_for(stream.wait_closed(), 5)
        assert host.bridge.ports == ()

    run(main())
