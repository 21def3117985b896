"""The messages of RFC 4475, each in a file of the RFC's name with the exact bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ringback.sip.message import Request, Response, parse_message

MESSAGES = Path(__file__).parent / "messages"


@pytest.fixture
def wire() -> Callable[[str], bytes]:
    """The bytes of one message."""
    return lambda name: (MESSAGES / f"{name}.dat").read_bytes()


@pytest.fixture
def request_of(wire: Callable[[str], bytes]) -> Callable[[str], Request]:
    def parse(name: str) -> Request:
        message = parse_message(wire(name))
        assert isinstance(message, Request)
        return message

    return parse


@pytest.fixture
def response_of(wire: Callable[[str], bytes]) -> Callable[[str], Response]:
    def parse(name: str) -> Response:
        message = parse_message(wire(name))
        assert isinstance(message, Response)
        return message

    return parse
