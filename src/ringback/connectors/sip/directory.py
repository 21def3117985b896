"""What the SIP connector asks about trunks and numbers, in plain data.

The connector owns signalling; who may call whom is telephony's business. ``SipDirectory`` is
implemented there and handed in by ``app.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ringback.connectors.contract import DialRequest
from ringback.sip.transport import Transport

DEFAULT_CODECS = ("opus", "G722", "PCMA", "PCMU")
"""The best sound first. A trunk names its own order; Opus costs the most CPU time."""


class MediaEncryption(StrEnum):
    """Whether the audio of a trunk is SRTP, and with keys from where."""

    NONE = "none"
    """Plain RTP, whatever is offered."""
    OPTIONAL = "optional"
    """SRTP with whoever can, else plain RTP."""
    REQUIRED = "required"
    """SRTP or no call."""
    SDES = "sdes"
    """As ``required``, with keys from the SDP (RFC 4568) only."""
    DTLS = "dtls"
    """As ``required``, with keys from a DTLS handshake (RFC 5763) only."""


class DtmfMode(StrEnum):
    """How keys are sent; received they are by every way."""

    AUTO = "auto"
    """RFC 4733 where the peer takes it, else tones."""
    RTP = "rtp"
    INBAND = "inband"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class TrunkAccount:
    """One enabled trunk with what is needed to register, dial and recognise it.

    ``domain`` is the host part of its addresses (the provider's realm where one is given);
    ``host`` and ``port`` are where to send. ``contact_token`` is unguessable and goes into our
    registered Contact, so that a call which comes back on it is known to be the provider's.
    """

    id: str
    account_id: str
    registers: bool
    host: str
    port: int | None
    transport: Transport
    domain: str
    username: str
    auth_username: str
    password: str = field(repr=False)
    outbound_proxy: str | None = None
    caller_id: str | None = None
    tls_verify: bool = True
    codecs: tuple[str, ...] = DEFAULT_CODECS
    register_expires: int = 300
    contact_token: str = field(default="", repr=False)
    media_encryption: MediaEncryption = MediaEncryption.NONE
    dtmf_mode: DtmfMode = DtmfMode.AUTO


@dataclass(frozen=True, slots=True)
class InboundQuery:
    """What an INVITE says about itself. Users are unescaped user parts, ``""`` where absent."""

    source_host: str
    request_user: str
    to_user: str
    called_party: str
    from_user: str
    contact_token: str


class Lease(Protocol):
    """A place among the calls that a trunk may carry. Whoever holds it gives it back, once or
    more often, when its leg is over."""

    def answered(self) -> None:
        """The call costs money from now on."""
        ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Route:
    """The call may come in: for this account, to this number and agent."""

    account_id: str
    agent_id: str | None
    callee: str
    auto_answer: bool
    trunk_id: str | None = None
    phone_number_id: str | None = None
    codecs: tuple[str, ...] = DEFAULT_CODECS
    media_encryption: MediaEncryption = MediaEncryption.NONE
    dtmf_mode: DtmfMode = DtmfMode.AUTO
    trusted: bool = False
    """The source is a trunk: what it asserts about the caller is believed."""
    lease: Lease | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call may not come in. ``detail`` is for our log, never for the caller."""

    status: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class OutboundRoute:
    """Which trunk carries a call, the called user as that trunk wants it dialled, and the
    caller's number to show (``None``: the trunk's own user)."""

    trunk: TrunkAccount
    user: str
    caller_id: str | None = None
    lease: Lease | None = field(default=None, compare=False, repr=False)


class SipDirectory(Protocol):
    async def trunks(self) -> Sequence[TrunkAccount]:
        """Every enabled trunk of this node."""
        ...

    def on_trunk_change(self, listener: Callable[[], None]) -> None:
        """``listener`` is called on the event loop after trunks were added, edited or removed."""
        ...

    async def route_inbound(self, query: InboundQuery) -> Route | Refusal: ...

    async def route_outbound(self, request: DialRequest) -> OutboundRoute:
        """Raises ``NotConfigured`` without a trunk, ``InvalidRequest`` for a target that is none
        or that no trunk of the account serves, ``Forbidden`` and ``LimitReached`` for what the
        trunk may not dial, or not now. Every call out passes here."""
        ...

    def trunk_resolved(self, trunk_id: str, hosts: Sequence[str]) -> None:
        """The IP addresses behind a trunk's host name, as last resolved."""
        ...

    def registration_changed(
        self, trunk_id: str, status: str, reason: str, expires_in: float | None
    ) -> None:
        """``status`` is ``registered``, ``unregistered`` or ``unknown``; ``reason`` a sentence."""
        ...
