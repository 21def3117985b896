"""What becomes of a request that comes in (RFC 3261 8.2, 9.2, 12.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ringback.sip.dialog import DialogId
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import DropReason, OutOfDialogRequest
from ringback.sip.inbound_session import InboundSession
from ringback.sip.incoming_requests import capabilities, deliver, refuse_method
from ringback.sip.message import Request, RequestFragment
from ringback.sip.replaces import replaced_call
from ringback.sip.response_routing import reply_flow
from ringback.sip.session_timer import TimerPolicy, interval_too_small
from ringback.sip.strangers import Gatekeeper, StrangerDesk
from ringback.sip.transaction import ServerTransaction
from ringback.sip.transaction_layer import ReceivedRequest
from ringback.sip.transport import Flow, Transmission
from ringback.sip.validation import (
    KNOWN_METHODS,
    Acceptance,
    Rejection,
    rejection_of,
    validate_request,
)

_WITH_SDP = frozenset({"INVITE", "UPDATE"})


class RequestReceiver:
    def __init__(self, core: EndpointCore) -> None:
        self.accepting_new_calls = True
        self.gatekeeper: Gatekeeper | None = None
        self.takes_calls: Callable[[], bool] = lambda: True
        self._core = core
        self._strangers = StrangerDesk(core)
        # Methods that we know of get their own refusal further down.
        self._acceptance = Acceptance(
            methods=tuple(KNOWN_METHODS | core.config.interests),
            extensions=frozenset(tag.lower() for tag in core.config.option_tags),
        )

    def receive(self, request: Request, flow: Flow, now: float) -> None:
        try:
            received = ReceivedRequest.read(request, flow)
        except ParseError as error:
            self.refuse_unreadable(request, error, flow)
            return
        if request.method == "ACK":
            self._receive_ack(received, now)
            return
        layer = self._core.transactions
        known = layer.find_server(received, request.method)
        if known is not None:
            known.receive_retransmission(now)
        elif refusal := self._refusal(received, now):
            rejection = self._validate(request)
            busy = not self.accepting_new_calls
            self._strangers.answer(received, refusal, rejection, busy)
        elif layer.server_count >= self._core.config.max_server_transactions:
            self._refuse_overload(received)
        elif _is_new_call(received) and not self.takes_calls():
            self._refuse_overload(received)
        else:
            self._receive_new(received, layer.open_server(received, now), now)

    def refuse_unreadable(
        self, request: Request | RequestFragment, error: ParseError, flow: Flow
    ) -> None:
        """Answer what cannot be taken apart, without a transaction; drop what cannot be
        answered."""
        self._core.drop(DropReason.UNPARSABLE, flow, str(error))
        fragment = (
            request
            if isinstance(request, RequestFragment)
            else RequestFragment.of(request.method, request.headers)
        )
        if fragment is None:
            return
        response = rejection_of(error).response_to(request, self._core.new_token())
        if response is not None:
            self._core.send(Transmission(reply_flow(fragment.top_via, flow), bytes(response)))

    # ---- strangers ----------------------------------------------------------------------------

    def _refusal(self, received: ReceivedRequest, now: float) -> int:
        """What the gatekeeper says; 0 for what belongs to a call, which he is not asked about."""
        if self.gatekeeper is None or _dialog_id(received) in self._core.dialogs:
            return 0
        if received.method == "CANCEL":
            if self._core.transactions.find_server(received, "INVITE") is not None:
                return 0
        return self.gatekeeper.refusal(received.request, received.flow, now)

    def refuse_busy(self, request: Request, flow: Flow) -> None:
        """503 with Retry-After, and nothing else is done about it."""
        try:
            received = ReceivedRequest.read(request, flow)
        except ParseError:
            return
        if request.method != "ACK":
            self._refuse_overload(received)

    # ---- ACK ----------------------------------------------------------------------------------

    def _receive_ack(self, received: ReceivedRequest, now: float) -> None:
        transaction = self._core.transactions.find_server(received, "INVITE")
        if transaction is not None and transaction.receive_ack(received.request, now):
            return
        found = self._core.dialogs.get(_dialog_id(received))
        if found is None:
            self._core.drop(DropReason.STRAY_ACK, received.flow)
        else:
            found[0].receive_ack(received, now)

    # ---- everything else ----------------------------------------------------------------------

    def _receive_new(
        self, received: ReceivedRequest, transaction: ServerTransaction, now: float
    ) -> None:
        rejection = self._validate(received.request)
        if rejection is not None:
            self._core.drop(DropReason.INVALID, received.flow, rejection.reason)
            self._refuse(transaction, rejection, now)
        elif received.method == "CANCEL":
            self._receive_cancel(received, transaction, now)
        elif received.to.tag is not None:
            self._receive_in_dialog(received, transaction, now)
        elif self._core.transactions.is_merged(received, transaction):
            self._core.reply(transaction, 482, now=now)
        else:
            self._receive_outside(received, transaction, now)

    def _validate(self, request: Request) -> Rejection | None:
        """Bodies count where they mean something to us: those of other methods are ignored or
        their receiver's business."""
        acceptance = self._acceptance
        if request.body and request.method not in _WITH_SDP:
            try:
                media_type = request.content_type
            except ParseError as error:
                return rejection_of(error)
            if media_type is not None:
                acceptance = replace(acceptance, content_types=(media_type.essence,))
        rejection = validate_request(request, acceptance)
        if rejection is not None and rejection.status == 501:
            return replace(rejection, headers=(("Allow", self._core.config.allow),))
        return rejection

    def _refuse(self, transaction: ServerTransaction, rejection: Rejection, now: float) -> None:
        self._core.reply(
            transaction, rejection.status, rejection.reason, headers=rejection.headers, now=now
        )

    def _receive_cancel(
        self, received: ReceivedRequest, transaction: ServerTransaction, now: float
    ) -> None:
        """200 or 481 to the CANCEL itself; what it does is its INVITE's user's business."""
        invite = self._core.transactions.find_server(received, "INVITE")
        if invite is None:
            self._core.reply(transaction, 481, now=now)
            return
        user = invite.user
        tag = user.local_tag if user is not None else None
        self._core.reply(transaction, 200, to_tag=tag, now=now)
        if user is not None and not invite.answered:
            user.on_cancel(received.request, now)

    def _receive_in_dialog(
        self, received: ReceivedRequest, transaction: ServerTransaction, now: float
    ) -> None:
        found = self._core.dialogs.get(_dialog_id(received))
        if found is None:
            self._core.reply(transaction, 481, now=now)
        else:
            user, dialog = found
            user.receive_in_dialog(received, transaction, dialog, now)

    def _receive_outside(
        self, received: ReceivedRequest, transaction: ServerTransaction, now: float
    ) -> None:
        method = received.method
        if method in ("INVITE", "OPTIONS") and not self.accepting_new_calls:
            self._core.reply(transaction, 503, headers=(self._core.retry_after,), now=now)
        elif method == "INVITE":
            self._invited(received, transaction, now)
        elif method in self._core.config.interests:
            self._core.emit(OutOfDialogRequest(deliver(self._core, transaction, now)))
        elif method == "OPTIONS":
            headers = capabilities(self._core.config)
            self._core.reply(transaction, 200, headers=headers, now=now)
        else:
            refuse_method(self._core, transaction, now)

    def _invited(
        self, received: ReceivedRequest, transaction: ServerTransaction, now: float
    ) -> None:
        config = self._core.config
        policy = TimerPolicy(config.session_expires, config.min_se)
        too_short = interval_too_small(policy, received.request)
        if too_short is not None:
            self._core.reply(transaction, 422, headers=too_short, now=now)
            return
        try:
            replaced = replaced_call(self._core, received.request) if config.transfers else None
            InboundSession(self._core, received, transaction, replaced)
        except ParseError as error:
            self._refuse(transaction, rejection_of(error), now)

    # ---- overload -----------------------------------------------------------------------------

    def _refuse_overload(self, received: ReceivedRequest) -> None:
        """503 without a transaction, so that refusing costs no memory."""
        self._core.drop(DropReason.OVERLOAD, received.flow)
        self._strangers.send(received, 503, headers=(self._core.retry_after,))


def _is_new_call(received: ReceivedRequest) -> bool:
    """Not within a dialog, and not in the place of a call that lives (RFC 3891)."""
    if received.method != "INVITE" or received.to.tag is not None:
        return False
    return "Replaces" not in received.request.headers


def _dialog_id(received: ReceivedRequest) -> DialogId:
    """From our side: what they call To is us."""
    return DialogId(received.call_id, received.to.tag, received.from_.tag)
