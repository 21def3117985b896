"""Offers within a call: re-INVITE and UPDATE, both ways (RFC 3261 14, RFC 3311).

One offer at a time: ours (``own_offer.py``) or theirs. Ours that meets theirs (491) is made again
after the random time of 14.1, unless theirs changed the session meanwhile: then its owner has to
make a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ringback.sip.authentication import Authenticator
from ringback.sip.bodies import SDP, session_description
from ringback.sip.dialog import Dialog, DialogState
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.events import OfferAnswered, OfferFailed, OfferReceived, OfferWithdrawn
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import Direction, ExtraHeaders, InviteSession
from ringback.sip.message import Request, Response
from ringback.sip.own_offer import MAX_RETRY_AFTER, OwnOffer, Proposal, refresh_target
from ringback.sip.peer_abilities import PeerAbilities
from ringback.sip.session_timer import SessionTimer
from ringback.sip.status import default_reason
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction, TransactionFailure
from ringback.sip.transaction_layer import ReceivedRequest
from ringback.sip.transport import Hop

_REFRESHES = frozenset({"INVITE", "UPDATE"})

WhenAcked = Callable[[bytes | None, float], None]


class Host(Protocol):
    """What a session does for its renegotiation."""

    core: EndpointCore
    authenticator: Authenticator
    direction: Direction
    timer: SessionTimer
    peer: PeerAbilities

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


class Renegotiation:
    def __init__(self, host: Host, session: InviteSession) -> None:
        self._host = host
        self._core = host.core
        self._session = session
        self._theirs: _Theirs | None = None
        self._ours: OwnOffer | None = None

    @property
    def open(self) -> bool:
        """An offer of either side is not settled."""
        return self._theirs is not None or self._ours is not None

    def stop(self, now: float) -> None:
        """The session is over: what the peer asked and was not told yet is 487."""
        ours, self._ours = self._ours, None
        if ours is not None:
            ours.abandon()
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
        self._host.peer.learn(received.request)
        too_short = self._host.timer.too_short(received.request)
        if too_short is not None and received.method in _REFRESHES:
            self._core.reply(transaction, 422, headers=too_short, now=now)
            return
        sdp = session_description(received.request)
        is_invite = received.method == "INVITE"
        if not is_invite and sdp is None:
            self._refresh(received, transaction, dialog, now)
        elif self._theirs is not None:
            self.refuse_overlap(transaction, now)
        elif unanswered or (self._ours is not None and self._ours.on_the_way):
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
        refresh_target(dialog, received.request)
        if transaction.respond(self._success(transaction, dialog, None, ()), now):
            self._refreshed(received, dialog, now)

    def _refreshed(self, received: ReceivedRequest, dialog: Dialog, now: float) -> None:
        """A 2xx to it restarts the session timer (RFC 4028 section 9)."""
        if dialog.state is DialogState.CONFIRMED and received.method in _REFRESHES:
            self._host.timer.accepted(received.request, now)

    def respond(self, sdp: bytes, headers: ExtraHeaders, now: float) -> bool:
        if self._theirs is None:
            return False
        theirs = self._theirs
        response = self._success(theirs.transaction, theirs.dialog, sdp, headers)  # may raise
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
            refresh_target(theirs.dialog, theirs.received.request)
            self._refreshed(theirs.received, theirs.dialog, now)
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
        self,
        transaction: ServerTransaction,
        dialog: Dialog,
        sdp: bytes | None,
        headers: ExtraHeaders,
    ) -> Response:
        request = transaction.request
        if dialog.state is DialogState.CONFIRMED and request.method in _REFRESHES:
            headers = (*headers, *self._host.timer.response_headers(request))
        response = self._core.response(
            request, 200, headers=headers, body=sdp or b"", content_type=SDP
        )
        response.headers.set("Contact", self._host.local_contact(transaction.flow.hop))
        response.headers.add("Allow", self._core.config.allow)
        response.headers.add("Supported", self._core.config.supports)
        return response

    # ---- ours ---------------------------------------------------------------------------------

    @property
    def peer_offers(self) -> bool:
        return self._theirs is not None

    def offer(self, proposal: Proposal, now: float) -> bool:
        if self.open:
            return False
        self._ours = OwnOffer(self._host, self, proposal)
        self._ours.start(now)
        return True

    def offer_answered(self, offer: OwnOffer, response: Response, now: float) -> None:
        self._ours = None
        self._host.peer.learn(response)
        self._core.emit(OfferAnswered(self._session, session_description(response)))

    def offer_failed(
        self, offer: OwnOffer, status: int, response: Response | None, gone: bool, now: float
    ) -> None:
        self._ours = None
        if gone:
            self._host.lost(now)
            return
        reason = response.reason if response is not None else default_reason(status)
        if response is not None and status in (405, 501):
            self._host.peer.withdraw(offer.proposal.method)
        self._host.timer.put_off(now)
        self._core.emit(OfferFailed(self._session, status, reason, response))


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
