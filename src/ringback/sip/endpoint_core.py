"""What the parts of an endpoint share: its queues, transactions, dialogs and names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ringback.sip.dialog import Dialog, DialogId
from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.events import Dropped, DropReason, Event, ResolveNeeded
from ringback.sip.headers import BRANCH_COOKIE, NameAddr, Via
from ringback.sip.invite_session import ExtraHeaders, InviteSession
from ringback.sip.message import Request, Response
from ringback.sip.next_hop import behind_nat, literal_flow
from ringback.sip.params import Params, UriParams
from ringback.sip.timers import Timer, TimerQueue
from ringback.sip.transaction import ClientTransaction, ClientUser, ServerTransaction
from ringback.sip.transaction_layer import ReceivedRequest, TransactionLayer, uncount
from ringback.sip.transport import Flow, Hop, LocalAddresses, Transmission
from ringback.sip.uri import Uri

WhenRouted = Callable[[tuple[Flow, ...], float], None]
"""Called with where to send, nothing if nowhere, and the time."""

WhenResolved = Callable[[Sequence[Hop], str, float], None]
"""Called with the hops, why there are none in words, and the time."""


class DialogUser(Protocol):
    """Who gets the requests of a dialog."""

    def receive_in_dialog(
        self,
        received: ReceivedRequest,
        transaction: ServerTransaction,
        dialog: Dialog,
        now: float,
    ) -> None: ...

    def receive_ack(self, received: ReceivedRequest, now: float) -> bool:
        """The ACK for a 2xx; ``False`` if nobody waits for it."""
        ...


class EndpointCore:
    def __init__(
        self,
        config: EndpointConfig,
        addresses: LocalAddresses,
        new_token: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self.config = config
        self.new_token = new_token
        self.random = random
        self.queue = TimerQueue()
        self.transactions = TransactionLayer(config.timers, self.queue, self.send)
        self.dialogs: dict[DialogId, tuple[DialogUser, Dialog]] = {}
        self.sessions: dict[str, InviteSession] = {}
        self.dropped: Counter[DropReason] = Counter()
        self._addresses = addresses
        self._dialog_calls: Counter[str] = Counter()
        self._resolving: dict[str, tuple[WhenResolved, Timer]] = {}
        self._out: list[Transmission] = []
        self._events: list[Event] = []

    # ---- out ----------------------------------------------------------------------------------

    def send(self, transmission: Transmission) -> None:
        self._out.append(transmission)

    def emit(self, event: Event) -> None:
        self._events.append(event)

    def drop(self, why: DropReason, flow: Flow, detail: str = "") -> None:
        self.dropped[why] += 1
        self.emit(Dropped(why, flow, detail))

    def drain_transmissions(self) -> list[Transmission]:
        out, self._out = self._out, []
        return out

    def drain_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # ---- dialogs ------------------------------------------------------------------------------

    def serves(self, call_id: str) -> bool:
        """Whether a request with this Call-ID may belong to a call or a request that lives."""
        return call_id in self._dialog_calls or self.transactions.serves(call_id)

    def add_dialog(self, dialog: Dialog, user: DialogUser) -> None:
        if dialog.id not in self.dialogs:
            self._dialog_calls[dialog.id.call_id] += 1
        self.dialogs[dialog.id] = (user, dialog)

    def remove_dialog(self, dialog: Dialog) -> None:
        found = self.dialogs.get(dialog.id)
        if found is not None and found[1] is dialog:
            del self.dialogs[dialog.id]
            uncount(self._dialog_calls, dialog.id.call_id)

    # ---- requests of ours ---------------------------------------------------------------------

    def contact(
        self,
        hop: Hop,
        user: str | None,
        params: tuple[tuple[str, str | None], ...] = (),
        *,
        secure: bool = False,
    ) -> NameAddr:
        """Our Contact toward ``hop``: ``params`` are those of its URI; ``secure`` where the dialog
        is one of SIPS."""
        host, port = self._addresses.advertised(hop)
        uri_params = UriParams()
        if hop.transport != "udp" and not secure:
            uri_params = uri_params.set("transport", hop.transport)
        for name, value in params:
            uri_params = uri_params.set(name, value)
        scheme = "sips" if secure else "sip"
        return NameAddr(Uri(scheme, user=user or None, host=host, port=port, params=uri_params))

    def send_request(
        self, request: Request, destination: Flow, user: ClientUser, now: float
    ) -> ClientTransaction:
        """Put our Via on ``request`` and send it in a transaction of its own."""
        via = self._new_via(destination.hop)
        self._finish(request, via)
        return self.transactions.start_client(request, via, destination, user, now)

    def send_cancel(self, invite: ClientTransaction, cancel: Request, now: float) -> None:
        """``cancel`` goes where its INVITE went, with the same branch (9.1)."""
        self._finish(cancel, invite.via)
        self.transactions.start_client(cancel, invite.via, invite.destination, NOBODY, now)

    def finish_ack(self, ack: Request, destination: Flow) -> Transmission:
        """The ACK for a 2xx, which is no transaction."""
        self._finish(ack, self._new_via(destination.hop))
        return Transmission(destination, bytes(ack))

    def _finish(self, request: Request, via: Via) -> None:
        request.headers.prepend("Via", via)
        if self.config.user_agent and "User-Agent" not in request.headers:
            request.headers.add("User-Agent", self.config.user_agent)

    def _new_via(self, hop: Hop) -> Via:
        host, port = self._addresses.advertised(hop)
        branch = f"{BRANCH_COOKIE}{self.new_token()}"
        params = Params((("branch", branch), ("rport", None)))
        return Via(hop.transport.upper(), host, port, params)

    # ---- where to -----------------------------------------------------------------------------

    def route(self, dialog: Dialog, then: WhenRouted, now: float) -> None:
        """Find where the dialog's next request goes and call ``then``, at once if no name has to
        be resolved. A Contact that only the peer's own network can look up, or that is no SIP
        address, is tried where the peer is heard."""
        uri = dialog.next_hop
        if not dialog.route_set and behind_nat(uri, dialog.flow, dialog.sent_by):
            then((dialog.flow,), now)
            return
        flow = literal_flow(uri, dialog.flow)
        if flow is None and dialog.anchor == anchor_of(uri):
            flow = dialog.flow
        if flow is not None:
            then((flow,), now)
        elif not uri.is_sip:
            self._routed(dialog, then, (), "", now)
        else:
            self.resolve(uri, partial(self._routed, dialog, then), now)

    def _routed(
        self, dialog: Dialog, then: WhenRouted, hops: Sequence[Hop], failure: str, now: float
    ) -> None:
        here = dialog.flow
        found = tuple(here if hop == here.hop else Flow(hop) for hop in hops)
        then(found if found or dialog.route_set else (here,), now)

    def resolve(self, uri: Uri, then: WhenResolved, now: float, key: str | None = None) -> None:
        """Ask the owner for the hops of ``uri``; no answer within 64*T1 counts as none. A second
        question with the same ``key`` takes the place of the first."""
        name = key or self.new_token()
        self.forget_resolution(name)
        guard = self.queue.start(
            now + self.config.timers.give_up,
            lambda later: self.resolved(name, (), "the name was not resolved in time", later),
        )
        self._resolving[name] = (then, guard)
        self.emit(ResolveNeeded(name, uri))

    def forget_resolution(self, key: str) -> None:
        found = self._resolving.pop(key, None)
        if found is not None:
            self.queue.cancel(found[1])

    def resolved(self, key: str, hops: Sequence[Hop], failure: str, now: float) -> None:
        found = self._resolving.pop(key, None)
        if found is not None:
            then, guard = found
            self.queue.cancel(guard)
            then(hops, failure, now)

    # ---- responses of ours --------------------------------------------------------------------

    def response(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: ExtraHeaders = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Response:
        response = Response.to_request(request, status, reason, to_tag, headers=headers, body=body)
        if self.config.user_agent:
            response.headers.add("Server", self.config.user_agent)
        if body and content_type:
            response.headers.set("Content-Type", content_type)
        return response

    @property
    def retry_after(self) -> tuple[str, str]:
        """The header that goes with a 503."""
        return "Retry-After", str(self.config.overload_retry_after)

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> None:
        """Answer a request that concerns no owner."""
        tag = to_tag or self.new_token()
        response = self.response(transaction.request, status, reason, to_tag=tag, headers=headers)
        transaction.respond(response, now)

    @property
    def is_idle(self) -> bool:
        return not (
            self.transactions.client_count
            or self.transactions.server_count
            or self.dialogs
            or self.sessions
            or self._resolving
        )


class _Nobody:
    """For requests whose response changes nothing, like CANCEL."""

    def on_response(self, response: Response, flow: Flow, now: float) -> None: ...

    def on_failure(self, failure: object, now: float) -> None: ...

    def on_end(self, now: float) -> None: ...


NOBODY = _Nobody()


def anchor_of(uri: Uri) -> tuple[str, int | None]:
    """What has to be equal for two URIs to lead to the same server."""
    return uri.host.lower(), uri.port
