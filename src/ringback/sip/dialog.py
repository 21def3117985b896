"""Dialogs: what two peers remember of each other between requests (RFC 3261 section 12)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from ringback.sip.errors import ParseError
from ringback.sip.headers import CSeq, Headers, NameAddr
from ringback.sip.message import Request, Response
from ringback.sip.transport import Flow
from ringback.sip.uri import Uri

MAX_FORWARDS = 70


class DialogState(StrEnum):
    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class DialogId:
    """Tags are ``None`` where a peer of RFC 2543 gives none."""

    call_id: str
    local_tag: str | None
    remote_tag: str | None


class Dialog:
    """One dialog.

    ``flow`` is where the peer was heard last. ``anchor`` is the host and port of a name that is
    known to be at ``flow``, and ``sent_by`` the host that the peer believes to be (its Via).
    """

    __slots__ = (
        "_local_cseq",
        "_remote_cseq",
        "anchor",
        "flow",
        "id",
        "local",
        "remote",
        "remote_target",
        "route_set",
        "sent_by",
        "state",
    )

    def __init__(
        self,
        local: NameAddr,
        remote: NameAddr,
        call_id: str,
        remote_target: Uri,
        route_set: tuple[NameAddr, ...],
        flow: Flow,
        *,
        local_cseq: int = 0,
        remote_cseq: int | None = None,
        state: DialogState = DialogState.EARLY,
        sent_by: str | None = None,
    ) -> None:
        self.id = DialogId(call_id, local.tag, remote.tag)
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.route_set = route_set
        self.flow = flow
        self.sent_by = sent_by
        self.anchor: tuple[str, int | None] | None = None
        self.state = state
        self._local_cseq = local_cseq
        self._remote_cseq = remote_cseq

    @classmethod
    def as_client(
        cls, request: Request, response: Response, cseq: int, flow: Flow, fallback: Uri
    ) -> Dialog:
        """From the response to our dialog-forming request (12.1.2). ``fallback`` is the remote
        target where the response has no Contact that can be read. Raises ``ParseError``."""
        return cls(
            request.from_,
            response.to,
            request.call_id,
            _answered_target(response) or fallback,
            tuple(reversed(response.record_routes)),
            flow,
            local_cseq=cseq,
            state=DialogState.EARLY if response.is_provisional else DialogState.CONFIRMED,
        )

    @classmethod
    def as_server(cls, request: Request, local_tag: str, flow: Flow, sent_by: str) -> Dialog:
        """From the peer's dialog-forming request (12.1.1). Raises ``ParseError``."""
        contact = request.contact
        remote = request.from_
        return cls(
            request.to.with_tag(local_tag),
            remote,
            request.call_id,
            _request_uri(contact.uri if contact is not None else remote.uri),
            tuple(request.record_routes),
            flow,
            remote_cseq=request.cseq.number,
            sent_by=sent_by,
        )

    def confirm(self, response: Response) -> None:
        """Our INVITE's 2xx: its route set and target replace those of the 1xx (13.2.2.4). Raises
        :class:`ParseError`; the dialog is as it was then."""
        routes = tuple(reversed(response.record_routes))
        self.remote_target = _answered_target(response) or self.remote_target
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED
            self.route_set = routes

    def refresh_target(self, message: Request | Response) -> None:
        """A Contact in a target refresh request, or in its 2xx, is the new target (12.2)."""
        contact = message.contact
        if contact is not None:
            self.remote_target = _request_uri(contact.uri)

    def accept_cseq(self, number: int) -> bool:
        """``False`` for a request that is older than the last one (12.2.2: answer 500)."""
        if self._remote_cseq is not None and number < self._remote_cseq:
            return False
        self._remote_cseq = number
        return True

    def next_cseq(self) -> int:
        self._local_cseq += 1
        return self._local_cseq

    def request(self, method: str, cseq: int | None = None) -> Request:
        """A request within the dialog, without Via and Contact (12.2.1.1).

        ``cseq`` is for ACK, which repeats the INVITE's; other requests get the next number.
        """
        uri, routes = self._request_line()
        headers = Headers(("Route", route) for route in routes)
        headers.add("Max-Forwards", MAX_FORWARDS)
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.id.call_id)
        headers.add("CSeq", CSeq(self.next_cseq() if cseq is None else cseq, method))
        return Request(method, uri, headers)

    @property
    def next_hop(self) -> Uri:
        """Whose address a request is sent to."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def _request_line(self) -> tuple[Uri, tuple[NameAddr, ...]]:
        if not self.route_set or "lr" in self.route_set[0].uri.params:
            return self.remote_target, self.route_set
        # A strict router wants itself in the Request-URI and the target last (12.2.1.1).
        return (
            _request_uri(self.route_set[0].uri),
            (*self.route_set[1:], NameAddr(self.remote_target)),
        )


def _answered_target(response: Response) -> Uri | None:
    """The Contact of a response to our INVITE, ``None`` where there is none or it cannot be read:
    whoever sent it takes the call for answered all the same, and waits for the ACK."""
    try:
        contact = response.contact
    except ParseError:
        return None
    return _request_uri(contact.uri) if contact is not None else None


def _request_uri(uri: Uri) -> Uri:
    """``uri`` without what may not stand in a Request-URI (19.1.1)."""
    if not uri.headers and "method" not in uri.params:
        return uri
    return replace(uri.without_param("method"), headers=())
