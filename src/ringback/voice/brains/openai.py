"""Any chat endpoint that speaks OpenAI's streamed chat completions.

Format: https://platform.openai.com/docs/api-reference/chat/streaming (``chat.completion.chunk``
objects as server-sent events, ended by ``[DONE]``), as vLLM, Ollama, Groq, OpenRouter and others
also speak it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx2

from ringback.voice.contract import (
    Delta,
    Message,
    ProviderError,
    TextDelta,
    Tool,
    ToolCall,
)

PROVIDER = "openai"

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
"""Between two pieces of an answer; the session's own deadline is usually shorter."""
MAX_ERROR_BYTES = 8192
MAX_TOOL_CALLS = 8
MAX_ARGUMENTS = 16_384
"""Characters of one tool call's arguments."""

VOICE_RULES = (
    "You are on a phone call. Answer in one or two short spoken sentences, without lists, "
    "markup or emoji."
)


def new_client() -> httpx2.AsyncClient:
    """The HTTP client that all calls of a node share."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
        limits=httpx2.Limits(max_connections=500, max_keepalive_connections=50),
    )


class OpenAiChat:
    """A :class:`ringback.voice.contract.ChatModel`. ``base_url`` ends before
    ``/chat/completions``; ``api_key`` is ``None`` for endpoints that want none."""

    hints: Sequence[str] = ()

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        prompt: str = "",
    ) -> None:
        self._client = client
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._system = "\n\n".join(part for part in (prompt.strip(), VOICE_RULES) if part)

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> AsyncGenerator[Delta, None]:
        """Raises :class:`ProviderError` with what is wrong in words."""
        body = {
            "model": self._model,
            "stream": True,
            "messages": [
                {"role": "system", "content": self._system},
                *(_message(message) for message in messages),
            ],
        }
        if tools:
            body["tools"] = [_tool(tool) for tool in tools]
        calls = _ToolCalls()
        try:
            async with self._client.sse(
                self._url, method="POST", json=body, headers=self._headers
            ) as events:
                await self._check(events.response)
                async for event in events:
                    if event.data.strip() == "[DONE]":
                        break
                    choice = _choice(event.data)
                    if choice is None:
                        continue
                    text = choice.get("content")
                    if isinstance(text, str) and text:
                        yield TextDelta(text)
                    calls.add(choice.get("tool_calls"))
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        except httpx2.InvalidURL as error:
            raise _error("bad_address", f"{self._url} is not an address: {error}", False) from None
        for call in calls.finished():
            yield call

    async def _check(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        said = await _error_text(response)
        where = f"{self._url} answered {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            raise _error("wrong_key", where, False, "Check the API key of the agent's model.")
        if status == 404:
            raise _error(
                "not_found", where, False, "Check the address (base_url) and the model's name."
            )
        if status == 429:
            raise _error("rate_limited", where, True, "The vendor limits requests; it may pass.")
        if status >= 500 or status == 408:
            raise _error("vendor_failed", where, True, "The vendor has a problem; it may pass.")
        raise _error("request_refused", where, False, "Check the model's name and the prompt.")

    def _unreachable(self, error: httpx2.HTTPError) -> ProviderError:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            hint = "Check the address (base_url) and that the server runs."
            return _error("cannot_connect", f"cannot reach {self._url}: {error}", True, hint)
        if isinstance(error, httpx2.TimeoutException):
            return _error("too_slow", f"{self._url} sent nothing for {READ_TIMEOUT:g} s", True)
        if isinstance(error, httpx2.SSEError):
            hint = "The address (base_url) is perhaps not one of a chat endpoint."
            return _error("not_a_stream", f"{self._url} sent no event stream: {error}", False, hint)
        return _error("cut_off", f"{self._url} broke off: {error or type(error).__name__}", True)


@dataclass(slots=True)
class _PartialCall:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _ToolCalls:
    """Tool calls come in fragments that carry the index of the call they belong to."""

    _calls: dict[int, _PartialCall] = field(default_factory=dict)

    def add(self, fragments: object) -> None:
        if not isinstance(fragments, list):
            return
        for fragment in fragments:
            if not isinstance(fragment, dict):
                raise _garbage("a tool call is not an object")
            index = fragment.get("index", len(self._calls))
            if not isinstance(index, int) or not 0 <= index < MAX_TOOL_CALLS:
                raise _garbage("a tool call has no usable index")
            call = self._calls.setdefault(index, _PartialCall())
            call.id = _string(fragment.get("id")) or call.id
            function = fragment.get("function")
            if isinstance(function, dict):
                call.name += _string(function.get("name"))
                call.arguments += _string(function.get("arguments"))
            if len(call.arguments) > MAX_ARGUMENTS:
                raise _garbage("the arguments of a tool call are too long")

    def finished(self) -> list[ToolCall]:
        return [
            ToolCall(call.id or f"call_{index}", call.name, _arguments(call.arguments))
            for index, call in sorted(self._calls.items())
        ]


def _arguments(text: str) -> Mapping[str, object] | None:
    if not text.strip():
        return {}
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _choice(data: str) -> Mapping[str, object] | None:
    """The delta of the first choice; ``None`` in a chunk without one (usage, for example)."""
    try:
        chunk = json.loads(data)
    except (ValueError, RecursionError):
        raise _garbage("a chunk is not JSON") from None
    if not isinstance(chunk, dict):
        raise _garbage("a chunk is not an object")
    error = chunk.get("error")
    if error:
        said = error.get("message") if isinstance(error, dict) else error
        raise _error("vendor_failed", f"the vendor reported: {str(said)[:300]}", True)
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    delta = choices[0].get("delta") if isinstance(choices[0], dict) else None
    return delta if isinstance(delta, dict) else None


async def _error_text(response: httpx2.Response) -> str:
    """The vendor's own sentence, from the usual places in the body; never more than a line."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    text = body[:MAX_ERROR_BYTES].decode(errors="replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split())[:200]
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    said = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(said).split())[:200]


def _message(message: Message) -> dict[str, object]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    if message.tool_calls:
        calls = [_call(call) for call in message.tool_calls]
        return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
    text = f"(The caller pressed {message.text} on the keypad.)" if message.keys else message.text
    return {"role": message.role, "content": text}


def _call(call: ToolCall) -> dict[str, object]:
    arguments = json.dumps(dict(call.arguments)) if call.arguments is not None else "{}"
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool(tool: Tool) -> dict[str, object]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _garbage(what: str) -> ProviderError:
    return _error("garbage", f"the answer makes no sense: {what}", False)


def _error(code: str, message: str, retryable: bool, hint: str = "") -> ProviderError:
    return ProviderError(message, provider=PROVIDER, retryable=retryable, code=code, hint=hint)
