"""A call that somebody places to us (RFC 3261 section 13.3)."""

from __future__ import annotations

from ringback.sip.authentication import Authenticator
from ringback.sip.bodies import SDP, session_description
from ringback.sip.dialog import Dialog, DialogState
from ringback.sip.dialog_session import DialogSession, LocalContact, reasons_of
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.events import Acked, Cancelled, EndCause, Ended, EndedBy, IncomingInvite
from ringback.sip.headers import Reason
from ringback.sip.invite_session import Direction, ExtraHeaders
from ringback.sip.message import Request, Response
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
        transaction.user = self
        core.sessions[self.id] = self
        core.add_dialog(dialog, self)
        core.emit(IncomingInvite(self, received.request, received.flow, self._offer))

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
        response = self._response(status, reason, headers, sdp)
        self._last_provisional = response
        sent = self._transaction.respond(response, now)
        self._keep_ringing(now)
        return sent

    def accept(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        if not self._can(SessionInput.ACCEPT):
            return False
        response = self._response(200, None, headers, sdp)
        response.headers.add("Allow", self.core.config.allow)
        if self.core.config.supported:
            response.headers.add("Supported", ", ".join(self.core.config.supported))
        cseq = self.invite.cseq.number
        offered = self._offer is None
        if not self.await_ack(
            self._transaction, response, cseq, self._on_first_ack, offered=offered, now=now
        ):
            return False
        self._stop_ringing()
        self._established.state = DialogState.CONFIRMED
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
        if self._last_provisional is not None:
            self._transaction.respond(self._last_provisional, now)
            self._keep_ringing(now)

    def _stop_ringing(self) -> None:
        self.core.queue.cancel(self._refresh_timer)
        self._refresh_timer = None

    def _finish_unanswered(self, event: Ended | Cancelled, now: float) -> None:
        self._stop_ringing()
        self._established.state = DialogState.TERMINATED
        self.core.remove_dialog(self._established)
        self._end(event, now)

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
        """Before our answer the INVITE itself is open (14.2, RFC 3311 5.2)."""
        if self.state is not SessionState.INCOMING or (
            received.method == "UPDATE" and session_description(received.request) is None
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
            self._transaction.respond(self._terminated(), now)
        self._bye_after_ack = None
        super()._on_bye(received, transaction, dialog, now)
