"""The life of one call at one end. Everything that decides a transition is in ``TRANSITIONS``."""

from __future__ import annotations

from enum import StrEnum


class SessionState(StrEnum):
    # outbound
    CALLING = "calling"
    """INVITE sent, no response from the hop in use."""
    PROCEEDING = "proceeding"
    REDIRECTED = "redirected"
    """3xx received; the owner says whether to follow."""
    # inbound
    INCOMING = "incoming"
    ANSWERED = "answered"
    """2xx sent, not acknowledged."""
    # both
    CONFIRMED = "confirmed"
    ENDED = "ended"

    @property
    def ended(self) -> bool:
        return self is SessionState.ENDED


class SessionInput(StrEnum):
    """What moves a session. Ours: ACCEPT, HANG_UP (cancel, reject, ignore, bye), RETRY."""

    PROVISIONAL = "provisional"
    ANSWER = "answer"
    REDIRECT = "redirect"
    FAILURE = "failure"
    RETRY = "retry"
    """The INVITE goes out again: with credentials, to the next hop, to a redirect's target."""
    ACCEPT = "accept"
    ACK = "ack"
    ACK_TIMEOUT = "ack_timeout"
    """No ACK for our 2xx, or no PRACK for our reliable provisional response."""
    HANG_UP = "hang_up"
    REMOTE_CANCEL = "remote_cancel"
    REMOTE_BYE = "remote_bye"
    LOST = "lost"
    """The peer does not know the dialog any more."""


_S = SessionState
_I = SessionInput

TRANSITIONS: dict[tuple[SessionState, SessionInput], SessionState] = {
    (_S.CALLING, _I.PROVISIONAL): _S.PROCEEDING,
    (_S.CALLING, _I.ANSWER): _S.CONFIRMED,
    (_S.CALLING, _I.REDIRECT): _S.REDIRECTED,
    (_S.CALLING, _I.FAILURE): _S.ENDED,
    (_S.CALLING, _I.RETRY): _S.CALLING,
    (_S.CALLING, _I.HANG_UP): _S.ENDED,
    (_S.PROCEEDING, _I.PROVISIONAL): _S.PROCEEDING,
    (_S.PROCEEDING, _I.ANSWER): _S.CONFIRMED,
    (_S.PROCEEDING, _I.REDIRECT): _S.REDIRECTED,
    (_S.PROCEEDING, _I.FAILURE): _S.ENDED,
    (_S.PROCEEDING, _I.RETRY): _S.CALLING,
    (_S.PROCEEDING, _I.HANG_UP): _S.ENDED,
    (_S.PROCEEDING, _I.REMOTE_BYE): _S.ENDED,
    (_S.REDIRECTED, _I.RETRY): _S.CALLING,
    (_S.REDIRECTED, _I.FAILURE): _S.ENDED,
    (_S.REDIRECTED, _I.HANG_UP): _S.ENDED,
    (_S.INCOMING, _I.PROVISIONAL): _S.INCOMING,
    (_S.INCOMING, _I.ACCEPT): _S.ANSWERED,
    (_S.INCOMING, _I.HANG_UP): _S.ENDED,
    (_S.INCOMING, _I.REMOTE_CANCEL): _S.ENDED,
    (_S.INCOMING, _I.REMOTE_BYE): _S.ENDED,
    (_S.INCOMING, _I.ACK_TIMEOUT): _S.ENDED,
    (_S.ANSWERED, _I.ACK): _S.CONFIRMED,
    (_S.ANSWERED, _I.ACK_TIMEOUT): _S.ENDED,
    (_S.ANSWERED, _I.HANG_UP): _S.ENDED,
    (_S.ANSWERED, _I.REMOTE_BYE): _S.ENDED,
    (_S.ANSWERED, _I.LOST): _S.ENDED,
    (_S.CONFIRMED, _I.ACK_TIMEOUT): _S.ENDED,
    (_S.CONFIRMED, _I.HANG_UP): _S.ENDED,
    (_S.CONFIRMED, _I.REMOTE_BYE): _S.ENDED,
    (_S.CONFIRMED, _I.LOST): _S.ENDED,
}


def next_state(state: SessionState, happened: SessionInput) -> SessionState | None:
    """The state after ``happened``, or ``None`` where it means nothing (a late or double one)."""
    return TRANSITIONS.get((state, happened))
