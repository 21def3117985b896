"""One RTP audio stream in a session description: what we can do, what was agreed, and the rules
of RFC 3264 that need no history."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringback.sip.codec_choice import telephone_event
from ringback.sip.media_address import MediaAddress
from ringback.sip.media_security import Security, SecurityPolicy
from ringback.sip.not_acceptable import NotAcceptable
from ringback.sip.sdp import MediaDescription, SessionDescription
from ringback.sip.sdp_values import (
    PCMA,
    PCMU,
    TELEPHONE_EVENT,
    Codec,
    Direction,
    PayloadFormat,
)

__all__ = [
    "LocalMedia",
    "MediaAddress",
    "Negotiated",
    "NotAcceptable",
    "effective_direction",
    "rejection",
    "section_at",
    "telephone_event",
]


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What this side can do and where it listens, for one audio stream.

    ``codecs`` are in order of preference. ``host`` is an IP literal as the peer should see it; it
    also tells which IP version can be sent.
    """

    host: str
    port: int
    rtcp_port: int | None = None
    """``None``: ``port + 1``, the rule of RFC 3550 11."""
    codecs: tuple[Codec, ...] = (PCMA, PCMU)
    ptime: int = 20
    """Milliseconds per packet to ask for, and to send where the peer does not care."""
    dtmf: bool = True
    comfort_noise: bool = True
    """Agree to comfort noise (RFC 3389) when the peer offers it."""
    rtcp_mux: bool = True
    """Agree to RTCP on the RTP port when the peer offers it."""
    prefer_local: bool = False
    """Answer with the first of *our* codecs that the peer offers, not the first of the peer's."""
    security: SecurityPolicy = field(default_factory=SecurityPolicy)
    heard_from: str | None = None
    """Where the peer's signalling comes from (an IP literal): stands in for an audio address of
    the other IP version."""


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
    """``telephone-event`` in packets that we send; ``None``: not agreed."""
    send: bool
    receive: bool
    held_by_remote: bool
    """The peer does not want to hear us now (``sendonly``, ``inactive``, ``0.0.0.0``)."""
    rtcp_mux: bool
    profile: str
    receive_formats: tuple[PayloadFormat, ...]
    """Every payload type that may come from the peer, DTMF included; without a change of the
    session it may switch between them at any time. The first numbers are those that *we* gave."""
    fmtp: str = ""
    """The peer's format parameters of ``codec``: how it wants us to send."""
    comfort_noise_payload_type: int | None = None
    security: Security | None = None
    """``None``: plain RTP."""

    @property
    def receive_codecs(self) -> tuple[tuple[int, str], ...]:
        """Payload type and encoding name of the audio in ``receive_formats``."""
        audio = (item for item in self.receive_formats if item.codec.is_audio)
        return tuple((item.payload_type, item.codec.name) for item in audio)

    @property
    def dtmf_receive_payload_types(self) -> tuple[tuple[int, int], ...]:
        """Payload type and clock rate (Hz) of the events in ``receive_formats``."""
        return tuple(
            (item.payload_type, item.codec.clock_rate)
            for item in self.receive_formats
            if item.codec.name.lower() == TELEPHONE_EVENT
        )


def effective_direction(remote: SessionDescription, media: MediaDescription) -> Direction:
    """The peer's direction; an unspecified address takes its hearing away (RFC 3264 8.4)."""
    direction = remote.direction_of(media)
    connection = remote.connection_of(media)
    if connection is not None and connection.unspecified:
        return Direction.of(send=direction.send, receive=False)
    return direction


def section_at(remote: SessionDescription, index: int) -> MediaDescription | None:
    return remote.media[index] if index < len(remote.media) else None


def rejection(media: MediaDescription) -> MediaDescription:
    """``media`` switched off in place: the order and number of sections never changes."""
    return MediaDescription(media.kind, 0, media.protocol, media.formats)
