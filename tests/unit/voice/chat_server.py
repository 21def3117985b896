"""A chat endpoint on 127.0.0.1 that speaks, and misspeaks, the streamed chat-completions format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def chunk(**delta: object) -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def tool_chunk(index: int, **parts: object) -> bytes:
    call: dict[str, object] = {"index": index}
    if "id" in parts:
        call |= {"id": parts.pop("id"), "type": "function"}
    return chunk(tool_calls=[{**call, "function": parts}])


DONE = b"data: [DONE]\n\n"


def answer(status: str, body: object, content_type: str = "application/json") -> list[bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n"
    return [head.encode() + b"Connection: close\r\n\r\n" + data]


HANG = b""
"""In an answer: say nothing more until the client goes away."""


@dataclass
class ChatServer:
    """Answers each request with the next of ``answers``: pieces written one by one."""

    answers: list[Sequence[bytes]]
    port: int = 0
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append((head[0], headers, json.loads(body)))
            for piece in self.answers.pop(0):
                if piece == HANG:
                    await reader.read()
                    break
                writer.write(piece)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.gone.set()


@asynccontextmanager
async def chat_server(*answers: Sequence[bytes]) -> AsyncIterator[ChatServer]:
    chat = ChatServer(list(answers))
    server = await asyncio.start_server(chat.serve, "127.0.0.1", 0)
    chat.port = server.sockets[0].getsockname()[1]
    try:
        yield chat
    finally:
        server.close()
        await server.wait_closed()
