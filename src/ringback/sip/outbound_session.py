"""A call that we place (RFC 3261 section 13.2): hops, challenges, forks, redirects, CANCEL."""

from __future__ import annotations

from collections.abc import Sequence

from ringback.sip.authentication import Authenticator
from ringback.sip.bodies import SDP, session_description
from ringback.sip.dialog import MAX_FORWARDS, Dialog
from ringback.sip.dialog_session import DialogSession, LocalContact, reasons_of
from ringback.sip.early_dialogs import EarlyDialog, EarlyDialogs, Provisional
from ringback.sip.endpoint_core import EndpointCore, anchor_of
from ringback.sip.errors import ParseError
from ringback.sip.events import (
    Answered,
    DropReason,
    EndCause,
    Ended,
    EndedBy,
    Failure,
    InviteFailed,
    ProvisionalReceived,
    Redirected,
)
from ringback.sip.exchange import Outcome
from ringback.sip.headers import CSeq, Headers, NameAddr, RAck, Reason
from ringback.sip.invite_attempt import MAX_FORKS, InviteAttempt
from ringback.sip.invite_session import Direction, InviteRequest
from ringback.sip.message import Request, Response
from ringback.sip.redirects import redirect_targets
from ringback.sip.session_states import SessionInput, SessionState
from ringback.sip.status import default_reason
from ringback.sip.timers import Timer
from ringback.sip.transaction import ServerTransaction, TransactionFailure
from ringback.sip.transaction_layer import ReceivedRequest
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri

FIRST_CSEQ = 1
NOWHERE = Flow(Hop("udp", "0.0.0.0", 0))
"""The flow of a call that had no hop to be sent to."""


class OutboundSession(DialogSession):
    def __init__(
        self, core: EndpointCore, request: InviteRequest, hops: Sequence[Hop], now: float
    ) -> None:
        super().__init__(
            core,
            Direction.OUTBOUND,
            SessionState.CALLING,
            Authenticator(request.credentials, core.new_token),
        )
        self._wish = request
        self._from = request.from_.with_tag(core.new_token())
        self._to = (request.to or NameAddr(request.target)).without_tag()
        self._call_id = request.call_id or core.new_token()
        self._contact = LocalContact(
            request.contact_user or None,
            request.contact_params,
            secure=request.target.scheme == "sips",
        )
        self._target = request.target
        self._tried = [request.target]
        self._hops = list(hops)
        self._first_hosts = frozenset(hop.host for hop in hops)
        self._cseq = FIRST_CSEQ
        self._round = self.authenticator.round()
        self._attempt: InviteAttempt | None = None
        self._early = EarlyDialogs(MAX_FORKS)
        self._hop_timer: Timer | None = None
        self._redirect: Response | None = None
        self.flow = Flow(hops[0]) if hops else NOWHERE
        self.invite = self._build(None)
        core.sessions[self.id] = self
        self._next_hop(now)

    @property
    def call_id(self) -> str:
        return self._call_id

    @property
    def local_tag(self) -> str:
        return self._from.tag or ""

    # ---- commands -----------------------------------------------------------------------------

    def cancel(self, *, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        if self.state is SessionState.CONFIRMED or not self._step(SessionInput.HANG_UP):
            return False
        self._end(Ended(self, EndedBy.LOCAL, EndCause.CANCELLED, reasons), now)
        self._give_up(reasons, now)
        return True

    def hang_up(self, *, status: int = 480, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        return self.cancel(reasons=reasons, now=now) or self.bye(reasons=reasons, now=now)

    def follow_redirect(self, target: Uri, hops: Sequence[Hop], *, now: float) -> bool:
        if self.state is not SessionState.REDIRECTED or not self._step(SessionInput.RETRY):
            return False
        self._target = target
        self._tried.append(target)
        self._hops = list(hops)
        if not self._is_first_server(target, hops):
            # The password is for whom we called; a digest of it lets anybody else guess it.
            self.authenticator = Authenticator(None, self.core.new_token)
        self._cseq += 1
        self._round = self.authenticator.round()
        self._next_hop(now)
        return True

    def _is_first_server(self, target: Uri, hops: Sequence[Hop]) -> bool:
        """Whether a redirection leads back to the host that the call was placed to."""
        if target.host.lower() == self._wish.target.host.lower():
            return True
        return bool(hops) and all(hop.host in self._first_hosts for hop in hops)

    def refuse_redirect(self, *, now: float) -> bool:
        if self.state is not SessionState.REDIRECTED or self._redirect is None:
            return False
        self._fail(Failure.REJECTED, self._redirect, now)
        return True

    # ---- sending ------------------------------------------------------------------------------

    def _next_hop(self, now: float) -> None:
        if self._hops:
            self._send(Flow(self._hops.pop(0)), now)
        else:
            self._fail(Failure.UNREACHABLE, None, now)

    def _send(self, destination: Flow, now: float) -> None:
        self.flow = destination
        self.invite = self._build(destination)
        self._early.forget_given_up()
        self._attempt = InviteAttempt(self.core, self.invite, destination, self)
        self._attempt.start(now)
        self._stop_hop_timer()
        if self._wish.hop_timeout is not None and self._hops:
            self._hop_timer = self.core.queue.start(
                now + self._wish.hop_timeout, self._hop_is_silent
            )

    def _build(self, destination: Flow | None) -> Request:
        wish = self._wish
        headers = Headers(("Route", route) for route in wish.routes)
        headers.add("Max-Forwards", MAX_FORWARDS)
        headers.add("From", self._from)
        headers.add("To", self._to)
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", CSeq(self._cseq, "INVITE"))
        if destination is not None:
            headers.add("Contact", self.local_contact(destination.hop))
        headers.add("Allow", self.core.config.allow)
        headers.add("Supported", self.core.config.supports)
        for name, value in (*self.timer.request_headers(), *wish.headers):
            headers.add(name, value)
        if wish.sdp:
            headers.add("Content-Type", wish.content_type)
        request = Request("INVITE", self._target, headers, wish.sdp)
        self._round.authorize(request)
        return request

    def _hop_is_silent(self, now: float) -> None:
        attempt, self._hop_timer = self._attempt, None
        if attempt is not None and not attempt.heard and self._step(SessionInput.RETRY):
            attempt.cancel((), now)
            self._next_hop(now)

    def _stop_hop_timer(self) -> None:
        self.core.queue.cancel(self._hop_timer)
        self._hop_timer = None

    # ---- what the attempts report -------------------------------------------------------------

    def provisional(
        self, attempt: InviteAttempt, response: Response, flow: Flow, now: float
    ) -> None:
        if attempt is not self._attempt or not self._step(SessionInput.PROVISIONAL):
            return
        self._stop_hop_timer()
        self.flow = flow
        self.peer.learn(response)
        sdp = session_description(response)
        early = self._early_dialog(response, flow) if response.status > 100 else None
        if early is not None and not self._take_early(early, response, sdp, now):
            return
        tag = early.dialog.id.remote_tag if early is not None else _tag_of(response)
        self.core.emit(ProvisionalReceived(self, response, tag, sdp))

    def _early_dialog(self, response: Response, flow: Flow) -> EarlyDialog | None:
        """The early dialog of ``response`` (12.1)."""
        tag = _tag_of(response)
        if response.status == 199:
            self._forget_early(tag)
            return None
        early = self._early.get(tag)
        if early is not None or tag is None or self._early.full:
            return early
        try:
            dialog = self._new_dialog(response, flow)
        except ParseError as error:
            self.core.drop(DropReason.INVALID, flow, str(error))
            return None
        self.core.add_dialog(dialog, self)
        return self._early.add(tag, dialog)

    def _take_early(
        self, early: EarlyDialog, response: Response, sdp: bytes | None, now: float
    ) -> bool:
        """Acknowledge a reliable response; ``False`` for one that is to be ignored."""
        taken = early.take(response)
        if taken is Provisional.REPEATED:
            return False
        reliable = taken is Provisional.RELIABLE
        first = sdp is not None and not early.settled
        early.describe(sdp, reliable=reliable)
        if reliable:
            answer = self._answer_to(early, sdp) if first and sdp is not None else b""
            self._acknowledge_provisional(early, answer, now)
        return True

    def _answer_to(self, early: EarlyDialog, offer: bytes) -> bytes:
        """Ours to an offer of the far end, where we made none."""
        if self._wish.sdp or self._wish.answer is None:
            return b""
        early.answered = True
        return self._wish.answer(early.dialog.id.remote_tag, offer)

    def _acknowledge_provisional(self, early: EarlyDialog, answer: bytes, now: float) -> None:
        """PRACK (RFC 3262 section 4)."""
        rack = RAck(early.rseq or 0, CSeq(self._cseq, "INVITE"))
        headers: tuple[tuple[str, str], ...] = (("RAck", str(rack)),)
        if answer:
            headers = (*headers, ("Content-Type", SDP))

        def done(outcome: Outcome, later: float) -> None:
            """Its fate is the far end's: without it the response comes again."""

        self.exchange(early.dialog, "PRACK", headers, answer, done, now)

    def _dialog_for_update(self, fork: str | None) -> Dialog | None:
        early = self._early.get(fork) if fork is not None else None
        if self.state is SessionState.PROCEEDING and early is not None and early.settled:
            return early.dialog
        return super()._dialog_for_update(fork)

    def _new_dialog(self, response: Response, flow: Flow) -> Dialog:
        dialog = Dialog.as_client(self.invite, response, self._cseq, flow, self._target)
        first = self._wish.routes[0].uri if self._wish.routes else self._target
        dialog.anchor = anchor_of(first)
        return dialog

    def _forget_early(self, tag: str | None) -> None:
        early = self._early.give_up(tag)
        if early is not None:
            self.core.remove_dialog(early.dialog)

    def answered(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        try:
            early = self._dialog_of_answer(response.to.tag, response, flow)
        except ParseError as error:
            self.core.drop(DropReason.INVALID, flow, str(error))
            return
        dialog = early.dialog
        if dialog is self._dialog:
            attempt.acknowledge(now, dialog)
        elif attempt is self._attempt and self._step(SessionInput.ANSWER):
            self._establish(attempt, early, response, flow, now)
        else:
            attempt.acknowledge(now, dialog)
            self.core.add_dialog(dialog, self)
            self._hang_up(dialog, (), now)

    def _dialog_of_answer(self, tag: str | None, response: Response, flow: Flow) -> EarlyDialog:
        if self._dialog is not None and self._dialog.id.remote_tag == tag:
            return EarlyDialog(self._dialog)
        early = self._early.find(tag)
        if early is None:
            return EarlyDialog(self._new_dialog(response, flow))
        early.dialog.confirm(response)
        early.dialog.flow = flow
        self._early.answered(tag)
        return early

    def _establish(
        self,
        attempt: InviteAttempt,
        early: EarlyDialog,
        response: Response,
        flow: Flow,
        now: float,
    ) -> None:
        self._stop_hop_timer()
        self.flow = flow
        dialog = self._dialog = early.dialog
        self._forget_all_early()
        self.core.add_dialog(dialog, self)
        self.peer.learn(response)
        answer, sdp = b"", session_description(response)
        if sdp is not None and not early.settled:
            answer = self._answer_to(early, sdp)
        if early.settled or sdp is None:
            sdp = early.sdp
        attempt.acknowledge(now, dialog, answer)
        self.timer.answered(response, now)
        fork = dialog.id.remote_tag
        self.core.emit(Answered(self, response, fork, None if early.answered else sdp))

    def _forget_all_early(self) -> None:
        for early in self._early:
            self._forget_early(early.dialog.id.remote_tag)

    def rejected(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        if attempt is not self._attempt or self.ended:
            return
        self._stop_hop_timer()
        self._forget_all_early()
        self.flow = flow
        if response.status in (401, 407):
            self._challenged(attempt, response, now)
        elif response.status == 422 and self.timer.lengthen(response):
            self._again(attempt, now)
        elif response.status == 503 and not attempt.ringing and self._hops:
            self._retry(now)
        elif 300 <= response.status < 400:
            self._redirected(response, now)
        else:
            self._fail(Failure.REJECTED, response, now)

    def _challenged(self, attempt: InviteAttempt, response: Response, now: float) -> None:
        if not self._round.answer(response):
            self._fail(Failure.UNAUTHORIZED, response, now)
        else:
            self._again(attempt, now)

    def _again(self, attempt: InviteAttempt, now: float) -> None:
        """To the same server, over the connection it answered on (RFC 3261 22.2)."""
        if self._step(SessionInput.RETRY):
            self._cseq += 1
            self._send(Flow(attempt.destination.hop, self.flow.connection), now)

    def _retry(self, now: float) -> None:
        if self._step(SessionInput.RETRY):
            self._next_hop(now)

    def _redirected(self, response: Response, now: float) -> None:
        targets = redirect_targets(response, self._tried)
        if len(self._tried) > self._wish.max_redirects or not targets:
            self._fail(Failure.REJECTED, response, now)
        elif self._step(SessionInput.REDIRECT):
            self._redirect = response
            self.core.emit(Redirected(self, targets, response))

    def failed(self, attempt: InviteAttempt, failure: TransactionFailure, now: float) -> None:
        if attempt is not self._attempt or self.ended:
            return
        self._stop_hop_timer()
        if self._hops:
            self._retry(now)
        elif failure is TransactionFailure.TIMEOUT:
            self._fail(Failure.TIMEOUT, None, now)
        else:
            self._fail(Failure.UNREACHABLE, None, now, attempt.transport_error)

    def over(self, attempt: InviteAttempt, now: float) -> None:
        """Answered, but by nothing that could be read."""
        if attempt is self._attempt and self.state is not SessionState.CONFIRMED:
            self._fail(Failure.TIMEOUT, None, now)

    def _fail(
        self, failure: Failure, response: Response | None, now: float, detail: str = ""
    ) -> None:
        if not self._step(SessionInput.FAILURE):
            return
        self._forget_all_early()
        if response is not None:
            status, reason, reasons = response.status, response.reason, reasons_of(response)
        else:
            status = 408 if failure is Failure.TIMEOUT else 503
            reason, reasons = default_reason(status), ()
        self._end(InviteFailed(self, failure, status, reason, reasons, response, detail), now)

    def _give_up(self, reasons: tuple[Reason, ...], now: float) -> None:
        self._stop_hop_timer()
        self._forget_all_early()
        if self._attempt is not None:
            self._attempt.cancel(reasons, now)

    # ---- requests of a peer that has not answered ---------------------------------------------

    def _on_offer(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """Before the answer our own INVITE's offer is open (14.2), but for an UPDATE once offer
        and answer were exchanged reliably (RFC 3311 5.2)."""
        early = self._early.get(dialog.id.remote_tag)
        settled = early is not None and early.settled
        if self.state is SessionState.CONFIRMED:
            super()._on_offer(received, transaction, dialog, now)
        elif received.method == "UPDATE" and (
            settled or session_description(received.request) is None
        ):
            self._negotiation.receive(received, transaction, dialog, now)
        else:
            self.core.reply(transaction, 491, now=now)

    def _on_bye(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None:
        """A BYE in an early dialog ends that fork. If it was the only one no answer can be
        expected any more: the peer answered, was never acknowledged and hung up."""
        if dialog is self._dialog or dialog.id.remote_tag not in self._early:
            super()._on_bye(received, transaction, dialog, now)
            return
        self.core.reply(transaction, 200, now=now)
        self._forget_early(dialog.id.remote_tag)
        if len(self._early) == 0 and self._step(SessionInput.REMOTE_BYE):
            reasons = reasons_of(received.request)
            ended = Ended(self, EndedBy.REMOTE, EndCause.BYE, reasons, received.request)
            self._end(ended, now)
            self._give_up((), now)


def _tag_of(response: Response) -> str | None:
    try:
        return response.to.tag if response.status > 100 else None
    except ParseError:
        return None
