"""The error that says why no media stream can be agreed on."""

from __future__ import annotations

from ringback.sip.errors import SipError

WARN_ADDRESS = 301
WARN_TRANSPORT = 302
WARN_MEDIA_TYPE = 304
WARN_MEDIA_FORMAT = 305


class NotAcceptable(SipError):
    """No stream can be agreed on: 488 for an offer, BYE after an answer.

    ``warning_code`` is for a Warning header (RFC 3261 20.43): 301 address, 302 transport,
    304 media type, 305 media format. ``encryption``: it is SRTP, or the lack of it, that stands in
    the way.
    """

    def __init__(
        self, message: str, warning_code: int = WARN_MEDIA_FORMAT, *, encryption: bool = False
    ) -> None:
        super().__init__(message)
        self.warning_code = warning_code
        self.encryption = encryption
