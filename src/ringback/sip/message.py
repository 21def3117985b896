"""SIP requests and responses: parsing, reading and writing (RFC 3261 section 7).

Lenient in: any white space around separators, folded and compact headers, bare LF, bytes of any
encoding. Strict out: what is written is what RFC 3261's grammar allows.

Headers are read on demand: :func:`parse_message` fails only where the message cannot be taken
apart, and the typed accessors raise :class:`HeaderError` for a header that cannot be understood.
``validation.py`` says what a request with faults is owed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ringback.sip.auth import Challenge
from ringback.sip.errors import BodyTooLarge, FramingError, HeaderError, ParseError, UnsafeValue
from ringback.sip.grammar import encode, is_token, parse_integer, refuse_unsafe, split_list
from ringback.sip.head import END_OF_HEAD, Head, RequestLine, content_length, parse_head
from ringback.sip.header_map import Headers, HeaderValue
from ringback.sip.header_values import (
    CSeq,
    MediaType,
    RAck,
    Reason,
    Replaces,
    RetryAfter,
    SessionExpires,
    parse_delta_seconds,
)
from ringback.sip.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_LEADING_BLANK_BYTES
from ringback.sip.name_addr import STAR, NameAddr, Star
from ringback.sip.status import default_reason
from ringback.sip.uri import Uri
from ringback.sip.via import Via

VERSION = "SIP/2.0"
MAX_MAX_FORWARDS = 255
MAX_RSEQ = 2**32 - 1

# Requests whose 101-299 responses may set up a dialog and so return the route (RFC 3261 12.1.1,
# RFC 3515, RFC 6665).
_DIALOG_METHODS = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})

_COPIED_WHOLE = frozenset({"Via", "Record-Route"})

_SPACE = " \t"

_T = TypeVar("_T")


class Message:
    """What requests and responses share: typed access to the headers.

    An accessor raises :class:`HeaderError` where the header cannot be understood, and, for the
    headers that no message may lack, where it is missing.
    """

    __slots__ = ()

    headers: Headers
    body: bytes

    @property
    def vias(self) -> list[Via]:
        """Topmost first. An empty list element is an error here (RFC 4475 3.1.2.1)."""
        found = self.headers.elements("Via")
        if not found:
            raise HeaderError("Via", "the header is missing")
        return [Via.parse(value) for value in found]

    @property
    def top_via(self) -> Via:
        line = self._required("Via")
        return Via.parse(_first(line, "Via"))

    @property
    def from_(self) -> NameAddr:
        return NameAddr.parse(self._required("From"), "From")

    @property
    def to(self) -> NameAddr:
        return NameAddr.parse(self._required("To"), "To")

    @property
    def call_id(self) -> str:
        value = self._required("Call-ID")
        if not value or " " in value or "\t" in value:
            raise HeaderError("Call-ID", "expected one word")
        return value

    @property
    def cseq(self) -> CSeq:
        return CSeq.parse(self._required("CSeq"))

    @property
    def contacts(self) -> list[NameAddr] | Star:
        """The Contact addresses in order; ``STAR`` for ``Contact: *``."""
        found = self.headers.elements("Contact")
        if found == ["*"]:
            return STAR
        return [NameAddr.parse(value, "Contact") for value in found]

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact address: the remote target where a dialog is set up."""
        contacts = self.contacts
        return contacts[0] if isinstance(contacts, list) and contacts else None

    @property
    def routes(self) -> list[NameAddr]:
        return self.name_addrs("Route")

    @property
    def record_routes(self) -> list[NameAddr]:
        return self.name_addrs("Record-Route")

    def name_addrs(self, name: str) -> list[NameAddr]:
        """Every address of a header such as Path, P-Asserted-Identity or Diversion, in order."""
        return [NameAddr.parse(value, name) for value in self.headers.elements(name)]

    @property
    def max_forwards(self) -> int | None:
        return self._integer("Max-Forwards", MAX_MAX_FORWARDS)

    @property
    def expires(self) -> int | None:
        """Seconds; a value beyond 32 bits counts as the greatest."""
        return self._read("Expires", lambda text: parse_delta_seconds(text, "Expires"))

    @property
    def min_expires(self) -> int | None:
        return self._read("Min-Expires", lambda text: parse_delta_seconds(text, "Min-Expires"))

    @property
    def content_type(self) -> MediaType | None:
        return self._read("Content-Type", MediaType.parse)

    @property
    def accept(self) -> list[MediaType] | None:
        """``None`` without the header (SDP is assumed), an empty list for an empty one."""
        if "Accept" not in self.headers:
            return None
        return [MediaType.parse(value, "Accept") for value in self.headers.values("Accept")]

    @property
    def require(self) -> list[str]:
        return self.option_tags("Require")

    @property
    def supported(self) -> list[str]:
        return self.option_tags("Supported")

    def option_tags(self, name: str) -> list[str]:
        """The option tags of Require, Proxy-Require, Supported or Unsupported, in lower case."""
        return [tag.lower() for tag in self._tokens(name)]

    @property
    def allow(self) -> list[str] | None:
        """The methods of Allow, or ``None`` without the header."""
        return self._tokens("Allow") if "Allow" in self.headers else None

    @property
    def reasons(self) -> list[Reason]:
        return [Reason.parse(value) for value in self.headers.values("Reason")]

    @property
    def session_expires(self) -> SessionExpires | None:
        return self._read("Session-Expires", SessionExpires.parse)

    @property
    def min_se(self) -> int | None:
        return self._read(
            "Min-SE", lambda text: parse_delta_seconds(text.partition(";")[0], "Min-SE")
        )

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise HeaderError(name, "the header is missing")
        return value

    def _read(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        value = self.headers.get(name)
        return None if value is None else parse(value)

    def _integer(self, name: str, maximum: int) -> int | None:
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return parse_integer(value, "the value", maximum)
        except ParseError as error:
            raise HeaderError(name, error.message) from error

    def _tokens(self, name: str) -> list[str]:
        found = self.headers.values(name)
        for value in found:
            if not is_token(value):
                raise HeaderError(name, f"{value[:40]!r} is not a token")
        return found

    def _serialise(self, start_line: str) -> bytes:
        refuse_unsafe("the start line", start_line)
        fields = self.headers.written(leave_out="Content-Length")
        head = f"{start_line}\r\n{fields}Content-Length: {len(self.body)}\r\n\r\n"
        return encode(head) + self.body

    def _same_content(self, other: Message) -> bool:
        # Content-Length follows from the body, and the serialiser writes it.
        ours, theirs = (m.headers.without("Content-Length") for m in (self, other))
        return ours == theirs and self.body == other.body


@dataclass(slots=True, eq=False)
class Request(Message):
    """A request. ``bytes(request)`` is the wire form, Content-Length set to fit the body."""

    method: str
    uri: Uri
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def rack(self) -> RAck | None:
        return self._read("RAck", RAck.parse)

    @property
    def replaces(self) -> Replaces | None:
        return self._read("Replaces", Replaces.parse)

    @property
    def refer_to(self) -> NameAddr | None:
        return self._read("Refer-To", lambda text: NameAddr.parse(text, "Refer-To"))

    def copy(self) -> Request:
        """A twin with headers of its own."""
        return Request(self.method, self.uri, self.headers.copy(), self.body)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Request)
            and (self.method, self.uri) == (other.method, other.uri)
            and self._same_content(other)
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __bytes__(self) -> bytes:
        """Raises :class:`UnsafeValue`."""
        if not is_token(self.method):
            raise UnsafeValue(f"{self.method!r} cannot be a method")
        return self._serialise(f"{self.method} {self.uri} {VERSION}")


@dataclass(slots=True, eq=False)
class Response(Message):
    """A response. ``bytes(response)`` is the wire form, Content-Length set to fit the body."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @classmethod
    def to_request(
        cls,
        request: Request | RequestFragment,
        status: int,
        reason: str | None = None,
        to_tag: str | None = None,
        *,
        headers: Iterable[tuple[str, str | int | HeaderValue]] = (),
        body: bytes = b"",
    ) -> Response:
        """Answer ``request`` by the rules of RFC 3261 8.2.6.2 and 12.1.1.

        Via, From, Call-ID, CSeq and, where a dialog may come of it, Record-Route are copied as
        they came. ``to_tag`` is added to a To without one, except in a 100.
        """
        response = cls(status, default_reason(status) if reason is None else reason)
        names = ["Via", "From", "To", "Call-ID", "CSeq"]
        if status == 100:
            names.append("Timestamp")
        elif status < 300 and request.method in _DIALOG_METHODS:
            names.append("Record-Route")
        for name in names:
            values = request.headers.get_all(name)
            for value in values if name in _COPIED_WHOLE else values[:1]:
                response.headers.add(name, value)
        if to_tag is not None and status > 100:
            response._add_to_tag(to_tag)
        for name, extra in headers:
            response.headers.add(name, extra)
        response.body = body
        return response

    def _add_to_tag(self, tag: str) -> None:
        try:
            to = self.to
        except HeaderError:
            return  # a To that we cannot read goes back as it came
        if to.tag is None:
            self.headers.set("To", to.with_tag(tag))

    @property
    def is_provisional(self) -> bool:
        return self.status < 200

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        return self.status >= 200

    @property
    def rseq(self) -> int | None:
        return self._integer("RSeq", MAX_RSEQ)

    @property
    def retry_after(self) -> RetryAfter | None:
        return self._read("Retry-After", RetryAfter.parse)

    @property
    def challenges(self) -> list[Challenge]:
        """What a 401 (WWW-Authenticate) or 407 (Proxy-Authenticate) asks for, in order."""
        name = "Proxy-Authenticate" if self.status == 407 else "WWW-Authenticate"
        return [
            challenge
            for value in self.headers.get_all(name)
            for challenge in Challenge.parse_all(value, name)
        ]

    def copy(self) -> Response:
        """A twin with headers of its own."""
        return Response(self.status, self.reason, self.headers.copy(), self.body)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Response)
            and (self.status, self.reason) == (other.status, other.reason)
            and self._same_content(other)
        )

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __bytes__(self) -> bytes:
        """Raises :class:`UnsafeValue`."""
        if not 100 <= self.status <= 699:
            raise UnsafeValue(f"{self.status} is not a status code")
        return self._serialise(f"{VERSION} {self.status} {self.reason.strip(_SPACE)}")


@dataclass(frozen=True, slots=True)
class RequestFragment:
    """What could be read of a request that is no valid message: enough to answer it."""

    method: str
    headers: Headers
    top_via: Via
    """Where the answer goes. Of a broken Via it holds sent-by, branch and rport only."""

    @classmethod
    def of(cls, method: str | None, headers: Headers) -> RequestFragment | None:
        """``None`` where no response can be sent or none is owed.

        An ACK is never answered (RFC 3261 17), and without a Via there is nowhere to send to.
        """
        line = headers.get("Via")
        if method is None or method == "ACK" or line is None:
            return None
        try:
            top = Via.parse(_first(line, "Via"))
        except ParseError:
            salvaged = Via.salvage(line)
            return None if salvaged is None else cls(method, headers, salvaged)
        return cls(method, headers, top)


def request_fragment(error: ParseError) -> RequestFragment | None:
    """What could be read of the request that ``error`` is about, if it can be answered."""
    return error.fragment if isinstance(error.fragment, RequestFragment) else None


def parse_message(data: bytes) -> Request | Response:
    """Read one datagram. Raises :class:`ParseError`.

    Line ends before the start line are skipped. Without Content-Length the body is the rest of
    the datagram; what lies beyond Content-Length is cut off (RFC 3261 18.3).
    """
    stripped = data.lstrip(b"\r\n")
    if not stripped or len(data) - len(stripped) > MAX_LEADING_BLANK_BYTES:
        raise ParseError("no message: nothing but line ends")
    end = END_OF_HEAD.search(stripped, 0, MAX_HEADER_BYTES + 4)
    head = parse_head(stripped[: end.start()] if end else stripped)
    try:
        if end is None:
            raise FramingError("the empty line after the header fields is missing")
        body = stripped[end.end() :]
        length = content_length(head.headers)
        if length is not None and length > len(body):
            raise FramingError(
                f"{length} is more than the {len(body)} bytes that came", header="Content-Length"
            )
    except ParseError as error:
        head.note(error)
        body, length = b"", None
    return build_message(head, body[:length])


def build_message(head: Head, body: bytes) -> Request | Response:
    """The message that ``head`` and ``body`` make, or its :class:`ParseError` is raised."""
    if len(body) > MAX_BODY_BYTES:
        head.note(BodyTooLarge(MAX_BODY_BYTES))
    if head.error is not None or head.start is None:
        error = head.error or ParseError("no start line")
        error.fragment = RequestFragment.of(head.method, head.headers)
        raise error
    if isinstance(head.start, RequestLine):
        return Request(head.start.method, head.start.uri, head.headers, body)
    return Response(head.start.status, head.start.reason, head.headers, body)


def _first(line: str, header: str) -> str:
    """The first element of a comma separated value."""
    if "," not in line:
        return line
    try:
        return split_list(line)[0]
    except ParseError as error:
        raise HeaderError(header, error.message, position=error.position) from error
