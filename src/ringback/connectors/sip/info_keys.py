"""Keys pressed by signalling: SIP INFO, in the body type that the far end takes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ringback.core.errors import Conflict, InvalidRequest, UpstreamFailed
from ringback.sip.events import RequestCompleted
from ringback.sip.invite_session import InviteSession

RELAY = "application/dtmf-relay"
PLAIN = "application/dtmf"
UNSUPPORTED_MEDIA_TYPE = 415
KEY_MS = 160
GAP_SECONDS = 0.24
"""From one key to the next."""
PAUSE_SECONDS = 0.5
"""What a comma stands for."""
KEYS = frozenset("0123456789ABCD*#,")
MAX_KEYS = 128


class KeyLeg(Protocol):
    session: InviteSession | None

    @property
    def answered(self) -> bool: ...

    def now(self) -> float: ...

    def pump(self) -> None: ...


class InfoKeys:
    """One key after another; the next goes when the one before was taken."""

    def __init__(self, leg: KeyLeg) -> None:
        self._leg = leg
        self._lock = asyncio.Lock()
        self._types = [RELAY, PLAIN]
        self._answer: asyncio.Future[int] | None = None

    async def press(self, digits: str) -> None:
        """Raises ``InvalidRequest`` for what is no key, ``Conflict`` before the answer and
        ``UpstreamFailed`` (code ``dtmf_refused``) where the far end takes none."""
        keys = digits.upper()
        if not keys or len(keys) > MAX_KEYS or not KEYS.issuperset(keys):
            raise InvalidRequest(
                f"Keys are 0-9, A-D, * and #, and a comma for a pause; up to {MAX_KEYS}.",
                code="invalid_dtmf",
                field="digits",
            )
        async with self._lock:
            for key in keys:
                if key == ",":
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    await self._press(key)
                    await asyncio.sleep(GAP_SECONDS)

    def completed(self, event: RequestCompleted) -> None:
        if event.method == "INFO" and self._answer is not None and not self._answer.done():
            self._answer.set_result(event.status)

    def stop(self) -> None:
        """The leg is over."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_not_active())

    async def _press(self, key: str) -> None:
        status = await self._send(self._types[0], key)
        if status == UNSUPPORTED_MEDIA_TYPE and len(self._types) > 1:
            self._types.pop(0)  # for all keys to come, too
            status = await self._send(self._types[0], key)
        if not 200 <= status < 300:
            raise UpstreamFailed(
                f"The far end takes no keys by SIP INFO ({status}).",
                code="dtmf_refused",
                hint="Send them in the audio: method rtp or inband.",
            )

    async def _send(self, content_type: str, key: str) -> int:
        session = self._leg.session
        if session is None or not self._leg.answered:
            raise _not_active()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answer = answer
        body = f"Signal={key}\r\nDuration={KEY_MS}\r\n" if content_type == RELAY else key
        if not session.info(content_type, body.encode(), now=self._leg.now()):
            raise _not_active()
        self._leg.pump()
        try:
            return await answer
        finally:
            self._answer = None


def _not_active() -> Conflict:
    return Conflict("The call is not active.", code="call_not_active")
