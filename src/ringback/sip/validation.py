"""What a request with faults is owed, and which responses are to be dropped.

The order of the checks is RFC 3261 8.2: form, method, Request-URI, extensions, content. What
needs more than the message itself (482 for a merged request, 404, authentication) is decided by
the layers above. Max-Forwards 0 is no fault here: it concerns proxies, not the element that the
request is for (RFC 4475 3.3.11).
"""

from __future__ import annotations

from dataclasses import dataclass

from ringback.sip.errors import HeaderError, ParseError
from ringback.sip.message import Message, Request, RequestFragment, Response, request_fragment
from ringback.sip.params import Params
from ringback.sip.status import default_reason

MAX_REASON_CHARS = 120
"""What is sent back of the words that say what is wrong."""

SINGLE_HEADERS = (
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Content-Length",
    "Content-Type",
)
"""Headers that may stand in a message once only (RFC 3261 7.3.1)."""

KNOWN_METHODS = frozenset(
    {"ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK"}
    | {"PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"}
)
"""A method outside of these is owed 501 rather than 405."""

# Their Contact becomes a remote target or a binding.
_TARGET_METHODS = frozenset({"INVITE", "NOTIFY", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"})
_NO_REQUIRE = frozenset({"ACK", "CANCEL"})
_MULTIPART = ("multipart/mixed", "multipart/alternative", "multipart/related")

MAX_NAMED_EXTENSIONS = 32
"""Option tags of a request that a 420 repeats: an answer is no larger than what it answers."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a server takes. Option tags and media types in lower case."""

    methods: tuple[str, ...]
    extensions: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset({"sip", "sips", "tel"})
    content_types: tuple[str, ...] = ("application/sdp", *_MULTIPART)

    def knows(self, option_tag: str) -> bool:
        return option_tag.lower() in self.extensions


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refusal with the headers that its status calls for."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()

    def response_to(
        self, request: Request | RequestFragment, to_tag: str | None = None
    ) -> Response | None:
        """``None`` for an ACK, which is never answered."""
        if request.method == "ACK":
            return None
        return Response.to_request(request, self.status, self.reason, to_tag, headers=self.headers)


def rejection_of(error: ParseError) -> Rejection:
    """The refusal for a request that could not be read, with the fault in words."""
    words = f"{error.header}: {error.message}" if error.header else error.message
    reason = words if error.status == 400 else default_reason(error.status)
    return Rejection(error.status, _printable(reason))


def response_to_error(error: ParseError, to_tag: str | None = None) -> Response | None:
    """The response for what ``parse_message`` or ``StreamFramer`` could not read.

    ``None`` where none is owed or none can be sent: count it and drop it.
    """
    fragment = request_fragment(error)
    if fragment is None:
        return None
    return rejection_of(error).response_to(fragment, to_tag)


def validate_request(request: Request, accepts: Acceptance) -> Rejection | None:
    """The refusal that ``request`` is owed, or ``None`` if it may be processed."""
    return (
        check_form(request)
        or _check_method(request, accepts)
        or _check_scheme(request, accepts)
        or _check_extensions(request, accepts)
        or _check_content(request, accepts)
    )


def check_form(request: Request) -> Rejection | None:
    """400 for a header that is missing, repeated or cannot be read, or for a method in CSeq
    that is not the request's."""
    try:
        _check_common(request)
        _ = (request.max_forwards, request.require)
        if request.cseq.method != request.method:
            raise HeaderError("CSeq", "the method is not that of the request line")
        if request.method in _TARGET_METHODS:
            _ = (request.contacts, request.record_routes)
        if request.body and request.content_type is None:
            raise HeaderError("Content-Type", "the header is missing, but there is a body")
    except ParseError as error:
        return rejection_of(error)
    if request.uri.headers:
        return Rejection(400, "the Request-URI must not carry headers")
    return None


def check_response(response: Response) -> None:
    """Raise :class:`HeaderError` for a response to drop (RFC 3261 8.1.3.3, RFC 4475 3.1.2.5)."""
    _check_common(response)
    if len(response.headers.elements("Via")) > 1:
        raise HeaderError("Via", "a response for us has one value")


def _check_common(message: Message) -> None:
    repeated = message.headers.repeated(SINGLE_HEADERS)
    if repeated is not None:
        raise HeaderError(repeated, "the header must not be repeated")
    _ = (message.vias, message.from_, message.to, message.call_id, message.cseq)


def _check_method(request: Request, accepts: Acceptance) -> Rejection | None:
    if request.method in accepts.methods:
        return None
    status = 405 if request.method in KNOWN_METHODS else 501
    return Rejection(status, default_reason(status), (("Allow", ", ".join(accepts.methods)),))


def _check_scheme(request: Request, accepts: Acceptance) -> Rejection | None:
    if request.uri.scheme in accepts.schemes:
        return None
    return Rejection(416, default_reason(416))


def _check_extensions(request: Request, accepts: Acceptance) -> Rejection | None:
    if request.method in _NO_REQUIRE:
        return None
    # As the peer spelled them; option tags compare without case.
    wanted = dict.fromkeys(request.headers.values("Require"))
    unknown = [tag for tag in wanted if not accepts.knows(tag)]
    if not unknown:
        return None
    named = ", ".join(unknown[:MAX_NAMED_EXTENSIONS])
    return Rejection(420, default_reason(420), (("Unsupported", named),))


def _check_content(request: Request, accepts: Acceptance) -> Rejection | None:
    if request.body and not _is_optional(request):
        encoding = request.headers.values("Content-Encoding")
        if any(name.lower() != "identity" for name in encoding):
            return Rejection(415, default_reason(415), (("Accept-Encoding", "identity"),))
        media_type = request.content_type
        if media_type is None or media_type.essence not in accepts.content_types:
            types = ", ".join(accepts.content_types)
            return Rejection(415, default_reason(415), (("Accept", types),))
    if request.method == "INVITE" and not _takes_sdp(request):
        return Rejection(406, default_reason(406))
    return None


def _is_optional(request: Request) -> bool:
    """Whether the body may be ignored (RFC 3261 20.11)."""
    try:
        disposition = Params.parse(";" + (request.headers.get("Content-Disposition") or "session"))
    except ParseError:
        return False
    return (disposition.get("handling") or "").lower() == "optional"


def _takes_sdp(request: Request) -> bool:
    """Whether the caller can read the answer that an INVITE gets. A malformed or empty Accept
    is taken for none."""
    try:
        accept = request.accept
    except ParseError:
        return True
    return not accept or any(media_type.covers("application/sdp") for media_type in accept)


def _printable(text: str) -> str:
    """``text`` as a reason phrase: short, and nothing in it that a peer could have planted."""
    return "".join(character for character in text if character.isprintable())[:MAX_REASON_CHARS]
