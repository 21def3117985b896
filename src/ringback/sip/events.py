"""What a :class:`~ringback.sip.endpoint.SipEndpoint` reports.

A session ends exactly once, with exactly one of ``ENDING_EVENTS``; no other event names it
afterwards. ``reasons`` are the Reason headers (RFC 3326) of the message that ended it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.headers import Reason
from ringback.sip.invite_session import InviteSession
from ringback.sip.message import Request, Response
from ringback.sip.out_of_dialog import IncomingRequest, OutgoingRequest
from ringback.sip.refer_states import ReferStage
from ringback.sip.referral import Referral
from ringback.sip.registration import RegistrationChanged
from ringback.sip.transport import Flow
from ringback.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class ReplacedCall:
    """The call that a Replaces header names, or (``session`` is ``None``) the ``status`` with
    which RFC 3891 section 3 wants it refused."""

    session: InviteSession | None
    status: int = 200


# ---- a call is being set up -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """Somebody calls: answer with ``progress``, ``accept``, ``reject`` or ``ignore``.

    100 Trying is sent by itself. ``sdp`` is ``None`` when the caller wants our offer.
    """

    session: InviteSession
    request: Request
    flow: Flow
    sdp: bytes | None
    replaced: ReplacedCall | None = None
    """The caller wants the place of another call's peer (RFC 3891); ``None``: a plain call."""


@dataclass(frozen=True, slots=True)
class ProvisionalReceived:
    """100 to 199. ``fork`` is the To tag: each fork rings, and plays early media, by itself.
    Reliable ones (RFC 3262) are acknowledged, come in order and once."""

    session: InviteSession
    response: Response
    fork: str | None
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Answered:
    """Our call was answered and the answer acknowledged. Comes once: further forks that answer
    are hung up. ``sdp`` is the description that counts: the one of a reliable provisional
    response of this fork, else that of the 200, else the last early one of this fork; ``None``
    only where the peer broke RFC 3261 13.2.1, or where we answered its offer."""

    session: InviteSession
    response: Response
    fork: str | None
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Acked:
    """The caller acknowledged our answer. ``sdp`` is their answer if the offer was ours."""

    session: InviteSession
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Redirected:
    """3xx. Answer with ``follow_redirect`` (hops resolved) or ``refuse_redirect``. ``targets``
    are the contacts in order of preference; never empty."""

    session: InviteSession
    targets: tuple[Uri, ...]
    response: Response


# ---- a call changes ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """re-INVITE, UPDATE or PRACK: answer with ``respond_offer`` or ``reject_offer``. ``sdp`` is
    ``None`` when the peer asks for our offer."""

    session: InviteSession
    method: str
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class OfferWithdrawn:
    """The peer cancelled its re-INVITE before we answered; the session is as it was."""

    session: InviteSession


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The answer to an offer of ours: to ``reinvite``, ``update`` or ``respond_offer``, or to
    the one in a reliable provisional response (in its PRACK)."""

    session: InviteSession
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class OfferFailed:
    """Our ``reinvite`` or ``update`` was refused; the session is as it was. ``response`` is
    ``None`` for a timeout (408) and for an unreachable peer (503)."""

    session: InviteSession
    status: int
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class RefreshDue:
    """The session timer wants a refresh from a peer that takes no UPDATE: ``reinvite`` with the
    description as it is. Without it the session expires."""

    session: InviteSession


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO, already answered with 200."""

    session: InviteSession
    content_type: str
    body: bytes
    request: Request


@dataclass(frozen=True, slots=True)
class InDialogRequest:
    """A request of a method in ``EndpointConfig.interests`` (REFER, NOTIFY …): respond to it."""

    session: InviteSession
    incoming: IncomingRequest


@dataclass(frozen=True, slots=True)
class RequestCompleted:
    """What ``session.request`` or ``session.info`` came to."""

    session: InviteSession
    method: str
    status: int
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class ReferReceived:
    """The far end transfers us: ``accept`` or ``reject`` the referral, then ``report`` on it."""

    session: InviteSession
    referral: Referral


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """What becomes of ``InviteSession.refer``. ``ReferStage`` says whose ``status`` it is."""

    session: InviteSession
    stage: ReferStage
    status: int
    reason: str


# ---- a call ends ------------------------------------------------------------------------------


class Failure(StrEnum):
    REJECTED = "rejected"
    """The far end's final response."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No hop could be sent to."""
    UNAUTHORIZED = "unauthorized"
    """Challenged, and we have no credentials or they were refused."""


class EndedBy(StrEnum):
    LOCAL = "local"
    REMOTE = "remote"
    NEITHER = "neither"
    """The signalling broke down."""


class EndCause(StrEnum):
    BYE = "bye"
    CANCELLED = "cancelled"
    """We cancelled our own call."""
    REJECTED = "rejected"
    """We refused an inbound call."""
    ACK_TIMEOUT = "ack_timeout"
    """Our answer was never acknowledged."""
    DIALOG_LOST = "dialog_lost"
    """The peer does not know the call any more (481), or a re-INVITE got no response."""
    SESSION_EXPIRED = "session_expired"
    """Nobody refreshed the session in time, or the refresh got no response (RFC 4028)."""
    PRACK_TIMEOUT = "prack_timeout"
    """Our reliable provisional response was never acknowledged (RFC 3262)."""


@dataclass(frozen=True, slots=True)
class InviteFailed:
    """Ends an outbound session: no answer will come. ``response`` is the last final response;
    without one ``status`` is 408 (timeout) or 503 (unreachable), RFC 3261 8.1.3.1, and ``detail``
    says in words why nothing could be sent, if that is known."""

    session: InviteSession
    failure: Failure
    status: int
    reason: str
    reasons: tuple[Reason, ...] = ()
    response: Response | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ends an inbound session: the caller gave up (487 is sent)."""

    session: InviteSession
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """Ends any other session."""

    session: InviteSession
    by: EndedBy
    cause: EndCause
    reasons: tuple[Reason, ...] = ()
    request: Request | None = None
    """The peer's BYE, where that ended it."""


ENDING_EVENTS = (InviteFailed, Cancelled, Ended)

# ---- outside of calls -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutOfDialogRequest:
    """A request of a method in ``EndpointConfig.interests``: respond to it."""

    incoming: IncomingRequest


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """The final response to ``SipEndpoint.request``. ``response`` is ``None`` for a timeout (408)
    and for an unreachable peer (503)."""

    request: OutgoingRequest
    status: int
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class ResolveNeeded:
    """Find the hops of ``uri`` (RFC 3263) and hand them to ``SipEndpoint.resolved(key, …)``.

    ``key`` is ``Registration.id`` where a registration asks; any other key belongs to a request
    within a call whose peer gave a name for an address: resolve ``uri`` as it stands.
    """

    key: str
    uri: Uri


class DropReason(StrEnum):
    UNPARSABLE = "unparsable"
    INVALID = "invalid"
    STRAY_RESPONSE = "stray_response"
    WRONG_SENT_BY = "wrong_sent_by"
    STRAY_ACK = "stray_ack"
    OVERLOAD = "overload"
    STRANGER = "stranger"
    """A request that its sender may not make, answered without being remembered."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message that nothing here wanted. ``SipEndpoint.dropped`` counts them by reason."""

    why: DropReason
    flow: Flow
    detail: str = ""


Event = (
    IncomingInvite
    | ProvisionalReceived
    | Answered
    | Acked
    | Redirected
    | OfferReceived
    | OfferWithdrawn
    | OfferAnswered
    | OfferFailed
    | RefreshDue
    | InfoReceived
    | InDialogRequest
    | RequestCompleted
    | ReferReceived
    | ReferProgress
    | InviteFailed
    | Cancelled
    | Ended
    | OutOfDialogRequest
    | ResponseReceived
    | RegistrationChanged
    | ResolveNeeded
    | Dropped
)
