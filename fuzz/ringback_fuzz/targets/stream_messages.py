"""Control messages of the call WebSocket: taken, or refused in words that can be sent."""

from __future__ import annotations

import json

from ringback.core.errors import InvalidRequest
from ringback.media.stream_messages import AudioMessage, error_message, parse_message
from ringback_fuzz.targets import require


def run(data: bytes) -> None:
    try:
        message = parse_message(data.decode("utf-8", "replace"))
    except InvalidRequest as error:
        text = json.dumps(error_message(error))
        require(len(text) < 4096, "a complaint as long as the message")
        text.encode()
        return
    if isinstance(message, AudioMessage):
        require(message.sample_rate is None or message.sample_rate > 0, "no rate")
