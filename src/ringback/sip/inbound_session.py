"""A call that somebody places to us (RFC 3261 section 13.3)."""

from __future__ import annotations

from ringback.sip.authentication import Authenticator
from ringback.sip.bodies import SDP, session_description
from ringback.sip.dialog import Dialog, DialogState
from ringback.sip.dialog_session import DialogSession, LocalContact, reasons_of
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import (
    Acked,
    Cancelled,
    EndCause,
    Ended,
    EndedBy,
    IncomingInvite,
    InviteFailed,
    OfferAnswered,
    ReplacedCall,
)
from ringback.sip.headers import Headers, Reason
from ringback.sip.invite_session import Direction, ExtraHeaders
from ringback.sip.message import Request, Response
from ringback.sip.reliable_provisionals import OPTION_TAG as RELIABLE
from ringback.sip.reliable_provisionals import ReliableProvisionals
from ringback.sip.session_states import SessionInput, SessionState
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction, TransactionFailure
from ringback.sip.transaction_layer import ReceivedRequest

PROVISIONAL_INTERVAL = 60.0
"""Seconds after which the last provisional response is sent again, so that no proxy on the way
takes a long ringing for a lost call (RFC 3261 13.3.1.1)."""


class InboundSession(DialogSession):
    """Raises ``ParseError`` when made from an INVITE whose dialog headers cannot be read."""

    def __init__(
        self,
        core: EndpointCore,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        replaced: ReplacedCall | None = None,
    ) -> None:
        self._tag = core.new_token()
        dialog = Dialog.as_server(received.request, self._tag, received.flow, received.via.host)
        super().__init__(
            core,
            Direction.INBOUND,
            SessionState.INCOMING,
            Authenticator(None, core.new_token),
        )
        self.flow = received.flow
        self.invite = received.request
        self._dialog = dialog
        self._transaction = transaction
        self._contact = LocalContact(
            received.request.uri.user, secure=received.request.uri.scheme == "sips"
        )
        self._offer = session_description(received.request)
        self._last_provisional: Response | None = None
        self._refresh_timer: Timer | None = None
        self._bye_after_ack: tuple[Reason, ...] | None = None
        self._reliable = ReliableProvisionals(core, transaction, self._no_prack)
        self._described = False
        """A reliable provisional response carried our description."""
        self._settled = False
        """It has its PRACK: offer and answer are exchanged before the answer."""
        self._accepted: tuple[bytes, ExtraHeaders] | None = None
        """Our answer, while it waits for a PRACK."""
        self.peer.learn(received.request)
        transaction.user = self
        core.sessions[self.id] = self
        core.add_dialog(dialog, self)
        core.emit(IncomingInvite(self, received.request, received.flow, self._offer, replaced))

    @property
    def call_id(self) -> str:
        return self._established.id.call_id

    @property
    def local_tag(self) -> str:
        return self._tag

    @property
    def _established(self) -> Dialog:
        if self._dialog is None:
            raise RuntimeError("an inbound session always has its dialog")
        return self._dialog

    # ---- commands -----------------------------------------------------------------------------

    def progress(
        self,
        status: int,
        reason: str | None = None,
        *,
        sdp: bytes | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        if not 100 <= status < 200 or not self._can(SessionInput.PROVISIONAL):
            return False
        if self._accepted is not None:
            return False
        response = self._response(status, reason, headers, sdp)
        sent = self._send_provisional(response, now)
        if sent:
            self._last_provisional = response
            self._keep_ringing(now)
        return sent

    def _send_provisional(self, response: Response, now: float) -> bool:
        """Reliably where the caller requires it, and with a description where it may be."""
        if response.status == 100 or not self._wants_reliable(bool(response.body)):
            return self._transaction.respond(response, now)
        response.headers.add("Allow", self.core.config.allow)
        response.headers.add("Supported", self.core.config.supports)
        if not self._reliable.send(response, now):
            return False
        self._described = self._described or bool(response.body)
        return True

    def _wants_reliable(self, described: bool) -> bool:
        try:
            required = RELIABLE in self.invite.require
        except ParseError:
            return False
        return required or (described and self.peer.supports(RELIABLE))

    def accept(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        if not self._can(SessionInput.ACCEPT) or self._accepted is not None:
            return False
        if not self._reliable.holds_description and not self._negotiating:
            return self._answer(sdp, headers, now)
        Headers(headers)  # raises here for what may not be sent, not when it is sent
        self._accepted = sdp, headers
        return True

    def _answer(self, sdp: bytes, headers: ExtraHeaders, now: float) -> bool:
        response = self._response(200, None, headers, None if self._described else sdp)
        response.headers.add("Allow", self.core.config.allow)
        response.headers.add("Supported", self.core.config.supports)
        for name, value in self.timer.response_headers(self.invite):
            response.headers.add(name, value)
        cseq = self.invite.cseq.number
        offered = self._offer is None and not self._described
        if not self.await_ack(
            self._transaction, response, cseq, self._on_first_ack, offered=offered, now=now
        ):
            return False
        self._stop_ringing()
        self._reliable.close()
        self._established.state = DialogState.CONFIRMED
        self.timer.accepted(self.invite, now)
        return self._step(SessionInput.ACCEPT)

    def reject(
        self, status: int, reason: str | None = None, *, headers: ExtraHeaders = (), now: float
    ) -> bool:
        if status < 300 or self.state is not SessionState.INCOMING:
            return False
        response = self.core.response(
            self.invite, status, reason, to_tag=self._tag, headers=headers
        )
        self._step(SessionInput.HANG_UP)
        self._transaction.respond(response, now)
        self._finish_unanswered(Ended(self, EndedBy.LOCAL, EndCause.REJECTED), now)
        return True

    def ignore(self, *, now: float) -> bool:
        if self.state is not SessionState.INCOMING or not self._step(SessionInput.HANG_UP):
            return False
        self._transaction.abandon()
        self._finish_unanswered(Ended(self, EndedBy.LOCAL, EndCause.REJECTED), now)
        return True

    def _dialog_for_update(self, fork: str | None) -> Dialog | None:
        if self.state is SessionState.INCOMING and self._settled:
            return self._dialog
        return super()._dialog_for_update(fork)

    def bye(self, *, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        if self.state is not SessionState.ANSWERED:
            return super().bye(reasons=reasons, now=now)
        self._step(SessionInput.HANG_UP)
        self._bye_after_ack = reasons
        self._end(Ended(self, EndedBy.LOCAL, EndCause.BYE, reasons), now)
        return True

    def hang_up(self, *, status: int = 480, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        headers = tuple(("Reason", str(reason)) for reason in reasons)
        return self.reject(status, headers=headers, now=now) or self.bye(reasons=reasons, now=now)

    # ---- responses ----------------------------------------------------------------------------

    def _response(
        self, status: int, reason: str | None, headers: ExtraHeaders, sdp: bytes | None
    ) -> Response:
        response = self.core.response(
            self.invite,
            status,
            reason,
            to_tag=self._tag,
            headers=headers,
            body=sdp or b"",
            content_type=SDP,
        )
        if status > 100:
            response.headers.set("Contact", self.local_contact(self.flow.hop))
        return response

    def _keep_ringing(self, now: float) -> None:
        self._stop_ringing()
        self._refresh_timer = self.core.queue.start(now + PROVISIONAL_INTERVAL, self._ring_again)

    def _ring_again(self, now: float) -> None:
        """A reliable response has a new number each time, or it would be taken for the old one."""
        if self._last_provisional is not None:
            again = self._last_provisional.copy()
            if "RSeq" in again.headers:
                again.body = b""
                again.headers.remove("Content-Type")
                self._reliable.send(again, now)
            else:
                self._transaction.respond(again, now)
            self._keep_ringing(now)

    def _stop_ringing(self) -> None:
        self.core.queue.cancel(self._refresh_timer)
        self._refresh_timer = None

    def _end(self, event: Ended | Cancelled | InviteFailed, now: float) -> None:
        super()._end(event, now)
        if 200 <= self._transaction.last_status < 300 and self._bye_after_ack is None:
            self._transaction.let_go()

    def _finish_unanswered(self, event: Ended | Cancelled, now: float) -> None:
        self._stop_ringing()
        self._reliable.close()
        self._accepted = None
        self._established.state = DialogState.TERMINATED
        self.core.remove_dialog(self._established)
        self._end(event, now)

    # ---- PRACK --------------------------------------------------------------------------------

    def _on_prack(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """RFC 3262 sections 3 and 5: 200, or 481 where it matches nothing. A description in it is
        the answer to ours, or else an offer, whose answer goes into its 200."""
        try:
            rack = received.request.rack
        except ParseError as error:
            self.core.reply(transaction, 400, error.message, now=now)
            return
        acknowledged = self._reliable.prack(rack, now) if rack is not None else None
        if acknowledged is None:
            self.core.reply(transaction, 481, now=now)
            return
        sdp = session_description(received.request)
        ours_is_open = bool(acknowledged.body) and self._offer is None and not self._settled
        self._settled = self._settled or bool(acknowledged.body)
        if sdp is not None and not ours_is_open:
            super()._on_offer(received, transaction, dialog, now)
        else:
            self.core.reply(transaction, 200, now=now)
            if ours_is_open:
                self.core.emit(OfferAnswered(self, sdp))
        self._answer_at_last(now)

    def respond_offer(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        responded = super().respond_offer(sdp, headers=headers, now=now)
        self._answer_at_last(now)
        return responded

    def reject_offer(
        self,
        status: int = 488,
        reason: str | None = None,
        *,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        rejected = super().reject_offer(status, reason, headers=headers, now=now)
        self._answer_at_last(now)
        return rejected

    def _answer_at_last(self, now: float) -> None:
        held = self._reliable.holds_description or self._negotiating
        if self._accepted is not None and not held:
            (sdp, headers), self._accepted = self._accepted, None
            self._answer(sdp, headers, now)

    def _no_prack(self, now: float) -> None:
        """RFC 3262 section 3: a caller who never acknowledges is refused with a 5xx."""
        if self.state is SessionState.INCOMING and self._step(SessionInput.ACK_TIMEOUT):
            self._transaction.respond(self.core.response(self.invite, 504, to_tag=self._tag), now)
            self._finish_unanswered(Ended(self, EndedBy.NEITHER, EndCause.PRACK_TIMEOUT), now)

    # ---- ACK ----------------------------------------------------------------------------------

    def _on_first_ack(self, sdp: bytes | None, now: float) -> None:
        if self._bye_after_ack is not None:
            self._send_bye(self._bye_after_ack, now)
        else:
            self._confirmed(sdp)

    def _confirmed(self, sdp: bytes | None) -> None:
        if self._step(SessionInput.ACK):
            self.core.emit(Acked(self, sdp))

    def _unacknowledged(self, now: float) -> None:
        if self._bye_after_ack is not None:
            self._send_bye(self._bye_after_ack, now)
        else:
            super()._unacknowledged(now)

    # ---- what the INVITE's transaction reports ------------------------------------------------

    def on_cancel(self, cancel: Request, now: float) -> None:
        if self._step(SessionInput.REMOTE_CANCEL):
            self._transaction.respond(self._terminated(), now)
            self._finish_unanswered(Cancelled(self, reasons_of(cancel)), now)

    def _terminated(self) -> Response:
        return self.core.response(self.invite, 487, to_tag=self._tag)

    def on_ack(self, ack: Request, now: float) -> None:
        """An ACK with the INVITE's own branch, as RFC 2543 had it."""
        self._acked(self.invite.cseq.number, ack, now)

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        """The caller repeats its INVITE, or the wait for the ACK runs out."""

    # ---- requests in the dialog ---------------------------------------------------------------

    def _dispatch(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        if self.state is SessionState.ANSWERED and self._offer is not None:
            # Its sender has our answer, so the ACK is on its way or lost; the wait for it goes on.
            self._confirmed(None)
        super()._dispatch(received, transaction, dialog, now)

    def _on_offer(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """Before our answer the INVITE itself is open (14.2), but for an UPDATE once offer and
        answer were exchanged reliably (RFC 3311 5.2)."""
        if (
            self.state is not SessionState.INCOMING
            or (received.method == "UPDATE" and self._settled)
            or (received.method == "UPDATE" and session_description(received.request) is None)
        ):
            super()._on_offer(received, transaction, dialog, now)
        else:
            self._negotiation.refuse_overlap(transaction, now)

    def _on_bye(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """In the early dialog it ends the INVITE, too (15.1.2)."""
        if self.state is SessionState.INCOMING:
            self._stop_ringing()
            self._reliable.close()
            self._accepted = None
            self._transaction.respond(self._terminated(), now)
        self._bye_after_ack = None
        super()._on_bye(received, transaction, dialog, now)
