"""The values inside SDP attributes that an audio call needs: codecs, directions, keys.

Each is a frozen value with ``parse`` and ``__str__``. ``parse`` raises :class:`SdpError` for
text that cannot be one; the accessors of :mod:`ringback.sip.sdp` skip such an attribute, because
one bad line in a description must not cost the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ringback.sip.errors import ParseError

MAX_PAYLOAD_TYPE = 127
MAX_PORT = 65535
TELEPHONE_EVENT = "telephone-event"
COMFORT_NOISE = "CN"


class SdpError(ParseError):
    """A session description, or a value in one, that cannot be read."""


class SdpTooLarge(SdpError):
    """A description beyond what a call needs: 413."""


class Direction(Enum):
    """Who sends, as the author of the description sees it (RFC 8866 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, send: bool, receive: bool) -> Direction:
        if send:
            return cls.SENDRECV if receive else cls.SENDONLY
        return cls.RECVONLY if receive else cls.INACTIVE

    @property
    def send(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receive(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same flow as the other side sees it."""
        return Direction.of(send=self.receive, receive=self.send)

    def __and__(self, other: Direction) -> Direction:
        """The flows that both allow (both seen from the same side)."""
        return Direction.of(send=self.send and other.send, receive=self.receive and other.receive)


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoding as ``a=rtpmap`` names it (RFC 8866 6.6).

    ``clock_rate`` is that of the RTP timestamps in Hz. It is the sampling rate too, but for
    G.722, which samples at 16 kHz and counts at 8000 (RFC 3551 4.5.2). ``fmtp`` are format
    parameters as text, empty for none; they do not take part in :meth:`same_as`.
    """

    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""

    @classmethod
    def parse(cls, text: str) -> Codec:
        """``PCMU/8000`` or ``opus/48000/2``."""
        parts = text.strip().split("/")
        if not 2 <= len(parts) <= 3 or not parts[0]:
            raise SdpError(f"not an encoding of a=rtpmap: {text[:60]!r}")
        clock_rate = decimal(parts[1], 1, 2**31 - 1, "clock rate")
        channels = decimal(parts[2], 1, 255, "channel count") if len(parts) == 3 else 1
        return cls(parts[0], clock_rate, channels)

    def __str__(self) -> str:
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.name}/{self.clock_rate}{channels}"

    @property
    def key(self) -> tuple[str, int, int]:
        """What makes two codecs the same one: name (any case), clock rate, channels.

        Opus and G.722 have one clock rate and channel count each, whatever a peer writes (RFC 7587
        7, RFC 3551 4.5.2): ``opus/48000`` and ``G722/16000`` are common mistakes.
        """
        name = self.name.lower()
        return _FIXED.get(name) or (name, self.clock_rate, self.channels)

    def same_as(self, other: Codec) -> bool:
        return self.key == other.key

    @property
    def is_audio(self) -> bool:
        """False for what only accompanies audio: DTMF events, comfort noise, redundancy."""
        return self.name.lower() not in _NOT_AUDIO


_NOT_AUDIO = frozenset({TELEPHONE_EVENT, COMFORT_NOISE.lower(), "red", "ulpfec", "rtx", "tone"})

_FIXED = {"opus": ("opus", 48000, 2), "g722": ("g722", 8000, 1)}

PCMU = Codec("PCMU", 8000)
PCMA = Codec("PCMA", 8000)
G722 = Codec("G722", 8000)
OPUS = Codec("opus", 48000, 2, "minptime=10;useinbandfec=1")
"""With what we would like to receive (RFC 7587 6.1): repair data for lost packets; mono, and no
gaps in silence, by default."""

STATIC_PAYLOAD_TYPES: dict[int, Codec] = {
    0: PCMU,
    3: Codec("GSM", 8000),
    4: Codec("G723", 8000),
    5: Codec("DVI4", 8000),
    6: Codec("DVI4", 16000),
    7: Codec("LPC", 8000),
    8: PCMA,
    9: G722,
    10: Codec("L16", 44100, 2),
    11: Codec("L16", 44100),
    12: Codec("QCELP", 8000),
    13: Codec(COMFORT_NOISE, 8000),
    14: Codec("MPA", 90000),
    15: Codec("G728", 8000),
    16: Codec("DVI4", 11025),
    17: Codec("DVI4", 22050),
    18: Codec("G729", 8000),
}
"""Audio payload types that need no ``a=rtpmap`` (RFC 3551 table 4)."""


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """One payload type of an RTP stream and what it carries."""

    payload_type: int
    codec: Codec


@dataclass(frozen=True, slots=True)
class RtcpAttribute:
    """``a=rtcp:53020`` or ``a=rtcp:53020 IN IP4 126.16.64.4`` (RFC 3605)."""

    port: int
    host: str | None = None

    @classmethod
    def parse(cls, text: str) -> RtcpAttribute:
        words = text.split()
        if len(words) not in (1, 4):
            raise SdpError(f"not an a=rtcp: {text[:60]!r}")
        return cls(decimal(words[0], 0, MAX_PORT, "port"), words[3] if len(words) == 4 else None)

    def __str__(self) -> str:
        if self.host is None:
            return str(self.port)
        return f"{self.port} IN {address_type(self.host)} {self.host}"


@dataclass(frozen=True, slots=True)
class Crypto:
    """An SRTP key offered or accepted in ``a=crypto`` (RFC 4568 9.1); secret, masked in repr."""

    tag: int
    suite: str
    keys: tuple[str, ...]
    """Key parameters, each ``inline:<base64>[|lifetime][|mki:length]``."""
    parameters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Crypto:
        words = text.split()
        if len(words) < 3:
            raise SdpError("a=crypto needs a tag, a suite and a key")
        keys = tuple(key for key in words[2].split(";") if key)
        if not keys or not all(":" in key for key in keys):
            raise SdpError("a=crypto without key parameters")
        return cls(decimal(words[0], 0, 999_999_999, "tag"), words[1], keys, tuple(words[3:]))

    def __str__(self) -> str:
        return " ".join((str(self.tag), self.suite, ";".join(self.keys), *self.parameters))

    def __repr__(self) -> str:
        return f"Crypto(tag={self.tag}, suite={self.suite!r}, keys=***)"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a transport protocol of an m-line means for an RTP stream."""

    secure: bool
    """SRTP."""
    feedback: bool
    """Extended RTCP feedback (RFC 4585)."""
    dtls: bool = False
    """Keys come from a DTLS handshake (RFC 5764), not from ``a=crypto``."""


PROFILES: dict[str, Profile] = {
    "RTP/AVP": Profile(secure=False, feedback=False),
    "RTP/AVPF": Profile(secure=False, feedback=True),
    "RTP/SAVP": Profile(secure=True, feedback=False),
    "RTP/SAVPF": Profile(secure=True, feedback=True),
    "UDP/TLS/RTP/SAVP": Profile(secure=True, feedback=False, dtls=True),
    "UDP/TLS/RTP/SAVPF": Profile(secure=True, feedback=True, dtls=True),
}


def address_type(host: str) -> str:
    """``IP6`` for an IPv6 literal, else ``IP4`` (RFC 8866 5.7)."""
    return "IP6" if ":" in host else "IP4"


def decimal(text: str, low: int, high: int, what: str) -> int:
    """An unsigned decimal number within bounds; raises :class:`SdpError`."""
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise SdpError(f"{what} is not a number: {text[:40]!r}")
    number = int(text)
    if not low <= number <= high:
        raise SdpError(f"{what} is out of range: {text}")
    return number
