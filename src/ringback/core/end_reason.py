"""Why a call is over: the one list that the API, the records and every connector share."""

from __future__ import annotations

from enum import StrEnum


class EndReason(StrEnum):
    """Why a call is over: one word each, stable API."""

    # it was a conversation
    CALLER_HANGUP = "caller_hangup"
    """The person on the phone (either direction) hung up."""
    AGENT_HANGUP = "agent_hangup"
    """The agent, or a request to the API, hung up."""
    SILENCE = "silence"
    MAX_DURATION = "max_duration"
    MEDIA_TIMEOUT = "media_timeout"
    """No RTP came for the configured time."""
    SHUTDOWN = "shutdown"
    NODE_LOST = "node_lost"
    """The process that held the call died."""
    ACK_TIMEOUT = "ack_timeout"
    SESSION_EXPIRED = "session_expired"
    """The far end stopped refreshing the session (RFC 4028): it is gone."""
    TRANSFERRED = "transferred"
    """The far end has gone on to somebody else, without us."""
    CONFERENCE_ENDED = "conference_ended"
    """The call that it was joined to is over."""
    MEDIA_LOST = "media_lost"
    """The process that carried the audio died; the rest of the node lives on."""
    ENCRYPTION_FAILED = "encryption_failed"
    """The audio could not be protected as agreed."""

    # inbound, never answered
    UNANSWERED = "unanswered"
    """Nobody accepted within the ringing time."""
    CALLER_CANCELLED = "caller_cancelled"
    REFUSED = "refused"
    """The agent refused."""

    # outbound, never answered (the network's or the callee's verdict)
    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    """The agent gave up before an answer."""
    INVALID_NUMBER = "invalid_number"
    UNAVAILABLE = "unavailable"
    """The callee's phone is off, or its provider has no route now (480, 5xx)."""
    NETWORK_ERROR = "network_error"
    """The trunk could not be reached: DNS, connection or timeout."""
    NOT_ALLOWED = "not_allowed"
    """The far end forbids this call (401/403/407 after authentication)."""
    CODEC_MISMATCH = "codec_mismatch"

    # Ringback's own fault
    INTERNAL_ERROR = "internal_error"
    BRIDGE_DISCONNECTED = "bridge_disconnected"
