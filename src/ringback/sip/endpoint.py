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
from dataclasses import dataclass, field

from ringback.sip.events import DropReason, Event
from ringback.sip.invite_session import InviteRequest, InviteSession
from ringback.sip.message import Request, Response
from ringback.sip.out_of_dialog import OutgoingRequest
from ringback.sip.registration import Registration, RegistrationRequest
from ringback.sip.timers import Timers
from ringback.sip.transport import Flow, Hop, LocalAddresses, Transmission

MAX_SERVER_TRANSACTIONS = 20_000
"""Beyond this many at once a new request gets 503."""


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """``user_agent`` goes into User-Agent and Server. Requests of the methods in ``interests``
    (REFER, NOTIFY, SUBSCRIBE, MESSAGE, OPTIONS) are delivered instead of answered by themselves.
    ``info_types`` are the INFO bodies delivered; others get 415."""

    user_agent: str = "Ringback"
    timers: Timers = field(default_factory=Timers)
    interests: frozenset[str] = frozenset()
    info_types: tuple[str, ...] = ("application/dtmf-relay", "application/dtmf")
    max_server_transactions: int = MAX_SERVER_TRANSACTIONS
    overload_retry_after: int = 10


class SipEndpoint:
    """``new_token()`` gives an unguessable string of letters and digits (tags, branches,
    Call-IDs, cnonces); ``random()`` a float in [0, 1) (back-off)."""

    accepting_new_calls: bool
    """``False``: a new INVITE, and an OPTIONS outside of a call, get 503 with Retry-After."""
    dropped: Counter[DropReason]

    def __init__(
        self,
        config: EndpointConfig,
        addresses: LocalAddresses,
        new_token: Callable[[], str],
        random: Callable[[], float],
    ) -> None:
        raise NotImplementedError

    # ---- the driver's side --------------------------------------------------------------------

    def receive_datagram(self, data: bytes, flow: Flow, now: float) -> None:
        """Parse and process one datagram; what cannot be read is answered as it is owed, or
        dropped and counted."""
        raise NotImplementedError

    def receive(self, message: Request | Response, flow: Flow, now: float) -> None:
        """Process one message. Never raises for anything that a peer can send."""
        raise NotImplementedError

    def transport_failed(self, transmission: Transmission, now: float) -> None:
        """``transmission`` could not be sent (ICMP, refused, TLS failed)."""
        raise NotImplementedError

    def connection_closed(self, connection: int, now: float) -> None:
        """A TCP or TLS connection is gone: registrations made over it are made again."""
        raise NotImplementedError

    def resolved(self, key: str, hops: Sequence[Hop], now: float, *, failure: str = "") -> None:
        """The answer to ``ResolveNeeded``. No hops means that there are none (``failure`` may say
        why in words)."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> None:
        raise NotImplementedError

    def next_timer(self) -> float | None:
        raise NotImplementedError

    def transmissions(self) -> list[Transmission]:
        """What has to be sent, in order. Empties the list."""
        raise NotImplementedError

    def events(self) -> list[Event]:
        """What happened, in order. Empties the list."""
        raise NotImplementedError

    # ---- the owner's side ---------------------------------------------------------------------

    def invite(self, request: InviteRequest, hops: Sequence[Hop], *, now: float) -> InviteSession:
        """Place a call to the first of ``hops``, the others being for failover. No hops end it at
        once with ``InviteFailed(unreachable)``."""
        raise NotImplementedError

    def request(self, request: OutgoingRequest, hops: Sequence[Hop], *, now: float) -> None:
        """Send a request outside of a dialog; ``ResponseReceived`` names it."""
        raise NotImplementedError

    def register(
        self, request: RegistrationRequest, hops: Sequence[Hop], *, now: float
    ) -> Registration:
        """Register and keep registered. Without hops ``ResolveNeeded`` asks for them first."""
        raise NotImplementedError

    @property
    def sessions(self) -> tuple[InviteSession, ...]:
        """Calls that have not ended."""
        raise NotImplementedError

    @property
    def is_idle(self) -> bool:
        """No transaction, dialog, call or timer is left (registrations apart)."""
        raise NotImplementedError
