"""Both UDP ports of a phone leg with everything that protects them: what a leg sends and receives
through, whole, when it moves from one session to another."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable

from ringback.core.clock import Clock
from ringback.media.dtls import DtlsIdentity
from ringback.media.express import Inlet
from ringback.media.latch import Address, AddressPolicy
from ringback.media.metrics import MediaCounters
from ringback.media.plane import NegotiatedAudio
from ringback.media.protection import MediaProtection, Receive, State, Verified
from ringback.media.rtp_sockets import RtpEndpoint
from ringback.net.public_address import is_private
from ringback.net.rtp_ports import RtpSockets


class SecureEndpoint:
    """Open from ``open`` to ``close``. ``on_failed`` gets a sentence when the audio cannot be
    protected as agreed; whoever owns the leg sets it."""

    def __init__(
        self,
        sockets: RtpSockets,
        clock: Clock,
        counters: MediaCounters,
        identity: DtlsIdentity | None = None,
    ) -> None:
        self.on_failed: Callable[[str], None] = _nobody
        self.policy = address_policy(sockets)
        self._endpoint = RtpEndpoint(sockets, clock, counters)
        self._leg: Receive = _nothing
        self._inlet: Inlet | None = None
        self._on_rtp: Receive = _nothing
        self._on_rtcp: Receive = _nothing
        self._on_verified: Verified = _nowhere
        self._protection = MediaProtection(
            counters,
            identity=identity,
            policy=self.policy,
            send_rtp=self._endpoint.send_rtp,
            send_rtcp=self._endpoint.send_rtcp,
            on_rtp=lambda data, address, now: self._on_rtp(data, address, now),
            on_rtcp=lambda data, address, now: self._on_rtcp(data, address, now),
            on_failed=lambda why: self.on_failed(why),
            on_verified=lambda address, now: self._on_verified(address, now),
        )
        self.post_plain = self._endpoint.post_rtp
        self.send_rtp = self._protection.send_rtp
        self.send_rtcp = self._protection.send_rtcp
        self.tick = self._protection.tick
        """``tick(now)`` every 20 ms."""

    @property
    def state(self) -> State:
        return self._protection.state

    @property
    def suite(self) -> str:
        """``none``, or the SRTP suite that protects the audio."""
        return self._protection.suite

    def open(
        self,
        on_rtp: Receive,
        on_rtcp: Receive,
        on_verified: Verified,
        inlet: Inlet | None = None,
    ) -> None:
        """Start receiving, by way of ``inlet`` if there is one. Raises ``OSError``; ``close``
        cleans up then too."""
        self._leg, self._on_rtcp, self._on_verified = on_rtp, on_rtcp, on_verified
        self._inlet = inlet
        self._endpoint.open(self._arrange(), self._protection.on_rtcp)

    def _arrange(self) -> Receive:
        """Put the inlet where packets are in the clear; whom the RTP socket's are for."""
        protection, inlet = self._protection, self._inlet
        self._on_rtp = self._leg
        if inlet is None:
            return protection.on_rtp
        if protection.state is State.PLAIN:
            inlet.otherwise = protection.on_rtp
            return inlet.on_rtp
        inlet.otherwise = self._leg
        self._on_rtp = inlet.on_rtp
        return protection.on_rtp

    def negotiate(self, audio: NegotiatedAudio, now: float) -> None:
        """Protect the media as ``audio.security`` says from now on: before the leg sends anything
        under the new terms. Raises ``InvalidRequest`` and changes nothing."""
        self._protection.negotiate(audio, now)
        self._endpoint.receive_rtp(self._arrange())

    def post_protected(self, data: bytes, address: Address) -> None:
        """``send_rtp`` for RTP, at the end of this round of the event loop."""
        self._protection.send_rtp_by(self._endpoint.post_rtp, data, address)

    def close(self) -> None:
        """Nothing is received or sent after that. Twice is once."""
        self._endpoint.close()


def address_policy(sockets: RtpSockets) -> AddressPolicy:
    host = ipaddress.ip_address(sockets.rtp.getsockname()[0])
    return AddressPolicy(
        own_ports=(sockets.port, sockets.port + 1),
        is_here=is_here,
        private_here=host.is_unspecified or is_private(host),
    )


def is_here(host: str) -> bool:
    """Whether an IP literal is an address of this machine: whether it can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _nobody(why: str) -> None:
    pass


def _nothing(data: bytes, address: Address, now: float) -> None:
    pass


def _nowhere(address: Address, now: float) -> None:
    pass
