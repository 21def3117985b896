"""One telephone line: a SIP account (or none) and whatever call is on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ringback.connectors.contract import Cause, DialRequest, InboundOffer, LegControl
from ringback.connectors.sip.directory import (
    InboundQuery,
    OutboundRoute,
    Refusal,
    Route,
    TrunkAccount,
)
from ringback.core.errors import Forbidden, InvalidRequest, NotConfigured, Unavailable
from ringback.sip.errors import SipError
from ringback.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class Account:
    """Who calls. Without a ``registrar`` the call goes straight to the called address."""

    username: str = "ringback"
    password: str = field(default="", repr=False)
    registrar: str | None = None
    transport: str = "udp"


def parse_target(target: str, account: Account) -> Uri:
    """``sip:user@host``, ``user@host`` or, with a registrar, a number. Raises InvalidRequest."""
    text = target.strip()
    if "@" not in text and not text.startswith(("sip:", "sips:")):
        if account.registrar is None:
            raise InvalidRequest(
                f"{target!r} is no address that can be called from here.",
                hint="Write sip:user@host, or give --registrar to call a number.",
            )
        text = f"{text}@{account.registrar}"
    if not text.startswith(("sip:", "sips:")):
        text = f"sip:{text}"
    try:
        uri = Uri.parse(text)
    except SipError as error:
        raise InvalidRequest(f"{target!r} is not a SIP address: {error}.") from error
    if not uri.user:
        raise InvalidRequest(f"{target!r} names nobody to call.", hint="Write sip:user@host.")
    return uri


class OneLine:
    """Implements ``SipDirectory`` with a single account: calls out, none in."""

    def __init__(self, account: Account, target: Uri) -> None:
        host = account.registrar or target.host
        name, _, port = host.partition(":")
        tls = target.scheme == "sips" or account.transport == "tls"
        named = (target.params.get("transport") or account.transport).lower()
        self._target = target
        self.registered = asyncio.Event()
        self.refused = ""
        self.trunk = TrunkAccount(
            id="line",
            account_id="softphone",
            registers=account.registrar is not None,
            host=name,
            port=int(port) if port.isdigit() else (None if account.registrar else target.port),
            transport="tls" if tls else "tcp" if named == "tcp" else "udp",
            domain=name,
            username=account.username,
            auth_username=account.username,
            password=account.password,
            contact_token="softphone",
        )

    async def trunks(self) -> Sequence[TrunkAccount]:
        return [self.trunk]

    def on_trunk_change(self, listener: Callable[[], None]) -> None:
        """The one account never changes."""

    async def route_inbound(self, query: InboundQuery) -> Route | Refusal:
        return Refusal(480, "Temporarily Unavailable", "this line only calls out")

    async def route_outbound(self, request: DialRequest) -> OutboundRoute:
        return OutboundRoute(self.trunk, self._target.user or "", None)

    def trunk_resolved(self, trunk_id: str, hosts: Sequence[str]) -> None:
        """Nobody calls in, so nobody has to be recognised."""

    def registration_changed(
        self, trunk_id: str, status: str, reason: str, expires_in: float | None
    ) -> None:
        if status == "registered":
            self.registered.set()
        elif status == "unregistered":
            self.refused = reason
            self.registered.set()

    async def wait_registered(self, within: float) -> None:
        """Raises ``NotConfigured`` with the registrar's refusal in words."""
        try:
            await asyncio.wait_for(self.registered.wait(), within)
        except TimeoutError:
            self.refused = f"{self.trunk.host} does not answer."
        if self.refused:
            raise NotConfigured(
                f"Not registered: {self.refused}",
                hint="Check --registrar, --username and --password.",
            )


@dataclass(slots=True)
class CallProgress:
    """Implements ``CallSink`` for one outbound call."""

    on_news: Callable[[str], None]
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    cause: Cause | None = None

    def takes_calls(self) -> bool:
        return True

    async def offered(self, offer: InboundOffer, leg: LegControl) -> str:
        raise Unavailable("This line only calls out.")

    def leg_ringing(self, call_id: str) -> None:
        self.on_news("ringing")

    def leg_early_media(self, call_id: str) -> None:
        self.on_news("early media")

    def leg_answered(self, call_id: str) -> None:
        self.on_news("answered")
        self.answered.set()

    def leg_held(self, call_id: str, held: bool) -> None:
        self.on_news("on hold" if held else "resumed")

    def leg_dtmf(self, call_id: str, digit: str, duration_ms: int) -> None:
        self.on_news(f"key {digit}")

    async def leg_transfer_requested(self, call_id: str, target: str) -> None:
        raise Forbidden("This phone does not follow transfers.", code="transfer_refused")

    def leg_replaced(self, call_id: str, leg: LegControl, remote: str, name: str) -> None:
        self.on_news(f"now with {name or remote}")

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        self.cause = cause
        self.answered.set()
        self.over.set()
