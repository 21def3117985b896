"""One call as its owner sees it: what it can be told to do.

The two roles are in ``outbound_session.py`` and ``inbound_session.py``; which step may follow
which is the table in ``session_states.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ringback.sip.authentication import Credentials
from ringback.sip.headers import NameAddr, Reason
from ringback.sip.message import Request
from ringback.sip.refer import ReferTo
from ringback.sip.session_states import SessionState
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri

ExtraHeaders = tuple[tuple[str, str], ...]
"""Header fields the owner adds to a message, in order."""

MAX_REDIRECTS = 5
"""How many 3xx responses in a row one outbound call follows unless told otherwise."""


class Direction(StrEnum):
    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True)
class InviteRequest:
    """A call to place.

    ``from_`` is the caller without tag. ``routes`` is a preloaded route set: an outbound proxy is
    one URI with ``lr``. ``contact_user`` is the user part of our Contact; its host is what
    ``LocalAddresses`` says for the hop in use; ``contact_params`` are parameters of its URI.
    ``max_redirects`` 0 makes every 3xx a failure.
    Without ``sdp`` the far end is asked for its offer (in a reliable provisional response or the
    200), and ``answer`` gives ours to it: the To tag of the fork, the offer.
    ``hop_timeout`` gives up on a hop that has not answered at all after so many seconds when
    there is another one (``None``: Timer B alone).
    """

    target: Uri
    from_: NameAddr
    sdp: bytes
    to: NameAddr | None = None
    contact_user: str = ""
    contact_params: tuple[tuple[str, str | None], ...] = ()
    content_type: str = "application/sdp"
    headers: ExtraHeaders = ()
    credentials: Credentials | None = None
    routes: tuple[NameAddr, ...] = ()
    call_id: str | None = None
    max_redirects: int = MAX_REDIRECTS
    hop_timeout: float | None = None
    answer: Callable[[str | None, bytes], bytes] | None = None


class InviteSession(ABC):
    """One call, from the first INVITE until after the last BYE.

    Every command may be given in every state: it returns whether it had an effect, because the
    far end may have been faster. ``now`` is monotonic seconds. After each command the endpoint
    has to be drained.

    A session ends exactly once, with one of the events in ``events.ENDING_EVENTS``; for
    ``cancel``, ``bye``, ``reject``, ``ignore`` and ``hang_up`` that is ``Ended(by=LOCAL)`` in the
    very next drain. Signalling that is still owed (CANCEL, ACK, BYE, forks that answered late)
    goes on without its owner.
    """

    id: str
    """Unique in this endpoint."""
    direction: Direction
    state: SessionState
    invite: Request
    """The INVITE that began it: received (inbound) or as last sent (outbound)."""
    flow: Flow
    """Where the INVITE came from, or where the peer answered from."""

    @property
    @abstractmethod
    def call_id(self) -> str: ...

    @property
    @abstractmethod
    def local_tag(self) -> str: ...

    @property
    @abstractmethod
    def remote_tag(self) -> str | None:
        """``None`` as long as no dialog is chosen."""

    @property
    @abstractmethod
    def remote_target(self) -> Uri | None:
        """The peer's Contact, as last refreshed."""

    @property
    def ended(self) -> bool:
        """Its ending event has been reported (or is in the next drain)."""
        return self.state.ended

    # ---- inbound ------------------------------------------------------------------------------

    def progress(
        self,
        status: int,
        reason: str | None = None,
        *,
        sdp: bytes | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        """Send a provisional response (100 to 199), with early media if ``sdp`` is given: our
        answer, or our offer if the INVITE had none. It is reliable (RFC 3262) where the caller
        wants that, and waits for the PRACK of the one before it."""
        return False

    def accept(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        """Answer with 200. ``sdp`` is the answer, or our offer if the INVITE had none: then the
        peer's answer is in ``Acked.sdp``. Where a reliable provisional response carried ours
        already ``sdp`` is not sent again, and the 200 waits for its PRACK."""
        return False

    def reject(
        self, status: int, reason: str | None = None, *, headers: ExtraHeaders = (), now: float
    ) -> bool:
        """Refuse with a final response (300 to 699). Ends the session."""
        return False

    def ignore(self, *, now: float) -> bool:
        """Say nothing at all, ever: for scanners. Ends the session."""
        return False

    # ---- outbound -----------------------------------------------------------------------------

    def cancel(self, *, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        """Give up before an answer. CANCEL goes out as soon as RFC 3261 9.1 allows it; an answer
        that crosses it is acknowledged and hung up. Ends the session."""
        return False

    def follow_redirect(self, target: Uri, hops: Sequence[Hop], *, now: float) -> bool:
        """Answer ``Redirected``: call ``target`` instead."""
        return False

    def refuse_redirect(self, *, now: float) -> bool:
        """Answer ``Redirected``: no. ``InviteFailed`` with the 3xx follows."""
        return False

    # ---- both ---------------------------------------------------------------------------------

    @abstractmethod
    def bye(self, *, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        """Hang up an answered call. Ends the session. Where the peer has not yet acknowledged
        our answer the BYE waits for that (RFC 3261 15)."""

    @abstractmethod
    def hang_up(self, *, status: int = 480, reasons: tuple[Reason, ...] = (), now: float) -> bool:
        """End it whatever its state: CANCEL, BYE, or ``reject(status)``."""

    @abstractmethod
    def reinvite(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        """Offer ``sdp`` in a re-INVITE. ``False`` while another offer, of either side, is open.
        ``OfferAnswered`` or ``OfferFailed`` follows; glare (491) is retried within bounds."""

    @abstractmethod
    def update(
        self,
        sdp: bytes,
        *,
        fork: str | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        """Offer ``sdp`` in an UPDATE (RFC 3311), as ``reinvite`` does; before the answer, too,
        where offer and answer were exchanged reliably. ``fork`` is the To tag of the early dialog
        of an outbound call. ``False`` where the peer does not list UPDATE in Allow."""

    @abstractmethod
    def respond_offer(self, sdp: bytes, *, headers: ExtraHeaders = (), now: float) -> bool:
        """Answer ``OfferReceived`` with 200: our answer, or our offer where the peer sent none
        (then ``OfferAnswered`` brings theirs)."""

    @abstractmethod
    def reject_offer(
        self,
        status: int = 488,
        reason: str | None = None,
        *,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        """Refuse ``OfferReceived``; the session goes on as it was."""

    @abstractmethod
    def refer(
        self,
        refer_to: ReferTo,
        *,
        referred_by: NameAddr | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        """Ask the far end to call somebody else (RFC 3515). ``ReferProgress`` follows. ``False``
        while another transfer is being waited for."""

    @abstractmethod
    def request(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str | None = None,
        headers: ExtraHeaders = (),
        now: float,
    ) -> bool:
        """Send INFO, OPTIONS, REFER, NOTIFY, MESSAGE … in the dialog. ``RequestCompleted``
        follows."""

    def info(
        self, content_type: str, body: bytes, *, headers: ExtraHeaders = (), now: float
    ) -> bool:
        """Send an INFO (RFC 6086), for instance ``application/dtmf-relay``."""
        return self.request("INFO", body=body, content_type=content_type, headers=headers, now=now)
