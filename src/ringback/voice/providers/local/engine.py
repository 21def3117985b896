"""What runs inside a worker process."""

from __future__ import annotations

from typing import Protocol

from ringback.voice.providers.local.frames import Header


class EngineError(Exception):
    """``retryable`` says whether the same request may succeed later."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class Engine(Protocol):
    def handle(self, header: Header, payload: bytes) -> tuple[Header, bytes]:
        """Answer one request; blocks for as long as it takes. Raises :class:`EngineError`."""
        ...
