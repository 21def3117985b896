"""SIP status codes and Q.850 causes against the words that an API user reads.

Sources: RFC 3261 section 21, RFC 3326 (Reason), RFC 3398 section 7.2 (ISUP to SIP), ITU-T Q.850.
"""

from __future__ import annotations

from ringback.connectors.contract import Cause
from ringback.core.end_reason import EndReason
from ringback.core.errors import ErrorKind
from ringback.sip.events import Cancelled, EndCause, Ended, EndedBy, Failure, InviteFailed
from ringback.sip.headers import Reason

STATUS_REASONS: dict[int, EndReason] = {
    401: EndReason.NOT_ALLOWED,
    402: EndReason.NOT_ALLOWED,
    403: EndReason.NOT_ALLOWED,
    404: EndReason.INVALID_NUMBER,
    405: EndReason.UNAVAILABLE,
    406: EndReason.CODEC_MISMATCH,
    407: EndReason.NOT_ALLOWED,
    408: EndReason.NO_ANSWER,
    410: EndReason.INVALID_NUMBER,
    415: EndReason.CODEC_MISMATCH,
    416: EndReason.INVALID_NUMBER,
    480: EndReason.UNAVAILABLE,
    484: EndReason.INVALID_NUMBER,
    485: EndReason.INVALID_NUMBER,
    486: EndReason.BUSY,
    487: EndReason.CANCELLED,
    488: EndReason.CODEC_MISMATCH,
    600: EndReason.BUSY,
    603: EndReason.DECLINED,
    604: EndReason.INVALID_NUMBER,
    606: EndReason.CODEC_MISMATCH,
    607: EndReason.DECLINED,
    608: EndReason.DECLINED,
}
"""What a final response to our INVITE means; a class of its own for the rest (below)."""

Q850_REASONS: dict[int, EndReason] = {
    1: EndReason.INVALID_NUMBER,
    3: EndReason.UNAVAILABLE,
    17: EndReason.BUSY,
    18: EndReason.NO_ANSWER,
    19: EndReason.NO_ANSWER,
    20: EndReason.UNAVAILABLE,
    21: EndReason.DECLINED,
    22: EndReason.INVALID_NUMBER,
    27: EndReason.UNAVAILABLE,
    28: EndReason.INVALID_NUMBER,
    34: EndReason.UNAVAILABLE,
    38: EndReason.NETWORK_ERROR,
    41: EndReason.UNAVAILABLE,
    42: EndReason.UNAVAILABLE,
    55: EndReason.NOT_ALLOWED,
    57: EndReason.NOT_ALLOWED,
}
"""What the network's own cause means where the status code alone is vague."""

VAGUE_STATUS = frozenset({480, 500, 502, 503, 504})
"""Codes that gateways use for many causes: a Q.850 cause beside them tells more."""

REFUSAL_STATUS: dict[EndReason, tuple[int, str]] = {
    EndReason.BUSY: (486, "Busy Here"),
    EndReason.REFUSED: (603, "Decline"),
    EndReason.DECLINED: (603, "Decline"),
    EndReason.UNANSWERED: (480, "Temporarily Unavailable"),
    EndReason.UNAVAILABLE: (480, "Temporarily Unavailable"),
    EndReason.INVALID_NUMBER: (404, "Not Found"),
    EndReason.NOT_ALLOWED: (403, "Forbidden"),
    EndReason.CODEC_MISMATCH: (488, "Not Acceptable Here"),
    EndReason.SHUTDOWN: (503, "Service Unavailable"),
    EndReason.INTERNAL_ERROR: (500, "Server Internal Error"),
}
"""How we refuse a ringing call; anything else is a 480."""

ERROR_STATUS: dict[ErrorKind, tuple[int, str]] = {
    ErrorKind.NOT_FOUND: (404, "Not Found"),
    ErrorKind.FORBIDDEN: (403, "Forbidden"),
    ErrorKind.UNAUTHENTICATED: (403, "Forbidden"),
    ErrorKind.LIMIT: (486, "Busy Here"),
    ErrorKind.CONFLICT: (486, "Busy Here"),
    ErrorKind.NOT_CONFIGURED: (480, "Temporarily Unavailable"),
    ErrorKind.UNAVAILABLE: (503, "Service Unavailable"),
    ErrorKind.UPSTREAM: (503, "Service Unavailable"),
    ErrorKind.INVALID: (400, "Bad Request"),
}
"""The edge's map from a refused offer to the caller's status line."""


def cause_of_status(status: int, phrase: str = "", q850: int | None = None) -> Cause:
    """What a final response to our INVITE says about the call."""
    if q850 in Q850_REASONS and (status in VAGUE_STATUS or status not in STATUS_REASONS):
        reason = Q850_REASONS[q850]
    elif status in STATUS_REASONS:
        reason = STATUS_REASONS[status]
    elif status >= 600:
        reason = EndReason.DECLINED
    else:
        reason = EndReason.UNAVAILABLE
    return Cause(reason, sip_code=status, q850=q850, text=phrase)


def refusal(reason: EndReason) -> tuple[int, str]:
    """The status line with which a ringing call is turned down for ``reason``."""
    return REFUSAL_STATUS.get(reason, (480, "Temporarily Unavailable"))


def refusal_of_error(kind: ErrorKind) -> tuple[int, str]:
    return ERROR_STATUS.get(kind, (500, "Server Internal Error"))


def cause_of_ending(event: InviteFailed | Cancelled | Ended, our_reason: EndReason | None) -> Cause:
    """``our_reason`` is why we hung up, if we did."""
    match event:
        case Cancelled():
            return Cause(EndReason.CALLER_CANCELLED, q850=q850_of(event.reasons))
        case InviteFailed():
            return _cause_of_failure(event, our_reason)
        case _:
            return _cause_of_end(event, our_reason)


def _cause_of_failure(event: InviteFailed, our_reason: EndReason | None) -> Cause:
    if our_reason is not None:
        return Cause(our_reason, event.status, text=event.reason)
    q850 = q850_of(event.reasons)
    if event.failure is Failure.UNAUTHORIZED:
        return Cause(EndReason.NOT_ALLOWED, event.status, q850, event.reason)
    if event.failure in (Failure.TIMEOUT, Failure.UNREACHABLE) and event.response is None:
        return Cause(EndReason.NETWORK_ERROR, event.status, q850, event.detail or event.reason)
    return cause_of_status(event.status, text_of(event.reasons) or event.reason, q850)


_SIGNALLING_CAUSES = {
    EndCause.ACK_TIMEOUT: EndReason.ACK_TIMEOUT,
    EndCause.PRACK_TIMEOUT: EndReason.ACK_TIMEOUT,
    EndCause.SESSION_EXPIRED: EndReason.SESSION_EXPIRED,
}


def _cause_of_end(event: Ended, our_reason: EndReason | None) -> Cause:
    q850, text = q850_of(event.reasons), text_of(event.reasons)
    if event.by is EndedBy.LOCAL:
        return Cause(our_reason or EndReason.AGENT_HANGUP)
    if event.cause in _SIGNALLING_CAUSES:
        return Cause(_SIGNALLING_CAUSES[event.cause])
    if event.by is EndedBy.REMOTE and event.cause is EndCause.BYE:
        return Cause(EndReason.CALLER_HANGUP, q850=q850, text=text)
    return Cause(EndReason.NETWORK_ERROR, q850=q850, text=text or event.cause.value)


def q850_of(reasons: tuple[Reason, ...]) -> int | None:
    return next((r.cause for r in reasons if r.protocol.upper() == "Q.850"), None)


def text_of(reasons: tuple[Reason, ...]) -> str:
    return next((r.text for r in reasons if r.text), "") or ""
