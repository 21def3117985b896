"""What media reports about live calls, and the commands that come in on call streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from ringback.calls import events
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry, Registry
from ringback.calls.service import CallService
from ringback.connectors.contract import Capability
from ringback.core.end_reason import EndReason
from ringback.core.errors import InvalidRequest, RingbackError
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaEvent,
    MediaPlane,
    MediaTimedOut,
    StreamAttached,
    StreamCommand,
    StreamDetached,
    TranscriptLine,
)

log = structlog.stdlib.get_logger(__name__)

Command = Callable[[Entry, Mapping[str, Any]], None]


class MediaReports:
    """The listener that subscribes to the media plane. It never blocks and never raises."""

    def __init__(
        self, registry: Registry, lifecycle: Lifecycle, service: CallService, plane: MediaPlane
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._service = service
        self._plane = plane
        self._commands: dict[str, Command] = {
            "say": self._say,
            "stop_speaking": self._stop_speaking,
            "hangup": self._hang_up,
            "dtmf": self._dtmf,
            "send_chat": self._unsupported(Capability.WRITE),
            "typing": self._unsupported(Capability.TYPING),
            "hold": self._unsupported(Capability.HOLD),
            "resume": self._unsupported(Capability.HOLD),
            "transfer": self._unsupported(Capability.TRANSFER),
        }

    def __call__(self, event: MediaEvent) -> None:
        entry = self._registry.get(event.session_id)
        if entry is None or entry.call.final:
            return
        match event:
            case TranscriptLine():
                self._lifecycle.say_line(entry, event)
            case DtmfReceived(digit=digit, duration_ms=duration):
                self._lifecycle.announce_dtmf(entry, events.dtmf(entry.call, digit, duration))
            case MediaTimedOut(seconds=seconds):
                log.warning("media_timed_out", call_id=entry.call_id, seconds=seconds)
                self._lifecycle.hang_up(entry, EndReason.MEDIA_TIMEOUT)
            case HangUpRequested(reason=reason):
                self._lifecycle.hang_up(entry, _end_reason(reason))
            case StreamCommand():
                self._command(entry, event)
            case StreamAttached() | StreamDetached():
                log.debug("call_stream", stream=event)

    def _command(self, entry: Entry, event: StreamCommand) -> None:
        kind = str(event.message.get("type", ""))
        try:
            command = self._commands.get(kind)
            if command is None:
                raise InvalidRequest(f"There is no command {kind!r}.", code="unknown_type")
            command(entry, event.message)
        except RingbackError as error:
            self._plane.notify(
                entry.call_id,
                events.call_error(entry.call_id, error.code, error.message, error.hint),
            )

    def _say(self, entry: Entry, message: Mapping[str, Any]) -> None:
        self._service.say(entry.account_id, entry.call_id, _text(message))

    def _stop_speaking(self, entry: Entry, message: Mapping[str, Any]) -> None:
        self._service.stop_speaking(entry.account_id, entry.call_id)

    def _hang_up(self, entry: Entry, message: Mapping[str, Any]) -> None:
        self._service.hang_up(entry.account_id, entry.call_id)

    def _dtmf(self, entry: Entry, message: Mapping[str, Any]) -> None:
        digits = message.get("digits")
        if not isinstance(digits, str):
            raise InvalidRequest("digits: must be a string", code="invalid_field", field="digits")
        self._service.send_dtmf(entry.account_id, entry.call_id, digits)

    def _unsupported(self, capability: Capability) -> Command:
        def refuse(entry: Entry, message: Mapping[str, Any]) -> None:
            self._service.unsupported(entry.account_id, entry.call_id, capability)

        return refuse


def _text(message: Mapping[str, Any]) -> str:
    text = message.get("text")
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest("text: must be a string that is not empty", code="invalid_field")
    return text


def _end_reason(word: str) -> EndReason:
    """The reason that a hosted agent gives; a word that is none means that the agent hung up."""
    try:
        return EndReason(word)
    except ValueError:
        return EndReason.AGENT_HANGUP
