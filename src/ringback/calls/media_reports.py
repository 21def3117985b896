"""What media reports about live calls, and the commands that come in on call streams."""

from __future__ import annotations

import structlog

from ringback.calls import events
from ringback.calls.lifecycle import Lifecycle
from ringback.calls.registry import Entry, Registry
from ringback.calls.service import CallService
from ringback.calls.stream_commands import StreamCommands
from ringback.calls.texts import MAX_IDENTITY, one_line
from ringback.core.end_reason import EndReason
from ringback.media.plane import (
    DtmfReceived,
    HangUpRequested,
    MediaEvent,
    MediaFailed,
    MediaPlane,
    MediaTimedOut,
    StreamAttached,
    StreamCommand,
    StreamDetached,
    TranscriptLine,
)

log = structlog.stdlib.get_logger(__name__)


class MediaReports:
    """The listener that subscribes to the media plane. It never blocks and never raises."""

    def __init__(
        self, registry: Registry, lifecycle: Lifecycle, service: CallService, plane: MediaPlane
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._commands = StreamCommands(lifecycle, service, plane)

    def __call__(self, event: MediaEvent) -> None:
        entry = self._registry.get(event.session_id)
        if entry is None or entry.call.final:
            return
        match event:
            case TranscriptLine(speaker=speaker, text=text):
                self._lifecycle.say_line(entry, event)
                if speaker == "agent" and entry.gathering is not None:
                    entry.gathering.heard(text)
            case DtmfReceived(digit=digit, duration_ms=duration):
                self._lifecycle.announce_dtmf(entry, events.dtmf(entry.call, digit, duration))
                if entry.gathering is not None:
                    entry.gathering.key(digit)
            case MediaTimedOut(seconds=seconds):
                log.warning("media_timed_out", call_id=entry.call_id, seconds=seconds)
                self._lifecycle.hang_up(entry, EndReason.MEDIA_TIMEOUT)
            case MediaFailed(reason=reason, detail=detail):
                self._failed(entry, _end_reason(reason, EndReason.ENCRYPTION_FAILED), detail)
            case HangUpRequested(reason=reason):
                if not entry.agent_left:
                    self._lifecycle.hang_up(entry, _end_reason(reason, EndReason.AGENT_HANGUP))
            case StreamCommand():
                self._commands.run(entry, event.message)
            case StreamAttached(stream_id=stream_id):
                entry.streams.add(stream_id)
            case StreamDetached(stream_id=stream_id):
                entry.streams.discard(stream_id)

    def _failed(self, entry: Entry, reason: EndReason, detail: str) -> None:
        log.warning("media_failed", call_id=entry.call_id, reason=reason, detail=detail)
        self._lifecycle.hang_up(entry, reason, one_line(detail, MAX_IDENTITY))


def _end_reason(word: str, otherwise: EndReason) -> EndReason:
    """The reason that media gives; ``otherwise`` for a word that is none."""
    try:
        return EndReason(word)
    except ValueError:
        return otherwise
