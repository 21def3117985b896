"""One INVITE transaction of ours: its provisional responses, answers, ACKs and CANCEL."""

from __future__ import annotations

from typing import Protocol

from ringback.sip.bodies import SDP
from ringback.sip.dialog import MAX_FORWARDS, Dialog
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import DropReason
from ringback.sip.headers import CSeq, Headers, Reason
from ringback.sip.message import Request, Response
from ringback.sip.timers import Timer
from ringback.sip.transaction import ClientTransaction, TransactionFailure
from ringback.sip.transport import Flow, Transmission, heard_on

MAX_FORKS = 32
"""Different To tags that one INVITE's responses may bring; more are dropped and counted."""

_CREDENTIAL_HEADERS = ("Authorization", "Proxy-Authorization")


class AttemptHandler(Protocol):
    """Who sent the INVITE. Nothing is reported of an attempt after ``cancel`` but ``answered``
    (a 2xx that crossed it has to be acknowledged) and the ``over`` that follows it."""

    def provisional(
        self, attempt: InviteAttempt, response: Response, flow: Flow, now: float
    ) -> None: ...

    def answered(self, attempt: InviteAttempt, response: Response, flow: Flow, now: float) -> None:
        """A 2xx of a fork that has no ACK yet; to be met with ``attempt.acknowledge``."""
        ...

    def rejected(
        self, attempt: InviteAttempt, response: Response, flow: Flow, now: float
    ) -> None: ...

    def failed(self, attempt: InviteAttempt, failure: TransactionFailure, now: float) -> None: ...

    def over(self, attempt: InviteAttempt, now: float) -> None:
        """No further answer of any fork will come."""
        ...


class InviteAttempt:
    """``dialog`` is the one that a re-INVITE belongs to."""

    def __init__(
        self,
        core: EndpointCore,
        request: Request,
        destination: Flow,
        handler: AttemptHandler,
        dialog: Dialog | None = None,
    ) -> None:
        self.request = request
        self.destination = destination
        self.heard = False
        """Any response came."""
        self.ringing = False
        """A provisional response other than 100 came."""
        self.final = False
        self._core = core
        self._handler = handler
        self._dialog = dialog
        self._transaction: ClientTransaction | None = None
        self._acks: dict[str | None, Transmission | None] = {}
        self._cancelled = False
        self._cancel_reasons: tuple[Reason, ...] = ()
        self._guard: Timer | None = None

    def start(self, now: float) -> None:
        self._transaction = self._core.send_request(self.request, self.destination, self, now)

    @property
    def transport_error(self) -> str:
        """Why the request could not be sent, in words; empty if nobody knows."""
        return self._transaction.transport_error if self._transaction is not None else ""

    # ---- what the owner does ------------------------------------------------------------------

    def cancel(self, reasons: tuple[Reason, ...], now: float) -> None:
        """Give up. CANCEL waits for a provisional response (9.1) and is pointless after a final
        one."""
        if self._cancelled or self.final:
            return
        self._cancelled = True
        self._cancel_reasons = reasons
        if self.heard:
            self._send_cancel(now)

    def acknowledge(self, now: float, dialog: Dialog | None = None, sdp: bytes = b"") -> None:
        """Send the ACK for the 2xx that set up ``dialog``, now and for each retransmission.
        ``sdp`` is our answer to the offer in that 2xx."""
        dialog = dialog or self._dialog
        if dialog is None:
            return
        ack = dialog.request("ACK", self.request.cseq.number)
        for name in _CREDENTIAL_HEADERS:
            for value in self.request.headers.get_all(name):
                ack.headers.add(name, value)
        if sdp:
            ack.headers.add("Content-Type", SDP)
            ack.body = sdp
        tag = dialog.id.remote_tag

        def routed(destinations: tuple[Flow, ...], later: float) -> None:
            if not destinations:
                self._acks.pop(tag, None)  # the next 2xx tries again
                return
            transmission = self._core.finish_ack(ack, destinations[0])
            self._acks[tag] = transmission
            self._core.send(transmission)

        self._core.route(dialog, routed, now)

    # ---- what the transaction reports ---------------------------------------------------------

    def on_response(self, response: Response, flow: Flow, now: float) -> None:
        self.heard = True
        flow = heard_on(self.destination.hop, flow)
        if response.is_provisional:
            self._on_provisional(response, flow, now)
            return
        self.final = True
        self._stop_guard()
        if response.is_success:
            self._on_success(response, flow, now)
        elif not self._cancelled:
            self._handler.rejected(self, response, flow, now)

    def on_failure(self, failure: TransactionFailure, now: float) -> None:
        first, self.final = not self.final, True
        self._stop_guard()
        if first and not self._cancelled:
            self._handler.failed(self, failure, now)

    def on_end(self, now: float) -> None:
        self._acks.clear()
        self._handler.over(self, now)

    def _on_provisional(self, response: Response, flow: Flow, now: float) -> None:
        self.ringing = self.ringing or response.status > 100
        if not self._cancelled:
            self._handler.provisional(self, response, flow, now)
        elif self._guard is None:
            self._send_cancel(now)

    def _on_success(self, response: Response, flow: Flow, now: float) -> None:
        try:
            tag = response.to.tag
        except ParseError as error:
            self._core.drop(DropReason.INVALID, flow, str(error))
            return
        if tag in self._acks:
            repeated = self._acks[tag]
            if repeated is not None:
                self._core.send(repeated)
        elif len(self._acks) >= MAX_FORKS:
            self._core.drop(DropReason.INVALID, flow, "too many forks answered one INVITE")
        else:
            self._acks[tag] = None
            self._handler.answered(self, response, flow, now)

    # ---- CANCEL -------------------------------------------------------------------------------

    def _send_cancel(self, now: float) -> None:
        """9.1: what identifies the INVITE, and its Route, are repeated. The INVITE is given up
        64*T1 later if nothing came of it."""
        if self._transaction is None:
            return
        headers = Headers(("Route", value) for value in self.request.headers.get_all("Route"))
        headers.add("Max-Forwards", MAX_FORWARDS)
        for name in ("From", "To", "Call-ID"):
            headers.add(name, self.request.headers.get(name) or "")
        headers.add("CSeq", CSeq(self.request.cseq.number, "CANCEL"))
        for reason in self._cancel_reasons:
            headers.add("Reason", reason)
        self._guard = self._core.queue.start(
            now + self._core.config.timers.give_up, self._nothing_came
        )
        cancel = Request("CANCEL", self.request.uri, headers)
        self._core.send_cancel(self._transaction, cancel, now)

    def _nothing_came(self, now: float) -> None:
        if self._transaction is not None:
            self._transaction.abandon()

    def _stop_guard(self) -> None:
        self._core.queue.cancel(self._guard)
        self._guard = None
