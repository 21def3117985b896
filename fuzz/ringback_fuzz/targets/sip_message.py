"""A datagram: parsed, every header read, judged, written and read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ringback.sip.errors import LimitExceeded, ParseError, UnsafeValue
from ringback.sip.message import Message, Request, Response, parse_message, request_fragment
from ringback.sip.validation import check_form, check_response, response_to_error
from ringback_fuzz.targets import require

_M = TypeVar("_M", bound=Message)

ACCESSORS: tuple[Callable[[Message], object], ...] = (
    lambda m: m.vias,
    lambda m: m.top_via,
    lambda m: m.from_,
    lambda m: m.to,
    lambda m: m.call_id,
    lambda m: m.cseq,
    lambda m: m.contacts,
    lambda m: m.routes,
    lambda m: m.record_routes,
    lambda m: m.name_addrs("P-Asserted-Identity"),
    lambda m: m.name_addrs("Diversion"),
    lambda m: m.max_forwards,
    lambda m: m.expires,
    lambda m: m.min_expires,
    lambda m: m.content_type,
    lambda m: m.accept,
    lambda m: m.require,
    lambda m: m.supported,
    lambda m: m.allow,
    lambda m: m.reasons,
    lambda m: m.session_expires,
    lambda m: m.min_se,
)
OF_REQUESTS: tuple[Callable[[Request], object], ...] = (
    lambda m: m.rack,
    lambda m: m.replaces,
    lambda m: m.refer_to,
    check_form,
)
OF_RESPONSES: tuple[Callable[[Response], object], ...] = (
    lambda m: m.rseq,
    lambda m: m.retry_after,
    lambda m: m.challenges,
    check_response,
)


def run(data: bytes) -> None:
    try:
        message = parse_message(data)
    except ParseError as error:
        _answer(error)
        return
    for read in ACCESSORS:
        _tolerate(read, message)
    if isinstance(message, Request):
        for read_request in OF_REQUESTS:
            _tolerate(read_request, message)
    else:
        for read_response in OF_RESPONSES:
            _tolerate(read_response, message)
    written = bytes(message)
    again = parse_message(written)
    require(again == message, "a message that was written is read as another one")
    require(bytes(again) == written, "writing is not stable")


def _answer(error: ParseError) -> None:
    """What cannot be read is answered where that is owed, with something that can be read."""
    str(error)
    try:
        response = response_to_error(error, "tag")
    except UnsafeValue:
        return
    if response is None or request_fragment(error) is None:
        return
    try:
        require(isinstance(parse_message(bytes(response)), Response), "our answer is no response")
    except LimitExceeded:
        return  # the answer to too much repeats what is needed to route it, however much that is


def _tolerate(read: Callable[[_M], object], message: _M) -> None:
    try:
        str(read(message))
    except ParseError:
        return
