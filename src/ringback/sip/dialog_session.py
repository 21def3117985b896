"""What outbound and inbound calls have in common: everything within the dialog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringback.sip.ack_wait import AckWait
from ringback.sip.authentication import Authenticator
from ringback.sip.bodies import session_description
from ringback.sip.dialog import Dialog, DialogState
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import (
    Cancelled,
    EndCause,
    Ended,
    EndedBy,
    InDialogRequest,
    InfoReceived,
    InviteFailed,
    RefreshDue,
    RequestCompleted,
)
from ringback.sip.exchange import Exchange, Outcome
from ringback.sip.headers import Headers, NameAddr, Reason
from ringback.sip.incoming_requests import capabilities, deliver, refuse_method
from ringback.sip.invite_session import Direction, ExtraHeaders, InviteSession
from ringback.sip.message import Message, Request, Response
from ringback.sip.out_of_dialog import IncomingRequest
from ringback.sip.own_offer import Proposal
from ringback.sip.peer_abilities import PeerAbilities
from ringback.sip.refer import ReferTo
from ringback.sip.referrals import Referrals
from ringback.sip.renegotiation import Renegotiation, WhenAcked
from ringback.sip.session_states import SessionInput, SessionState, next_state
from ringback.sip.session_timer import SessionTimer, TimerPolicy
from ringback.sip.transaction import ServerTransaction
from ringback.sip.transaction_layer import ReceivedRequest
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri

MAX_OPEN_REQUESTS = 32
"""INFO and other in-dialog requests of ours that wait for a response at once."""

_WITH_CONTACT = frozenset({"OPTIONS", "REFER", "SUBSCRIBE", "NOTIFY", "UPDATE"})


@dataclass(frozen=True, slots=True)
class LocalContact:
    """What our Contact has besides the address."""

    user: str | None
    params: tuple[tuple[str, str | None], ...] = ()
    secure: bool = False


class DialogSession(InviteSession):
    def __init__(
        self,
        core: EndpointCore,
        direction: Direction,
        state: SessionState,
        authenticator: Authenticator,
    ) -> None:
        self.id = core.new_token()
        self.direction = direction
        self.state = state
        self.core = core
        self.authenticator = authenticator
        self._contact = LocalContact(None)
        self._dialog: Dialog | None = None
        self._waits: dict[int, tuple[AckWait, WhenAcked]] = {}
        self._open_requests = 0
        self.peer = PeerAbilities()
        policy = TimerPolicy(core.config.session_expires, core.config.min_se)
        self.timer = SessionTimer(policy, core.queue, self._refresh_due, self._expired)
        self._begun_negotiation: Renegotiation | None = None
        self._begun_referrals: Referrals | None = None

    @property
    def _negotiation(self) -> Renegotiation:
        """Most calls are over without another offer."""
        if self._begun_negotiation is None:
            self._begun_negotiation = Renegotiation(self, self)
        return self._begun_negotiation

    @property
    def _negotiating(self) -> bool:
        return self._begun_negotiation is not None and self._begun_negotiation.open

    @property
    def _referrals(self) -> Referrals:
        if self._begun_referrals is None:
            self._begun_referrals = Referrals(self, self)
        return self._begun_referrals

    @property
    def remote_tag(self) -> str | None:
        return self._dialog.id.remote_tag if self._dialog is not None else None

    @property
    def remote_target(self) -> Uri | None:
        return self._dialog.remote_target if self._dialog is not None else None

    def local_contact(self, hop: Hop) -> NameAddr:
        mine = self._contact
        return self.core.contact(hop, mine.user, mine.params, secure=mine.secure)

    # ---- state --------------------------------------------------------------------------------

    def _can(self, what: SessionInput) -> bool:
        return next_state(self.state, what) is not None

    def _step(self, what: SessionInput) -> bool:
        state = next_state(self.state, what)
        if state is None:
            return False
        self.state = state
        return True

    def _end(self, event: Ended | Cancelled | InviteFailed, now: float) -> None:
        """Report the end, once: the step into ``ENDED`` was just taken."""
        if self._begun_negotiation is not None:
            self._begun_negotiation.stop(now)
        if self._begun_referrals is not None:
            self._begun_referrals.stop(now)
        self.timer.close()
        self.core.sessions.pop(self.id, None)
        self.core.emit(event)

    # ---- commands -----------------------------------------------------------------------------

    def bye(self, *, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        if self.state is not SessionState.CONFIRMED or not self._step(SessionInput.HANG_UP):
            return False
        self._end(Ended(self, EndedBy.LOCAL, EndCause.BYE, reasons), now)
        self._stop_waits()
        self._send_bye(reasons, now)
        return True

    def reinvite(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        if self.state is not SessionState.CONFIRMED or self._dialog is None or self._waits:
            return False
        Headers(headers)  # raises here for what may not be sent, not when it is sent
        return self._negotiation.offer(Proposal("INVITE", sdp, headers, self._dialog), now)

    def update(
        self,
        sdp: bytes,
        *,
        fork: str | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        dialog = self._dialog_for_update(fork)
        if dialog is None or not self.peer.allows("UPDATE"):
            return False
        Headers(headers)  # raises here for what may not be sent, not when it is sent
        return self._negotiation.offer(Proposal("UPDATE", sdp, headers, dialog), now)

    def _dialog_for_update(self, fork: str | None) -> Dialog | None:
        """The dialog in which offer and answer were exchanged, and no offer of ours is open."""
        if self.state is not SessionState.CONFIRMED or self._waits:
            return None
        return self._dialog

    def respond_offer(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        return self._negotiation.respond(sdp, headers, now)

    def reject_offer(
        self,
        status: int = 488,
        reason: str | None = None,
        *,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        return self._negotiation.reject(status, reason, headers, now)

    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        dialog = self._dialog
        if (
            self.state is not SessionState.CONFIRMED
            or dialog is None
            or self._open_requests >= MAX_OPEN_REQUESTS
        ):
            return False
        extra = headers if content_type is None else (*headers, ("Content-Type", content_type))
        Headers(extra)  # raises here for what may not be sent, not when it is sent

        def done(outcome: Outcome, later: float) -> None:
            self._open_requests -= 1
            if self.ended:
                return
            self.core.emit(
                RequestCompleted(self, method, outcome.status, outcome.reason, outcome.response)
            )
            if outcome.status == 481:
                self.lost(later)

        self._open_requests += 1
        self.exchange(dialog, method, extra, body, done, now)
        return True

    def refer(
        self,
        refer_to: ReferTo,
        *,
        referred_by: NameAddr | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        if self.state is not SessionState.CONFIRMED or self._dialog is None:
            return False
        Headers(headers)  # raises here for what may not be sent, not when it is sent
        return self._referrals.refer(self._dialog, refer_to, referred_by, headers, now)

    def exchange(
        self,
        dialog: Dialog,
        method: str,
        headers: ExtraHeaders,
        body: bytes,
        done: Callable[[Outcome, float], None],
        now: float,
    ) -> None:
        def build(destination: Flow) -> Request:
            request = dialog.request(method)
            if method in _WITH_CONTACT:
                request.headers.add("Contact", self.local_contact(destination.hop))
            for name, value in headers:
                request.headers.add(name, value)
            request.body = body
            return request

        exchange = Exchange(self.core, build, self.authenticator.round(), done)
        self.core.route(dialog, exchange.start, now)

    def _send_bye(self, reasons: tuple[Reason, ...], now: float) -> None:
        if self._dialog is not None:
            self._hang_up(self._dialog, reasons, now)

    def _hang_up(self, dialog: Dialog, reasons: tuple[Reason, ...], now: float) -> None:
        """BYE; the dialog is remembered until it is answered, for what crosses it."""
        dialog.state = DialogState.TERMINATED
        headers = tuple(("Reason", str(reason)) for reason in reasons)

        def done(outcome: Outcome, later: float) -> None:
            self.core.remove_dialog(dialog)

        self.exchange(dialog, "BYE", headers, b"", done, now)

    # ---- session timer ------------------------------------------------------------------------

    def _refresh_due(self, now: float) -> None:
        """By UPDATE without an offer where the peer takes it; else the owner makes a re-INVITE."""
        dialog = self._dialog
        if dialog is None or self._negotiating or self._waits:
            self.timer.put_off(now)
        elif self.peer.allows("UPDATE"):
            headers = (("Supported", self.core.config.supports), *self.timer.request_headers())
            self.exchange(dialog, "UPDATE", headers, b"", self._refreshed, now)
        else:
            self.core.emit(RefreshDue(self))

    def _refreshed(self, outcome: Outcome, now: float) -> None:
        """RFC 4028 section 10: no answer, 408 and 481 mean that nobody is there any more."""
        response = outcome.response
        if self.ended:
            return
        if response is not None and response.is_success:
            self.peer.learn(response)
            self.timer.answered(response, now)
        elif outcome.status in (408, 481):
            self.lost(now, EndCause.SESSION_EXPIRED)
        else:
            if response is not None and response.status == 422:
                self.timer.lengthen(response)
            elif outcome.status in (405, 501):
                self.peer.withdraw("UPDATE")
            self.timer.put_off(now)

    def _expired(self, now: float) -> None:
        if self._step(SessionInput.LOST):
            self._end(Ended(self, EndedBy.NEITHER, EndCause.SESSION_EXPIRED), now)
            self._stop_waits()
            self._send_bye((Reason("SIP", 408, "Session Expired"),), now)

    # ---- ACK of our 2xx -----------------------------------------------------------------------

    def await_ack(
        self,
        transaction: ServerTransaction,
        response: Response,
        cseq: int,
        when_acked: WhenAcked,
        *,
        offered: bool,
        now: float,
    ) -> bool:
        """Send our 2xx until it is acknowledged; ``False`` if it is too late for it."""

        def gave_up(later: float) -> None:
            self._waits.pop(cseq, None)
            self._unacknowledged(later)

        wait = AckWait(self.core, transaction, response, offered=offered, gave_up=gave_up)
        if not wait.start(now):
            return False
        self._waits[cseq] = (wait, when_acked)
        return True

    def receive_ack(self, received: ReceivedRequest, now: float) -> bool:
        return self._acked(received.cseq.number, received.request, now)

    def _acked(self, cseq: int, ack: Request, now: float) -> bool:
        found = self._waits.pop(cseq, None)
        if found is None:
            return False
        wait, when_acked = found
        wait.stop()
        when_acked(session_description(ack), now)
        return True

    def _unacknowledged(self, now: float) -> None:
        """13.3.1.4: a session whose 2xx gets no ACK is over."""
        if self._step(SessionInput.ACK_TIMEOUT):
            self._end(Ended(self, EndedBy.NEITHER, EndCause.ACK_TIMEOUT), now)
            self._stop_waits()
            self._send_bye((), now)

    def _stop_waits(self) -> None:
        for wait, _ in self._waits.values():
            wait.stop()
        self._waits.clear()

    # ---- requests of the peer -----------------------------------------------------------------

    def receive_in_dialog(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        if not dialog.accept_cseq(received.cseq.number):
            self.core.reply(transaction, 500, "CSeq Out of Order", now=now)
            return
        if received.method == "BYE":
            self._on_bye(received, transaction, dialog, now)
        elif self.ended or dialog.state is DialogState.TERMINATED:
            self.core.reply(transaction, 481, now=now)
        else:
            dialog.flow = received.flow
            dialog.sent_by = received.via.host
            self._dispatch(received, transaction, dialog, now)

    def _dispatch(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        config = self.core.config
        match received.method:
            case "INVITE" | "UPDATE":
                self._on_offer(received, transaction, dialog, now)
            case "INFO":
                self._on_info(received.request, transaction, now)
            case "PRACK":
                self._on_prack(received, transaction, dialog, now)
            case "REFER" | "NOTIFY" | "SUBSCRIBE" if config.transfers:
                self._referrals.receive(received.request, transaction, dialog, now)
            case method if method in config.interests:
                incoming: IncomingRequest = deliver(self.core, transaction, now)
                self.core.emit(InDialogRequest(self, incoming))
            case "OPTIONS":
                self.core.reply(transaction, 200, headers=capabilities(config), now=now)
            case _:
                refuse_method(self.core, transaction, now, in_dialog=True)

    def _on_offer(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        offered = any(wait.offered for wait, _ in self._waits.values())
        self._negotiation.receive(received, transaction, dialog, now, unanswered=offered)

    def _on_prack(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """It acknowledges nothing of ours (RFC 3262 section 3)."""
        refuse_method(self.core, transaction, now, in_dialog=True)

    def _on_info(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        try:
            media_type = request.content_type
        except ParseError:
            media_type = None
        essence = media_type.essence if media_type is not None else ""
        if request.body and essence not in self.core.config.info_types:
            accept = ", ".join(self.core.config.info_types)
            self.core.reply(transaction, 415, headers=(("Accept", accept),), now=now)
            return
        self.core.reply(transaction, 200, now=now)
        self.core.emit(InfoReceived(self, essence, request.body, request))

    def _on_bye(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        self.core.reply(transaction, 200, now=now)
        transaction.let_go()
        if dialog.state is DialogState.TERMINATED:
            return  # it crossed our own BYE
        dialog.state = DialogState.TERMINATED
        self.core.remove_dialog(dialog)
        self._stop_waits()
        if self._step(SessionInput.REMOTE_BYE):
            reasons = reasons_of(received.request)
            self._end(Ended(self, EndedBy.REMOTE, EndCause.BYE, reasons, received.request), now)

    def lost(self, now: float, cause: EndCause = EndCause.DIALOG_LOST) -> None:
        """The peer has forgotten the dialog; a BYE makes sure (12.2.1.2)."""
        if self._step(SessionInput.LOST):
            self._end(Ended(self, EndedBy.NEITHER, cause), now)
            self._stop_waits()
            self._send_bye((), now)


def reasons_of(message: Message) -> tuple[Reason, ...]:
    """The Reason headers, none if they cannot be read."""
    try:
        return tuple(message.reasons)
    except ParseError:
        return ()
