"""SRTP and SRTCP (RFC 3711; AES-GCM: RFC 7714) on libsrtp: bytes in, bytes out, no sockets.

One :class:`SrtpCipher` protects what one leg sends and opens what it receives. Keys may change in
the middle of a call: packets under the previous key are taken until the first one under the new
key comes, so that nobody hears the change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from pylibsrtp import Error, Policy, Session

from ringback.media.metrics import MediaCounters

REKEY_OVERLAP_SECONDS = 5.0
"""How long packets under the previous key are still taken when none under the new one comes."""
MAX_REMOTE_STREAMS = 16
"""SSRCs of one key with a replay window; the one unheard for longest is forgotten first."""
MAX_KEPT_CONTEXTS = 4
"""Keys of one direction whose packet counts are remembered, the present one included: a key that
comes back must go on counting, or its key stream would be used twice (RFC 3711 9.1)."""
MAX_DATAGRAM = 1500
"""The longest packet that libsrtp's buffer here holds."""
MAX_TRAILER = 148
"""What protection may add to an RTCP packet at most."""


@dataclass(frozen=True, slots=True)
class SrtpSuite:
    """A crypto suite by its name in SDP (RFC 4568 6.2, RFC 7714 14.2). Lengths in bytes."""

    name: str
    profile: int
    key_bytes: int
    salt_bytes: int
    dtls_name: str
    """OpenSSL's name of the same protection profile (RFC 5764 4.1.2)."""

    @property
    def master_bytes(self) -> int:
        """Length of master key and salt, joined."""
        return self.key_bytes + self.salt_bytes

    def __str__(self) -> str:
        return self.name


_ALL: Final = (
    SrtpSuite(
        "AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12, "SRTP_AEAD_AES_256_GCM"
    ),
    SrtpSuite(
        "AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12, "SRTP_AEAD_AES_128_GCM"
    ),
    SrtpSuite(
        "AES_CM_128_HMAC_SHA1_80",
        Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        16,
        14,
        "SRTP_AES128_CM_SHA1_80",
    ),
    SrtpSuite(
        "AES_CM_128_HMAC_SHA1_32",
        Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
        16,
        14,
        "SRTP_AES128_CM_SHA1_32",
    ),
)
SUITES: Final = {suite.name: suite for suite in _ALL}
"""Every suite that is built in, the strongest first. The 32-bit tag of ``…_SHA1_32`` is that of
RTP alone: RTCP has 80 bits there too (RFC 3711 5.2)."""


class SrtpError(ValueError):
    """Keys or a suite that cannot be used. Never says what the key is."""


class Refusal(Enum):
    """Why a packet was not opened."""

    UNAUTHENTIC = auto()
    """Wrong key, forged or damaged."""
    REPLAYED = auto()
    """It came before, or is older than the replay window."""
    MALFORMED = auto()


_REPLAY_ERRORS = frozenset(
    {"replay check failed (bad index)", "replay check failed (index too old)"}
)
_FORGED_ERRORS = frozenset({"authentication failure", "cipher failure"})


def suite_named(name: str) -> SrtpSuite:
    """Raises :class:`SrtpError` for a suite that is not built in."""
    try:
        return SUITES[name]
    except KeyError:
        raise SrtpError(f"SRTP suite {name!r} is not known here") from None


class SrtpSender:
    """Protects what goes out under one key. Packet counts (ROC, SRTCP index) start at zero."""

    def __init__(self, suite: SrtpSuite, master: bytes) -> None:
        """``master`` is key and salt, joined. Raises :class:`SrtpError`."""
        session = _session(suite, master, Policy.SSRC_ANY_OUTBOUND)
        self._protect = session.protect
        self._protect_rtcp = session.protect_rtcp

    def protect(self, packet: bytes) -> bytes | None:
        """``None`` for what is no RTP packet or too long."""
        try:
            return self._protect(packet)
        except (Error, ValueError):
            return None

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        try:
            return self._protect_rtcp(packet)
        except (Error, ValueError):
            return None


class SrtpReceiver:
    """Opens what comes in under one key, for a bounded number of SSRCs."""

    def __init__(self, suite: SrtpSuite, master: bytes) -> None:
        """``master`` is key and salt, joined. Raises :class:`SrtpError`."""
        self._session = _session(suite, master, Policy.SSRC_ANY_INBOUND)
        self._unprotect = self._session.unprotect
        self._unprotect_rtcp = self._session.unprotect_rtcp
        self._streams: OrderedDict[bytes, None] = OrderedDict()
        self._latest = b""

    def unprotect(self, data: bytes) -> bytes | Refusal:
        """The RTP packet in an SRTP packet."""
        try:
            packet = self._unprotect(data)
        except (Error, ValueError) as error:
            return _refusal(error)
        ssrc = packet[8:12]
        if ssrc != self._latest:
            self._heard(ssrc)
        return packet

    def unprotect_rtcp(self, data: bytes) -> bytes | Refusal:
        """The RTCP packet in an SRTCP packet."""
        try:
            packet = self._unprotect_rtcp(data)
        except (Error, ValueError) as error:
            return _refusal(error)
        ssrc = packet[4:8]
        if ssrc != self._latest:
            self._heard(ssrc)
        return packet

    def _heard(self, ssrc: bytes) -> None:
        self._latest = ssrc
        self._streams[ssrc] = None
        self._streams.move_to_end(ssrc)
        if len(self._streams) > MAX_REMOTE_STREAMS:
            oldest, _ = self._streams.popitem(last=False)
            self._session.remove_stream(int.from_bytes(oldest, "big"))


Context = TypeVar("Context")


class _Contexts(Generic[Context]):
    """The contexts of one direction by suite and key, a few of the last ones."""

    def __init__(self, create: Callable[[SrtpSuite, bytes], Context]) -> None:
        self._create = create
        self._kept: OrderedDict[tuple[str, bytes], Context] = OrderedDict()

    def get(self, suite: SrtpSuite, master: bytes) -> Context:
        """Raises :class:`SrtpError`."""
        key = (suite.name, master)
        if key not in self._kept:
            self._kept[key] = self._create(suite, master)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT_CONTEXTS:
            self._kept.popitem(last=False)
        return self._kept[key]


class SrtpCipher:
    """Both directions of one leg. ``now`` is monotonic seconds."""

    def __init__(self, counters: MediaCounters) -> None:
        self.suite: SrtpSuite | None = None
        """``None`` until there are keys."""
        self._counters = counters
        self._senders = _Contexts[SrtpSender](SrtpSender)
        self._receivers = _Contexts[SrtpReceiver](SrtpReceiver)
        self._sender: SrtpSender | None = None
        self._receiver: SrtpReceiver | None = None
        self._previous: SrtpReceiver | None = None
        self._previous_until = 0.0

    @property
    def ready(self) -> bool:
        return self._sender is not None

    def rekey(self, suite: SrtpSuite, local: bytes, remote: bytes, now: float) -> None:
        """Send under ``local`` and receive under ``remote`` from now on; keys that are in use
        already go on as they are. Raises :class:`SrtpError` and changes nothing."""
        sender = self._senders.get(suite, local)
        receiver = self._receivers.get(suite, remote)
        if receiver is not self._receiver and self._receiver is not None:
            self._previous = self._receiver
            self._previous_until = now + REKEY_OVERLAP_SECONDS
        self._sender, self._receiver = sender, receiver
        self.suite = suite

    def clear(self) -> None:
        """Forget the keys: nothing passes in either direction. Their packet counts stay known."""
        self.suite = self._sender = self._receiver = self._previous = None

    def protect(self, packet: bytes) -> bytes | None:
        """``None`` without keys."""
        return None if self._sender is None else self._sender.protect(packet)

    def protect_rtcp(self, packet: bytes) -> bytes | None:
        return None if self._sender is None else self._sender.protect_rtcp(packet)

    def unprotect(self, data: bytes, now: float) -> bytes | None:
        """``None`` for what is not to be heard; counted by its reason."""
        if self._receiver is None:
            self._counters.srtp_unkeyed += 1
            return None
        packet = self._receiver.unprotect(data)
        if self._previous is not None:
            previous = self._may_be_previous(packet, now)
            if previous is not None:
                packet = previous.unprotect(data)
        return self._opened(packet)

    def unprotect_rtcp(self, data: bytes, now: float) -> bytes | None:
        if self._receiver is None:
            self._counters.srtp_unkeyed += 1
            return None
        packet = self._receiver.unprotect_rtcp(data)
        if self._previous is not None:
            previous = self._may_be_previous(packet, now)
            if previous is not None:
                packet = previous.unprotect_rtcp(data)
        return self._opened(packet)

    def _may_be_previous(self, packet: bytes | Refusal, now: float) -> SrtpReceiver | None:
        """The previous key, where a packet that the new one did not open may be under it."""
        if isinstance(packet, bytes) or now > self._previous_until:
            self._previous = None
            return None
        return self._previous if packet is Refusal.UNAUTHENTIC else None

    def _opened(self, packet: bytes | Refusal) -> bytes | None:
        if isinstance(packet, bytes):
            return packet
        if packet is Refusal.UNAUTHENTIC:
            self._counters.srtp_unauthentic += 1
        elif packet is Refusal.REPLAYED:
            self._counters.srtp_replayed += 1
        else:
            self._counters.dropped_malformed += 1
        return None


def _session(suite: SrtpSuite, master: bytes, direction: int) -> Session:
    if len(master) != suite.master_bytes:
        raise SrtpError(
            f"{suite} wants {suite.master_bytes} bytes of key and salt, not {len(master)}"
        )
    try:
        return Session(Policy(key=master, ssrc_type=direction, srtp_profile=suite.profile))
    except Error as error:
        raise SrtpError(f"{suite} does not work here: {error}") from None


def _refusal(error: Exception) -> Refusal:
    why = str(error)
    if why in _REPLAY_ERRORS:
        return Refusal.REPLAYED
    return Refusal.UNAUTHENTIC if why in _FORGED_ERRORS else Refusal.MALFORMED
