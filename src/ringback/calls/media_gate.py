"""The media plane as connectors get it: no session outlives its call.

A connector opens a call's media while the call is already live, so the call may end before the
session is there. The gate sees both, and closes a session that would belong to nobody. It also
sets the node's media timeout, and tells the session the state that its streams begin with.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ringback.calls.events import call_state
from ringback.calls.registry import Entry, Registry
from ringback.core.errors import Unavailable
from ringback.media.plane import (
    MediaEvent,
    MediaPlane,
    NegotiatedAudio,
    OpenSession,
    SessionOpened,
    SessionReport,
    VoiceSpec,
)


class MediaGate:
    """Implements :class:`ringback.media.plane.MediaPlane` over another one."""

    def __init__(self, plane: MediaPlane, registry: Registry, media_timeout: float) -> None:
        self._plane = plane
        self._registry = registry
        self._media_timeout = media_timeout

    async def start(self) -> None:
        await self._plane.start()

    def problem(self) -> str | None:
        return self._plane.problem()

    async def open(self, request: OpenSession) -> SessionOpened:
        """As the plane, but raises ``Unavailable`` (code ``call_over``) for a call that is over
        before its media is open. A stand-in needs the call that it stands in for."""
        call_id = request.stands_in_for or request.session_id
        if self._live(call_id) is None:
            raise Unavailable("The call is over.", code="call_over")
        opened = await self._plane.open(replace(request, media_timeout=self._media_timeout))
        entry = self._live(call_id)
        if entry is None:
            await self._plane.close(request.session_id)
            raise Unavailable("The call ended while its media was opened.", code="call_over")
        if request.stands_in_for is not None:
            return opened
        entry.media_open.set()
        self._plane.notify(request.session_id, call_state(entry.call))
        return opened

    def _live(self, call_id: str) -> Entry | None:
        entry = self._registry.get(call_id)
        return entry if entry is not None and not entry.call.final else None

    def subscribe(self, listener: Callable[[MediaEvent], None]) -> None:
        self._plane.subscribe(listener)

    def negotiate(self, session_id: str, audio: NegotiatedAudio) -> None:
        self._plane.negotiate(session_id, audio)

    def activate(self, session_id: str, recording: str | None = None) -> None:
        self._plane.activate(session_id, recording)

    def start_voice(self, session_id: str, spec: VoiceSpec) -> None:
        self._plane.start_voice(session_id, spec)

    def say(self, session_id: str, text: str) -> None:
        self._plane.say(session_id, text)

    def stop_speaking(self, session_id: str) -> None:
        self._plane.stop_speaking(session_id)

    async def send_dtmf(self, session_id: str, digits: str, method: str = "auto") -> None:
        await self._plane.send_dtmf(session_id, digits, method)

    def dtmf(self, session_id: str, digit: str, duration_ms: int) -> None:
        self._plane.dtmf(session_id, digit, duration_ms)

    def set_hold(self, session_id: str, held: bool) -> None:
        self._plane.set_hold(session_id, held)

    def hold(self, session_id: str, music: str | None = None) -> None:
        self._plane.hold(session_id, music)

    def resume(self, session_id: str) -> None:
        self._plane.resume(session_id)

    def join(self, session_id: str, conference: str) -> None:
        self._plane.join(session_id, conference)

    def part(self, session_id: str) -> None:
        self._plane.part(session_id)

    def detach_agents(self, session_id: str) -> None:
        self._plane.detach_agents(session_id)

    def take_leg(self, session_id: str, other: str) -> None:
        self._plane.take_leg(session_id, other)

    async def report(self, session_id: str) -> SessionReport | None:
        return await self._plane.report(session_id)

    def notify(self, session_id: str, message: Mapping[str, Any]) -> None:
        self._plane.notify(session_id, message)

    def attach_stream(self, session_id: str, connection: socket.socket, request: bytes) -> None:
        self._plane.attach_stream(session_id, connection, request)

    async def close(self, session_id: str) -> SessionReport:
        return await self._plane.close(session_id)

    async def stop(self) -> None:
        await self._plane.stop()
