"""What a platform connector gives to calls, and what calls give to a connector.

A connector brings one platform in. It never sees an account's tables: it gets a ``CallSink`` to
report to and is handed plain data to dial with. Differences between platforms are
``Capability`` values, never a platform's name in an ``if``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ringback.core.end_reason import EndReason


class Capability(StrEnum):
    AUDIO_IN = "audio_in"
    AUDIO_OUT = "audio_out"
    READ = "read"
    WRITE = "write"
    TYPING = "typing"
    FILES = "files"
    DTMF = "dtmf"
    HOLD = "hold"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a leg ended, as precisely as the platform says it.

    ``sip_code`` and ``q850`` are ``None`` where the platform has none; ``text`` is the far end's
    own wording (a Reason header's text, a status line's phrase).
    """

    reason: EndReason
    sip_code: int | None = None
    q850: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class InboundOffer:
    """A call that somebody places to us."""

    platform: str
    account_id: str
    caller: str
    """E.164 where it is a number, else the SIP user part or URI."""
    caller_name: str
    callee: str
    """The number or name that was called, E.164 where it is one."""
    agent_id: str | None
    auto_answer: bool
    phone_number_id: str | None = None
    trunk_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Platform headers an agent may see (``X-…``, Diversion, Identity)."""
    identity: Mapping[str, object] | None = None
    """What the caller's STIR/SHAKEN token claims (RFC 8225), not verified here; ``None``: none."""


@dataclass(frozen=True, slots=True)
class DialRequest:
    """A call that we place."""

    call_id: str
    account_id: str
    target: str
    """What the API was given: ``sip:…``, ``sips:…`` or an E.164 number."""
    caller_id: str | None = None
    trunk_id: str | None = None
    ring_timeout: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """``X-`` headers to send along."""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What became of a transfer that we asked the far end to make.

    ``status`` is the last that was heard: of the REFER where that was refused, else of the new
    call as its NOTIFYs tell it. ``refused``: the far end did not even try (so somebody else may).
    """

    done: bool
    refused: bool
    status: int
    text: str


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One signalling message of a call, secrets masked. Addresses are ``host:port``."""

    at: datetime
    outgoing: bool
    transport: str
    local: str
    remote: str
    data: bytes


class LegControl(Protocol):
    """One leg of one call on its platform. Every method is safe to call in any state."""

    async def ring(self) -> None: ...

    async def accept(self) -> None:
        """Answer an inbound call. ``leg_answered`` is reported when the far end has it."""
        ...

    async def reject(self, reason: EndReason) -> None: ...

    async def hang_up(self, reason: EndReason) -> None:
        """End the leg, whatever its state (BYE, CANCEL or a final response)."""
        ...

    async def hold(self) -> None:
        """Ask the far end to hear without speaking. Returns when it has agreed.

        Raises ``Conflict`` (code ``call_not_active``) before the answer and ``UpstreamFailed``
        (``hold_refused``) where the far end refuses; the call goes on as it was.
        """
        ...

    async def resume(self) -> None:
        """End ``hold``; raises as ``hold`` does."""
        ...

    async def transfer(self, target: str, replaces: LegControl | None = None) -> TransferResult:
        """Ask the far end to call ``target`` (as in :class:`DialRequest`) in our place; with
        ``replaces``, to take the place that we have in that other leg of this connector, which
        must be answered. Returns when it is decided; the leg itself is not hung up.

        Raises ``InvalidRequest`` for a target that is none and ``Conflict`` before the answer.
        """
        ...

    @property
    def trunk_id(self) -> str | None:
        """The trunk that carries the leg; ``None`` where there is none."""
        ...

    @property
    def dtmf_method(self) -> str:
        """How keys are to be sent unless somebody asks for a way: ``auto``, ``rtp``, ``inband``, or
        ``info`` for ``send_dtmf``."""
        ...

    async def send_dtmf(self, digits: str) -> None:
        """Press keys by signalling (SIP INFO), one after another. Raises ``UpstreamFailed`` (code
        ``dtmf_refused``) where the far end takes none."""
        ...

    def trace(self) -> Sequence[TracedMessage]:
        """The signalling so far, oldest first, bounded."""
        ...


class CallSink(Protocol):
    """What a connector reports to (implemented by the call service)."""

    def takes_calls(self) -> bool:
        """Whether this node takes new calls now. Asked for each new call before anything is done
        for it; ``False`` counts as one turned away."""
        ...

    async def offered(self, offer: InboundOffer, leg: LegControl) -> str:
        """A new inbound call, media session not yet opened. Returns the call id.

        Raises :class:`ringback.core.errors.RingbackError` when the call must not go on (no
        agent, limits, shutting down): the connector turns its kind into the platform's refusal.
        """
        ...

    def leg_ringing(self, call_id: str) -> None: ...

    def leg_early_media(self, call_id: str) -> None: ...

    def leg_answered(self, call_id: str) -> None: ...

    def leg_held(self, call_id: str, held: bool) -> None: ...

    def leg_dtmf(self, call_id: str, digit: str, duration_ms: int) -> None:
        """A key that came by signalling (SIP INFO); keys in the media come from the plane."""
        ...

    async def leg_transfer_requested(self, call_id: str, target: str) -> None:
        """The far end asks us to go on with somebody else (REFER). Returns when the connector may
        dial ``target`` for this call; raises a ``RingbackError`` when it must not (limits)."""
        ...

    def leg_replaced(self, call_id: str, leg: LegControl, remote: str, name: str) -> None:
        """``leg`` has taken the place of the call's leg (attended transfer by the far end, or a
        REFER that we followed): same call, same agent, another person (number and name). The old
        leg reports nothing more."""
        ...

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        """The leg is over, once per call, for whatever reason, ours included."""
        ...


class CallConnector(Protocol):
    """One platform that can carry calls."""

    platform: str
    capabilities: frozenset[Capability]

    async def start(self, sink: CallSink) -> None: ...

    async def dial(self, request: DialRequest) -> LegControl:
        """Start an outbound call and return at once; progress goes to the sink.

        Raises ``NotConfigured`` without a trunk, ``InvalidRequest`` for a target that is none.
        """
        ...

    async def stop(self) -> None:
        """End every leg that is left and close the sockets."""
        ...
