"""Offers within a call: re-INVITE both ways and UPDATE from the peer (RFC 3261 14, RFC 3311).

One offer at a time: ours or theirs. Ours that meets theirs (491) is made again after the random
time of 14.1, unless theirs changed the session meanwhile: then its owner has to make a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ringback.sip.authentication import Authenticator, AuthRound
from ringback.sip.bodies import SDP, session_description
from ringback.sip.dialog import Dialog
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import OfferAnswered, OfferFailed, OfferReceived, OfferWithdrawn
from ringback.sip.headers import NameAddr
from ringback.sip.invite_attempt import InviteAttempt
from ringback.sip.invite_session import Direction, ExtraHeaders, InviteSession
from ringback.sip.message import Request, Response
from ringback.sip.status import default_reason
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction, TransactionFailure
from ringback.sip.transaction_layer import ReceivedRequest
from ringback.sip.transport import Flow, Hop

MAX_GLARE_RETRIES = 4
"""How often one offer of ours is made again after 491."""

MAX_RETRY_AFTER = 10
"""Seconds; a request that overlaps another is sent away for 0 to this (14.2)."""

WhenAcked = Callable[[bytes | None, float], None]


class Host(Protocol):
    """What a session does for its renegotiation."""

    core: EndpointCore
    authenticator: Authenticator

    def local_contact(self, hop: Hop) -> NameAddr: ...

    def await_ack(
        self,
        transaction: ServerTransaction,
        response: Response,
        cseq: int,
        when_acked: WhenAcked,
        *,
        offered: bool,
        now: float,
    ) -> bool: ...

    def lost(self, now: float) -> None:
        """The peer does not know the dialog any more."""
        ...


@dataclass(slots=True)
class _Theirs:
    """An offer of the peer's that the owner has not answered."""

    received: ReceivedRequest
    transaction: ServerTransaction
    dialog: Dialog
    sdp: bytes | None
    guard: Timer


@dataclass(slots=True)
class _Ours:
    sdp: bytes
    headers: ExtraHeaders
    dialog: Dialog
    round: AuthRound
    retries: int = 0
    outdated: bool = False
    """The peer's offer was accepted while ours waited."""
    attempt: InviteAttempt | None = None
    timer: Timer | None = None


class Renegotiation:
    def __init__(self, host: Host, session: InviteSession) -> None:
        self._host = host
        self._core = host.core
        self._session = session
        self._theirs: _Theirs | None = None
        self._ours: _Ours | None = None

    @property
    def open(self) -> bool:
        """An offer of either side is not settled."""
        return self._theirs is not None or self._ours is not None

    def stop(self, now: float) -> None:
        """The session is over: what the peer asked and was not told yet is 487."""
        ours, self._ours = self._ours, None
        if ours is not None:
            self._core.queue.cancel(ours.timer)
        theirs = self._take_theirs()
        if theirs is not None:
            self._core.reply(theirs.transaction, 487, now=now)

    # ---- theirs -------------------------------------------------------------------------------

    def receive(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
        *,
        unanswered: bool = False,
    ) -> None:
        """A re-INVITE or UPDATE. ``unanswered``: an offer of ours went out in a response and its
        ACK has not come."""
        sdp = session_description(received.request)
        is_invite = received.method == "INVITE"
        if not is_invite and sdp is None:
            self._refresh(received, transaction, dialog, now)
        elif self._theirs is not None:
            self.refuse_overlap(transaction, now)
        elif unanswered or (self._ours is not None and self._ours.attempt is not None):
            self._core.reply(transaction, 491, now=now)
        else:
            guard = self._core.queue.start(
                now + self._core.config.timers.give_up, self._owner_is_silent
            )
            self._theirs = _Theirs(received, transaction, dialog, sdp, guard)
            transaction.user = _Withdrawable(self, transaction, received.to.tag or "")
            self._core.emit(OfferReceived(self._session, received.method, sdp))

    def refuse_overlap(self, transaction: ServerTransaction, now: float) -> None:
        """14.2: the request before this one has no final response yet."""
        seconds = int(self._core.random() * (MAX_RETRY_AFTER + 1))
        self._core.reply(transaction, 500, headers=(("Retry-After", str(seconds)),), now=now)

    def _refresh(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """An UPDATE without an offer: a session timer or a new Contact."""
        _refresh_target(dialog, received.request)
        transaction.respond(self._success(transaction, None, ()), now)

    def respond(self, sdp: bytes, headers: ExtraHeaders, now: float) -> bool:
        if self._theirs is None:
            return False
        response = self._success(self._theirs.transaction, sdp, headers)  # may refuse headers
        theirs = self._theirs
        self._take_theirs()
        offered = theirs.sdp is None
        if theirs.received.method != "INVITE":
            sent = theirs.transaction.respond(response, now)
        else:
            sent = self._host.await_ack(
                theirs.transaction,
                response,
                theirs.received.cseq.number,
                self._late_answer if offered else _ignore_ack,
                offered=offered,
                now=now,
            )
        if sent:
            _refresh_target(theirs.dialog, theirs.received.request)
            if self._ours is not None:
                self._ours.outdated = True
        return sent

    def reject(self, status: int, reason: str | None, headers: ExtraHeaders, now: float) -> bool:
        theirs = self._take_theirs()
        if theirs is None:
            return False
        self._core.reply(theirs.transaction, status, reason, headers=headers, now=now)
        return True

    def _take_theirs(self) -> _Theirs | None:
        theirs, self._theirs = self._theirs, None
        if theirs is not None:
            self._core.queue.cancel(theirs.guard)
        return theirs

    def _owner_is_silent(self, now: float) -> None:
        self.reject(500, None, (), now)

    def _late_answer(self, sdp: bytes | None, now: float) -> None:
        self._core.emit(OfferAnswered(self._session, sdp))

    def withdrawn(self, transaction: ServerTransaction, now: float) -> None:
        """The peer cancelled its re-INVITE."""
        if self._theirs is not None and self._theirs.transaction is transaction:
            self._take_theirs()
            self._core.reply(transaction, 487, now=now)
            self._core.emit(OfferWithdrawn(self._session))

    def _success(
        self, transaction: ServerTransaction, sdp: bytes | None, headers: ExtraHeaders
    ) -> Response:
        response = self._core.response(
            transaction.request, 200, headers=headers, body=sdp or b"", content_type=SDP
        )
        response.headers.set("Contact", self._host.local_contact(transaction.flow.hop))
        response.headers.add("Allow", self._core.config.allow)
        return response

    # ---- ours ---------------------------------------------------------------------------------

    def offer(self, dialog: Dialog, sdp: bytes, headers: ExtraHeaders, now: float) -> bool:
        if self.open:
            return False
        ours = _Ours(sdp, headers, dialog, self._host.authenticator.round())
        self._ours = ours
        self._core.route(dialog, lambda flows, later: self._send(ours, flows, later), now)
        return True

    def _send(self, ours: _Ours, destinations: tuple[Flow, ...], now: float) -> None:
        if self._ours is not ours:
            return
        if not destinations:
            self._fail(503, None, now)
            return
        destination = destinations[0]
        request = self._build(ours, destination)
        ours.attempt = InviteAttempt(self._core, request, destination, self, ours.dialog)
        ours.attempt.start(now)  # its Timer B is set before, and so fires before, the next one
        self._core.queue.cancel(ours.timer)
        ours.timer = self._core.queue.start(
            now + self._core.config.timers.give_up, self._no_final_response
        )

    def _build(self, ours: _Ours, destination: Flow) -> Request:
        request = ours.dialog.request("INVITE")
        request.headers.add("Contact", self._host.local_contact(destination.hop))
        request.headers.add("Allow", self._core.config.allow)
        for name, value in ours.headers:
            request.headers.add(name, value)
        request.headers.add("Content-Type", SDP)
        request.body = ours.sdp
        ours.round.authorize(request)
        return request

    def answered(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        ours = self._ours
        if ours is None or ours.attempt is not attempt:
            attempt.acknowledge(now)  # given up meanwhile, but the peer must hear of it
            return
        self._settle()
        _refresh_target(ours.dialog, response)
        attempt.acknowledge(now)
        self._core.emit(OfferAnswered(self._session, session_description(response)))

    def rejected(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        ours = self._ours
        if ours is None or ours.attempt is not attempt:
            return
        if ours.round.answer(response):
            self._send(ours, (attempt.destination,), now)
        elif response.status == 491 and ours.retries < MAX_GLARE_RETRIES:
            self._back_off(ours, now)
        else:
            self._fail(response.status, response, now)

    def failed(self, attempt: InviteAttempt, failure: TransactionFailure, now: float) -> None:
        ours = self._ours
        if ours is not None and ours.attempt is attempt:
            self._fail(408 if failure is TransactionFailure.TIMEOUT else 503, None, now)

    def provisional(
        self, attempt: InviteAttempt, response: Response, flow: Flow, now: float
    ) -> None:
        """The final response is what counts."""

    def over(self, attempt: InviteAttempt, now: float) -> None:
        """The answer was acknowledged long ago."""

    def _back_off(self, ours: _Ours, now: float) -> None:
        """14.1: 2.1 to 4 s if the Call-ID is ours, else up to 2 s, in steps of 10 ms."""
        ours.retries += 1
        ours.attempt = None
        ours.outdated = False
        if self._session.direction is Direction.OUTBOUND:
            wait = 2.1 + int(self._core.random() * 191) / 100
        else:
            wait = int(self._core.random() * 201) / 100
        self._core.queue.cancel(ours.timer)
        ours.timer = self._core.queue.start(now + wait, self._offer_again)

    def _offer_again(self, now: float) -> None:
        ours = self._ours
        if ours is None:
            return
        if ours.outdated or self._theirs is not None:
            self._fail(491, None, now)
        else:
            self._core.route(ours.dialog, lambda flows, then: self._send(ours, flows, then), now)

    def _no_final_response(self, now: float) -> None:
        if self._ours is not None and self._ours.attempt is not None:
            attempt = self._ours.attempt
            attempt.cancel((), now)
            self._settle()
            reason = default_reason(408)
            self._core.emit(OfferFailed(self._session, 408, reason, None))

    def _fail(self, status: int, response: Response | None, now: float) -> None:
        """12.2.1.2: 481, 408 and no response at all mean that the dialog is gone."""
        self._settle()
        reason = response.reason if response is not None else default_reason(status)
        if status in (408, 481):
            self._host.lost(now)
        else:
            self._core.emit(OfferFailed(self._session, status, reason, response))

    def _settle(self) -> None:
        if self._ours is not None:
            self._core.queue.cancel(self._ours.timer)
            self._ours = None


class _Withdrawable:
    """The user of a re-INVITE's server transaction."""

    def __init__(
        self, renegotiation: Renegotiation, transaction: ServerTransaction, tag: str
    ) -> None:
        self._tag = tag
        self._renegotiation = renegotiation
        self._transaction = transaction

    @property
    def local_tag(self) -> str:
        return self._tag

    def on_cancel(self, cancel: Request, now: float) -> None:
        self._renegotiation.withdrawn(self._transaction, now)

    def on_ack(self, ack: Request, now: float) -> None:
        """ACKs in dialogs find their session by the dialog."""

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        """The peer asks again, or misses our ACK wait."""


def _ignore_ack(sdp: bytes | None, now: float) -> None:
    """The offer was theirs: nothing is left to learn from the ACK."""


def _refresh_target(dialog: Dialog, message: Request | Response) -> None:
    try:
        dialog.refresh_target(message)
    except ParseError:
        return  # an unreadable Contact leaves the target as it was
