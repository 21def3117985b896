from __future__ import annotations

import asyncio
import json
import socket
import struct

import pytest
import websockets
from picows import WSCloseCode
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ringback.media import stream as stream_module
from ringback.media.stream import MAX_AUDIO_BACKLOG
from ringback.media.stream_socket import canonical_request, serve
from unit.media.media_lab import Run
from unit.media.stream_lab import (
    UPGRADE,
    Host,
    attached,
    deaf_client,
    http_server,
)

FRAME = 320


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
            timer = host.streams[0]._cut
            assert timer is not None
            assert timer.cancelled()
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
                    stream._outbox.flush()
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
