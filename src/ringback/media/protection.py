"""The layer between a phone leg and its sockets that keeps media private: nothing, SRTP with keys
from the SDP, or SRTP with keys from a DTLS handshake on the media ports. No sockets, no clock.

Once protection is agreed on, nothing passes in the clear in either direction. A new negotiation
leaves the keys in use until there are new ones. A handshake that fails is final: the leg stays
silent, and its owner is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from ringback.core.errors import InvalidRequest
from ringback.media.dtls import DtlsIdentity, client_random
from ringback.media.dtls_channel import DtlsChannel
from ringback.media.latch import Address, AddressPolicy, normal
from ringback.media.metrics import MediaCounters
from ringback.media.plane import DtlsSecurity, NegotiatedAudio, RtpAddress, SdesSecurity
from ringback.media.srtp import SrtpCipher, SrtpError, suite_named
from ringback.rtp.packet import Datagram, classify

EARLY_SECONDS = 5.0
"""How long a ClientHello that came before anything was agreed on is kept. It is one datagram."""

Send = Callable[[bytes, Address], None]
Receive = Callable[[bytes, Address, float], None]
Verified = Callable[[Address, float], None]


class State(StrEnum):
    PLAIN = "plain"
    KEYED = "keyed"
    HANDSHAKING = "handshaking"
    FAILED = "failed"


class Event(StrEnum):
    PLAIN_AGREED = "plain agreed"
    KEYS_AGREED = "keys agreed"
    HANDSHAKE_AGREED = "handshake agreed"
    HANDSHAKE_DONE = "handshake done"
    HANDSHAKE_FAILED = "handshake failed"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.PLAIN, Event.PLAIN_AGREED): State.PLAIN,
    (State.PLAIN, Event.KEYS_AGREED): State.KEYED,
    (State.PLAIN, Event.HANDSHAKE_AGREED): State.HANDSHAKING,
    (State.KEYED, Event.PLAIN_AGREED): State.PLAIN,
    (State.KEYED, Event.KEYS_AGREED): State.KEYED,
    (State.KEYED, Event.HANDSHAKE_AGREED): State.HANDSHAKING,
    (State.KEYED, Event.HANDSHAKE_DONE): State.KEYED,
    (State.HANDSHAKING, Event.PLAIN_AGREED): State.PLAIN,
    (State.HANDSHAKING, Event.KEYS_AGREED): State.KEYED,
    (State.HANDSHAKING, Event.HANDSHAKE_AGREED): State.HANDSHAKING,
    (State.HANDSHAKING, Event.HANDSHAKE_DONE): State.KEYED,
    (State.HANDSHAKING, Event.HANDSHAKE_FAILED): State.FAILED,
    (State.FAILED, Event.PLAIN_AGREED): State.FAILED,
    (State.FAILED, Event.KEYS_AGREED): State.FAILED,
    (State.FAILED, Event.HANDSHAKE_AGREED): State.FAILED,
}


class _Port:
    """One of the two ports: its keys and its handshakes."""

    def __init__(self, counters: MediaCounters, policy: AddressPolicy, send: Send) -> None:
        self.cipher = SrtpCipher(counters)
        self.required = False
        """Whether there is no going on without the handshake under way."""
        self._counters = counters
        self._policy = policy
        self._send = send
        self._terms: object = None
        self._established: DtlsChannel | None = None
        self._pending: DtlsChannel | None = None

    @property
    def handshaking(self) -> bool:
        return self._pending is not None

    @property
    def failure(self) -> str | None:
        return None if self._pending is None else self._pending.failure

    def agree(
        self, identity: DtlsIdentity, security: DtlsSecurity, peer: Address | None, now: float
    ) -> bool:
        """Take over what the SDP says of DTLS; whether that asks for a new association, which is
        when fingerprints or roles have changed (RFC 8842 4)."""
        terms = (
            security.active,
            frozenset((n.lower(), v.upper()) for n, v in security.fingerprints),
        )
        anew = terms != self._terms
        self._terms = terms
        if anew:
            self.required = True
        if anew or (self._pending is None and not security.active):
            # A passive side must expect the peer to start over after any new SDP.
            self._pending = DtlsChannel(
                identity,
                security.fingerprints,
                active=security.active,
                policy=self._policy,
                send=self._send,
                counters=self._counters,
            )
        if self._pending is not None:
            self._pending.aim(peer, now)
        return anew

    def receive(self, data: bytes, address: Address, now: float) -> None:
        channel = self._channel_for(data)
        if channel is None:
            self._counters.dtls_dropped += 1
        else:
            channel.receive(data, address, now)

    def _channel_for(self, data: bytes) -> DtlsChannel | None:
        """What is not for the handshake under way may ask for a lost flight of the last one."""
        pending, established = self._pending, self._established
        if pending is None or established is None:
            return pending or established
        hello = client_random(data)
        begun = pending.peer is not None or pending.active
        if begun or (hello is not None and hello != established.hello):
            return pending
        return established

    def poll(self, now: float) -> None:
        if self._pending is not None:
            self._pending.poll(now)

    def take_keys(self, now: float) -> Address | None:
        """Once, after a handshake has given keys: whom it was with."""
        channel = self._pending
        if channel is None or channel.keys is None:
            return None
        keys = channel.keys
        self.cipher.rekey(keys.suite, keys.local, keys.remote, now)
        self._established, self._pending = channel, None
        self.required = False
        return channel.peer

    def give_up(self) -> None:
        """Forget the handshake under way."""
        self._pending = None

    def clear(self) -> None:
        self.cipher.clear()
        self.end_handshakes()

    def end_handshakes(self) -> None:
        self._terms = self._established = self._pending = None
        self.required = False


class MediaProtection:
    """``send_rtp`` and ``send_rtcp`` lead to the sockets, ``on_rtp`` and ``on_rtcp`` to the leg.
    ``on_failed`` gets a sentence; ``on_verified`` the address that a handshake has proved.

    ``identity`` is ``None`` where there is no DTLS-SRTP.
    """

    def __init__(
        self,
        counters: MediaCounters,
        *,
        identity: DtlsIdentity | None,
        policy: AddressPolicy,
        send_rtp: Send,
        send_rtcp: Send,
        on_rtp: Receive,
        on_rtcp: Receive,
        on_failed: Callable[[str], None],
        on_verified: Verified,
    ) -> None:
        self.state = State.PLAIN
        self._counters = counters
        self._identity = identity
        self._policy = policy
        self._raw_rtp = send_rtp
        self._raw_rtcp = send_rtcp
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp
        self._on_failed = on_failed
        self._on_verified = on_verified
        self._rtp = _Port(counters, policy, send_rtp)
        self._rtcp = _Port(counters, policy, send_rtcp)
        self._shared_keys = True
        self._agreed = False
        self._early: tuple[bytes, Address, float] | None = None

    @property
    def suite(self) -> str:
        """``none``, or the SRTP suite that protects the audio."""
        suite = self._rtp.cipher.suite
        return "none" if suite is None else suite.name

    def negotiate(self, audio: NegotiatedAudio, now: float) -> None:
        """Raises ``InvalidRequest`` (``unknown_srtp_suite``, ``dtls_not_available``) and changes
        nothing."""
        security = audio.security
        self._agreed = True
        if security is None:
            self._move(Event.PLAIN_AGREED)
            self._rtp.clear()
            self._rtcp.clear()
        elif isinstance(security, SdesSecurity):
            self._take_keys_of_sdp(security, now)
        else:
            self._agree_on_dtls(security, audio, now)

    def tick(self, now: float) -> None:
        """Every 20 ms: lost flights and peers that never come."""
        if self._rtp.handshaking:
            self._rtp.poll(now)
            self._handshake_moved(now)
        if self._rtcp.handshaking:
            self._rtcp.poll(now)
            self._rtcp_handshake_moved(now)

    # ---- the wire ---------------------------------------------------------------------------

    def send_rtp(self, data: bytes, address: Address) -> None:
        """RTP, or RTCP where both share a port."""
        if self.state is State.PLAIN:
            self._raw_rtp(data, address)
            return
        cipher = self._rtp.cipher
        protect = cipher.protect_rtcp if 192 <= data[1] <= 223 else cipher.protect
        self._send_protected(protect(data), self._raw_rtp, address)

    def send_rtp_by(self, send: Send, data: bytes, address: Address) -> None:
        """``send_rtp`` for RTP, by another way to the socket."""
        if self.state is State.PLAIN:
            send(data, address)
        else:
            self._send_protected(self._rtp.cipher.protect(data), send, address)

    def send_rtcp(self, data: bytes, address: Address) -> None:
        if self.state is State.PLAIN:
            self._raw_rtcp(data, address)
        else:
            self._send_protected(self._rtcp_cipher.protect_rtcp(data), self._raw_rtcp, address)

    def on_rtp(self, data: bytes, address: Address, now: float) -> None:
        """A datagram on the RTP port (RFC 5764 5.1.2, RFC 7983)."""
        if self.state is State.PLAIN:
            if not self._agreed and client_random(data) is not None:
                self._early = (data, address, now)
            self._on_rtp(data, address, now)
            return
        kind = classify(data)
        if kind is Datagram.RTP:
            packet = self._rtp.cipher.unprotect(data, now)
        elif kind is Datagram.RTCP:
            packet = self._rtp.cipher.unprotect_rtcp(data, now)
        else:
            self._on_other(kind, self._rtp, data, address, now)
            return
        if packet is not None:
            self._on_rtp(packet, address, now)

    def on_rtcp(self, data: bytes, address: Address, now: float) -> None:
        """A datagram on the RTCP port."""
        if self.state is State.PLAIN:
            self._on_rtcp(data, address, now)
            return
        kind = classify(data)
        if kind is Datagram.RTCP:
            packet = self._rtcp_cipher.unprotect_rtcp(data, now)
            if packet is not None:
                self._on_rtcp(packet, address, now)
        else:
            self._on_other(kind, self._rtcp, data, address, now)

    def _on_other(
        self, kind: Datagram, port: _Port, data: bytes, address: Address, now: float
    ) -> None:
        if kind is not Datagram.DTLS:
            self._counters.dropped_not_rtp += 1
            return
        port.receive(data, address, now)
        if port is self._rtp:
            self._handshake_moved(now)
        else:
            self._rtcp_handshake_moved(now)

    def _send_protected(self, packet: bytes | None, send: Send, address: Address) -> None:
        if packet is None:
            self._counters.srtp_unkeyed += 1
        else:
            send(packet, address)

    @property
    def _rtcp_cipher(self) -> SrtpCipher:
        return self._rtp.cipher if self._shared_keys else self._rtcp.cipher

    # ---- keys -------------------------------------------------------------------------------

    def _take_keys_of_sdp(self, security: SdesSecurity, now: float) -> None:
        if self.state is State.FAILED:
            return
        try:
            suite = suite_named(security.suite)
            self._rtp.cipher.rekey(suite, security.local_key, security.remote_key, now)
        except SrtpError as error:
            raise InvalidRequest(str(error), code="unknown_srtp_suite", field="security") from None
        self._rtp.end_handshakes()
        self._rtcp.clear()
        self._shared_keys = True
        self._move(Event.KEYS_AGREED)

    def _agree_on_dtls(self, security: DtlsSecurity, audio: NegotiatedAudio, now: float) -> None:
        if self._identity is None:
            raise InvalidRequest(
                "There is no DTLS-SRTP on this media plane.", code="dtls_not_available"
            )
        if self.state is State.FAILED:
            return
        if self._rtp.agree(self._identity, security, self._aim(audio.remote), now):
            self._move(Event.HANDSHAKE_AGREED)
        self._take_early_hello(now)
        self._shared_keys = audio.rtcp_mux
        if audio.rtcp_mux:
            self._rtcp.clear()
        else:
            rtcp = audio.remote_rtcp or RtpAddress(audio.remote.host, audio.remote.port + 1)
            self._rtcp.agree(self._identity, security, self._aim(rtcp), now)

    def _take_early_hello(self, now: float) -> None:
        """A peer may begin its handshake before its answer is here (RFC 5763 5)."""
        early, self._early = self._early, None
        if early is not None and now - early[2] <= EARLY_SECONDS:
            self._rtp.receive(early[0], early[1], now)

    def _aim(self, remote: RtpAddress) -> Address | None:
        address = (remote.host, remote.port)
        return normal(address) if self._policy.usable(address) else None

    def _handshake_moved(self, now: float) -> None:
        peer = self._rtp.take_keys(now)
        if peer is not None:
            self._move(Event.HANDSHAKE_DONE)
            self._on_verified(peer, now)
            return
        failure = self._rtp.failure
        if failure is None:
            return
        if not self._rtp.required:
            self._rtp.give_up()
            return
        self._rtp.clear()
        self._rtcp.clear()
        self._move(Event.HANDSHAKE_FAILED)
        self._on_failed(failure)

    def _rtcp_handshake_moved(self, now: float) -> None:
        """Reports are worth having, and no call ends for want of them."""
        if self._rtcp.take_keys(now) is None and self._rtcp.failure is not None:
            self._rtcp.give_up()

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]
