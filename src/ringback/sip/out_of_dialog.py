"""Requests that belong to no call: OPTIONS, MESSAGE and the like, both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringback.sip.authentication import Credentials
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import ExtraHeaders
from ringback.sip.message import Request
from ringback.sip.transport import Flow
from ringback.sip.uri import Uri

Respond = Callable[[int, str | None, ExtraHeaders, bytes, str | None, float], bool]
"""Status, reason, headers, body, content type, now."""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request to send outside of a dialog; also names its ``ResponseReceived``.

    ``to`` defaults to ``target``. Without ``contact_user`` there is no Contact.
    """

    method: str
    target: Uri
    from_: NameAddr
    to: NameAddr | None = None
    body: bytes = b""
    content_type: str | None = None
    contact_user: str | None = None
    headers: ExtraHeaders = ()
    credentials: Credentials | None = None
    routes: tuple[NameAddr, ...] = ()


class IncomingRequest:
    """A request, in or out of a dialog, that its owner answers."""

    __slots__ = ("_answered", "_ignore", "_respond", "flow", "request")

    def __init__(
        self, request: Request, flow: Flow, respond: Respond, ignore: Callable[[], None]
    ) -> None:
        self.request = request
        self.flow = flow
        self._respond = respond
        self._ignore = ignore
        self._answered = False

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: ExtraHeaders = (),
        body: bytes = b"",
        content_type: str | None = None,
        now: float,
    ) -> bool:
        """Send a response; ``False`` if a final one was sent already or it is too late."""
        if self._answered:
            return False
        sent = self._respond(status, reason, headers, body, content_type, now)
        self._answered = self._answered or (sent and status >= 200)
        return sent

    def ignore(self, *, now: float) -> bool:
        """Say nothing at all: for scanners."""
        if self._answered:
            return False
        self._answered = True
        self._ignore()
        return True
