from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from contextlib import aclosing

import httpx2
import pytest

from ringback.voice.brains.openai import MAX_ERROR_BYTES, OpenAiChat, new_client
from ringback.voice.contract import Delta, Message, ProviderError, TextDelta, ToolCall
from ringback.voice.tools import CALL_TOOLS
from unit.voice.chat_server import (
    DONE,
    HANG,
    STREAM_HEAD,
    ChatServer,
    answer,
    chat_server,
    chunk,
    tool_chunk,
)

HELLO = (Message("user", "Hello"),)


async def ask(chat: ChatServer, messages: Sequence[Message] = HELLO, **options: str) -> list[Delta]:
    async with new_client() as client:
        model = OpenAiChat(client, base_url=chat.base_url, model="m", **options)
        return [delta async for delta in model.reply(messages, CALL_TOOLS)]


def reply_to(*pieces: bytes) -> list[Delta]:
    async def scenario() -> list[Delta]:
        async with chat_server(pieces) as chat:
            return await ask(chat)

    return asyncio.run(scenario())


def refusal(*pieces: bytes) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        reply_to(*pieces)
    return caught.value


def test_tokens_come_out_as_they_come_in() -> None:
    pieces = (chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo."))
    assert reply_to(STREAM_HEAD, *pieces, DONE) == [TextDelta("Hel"), TextDelta("lo.")]


def test_a_stream_cut_into_single_bytes_is_the_same_stream() -> None:
    stream = STREAM_HEAD + chunk(content="Grüße 👋") + b": comment\n\n" + DONE
    assert reply_to(*(stream[i : i + 1] for i in range(len(stream)))) == [TextDelta("Grüße 👋")]


def test_a_stream_that_ends_without_done_is_complete() -> None:
    assert reply_to(STREAM_HEAD, chunk(content="Hi.")) == [TextDelta("Hi.")]


def test_chunks_without_a_choice_are_passed_over() -> None:
    usage = b'data: {"choices": [], "usage": {"total_tokens": 5}}\n\n'
    empty = b'data: {"choices": [{"delta": null}]}\n\n'
    assert reply_to(STREAM_HEAD, usage, empty, chunk(content=None), DONE) == []


def test_a_tool_call_in_fragments_is_put_together() -> None:
    assert reply_to(
        STREAM_HEAD,
        chunk(content="Pressing."),
        tool_chunk(0, id="call_a", name="send_dtmf", arguments=""),
        tool_chunk(1, id="call_b", name="hang_up", arguments="{}"),
        tool_chunk(0, arguments='{"dig'),
        tool_chunk(0, arguments='its": "5"}'),
        DONE,
    ) == [
        TextDelta("Pressing."),
        ToolCall("call_a", "send_dtmf", {"digits": "5"}),
        ToolCall("call_b", "hang_up", {}),
    ]


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '"5"', "[" * 10_000])
def test_arguments_that_are_no_object_are_told_apart_from_none(arguments: str) -> None:
    (call,) = reply_to(STREAM_HEAD, tool_chunk(0, id="a", name="x", arguments=arguments), DONE)
    assert call == ToolCall("a", "x", None)


def test_the_request_carries_model_key_prompt_conversation_and_tools() -> None:
    async def scenario() -> None:
        press = ToolCall("call_a", "send_dtmf", {"digits": "5"})
        messages = (
            Message("assistant", "Hello."),
            Message("user", "press five"),
            Message("assistant", "", tool_calls=(press,)),
            Message("tool", "Pressed 5.", tool_call_id="call_a"),
            Message("user", "12", keys=True),
        )
        async with chat_server([STREAM_HEAD, DONE]) as chat:
            await ask(chat, messages, api_key="secret", prompt="You are Ada.")
            ((line, headers, body),) = chat.requests
        assert line == "POST /v1/chat/completions HTTP/1.1"
        assert headers["authorization"] == "Bearer secret"
        assert headers["accept"] == "text/event-stream"
        assert (body["model"], body["stream"]) == ("m", True)
        system, *rest = body["messages"]
        assert str(system["content"]).startswith("You are Ada.\n\n")
        assert rest == [
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "press five"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_a",
                        "type": "function",
                        "function": {"name": "send_dtmf", "arguments": '{"digits": "5"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_a", "content": "Pressed 5."},
            {"role": "user", "content": "(The caller pressed 12 on the keypad.)"},
        ]
        tools = json.dumps(body["tools"])
        assert '"hang_up"' in tools
        assert '"send_dtmf"' in tools

    asyncio.run(scenario())


def test_no_key_means_no_authorization_header() -> None:
    async def scenario() -> None:
        async with chat_server([STREAM_HEAD, DONE]) as chat:
            await ask(chat)
            assert "authorization" not in chat.requests[0][1]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "code", "retryable", "hint"),
    [
        ("401 Unauthorized", "wrong_key", False, "API key"),
        ("403 Forbidden", "wrong_key", False, "API key"),
        ("404 Not Found", "not_found", False, "base_url"),
        ("400 Bad Request", "request_refused", False, "model"),
        ("429 Too Many Requests", "rate_limited", True, "limits"),
        ("500 Internal Server Error", "vendor_failed", True, "vendor"),
        ("503 Service Unavailable", "vendor_failed", True, "vendor"),
    ],
)
def test_each_refusal_says_what_is_wrong_and_whether_trying_again_helps(
    status: str, code: str, retryable: bool, hint: str
) -> None:
    error = refusal(*answer(status, {"error": {"message": "the vendor's own words"}}))
    assert (error.code, error.retryable) == (code, retryable)
    assert "the vendor's own words" in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "plain"}, ": plain"),
        ({"detail": "odd"}, "odd"),
        (b"<html>Bad\n gateway</html>", "<html>Bad gateway</html>"),
        (b"", "answered 500"),
        (b"\xff\xfe", "answered 500"),
        ([1, 2], "[1, 2]"),
        (b"x" * (3 * MAX_ERROR_BYTES), "x" * 200),
    ],
)
def test_a_refusal_in_any_shape_is_told_in_one_line(body: object, said: str) -> None:
    error = refusal(*answer("500 Internal Server Error", body))
    assert said in error.message
    assert len(error.message) < 400
    assert "\n" not in error.message


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {not json\n\n",
        b"data: [1]\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        chunk(tool_calls=["x"]),
        chunk(tool_calls=[{"index": "one"}]),
        chunk(tool_calls=[{"index": 99}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "x" * 20_000}}]),
    ],
)
def test_garbage_in_the_stream_is_an_error_in_words(garbage: bytes) -> None:
    error = refusal(STREAM_HEAD, garbage, DONE)
    assert (error.code, error.retryable) == ("garbage", False)


def test_an_error_in_the_middle_of_the_stream_is_passed_on() -> None:
    error = refusal(STREAM_HEAD, chunk(content="Hm"), b'data: {"error": {"message": "oops"}}\n\n')
    assert (error.code, error.retryable) == ("vendor_failed", True)
    assert "oops" in error.message


def test_an_answer_that_is_no_stream_points_at_the_address() -> None:
    error = refusal(*answer("200 OK", {"hello": "world"}))
    assert error.code == "not_a_stream"
    assert "base_url" in error.hint


def test_a_connection_that_breaks_off_is_retryable() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n"
    error = refusal(head, chunk(content="Hel"))
    assert (error.code, error.retryable) == ("cut_off", True)


def test_a_server_that_hangs_up_without_an_answer_is_retryable() -> None:
    error = refusal()
    assert (error.code, error.retryable) == ("cut_off", True)


def test_a_server_that_is_not_there_points_at_the_address() -> None:
    async def scenario() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            chat = ChatServer([], port=unused.getsockname()[1])
            with pytest.raises(ProviderError) as caught:
                await ask(chat)
        assert caught.value.code == "cannot_connect"
        assert "base_url" in caught.value.hint

    asyncio.run(scenario())


def test_an_address_that_is_none_is_told() -> None:
    async def scenario() -> None:
        async with new_client() as client:
            model = OpenAiChat(client, base_url="http://host:port/v1", model="m")
            with pytest.raises(ProviderError) as caught:
                await anext(model.reply(HELLO, ()))
        assert caught.value.code == "bad_address"

    asyncio.run(scenario())


def test_a_server_that_says_nothing_runs_into_the_timeout() -> None:
    async def scenario() -> None:
        async with (
            chat_server([STREAM_HEAD, HANG]) as chat,
            httpx2.AsyncClient(timeout=0.05) as client,
        ):
            model = OpenAiChat(client, base_url=chat.base_url, model="m")
            with pytest.raises(ProviderError) as caught:
                await anext(model.reply(HELLO, ()))
        assert (caught.value.code, caught.value.retryable) == ("too_slow", True)

    asyncio.run(scenario())


def test_an_abandoned_answer_closes_its_connection() -> None:
    async def scenario() -> None:
        async with (
            chat_server([STREAM_HEAD, chunk(content="Hel"), HANG]) as chat,
            new_client() as client,
        ):
            model = OpenAiChat(client, base_url=chat.base_url, model="m")
            async with aclosing(model.reply(HELLO, ())) as deltas:
                assert await anext(deltas) == TextDelta("Hel")
            async with asyncio.timeout(5):
                await chat.gone.wait()

    asyncio.run(scenario())
