"""The errors that cross a boundary of Ringback.

Each carries a stable ``code`` (for programs), a ``message`` and a ``hint`` (for people: what
happened, what to do next) and whether trying again can help. The edges (REST, SIP, WebSocket)
map ``kind`` to their own status once; nothing else in the code knows a status number.

    RingbackError
    ├── InvalidRequest      the caller sent something that cannot be right (names the field)
    ├── Unauthenticated     no key, or a key that is not valid
    ├── Forbidden           a valid key that may not do this
    ├── NotFound            no such thing, for this account
    ├── Conflict            it exists, but not in a state that allows this
    ├── LimitReached        a bound that protects the node or the phone bill
    ├── NotConfigured       something must be set up first (a trunk, a voice)
    ├── Unavailable         this node cannot do it now (overload, shutting down)
    ├── UpstreamFailed      a peer or vendor failed
    └── StartupError        the program cannot start; the message is all the operator sees
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    LIMIT = "limit"
    NOT_CONFIGURED = "not_configured"
    UNAVAILABLE = "unavailable"
    UPSTREAM = "upstream"
    STARTUP = "startup"


class RingbackError(Exception):
    """Base of all errors that a person or a program outside may see.

    ``code`` is stable API; ``message`` and ``hint`` are sentences and may be reworded.
    """

    kind: ErrorKind = ErrorKind.UNAVAILABLE
    default_code = "error"
    retryable = False

    def __init__(
        self, message: str, *, code: str | None = None, hint: str = "", field: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.field = field


class InvalidRequest(RingbackError):
    kind = ErrorKind.INVALID
    default_code = "invalid_request"


class Unauthenticated(RingbackError):
    kind = ErrorKind.UNAUTHENTICATED
    default_code = "invalid_api_key"


class Forbidden(RingbackError):
    kind = ErrorKind.FORBIDDEN
    default_code = "forbidden"


class NotFound(RingbackError):
    kind = ErrorKind.NOT_FOUND
    default_code = "not_found"


class Conflict(RingbackError):
    kind = ErrorKind.CONFLICT
    default_code = "conflict"


class LimitReached(RingbackError):
    kind = ErrorKind.LIMIT
    default_code = "limit_reached"
    retryable = True


class NotConfigured(RingbackError):
    kind = ErrorKind.NOT_CONFIGURED
    default_code = "not_configured"


class Unavailable(RingbackError):
    kind = ErrorKind.UNAVAILABLE
    default_code = "unavailable"
    retryable = True


class UpstreamFailed(RingbackError):
    kind = ErrorKind.UPSTREAM
    default_code = "upstream_failed"
    retryable = True


class StartupError(RingbackError):
    kind = ErrorKind.STARTUP
    default_code = "startup_failed"


def error_of_kind(kind: ErrorKind) -> type[RingbackError]:
    """The class whose errors are of ``kind``."""
    return next(each for each in RingbackError.__subclasses__() if each.kind is kind)
