"""What can be wrong with bytes that came in on a media port.

RtpError
├── PacketError     not a well-formed RTP packet (RFC 3550 section 5.1)
├── RtcpError       not a well-formed RTCP packet or compound (RFC 3550 section 6)
└── EventError      not a telephone-event payload (RFC 4733 section 2.3)
"""

from __future__ import annotations


class RtpError(ValueError):
    """Base of all the errors that ``ringback.rtp`` raises on network input."""


class PacketError(RtpError):
    pass


class RtcpError(RtpError):
    pass


class EventError(RtpError):
    pass
