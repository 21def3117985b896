"""The messages of the call WebSocket: what a client may send, checked, and what it is answered.

Pure: text in, values out. Everything that is wrong with a message is an ``InvalidRequest`` whose
code becomes a ``call_error``; the connection stays.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ringback.core.errors import InvalidRequest, RingbackError
from ringback.media.plane import FRAME_MS

MIN_SAMPLE_RATE = 8000
MAX_SAMPLE_RATE = 48000
FRAME_DURATIONS = (20, 40, 60, 80, 100)
"""Milliseconds of audio in a message to a client."""
MAX_AUDIO_BYTES = 1_048_576
"""The most PCM in one message (about 10 s at 48 kHz)."""
MAX_TEXT_BYTES = 1_500_000
"""The most JSON in one message: ``MAX_AUDIO_BYTES`` in base64, and some room around it."""
MAX_SAID_CHARACTERS = 10_000
MAX_MARK_NAME = 256
MAX_DIGITS = 64
MAX_COMMAND_FIELDS = 16
MAX_COMMAND_TEXT = 2000
"""Characters of one field of a command that has no longer text by its nature."""

_DIGITS = re.compile(rf"[0-9A-Da-d*#,]{{1,{MAX_DIGITS}}}")

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """``None`` leaves a setting as it is: a message with nothing in it is a query."""

    sample_rate: int | None = None
    receive: bool | None = None
    timestamps: bool | None = None
    frame_duration_ms: int | None = None
    """How much of the others each message to the client holds."""


@dataclass(frozen=True, slots=True)
class AudioMessage:
    """PCM s16le mono; ``sample_rate`` is ``None`` for the declared one."""

    pcm: bytes
    sample_rate: int | None = None


@dataclass(frozen=True, slots=True)
class Clear:
    pass


@dataclass(frozen=True, slots=True)
class Mark:
    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """What call control does. ``message`` is what the client sent: a few plain values of bounded
    length; what they mean, and which of them may be together, is call control's to judge."""

    message: Json


StreamMessage = AudioConfig | AudioMessage | Clear | Mark | Command


def parse_message(text: str) -> StreamMessage:
    """Read one text message. Raises ``InvalidRequest`` with the code of the ``call_error``."""
    if len(text) > MAX_TEXT_BYTES:
        raise too_large(len(text), MAX_TEXT_BYTES)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("the message is not JSON", code="invalid_json") from None
    if not isinstance(message, dict):
        raise InvalidRequest("the message is not a JSON object", code="invalid_json")
    kind = message.get("type")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise InvalidRequest(
            f"unknown message type {str(kind)[:64]!r}",
            code="unknown_type",
            hint=f"Known are {', '.join(_READERS)}.",
            field="type",
        )
    return read(message)


def too_large(size: int, limit: int) -> InvalidRequest:
    return InvalidRequest(
        f"a message of {size} bytes; {limit} is the most",
        code="message_too_large",
        hint="Split it: messages are joined without a gap.",
    )


def error_message(error: RingbackError) -> dict[str, object]:
    """The ``call_error`` that tells a client about ``error``."""
    message: dict[str, object] = {
        "type": "call_error",
        "code": error.code,
        "message": error.message,
    }
    if error.hint:
        message["hint"] = error.hint
    if error.field is not None:
        message["field"] = error.field
    return message


def audio_config_answer(
    sample_rate: int, native_rate: int, receive: bool, timestamps: bool, frame_ms: int
) -> dict[str, object]:
    """The answer to ``audio_config``. ``frame_bytes`` is that of the shorter frame where 20 ms
    are no whole number of samples."""
    return {
        "type": "audio_config",
        "sample_rate": sample_rate,
        "native_sample_rate": native_rate,
        "resampling": sample_rate != native_rate,
        "format": "pcm_s16le",
        "channels": 1,
        "frame_duration_ms": frame_ms,
        "frame_bytes": sample_rate * FRAME_MS // 1000 * 2 * (frame_ms // FRAME_MS),
        "ready": True,
        "receive": receive,
        "timestamps": timestamps,
    }


def audio_message(frame: bytes, sample_rate: int, timestamp_ms: int) -> dict[str, object]:
    """A frame with its time, for a stream that asked for timestamps."""
    return {
        "type": "audio",
        "audio": base64.b64encode(frame).decode("ascii"),
        "sample_rate": sample_rate,
        "timestamp_ms": timestamp_ms,
    }


def _invalid(field: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {problem}", code="invalid_field", field=field)


def _read_audio_config(message: Json) -> AudioConfig:
    for field, fixed in _FIXED_FORMAT.items():
        if field in message and message[field] != fixed:
            raise _invalid(field, f"only {fixed} is possible")
    return AudioConfig(
        _sample_rate(message),
        _flag(message, "receive"),
        _flag(message, "timestamps"),
        _frame_duration(message),
    )


_FIXED_FORMAT: dict[str, object] = {"format": "pcm_s16le", "channels": 1}


def _read_audio(message: Json) -> AudioMessage:
    encoded = message.get("audio")
    if not isinstance(encoded, str):
        raise _invalid("audio", "must be a base64 string")
    try:
        pcm = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("audio: is not base64", code="invalid_base64", field="audio") from None
    if len(pcm) > MAX_AUDIO_BYTES:
        raise too_large(len(pcm), MAX_AUDIO_BYTES)
    return AudioMessage(pcm, _sample_rate(message))


def _read_clear(message: Json) -> Clear:
    return Clear()


def _read_mark(message: Json) -> Mark:
    return Mark(_text(message, "name", MAX_MARK_NAME))


def _read_dtmf(message: Json) -> Command:
    """``digit`` is taken for ``digits``, so that what the gateway sends may be sent back."""
    field = "digit" if "digit" in message and "digits" not in message else "digits"
    digits = message.get(field)
    if not isinstance(digits, str) or not _DIGITS.fullmatch(digits):
        raise _invalid(field, f"1 to {MAX_DIGITS} of 0-9, A-D, *, # and , (a pause)")
    command: dict[str, object] = {"type": "dtmf", "digits": digits.upper()}
    if message.get("method") is not None:
        command["method"] = _text(message, "method", MAX_COMMAND_TEXT)
    return Command(command)


def _read_said(message: Json) -> Command:
    _text(message, "text", MAX_SAID_CHARACTERS)
    return Command(message)


def _read_command(message: Json) -> Command:
    if len(message) > MAX_COMMAND_FIELDS:
        raise InvalidRequest(
            f"{len(message)} fields; {MAX_COMMAND_FIELDS} is the most", code="invalid_field"
        )
    for field, value in message.items():
        if isinstance(value, dict | list):
            raise _invalid(field[:64], "must be a plain value")
        if isinstance(value, str) and len(value) > MAX_COMMAND_TEXT:
            raise _invalid(field[:64], f"must have {MAX_COMMAND_TEXT} characters at most")
    return Command(message)


_READERS: dict[str, Callable[[Json], StreamMessage]] = {
    "audio_config": _read_audio_config,
    "audio": _read_audio,
    "say": _read_said,
    "stop_speaking": _read_command,
    "send_chat": _read_said,
    "typing": _read_command,
    "clear": _read_clear,
    "mark": _read_mark,
    "dtmf": _read_dtmf,
    "hangup": _read_command,
    "hold": _read_command,
    "resume": _read_command,
    "transfer": _read_command,
    "cancel_transfer": _read_command,
    "add_participant": _read_command,
    "remove_participant": _read_command,
    "gather": _read_command,
    "cancel_gather": _read_command,
}


def _sample_rate(message: Json) -> int | None:
    rate = message.get("sample_rate")
    if rate is None:
        return None
    if not isinstance(rate, int):
        raise _invalid("sample_rate", "must be a whole number of Hz")
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        raise _invalid("sample_rate", f"must be {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz")
    return rate


def _frame_duration(message: Json) -> int | None:
    duration = message.get("frame_duration_ms")
    if duration is None:
        return None
    if not isinstance(duration, int) or duration not in FRAME_DURATIONS:
        allowed = ", ".join(map(str, FRAME_DURATIONS))
        raise _invalid("frame_duration_ms", f"must be one of {allowed}")
    return duration


def _flag(message: Json, field: str) -> bool | None:
    value = message.get(field)
    if value is not None and not isinstance(value, bool):
        raise _invalid(field, "must be true or false")
    return value


def _text(message: Json, field: str, limit: int) -> str:
    value = message.get(field)
    if not isinstance(value, str) or not value or len(value) > limit:
        raise _invalid(field, f"must be a string of 1 to {limit} characters")
    return value
