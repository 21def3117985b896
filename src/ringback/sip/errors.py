"""What can go wrong in the SIP message layer.

    SipError
    ├── ParseError            the peer sent something that is not SIP as we can read it
    │   ├── StartLineError    neither a request line nor a status line
    │   ├── VersionError      a version of SIP other than 2.0 (505)
    │   ├── UriError          a URI that cannot be read
    │   ├── HeaderError       a header that is missing, repeated or cannot be read (names it)
    │   ├── FramingError      where the message ends is not known: wrong or no Content-Length
    │   └── LimitExceeded     more than we are willing to hold (names the limit)
    │       ├── HeadersTooLarge, TooManyHeaders, LineTooLong, TooManyVias
    │       └── BodyTooLarge
    └── UnsafeValue           our own side tried to send CR, LF or NUL where a value stands

No parser of this package raises anything but :class:`ParseError` for any input.
"""

from __future__ import annotations


class SipError(Exception):
    """Base of the errors of the SIP message layer."""


class ParseError(SipError):
    """The input is malformed.

    ``message`` says what is wrong in words that may be sent to the peer. ``header`` is the header
    concerned and ``position`` the character in the text that was being parsed, where known.
    ``status`` is the response that a request with this fault is owed, and ``fragment`` what is
    needed to address it: ``None`` when the input was no request or too little could be read.
    """

    status = 400

    def __init__(
        self, message: str, *, header: str | None = None, position: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.header = header
        self.position = position
        self.fragment: object | None = None

    def __str__(self) -> str:
        where = f"{self.header}: " if self.header else ""
        at = f" (at character {self.position})" if self.position is not None else ""
        return f"{where}{self.message}{at}"


class StartLineError(ParseError):
    pass


class VersionError(ParseError):
    status = 505


class UriError(ParseError):
    pass


class HeaderError(ParseError):
    header: str

    def __init__(self, header: str, message: str, *, position: int | None = None) -> None:
        super().__init__(message, header=header, position=position)


class FramingError(ParseError):
    pass


class LimitExceeded(ParseError):
    """A bound that keeps hostile input cheap. ``maximum`` is its value."""

    status = 513
    what = "the message"

    def __init__(self, maximum: int, *, header: str | None = None) -> None:
        super().__init__(f"{self.what} exceeds the limit of {maximum}", header=header)
        self.maximum = maximum


class HeadersTooLarge(LimitExceeded):
    what = "the size of all headers in bytes"


class TooManyHeaders(LimitExceeded):
    what = "the number of header fields"


class LineTooLong(LimitExceeded):
    what = "the length of one header field in bytes"


class TooManyVias(LimitExceeded):
    what = "the number of Via values"


class BodyTooLarge(LimitExceeded):
    status = 413
    what = "the size of the body in bytes"


class UnsafeValue(SipError, ValueError):
    """A value given for sending would break the message apart (header injection)."""
