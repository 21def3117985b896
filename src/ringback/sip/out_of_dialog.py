"""Requests that belong to no call: OPTIONS, MESSAGE and the like, both ways."""

from __future__ import annotations

from dataclasses import dataclass

from ringback.sip.authentication import Credentials
from ringback.sip.headers import NameAddr
from ringback.sip.message import Request
from ringback.sip.transport import Flow
from ringback.sip.uri import Uri


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
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Credentials | None = None
    routes: tuple[NameAddr, ...] = ()


class IncomingRequest:
    """A request, in or out of a dialog, that its owner answers."""

    request: Request
    flow: Flow

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        content_type: str | None = None,
        now: float,
    ) -> bool:
        """Send a response; ``False`` if a final one was sent already or it is too late."""
        raise NotImplementedError

    def ignore(self, *, now: float) -> bool:
        """Say nothing at all: for scanners."""
        raise NotImplementedError
