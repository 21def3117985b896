"""What a transfer is made of: Refer-To, Subscription-State and sipfrag bodies.

Sources: RFC 3515 (REFER), RFC 3891 (Replaces), RFC 3892 (Referred-By), RFC 6665 (Event,
Subscription-State), RFC 3420 (message/sipfrag).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ringback.sip.errors import HeaderError, ParseError
from ringback.sip.grammar import TOKEN, Scanner
from ringback.sip.headers import HeaderValue, NameAddr, Params, Replaces
from ringback.sip.message import Request
from ringback.sip.status import default_reason
from ringback.sip.uri import Uri

SIPFRAG = "message/sipfrag"
EVENT = "refer"
MAX_PHRASE = 120
"""Characters kept of a status line in a sipfrag."""

_STATUS_LINE = re.compile(rb"\s*SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]+([^\r\n]*))?", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,10}")
_REPLACES = "Replaces"
_METHOD = "method"


@dataclass(frozen=True, slots=True)
class ReferTo(HeaderValue):
    """Whom to call, and in whose place (RFC 3515 2.1, RFC 3891 5).

    ``target`` is clean: without ``method`` and without headers but those that are not ours to
    know, which are dropped. ``method`` is what the URI asked for, INVITE where it says nothing.
    """

    target: Uri
    replaces: Replaces | None = None
    method: str = "INVITE"
    display: str = ""

    @classmethod
    def parse(cls, text: str) -> ReferTo:
        """Raises :class:`HeaderError`, also for a Replaces in it that cannot be read."""
        address = NameAddr.parse(text, "Refer-To")
        uri = address.uri
        embedded = uri.header(_REPLACES)
        replaces = None if embedded is None else Replaces.parse(embedded)
        method = (uri.params.get(_METHOD) or "INVITE").upper()
        target = replace(uri.without_param(_METHOD), headers=())
        return cls(target, replaces, method, address.display)

    @classmethod
    def of(cls, request: Request) -> ReferTo:
        """Of a REFER, which has exactly one (RFC 3515 2.4.1). Raises :class:`HeaderError`."""
        values = request.headers.get_all("Refer-To")
        if len(values) != 1:
            raise HeaderError("Refer-To", "expected exactly one")
        return cls.parse(values[0])

    def __str__(self) -> str:
        uri = self.target
        if self.method != "INVITE":
            uri = uri.with_param(_METHOD, self.method)
        if self.replaces is not None:
            uri = uri.with_header(_REPLACES, str(self.replaces))
        return str(NameAddr(uri, self.display))


@dataclass(frozen=True, slots=True)
class SubscriptionState(HeaderValue):
    """``active;expires=60`` or ``terminated;reason=noresource`` (RFC 6665 8.2.3)."""

    state: str
    expires: int | None = None
    reason: str = ""

    @classmethod
    def parse(cls, text: str) -> SubscriptionState:
        try:
            scanner = Scanner(text)
            scanner.skip_space()
            state = scanner.take(TOKEN, "a state").lower()
            params = Params.scan(scanner)
            scanner.end()
        except ParseError as error:
            message = error.message
            raise HeaderError("Subscription-State", message, position=error.position) from error
        expires = params.get("expires")
        known = expires is not None and _DIGITS.fullmatch(expires) is not None
        return cls(state, int(expires or 0) if known else None, params.get("reason") or "")

    @property
    def is_over(self) -> bool:
        return self.state == "terminated"

    def __str__(self) -> str:
        expires = "" if self.expires is None else f";expires={self.expires}"
        return f"{self.state}{expires}{f';reason={self.reason}' if self.reason else ''}"


@dataclass(frozen=True, slots=True)
class EventType(HeaderValue):
    """``refer`` or ``refer;id=93809824`` (RFC 6665 8.2.1)."""

    package: str
    id: str | None = None

    @classmethod
    def of(cls, request: Request) -> EventType | None:
        """``None`` where the header is absent or cannot be read."""
        text = request.headers.get("Event")
        if text is None:
            return None
        try:
            scanner = Scanner(text)
            scanner.skip_space()
            package = scanner.take(TOKEN, "a package").lower()
            params = Params.scan(scanner)
        except ParseError:
            return None
        return cls(package, params.get("id"))

    def __str__(self) -> str:
        return self.package if self.id is None else f"{self.package};id={self.id}"


def sipfrag(status: int, reason: str = "") -> bytes:
    """The body of a NOTIFY that tells how the new call is going."""
    words = "".join(c for c in reason or default_reason(status) if c.isprintable())
    return f"SIP/2.0 {status} {words[:MAX_PHRASE]}\r\n".encode()


def sipfrag_status(body: bytes) -> tuple[int, str] | None:
    """Status and phrase of the response in ``body``; ``None`` where it starts with none."""
    found = _STATUS_LINE.match(body)
    if found is None:
        return None
    phrase = (found[2] or b"").decode("utf-8", "replace").strip()
    return int(found[1]), phrase[:MAX_PHRASE]
