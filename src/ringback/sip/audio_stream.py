"""One RTP audio stream in a session description: what we can do, what was agreed, and the rules
of RFC 3264 and its companions that need no history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ringback.sip.errors import SipError
from ringback.sip.sdp import MediaDescription, SessionDescription
from ringback.sip.sdp_values import (
    PCMA,
    PCMU,
    TELEPHONE_EVENT,
    Codec,
    Direction,
    PayloadFormat,
)

MIN_PTIME_MS = 10
MAX_PTIME_MS = 60
DTMF_EVENTS = "0-16"


class NotAcceptable(SipError):
    """No stream can be agreed on: 488 for an offer, BYE after an answer.

    ``warning_code`` is for a Warning header (RFC 3261 20.43): 301 address, 302 transport,
    304 media type, 305 media format.
    """

    def __init__(self, message: str, warning_code: int = 305) -> None:
        super().__init__(message)
        self.warning_code = warning_code


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What this side can do and where it listens, for one audio stream.

    ``codecs`` are in order of preference. ``host`` is an IP literal as the peer should see it.
    """

    host: str
    port: int
    rtcp_port: int | None = None
    """``None``: ``port + 1``, the rule of RFC 3550 11."""
    codecs: tuple[Codec, ...] = (PCMA, PCMU)
    ptime: int = 20
    """Milliseconds per packet to ask for, and to send where the peer does not care."""
    dtmf: bool = True
    rtcp_mux: bool = True
    """Agree to RTCP on the RTP port when the peer offers it."""
    prefer_local: bool = False
    """Answer with the first of *our* codecs that the peer offers, not the first of the peer's."""
    profiles: tuple[str, ...] = ("RTP/AVP", "RTP/AVPF")
    """Transport protocols that can be agreed on; the first is the one offered."""


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """``host`` as the peer wrote it: an IP literal, rarely a name."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both sides agreed on for the audio stream."""

    remote: MediaAddress
    remote_rtcp: MediaAddress
    codec: str
    """Encoding name in the capitals that we gave it (``PCMA``, ``opus``)."""
    payload_type: int
    """What to put on packets that we send."""
    clock_rate: int
    channels: int
    ptime: int
    """Milliseconds per packet to send."""
    dtmf_payload_type: int | None
    """``telephone-event`` at ``clock_rate`` in packets that we send; ``None``: not agreed."""
    send: bool
    receive: bool
    held_by_remote: bool
    """The peer does not want to hear us now (``sendonly``, ``inactive``, ``0.0.0.0``)."""
    rtcp_mux: bool
    profile: str
    receive_formats: tuple[PayloadFormat, ...]
    """Every payload type that the peer may send to us, DTMF included, numbered as *we*
    described them; without a change of the session it may switch between them at any time."""


def telephone_event(clock_rate: int) -> Codec:
    return Codec(TELEPHONE_EVENT, clock_rate, fmtp=DTMF_EVENTS)


def first_common(
    wanted: Sequence[PayloadFormat], known: Sequence[PayloadFormat]
) -> PayloadFormat | None:
    """The first audio format of ``wanted`` that ``known`` has too."""
    keys = {item.codec.key for item in known if item.codec.is_audio}
    return next((item for item in wanted if item.codec.key in keys), None)


def events_for(formats: Sequence[PayloadFormat], codec: Codec) -> int | None:
    """The payload type of DTMF events at the clock rate of ``codec`` (RFC 4733 2.1)."""
    wanted = telephone_event(codec.clock_rate)
    return next((item.payload_type for item in formats if item.codec.same_as(wanted)), None)


def effective_direction(remote: SessionDescription, media: MediaDescription) -> Direction:
    """The peer's direction; an unspecified address takes its hearing away (RFC 3264 8.4)."""
    direction = remote.direction_of(media)
    connection = remote.connection_of(media)
    if connection is not None and connection.unspecified:
        return Direction.of(send=direction.send, receive=False)
    return direction


def packet_time(theirs: MediaDescription, default: int) -> int:
    """Milliseconds per packet to send: what the peer asks for, in whole frames of 10 ms."""
    wanted = theirs.ptime or default
    if theirs.maxptime is not None:
        wanted = min(wanted, theirs.maxptime)
    return max(MIN_PTIME_MS, min(wanted, MAX_PTIME_MS)) // 10 * 10


def rtcp_address(theirs: MediaDescription, host: str, mux: bool) -> MediaAddress:
    if mux:
        return MediaAddress(host, theirs.port)
    if theirs.rtcp is not None and theirs.rtcp.port:
        return MediaAddress(theirs.rtcp.host or host, theirs.rtcp.port)
    return MediaAddress(host, theirs.port + 1)


def section_at(remote: SessionDescription, index: int) -> MediaDescription | None:
    return remote.media[index] if index < len(remote.media) else None


def rejection(media: MediaDescription) -> MediaDescription:
    """``media`` switched off in place: the order and number of sections never changes."""
    return MediaDescription(media.kind, 0, media.protocol, media.formats)
