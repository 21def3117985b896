"""The SIP stack without its sockets and clock: transactions, dialogs, calls, registrations.

Input and commands take ``now`` (monotonic seconds). Every one of them is to be followed by a
complete drain::

    for transmission in endpoint.transmissions(): ...   # send
    for event in endpoint.events(): ...                 # act; acting is a command: drain again
    when = endpoint.next_timer()                        # call handle_timeout(now) then
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ringback.sip.endpoint_config import EndpointConfig
from ringback.sip.endpoint_core import EndpointCore
from ringback.sip.errors import ParseError
from ringback.sip.events import DropReason, Event
from ringback.sip.invite_session import InviteRequest, InviteSession
from ringback.sip.message import Request, Response, parse_message, request_fragment
from ringback.sip.out_of_dialog import OutgoingRequest
from ringback.sip.outbound_session import OutboundSession
from ringback.sip.registration import Registration, RegistrationRequest
from ringback.sip.registration_client import RegistrationClient
from ringback.sip.request_client import RequestClient
from ringback.sip.request_receiver import RequestReceiver
from ringback.sip.strangers import Gatekeeper
from ringback.sip.transport import Flow, Hop, LocalAddresses, Transmission
from ringback.sip.validation import check_response

__all__ = ["EndpointConfig", "EndpointCounts", "SipEndpoint"]


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """What an endpoint holds at one moment."""

    client_transactions: int
    server_transactions: int
    dialogs: int
    sessions: int
    timers: int


class SipEndpoint:
    """``new_token()`` gives an unguessable string of letters and digits (tags, branches,
    Call-IDs, cnonces); ``random()`` a float in [0, 1) (back-off)."""

    def __init__(
        self,
        config: EndpointConfig,
        addresses: LocalAddresses,
        new_token: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        self._core = EndpointCore(config, addresses, new_token, random)
        self._requests = RequestReceiver(self._core)
        self._registrations: list[RegistrationClient] = []

    @property
    def accepting_new_calls(self) -> bool:
        """``False``: a new INVITE, and an OPTIONS outside of a call, get 503 with Retry-After."""
        return self._requests.accepting_new_calls

    @accepting_new_calls.setter
    def accepting_new_calls(self, accepting: bool) -> None:
        self._requests.accepting_new_calls = accepting

    @property
    def takes_calls(self) -> Callable[[], bool]:
        """Asked for each new INVITE that replaces nothing, before anything is kept of it; ``False``
        refuses it with 503 and Retry-After. Requests within calls are never asked about."""
        return self._requests.takes_calls

    @takes_calls.setter
    def takes_calls(self, takes_calls: Callable[[], bool]) -> None:
        self._requests.takes_calls = takes_calls

    @property
    def gatekeeper(self) -> Gatekeeper | None:
        """Who says which requests outside of a call may come in; ``None``: all."""
        return self._requests.gatekeeper

    @gatekeeper.setter
    def gatekeeper(self, gatekeeper: Gatekeeper | None) -> None:
        self._requests.gatekeeper = gatekeeper

    def serves(self, call_id: str) -> bool:
        """Whether a request with this Call-ID may belong to a call or a request that lives."""
        return self._core.serves(call_id)

    def expects(self, branch: str) -> bool:
        """Whether a response with this branch in its top Via may be one to a request of ours."""
        return self._core.transactions.expects(branch)

    @property
    def dropped(self) -> Counter[DropReason]:
        """How many messages nothing here wanted, by reason."""
        return self._core.dropped

    # ---- the driver's side --------------------------------------------------------------------

    def receive_datagram(self, data: bytes, flow: Flow, now: float) -> None:
        """Parse and process one datagram; what cannot be read is answered as it is owed, or
        dropped and counted."""
        try:
            message = parse_message(data)
        except ParseError as error:
            fragment = request_fragment(error)
            if fragment is not None:
                self._requests.refuse_unreadable(fragment, error, flow)
            else:
                self._core.drop(DropReason.UNPARSABLE, flow, str(error))
            return
        self.receive(message, flow, now)

    def receive(self, message: Request | Response, flow: Flow, now: float) -> None:
        """Process one message. Never raises for anything that a peer can send.

        ``message`` is the endpoint's from here on: its top Via gets the source address.
        """
        if isinstance(message, Request):
            self._requests.receive(message, flow, now)
        else:
            self._receive_response(message, flow, now)

    def refuse_busy(self, message: bytes | Request, flow: Flow) -> None:
        """Answer a request with 503 and forget it; all else is dropped."""
        if isinstance(message, bytes):
            try:
                parsed = parse_message(message)
            except ParseError:
                return
            if not isinstance(parsed, Request):
                return
            message = parsed
        self._requests.refuse_busy(message, flow)

    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        """RFC 3261 18.1.2, 8.1.3.3. A 2xx that belongs to no transaction is dropped, too: it is
        none of ours (RFC 6026 7.2)."""
        try:
            check_response(response)
            via = response.top_via
            transaction = self._core.transactions.find_client(via, response.cseq.method)
        except ParseError as error:
            self._core.drop(DropReason.INVALID, flow, str(error))
            return
        if transaction is None:
            self._core.drop(DropReason.STRAY_RESPONSE, flow, str(response.status))
        elif via.sent_by.lower() != transaction.via.sent_by.lower():
            self._core.drop(DropReason.WRONG_SENT_BY, flow, via.sent_by)
        else:
            transaction.receive(response, flow, now)

    def transport_failed(self, transmission: Transmission, now: float) -> None:
        """``transmission`` could not be sent (ICMP, refused, TLS failed), as its ``failure`` says
        if there are words for it."""
        self._core.transactions.transport_failed(transmission.key, now, transmission.failure)

    def connection_closed(self, connection: int, now: float) -> None:
        """A TCP or TLS connection is gone: registrations made over it are made again."""
        for client in self._registrations:
            client.connection_closed(connection, now)

    def resolved(self, key: str, hops: Sequence[Hop], now: float, *, failure: str = "") -> None:
        """The answer to ``ResolveNeeded``. No hops means that there are none (``failure`` may say
        why in words). An answer that nobody waits for is ignored."""
        self._core.resolved(key, hops, failure, now)

    def handle_timeout(self, now: float) -> None:
        self._core.queue.fire(now)

    def next_timer(self) -> float | None:
        return self._core.queue.next()

    def transmissions(self) -> list[Transmission]:
        """What has to be sent, in order. Empties the list."""
        return self._core.drain_transmissions()

    def events(self) -> list[Event]:
        """What happened, in order. Empties the list."""
        return self._core.drain_events()

    # ---- the owner's side ---------------------------------------------------------------------

    def invite(self, request: InviteRequest, hops: Sequence[Hop], *, now: float) -> InviteSession:
        """Place a call to the first of ``hops``, the others being for failover. No hops end it at
        once with ``InviteFailed(unreachable)``.

        Raises :class:`ringback.sip.errors.UnsafeValue` for headers that would break the message.
        """
        return OutboundSession(self._core, request, hops, now)

    def request(self, request: OutgoingRequest, hops: Sequence[Hop], *, now: float) -> None:
        """Send a request outside of a dialog; ``ResponseReceived`` names it."""
        RequestClient(self._core, request).start(hops, now)

    def register(
        self, request: RegistrationRequest, hops: Sequence[Hop], *, now: float
    ) -> Registration:
        """Register and keep registered. Without hops ``ResolveNeeded`` asks for them first."""
        self._registrations = [
            client for client in self._registrations if not client.registration.stopped
        ]
        client = RegistrationClient(self._core, request, hops)
        self._registrations.append(client)
        client.registration.start(now)
        return client.registration

    @property
    def sessions(self) -> tuple[InviteSession, ...]:
        """Calls that have not ended."""
        return tuple(self._core.sessions.values())

    @property
    def counts(self) -> EndpointCounts:
        core = self._core
        return EndpointCounts(
            core.transactions.client_count,
            core.transactions.server_count,
            len(core.dialogs),
            len(core.sessions),
            len(core.queue),
        )

    @property
    def is_idle(self) -> bool:
        """No transaction, dialog or call is left."""
        return self._core.is_idle
