"""The listener over real sockets: plain requests, ordinary WebSockets, and call streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress

import httpx2
import pytest
import websockets
from fastapi import FastAPI, WebSocket
from websockets.frames import Frame, Opcode

from ringback.core.errors import StartupError
from ringback.front import http_protocol
from ringback.front.listener import HttpListener
from ringback.front.stream_door import Knock, StreamDoor, source_behind
from unit.front import doors
from unit.front.doors import KEY, listening, upgrade

Run = Callable[[Coroutine[object, object, None]], None]


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    @app.websocket("/plain")
    async def plain(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("plain " + await websocket.receive_text())
        await websocket.close()

    return app


async def refusal_of(url: str, **headers: str) -> tuple[int, dict[str, str]]:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with websockets.connect(url, additional_headers=headers, proxy=None):
            pass
    response = caught.value.response
    assert response.headers["X-Request-Id"].startswith("req_")
    error: dict[str, str] = json.loads(response.body)["error"]
    return response.status_code, error


def test_plain_requests_and_ordinary_websockets_are_uvicorns(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{node.port}") as client:
                for _ in range(3):
                    assert (await client.get("/hello")).json() == {"hello": "world"}
            url = f"ws://127.0.0.1:{node.port}/plain"
            async with websockets.connect(url, proxy=None) as websocket:
                await websocket.send("words")
                assert await websocket.recv() == "plain words"

    run(main())


def test_a_call_stream_is_handed_to_media(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            async with websockets.connect(node.stream(), proxy=None) as websocket:
                for number in range(20):
                    await websocket.send(f"message {number}")
                    assert await websocket.recv() == f"message {number}"
                assert not node.listener._server.server_state.connections
            assert node.calls.requests[0].startswith(b"GET /api/call/call_1/stream?api_key=")

    run(main())


@pytest.mark.parametrize(
    ("name", "value"), [("X-API-Key", KEY), ("Authorization", f"Bearer {KEY}")]
)
def test_the_key_may_be_in_a_header(run: Run, name: str, value: str) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            headers = {name: value}
            url = node.stream(query="")
            async with websockets.connect(url, additional_headers=headers, proxy=None) as ws:
                await ws.send("hi")
                assert await ws.recv() == "hi"

    run(main())


def test_a_trailing_slash_is_the_same_stream(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            url = node.stream(query=f"/?api_key={KEY}")
            async with websockets.connect(url, proxy=None) as websocket:
                await websocket.send("hi")
                assert await websocket.recv() == "hi"

    run(main())


def test_the_connection_outlives_the_listener(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            async with websockets.connect(node.stream(), proxy=None) as websocket:
                await websocket.send("before")
                assert await websocket.recv() == "before"
                await node.listener.stop()
                await websocket.send("after")
                assert await websocket.recv() == "after"

    run(main())


@pytest.mark.parametrize(
    ("call_id", "query", "status", "code"),
    [
        ("call_1", "", 401, "missing_api_key"),
        ("call_1", "?api_key=wrong", 401, "invalid_api_key"),
        ("call_1", "?api_key=too-many", 429, "limit_reached"),
        ("call_1", "?api_key=broken", 500, "internal_error"),
        ("call_2", f"?api_key={KEY}", 404, "call_not_found"),
        ("call_early", f"?api_key={KEY}", 409, "media_not_ready"),
    ],
)
def test_a_refusal_is_json_before_the_upgrade(
    run: Run, call_id: str, query: str, status: int, code: str
) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            answered, error = await refusal_of(node.stream(call_id, query))
            assert (answered, error["code"]) == (status, code)
            assert error["message"]

    run(main())


def test_what_follows_the_upgrade_request_is_kept(run: Run) -> None:
    """A hasty client sends its first message in the same packet as the request."""

    async def main() -> None:
        frame = Frame(Opcode.TEXT, b"early \r\n\r\n bird").serialize(mask=True)
        request = upgrade(f"/api/call/call_1/stream?api_key={KEY}") + frame
        async with listening(application()) as node:
            for cut in (len(request), len(request) - len(frame) - 2, len(request) - 3, 40):
                reader, writer = await node.raw(request[:cut])
                if cut < len(request):
                    await asyncio.sleep(0)
                    writer.write(request[cut:])
                answer = await reader.readuntil(b"early \r\n\r\n bird")
                assert answer.startswith(b"HTTP/1.1 101 ")
                writer.close()
                await writer.wait_closed()

    run(main())


def test_what_comes_during_the_check_is_kept(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            node.keys.gate = asyncio.Event()
            reader, writer = await node.raw(upgrade(f"/api/call/call_1/stream?api_key={KEY}"))
            await node.keys.asked.wait()
            writer.write(Frame(Opcode.TEXT, b"patient").serialize(mask=True))
            await writer.drain()
            node.keys.gate.set()
            assert b"patient" in await reader.readuntil(b"patient")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_bytes_after_an_ordinary_upgrade_are_kept_too(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            frame = Frame(Opcode.TEXT, b"early").serialize(mask=True)
            reader, writer = await node.raw(upgrade("/plain") + frame)
            assert b"plain early" in await reader.readuntil(b"plain early")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_stream_after_an_ordinary_request_on_the_same_connection(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            reader, writer = await node.raw(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b'{"hello":"world"}')
            writer.write(upgrade(f"/api/call/call_1/stream?api_key={KEY}"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_pipelined_upgrade_is_refused(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            first = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
            reader, writer = await node.raw(first + upgrade("/api/call/call_1/stream"))
            answer = await reader.read()
            assert b"pipelined_upgrade" in answer
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_check_that_takes_too_long_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "ADMIT_SECONDS", 0)

    async def main() -> None:
        async with listening(application()) as node:
            node.keys.gate = asyncio.Event()
            status, error = await refusal_of(node.stream())
            assert (status, error["code"]) == (503, "overloaded")

    run(main())


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"invalid_http"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"invalid_http"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            b"unsupported_upgrade",
        ),
    ],
)
def test_what_is_not_http_gets_a_400(run: Run, request_bytes: bytes, code: bytes) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            reader, writer = await node.raw(request_bytes)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert code in answer
            writer.close()
            await writer.wait_closed()

    run(main())


@pytest.mark.parametrize("start", [b"", b"GET /hello HTTP/1.1\r\nHost: "])
def test_a_head_that_never_comes_costs_the_connection(
    run: Run, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0)

    async def main() -> None:
        async with listening(application()) as node:
            with suppress(ConnectionError):
                reader, writer = await node.raw(start)
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
            await node.settle()
            assert not node.listener._server.server_state.connections

    run(main())


def test_a_client_that_leaves_during_the_check_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            node.keys.gate = asyncio.Event()
            _, writer = await node.raw(upgrade(f"/api/call/call_1/stream?api_key={KEY}"))
            await node.keys.asked.wait()
            writer.transport.abort()
            node.keys.gate.set()
            await node.settle()
            assert not node.listener._server.server_state.connections

    run(main())


def test_a_port_in_use_is_one_sentence(run: Run) -> None:
    async def main() -> None:
        async with listening(application()) as node:
            door = StreamDoor(node.keys, node.calls)
            second = HttpListener("127.0.0.1", node.port, application(), door)
            with pytest.raises(StartupError, match=r"^Port \d+ \(RINGBACK_HTTP_PORT\) is in use"):
                await second.bind()

    run(main())


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_names_the_setting(run: Run, host: str) -> None:
    async def main() -> None:
        door = StreamDoor(doors.FakeAuthenticator(), doors.EchoCalls())
        with pytest.raises(StartupError, match="RINGBACK_HTTP_HOST"):
            await HttpListener(host, 0, application(), door).bind()

    run(main())


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        ("::1", "", "::1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_source_is_the_client_behind_a_local_proxy(
    peer: str, forwarded: str, source: str
) -> None:
    assert source_behind(peer, {"x-forwarded-for": forwarded}) == source


@pytest.mark.parametrize(
    "path", [b"/api/call/x", b"/api/call//stream", b"/api/call/a/b/stream", b"/api/calls/stream"]
)
def test_other_paths_are_no_call_streams(path: bytes) -> None:
    assert Knock.of(path, b"", [], "127.0.0.1") is None


@pytest.mark.parametrize("query", [b"api_key=", b"&&&", b"a=" + b"&a=" * 50, b"\xff=%ff"])
def test_a_query_without_a_key_is_no_key(query: bytes) -> None:
    knock = Knock.of(b"/api/call/x/stream", query, [], "127.0.0.1")
    assert knock is not None
    assert knock.api_key is None
