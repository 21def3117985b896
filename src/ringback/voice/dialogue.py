"""The conversation so far, and the model's next words as sentences ready to be spoken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

import structlog

from ringback.voice.contract import (
    ChatModel,
    Delta,
    Message,
    ProviderError,
    TextDelta,
    ToolCall,
)
from ringback.voice.sentences import SentenceChunker
from ringback.voice.speaker import Sentences
from ringback.voice.tools import CALL_TOOLS, HANG_UP, CallActions, run_tool

MAX_MESSAGES = 200
"""Messages kept; the oldest are forgotten."""
MAX_REPLY_CHARACTERS = 4000
"""A model that does not stop is stopped here."""
MAX_TOOL_ROUNDS = 4
"""Replies in a row that only use tools; then the model must wait for the caller."""
ATTEMPTS = 2

TROUBLE = "Sorry, I have a technical problem and cannot answer right now. Please try again."
NO_ANSWER = "Sorry, I have no answer to that."

log = structlog.stdlib.get_logger(__name__)


class Dialogue:
    """``reply`` reads the messages as they are when it is first iterated."""

    def __init__(
        self,
        model: ChatModel,
        actions: CallActions,
        *,
        deadline: float,
        on_first_token: Callable[[], None],
    ) -> None:
        self._model = model
        self._actions = actions
        self._deadline = deadline
        self._on_first_token = on_first_token
        self.messages: list[Message] = []
        self.failures = 0
        """Replies that ended in an apology."""

    @property
    def awaits_reply(self) -> bool:
        """Whether the caller had the last word."""
        return bool(self.messages) and self.messages[-1].role == "user"

    def caller_said(self, text: str) -> None:
        self._append(Message("user", text))

    def caller_pressed(self, digit: str) -> None:
        """A key; keys pressed in a row are one message."""
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "user" and last.keys:
            self.messages[-1] = replace(last, text=last.text + digit)
        else:
            self._append(Message("user", digit, keys=True))

    def agent_said(self, text: str) -> None:
        """What the caller heard of the agent; sentences in a row are one message."""
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "assistant" and not last.tool_calls:
            self.messages[-1] = replace(last, text=f"{last.text} {text}")
        else:
            self._append(Message("assistant", text))

    async def reply(self) -> Sentences:
        """The next things to say. Tools run when the words before them are queued."""
        for _ in range(MAX_TOOL_ROUNDS):
            calls: list[ToolCall] = []
            spoke = False
            try:
                async with aclosing(self._round(calls)) as sentences:
                    async for sentence in sentences:
                        spoke = True
                        yield sentence
            except (ProviderError, TimeoutError) as error:
                self._failed(error)
                yield TROUBLE
                return
            if not calls:
                if not spoke:
                    self.failures += 1
                    log.warning("voice_brain_said_nothing")
                    yield NO_ANSWER
                return
            self._run_tools(calls)
            if spoke or any(call.name == HANG_UP.name for call in calls):
                return
        log.warning("voice_brain_only_used_tools", rounds=MAX_TOOL_ROUNDS)

    async def _round(self, calls: list[ToolCall]) -> Sentences:
        """One answer of the model; its tool calls are added to ``calls``."""
        chunker = SentenceChunker()
        characters = 0
        async with aclosing(self._deltas()) as deltas:
            async for delta in deltas:
                if isinstance(delta, ToolCall):
                    calls.append(delta)
                    continue
                characters += len(delta.text)
                for sentence in chunker.push(delta.text):
                    yield sentence
                if characters > MAX_REPLY_CHARACTERS:
                    log.warning("voice_brain_did_not_stop", characters=characters)
                    break
        for sentence in chunker.flush():
            yield sentence

    async def _deltas(self) -> AsyncGenerator[Delta, None]:
        """The model's deltas, each within the deadline; tried again if it fails at the start."""
        for attempt in range(1, ATTEMPTS + 1):
            begun = False
            stream = self._model.reply(tuple(self.messages), CALL_TOOLS)
            try:
                async with aclosing(stream):
                    while (delta := await self._next(stream)) is not None:
                        if not begun and isinstance(delta, TextDelta):
                            self._on_first_token()
                        begun = True
                        yield delta
                return
            except ProviderError as error:
                if begun or not error.retryable or attempt == ATTEMPTS:
                    raise
                log.info("voice_brain_retried", code=error.code, reason=error.message)

    async def _next(self, stream: AsyncIterator[Delta]) -> Delta | None:
        async with asyncio.timeout(self._deadline):
            return await anext(stream, None)

    def _run_tools(self, calls: list[ToolCall]) -> None:
        self._append(Message("assistant", "", tool_calls=tuple(calls)))
        for call in calls:
            result = run_tool(call, self._actions)
            if result.startswith("Error"):
                log.warning("voice_tool_refused", tool=call.name[:64], reason=result)
            self._append(Message("tool", result, tool_call_id=call.id))

    def _failed(self, error: ProviderError | TimeoutError) -> None:
        self.failures += 1
        if isinstance(error, ProviderError):
            log.warning(
                "voice_brain_failed", code=error.code, reason=error.message, hint=error.hint
            )
        else:
            log.warning(
                "voice_brain_failed", code="no_token_in_time", reason=f"{self._deadline:g} s"
            )

    def _append(self, message: Message) -> None:
        self.messages.append(message)
        if len(self.messages) > MAX_MESSAGES:
            # A tool's answer must not outlive its question.
            start = next(
                (i for i, each in enumerate(self.messages) if i and each.role == "user"), 1
            )
            del self.messages[:start]
