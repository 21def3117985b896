"""Who may make a DTLS handshake with a media port, how often and for how long: pure policy around
:class:`ringback.media.dtls.DtlsHandshake`.

Behind a NAT the peer comes from another address than the SDP says, so the fingerprint decides in
the end who it is. Until then a better claim to the stream (``latch.Claim``) takes the handshake
over from a worse one, strangers get few of them, and what a stranger breaks is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringback.media.dtls import (
    DtlsFailed,
    DtlsHandshake,
    DtlsIdentity,
    DtlsKeys,
    client_random,
)
from ringback.media.latch import Address, AddressPolicy, Claim
from ringback.media.metrics import MediaCounters

HANDSHAKE_SECONDS = 30.0
"""From the negotiation until a handshake that has not come about is given up."""
STALLED_SECONDS = 1.0
"""An unfinished handshake of this age gives way to another one with an equal claim."""
MAX_FAILURES = 4
"""Handshakes with the signalled address that may break before that is final."""
MAX_STRANGERS = 20
"""Handshakes that sources other than the signalled address may begin."""

Send = Callable[[bytes, Address], None]


class DtlsChannel:
    """The handshake of one media port. ``now`` is monotonic seconds.

    ``signalled`` is where the SDP says that the peer is, ``None`` while it does not say so (a
    call on hold): the time for the handshake runs once there is an address.
    """

    def __init__(
        self,
        identity: DtlsIdentity,
        fingerprints: Sequence[tuple[str, str]],
        *,
        active: bool,
        policy: AddressPolicy,
        send: Send,
        counters: MediaCounters,
    ) -> None:
        self.keys: DtlsKeys | None = None
        """There once a handshake is complete."""
        self.failure: str | None = None
        """Why there will be no keys, as a sentence."""
        self.peer: Address | None = None
        """Whom the present handshake is with."""
        self._identity = identity
        self._fingerprints = tuple(fingerprints)
        self.active = active
        self._policy = policy
        self._send = send
        self._counters = counters
        self._signalled: Address | None = None
        self._deadline: float | None = None
        self._handshake: DtlsHandshake | None = None
        self.hello: bytes | None = None
        """What the peer began the present handshake with, where it is the client."""
        self._began_at = float("-inf")
        self._claim = Claim.IMPOSSIBLE
        self._failures = 0
        self._strangers = 0
        self._last_error = ""

    def aim(self, signalled: Address | None, now: float) -> None:
        """The peer's address as the present SDP has it; an active side begins there."""
        moved = signalled != self._signalled
        self._signalled = signalled
        if self.keys is not None or self.failure is not None or signalled is None:
            return
        if self._deadline is None:
            self._deadline = now + HANDSHAKE_SECONDS
        if self.active and (moved or self._handshake is None):
            self._begin(None, Claim.IMPOSSIBLE, now)

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        """A datagram that ``rtp.packet.classify`` takes for DTLS."""
        if not self._is_ours(datagram, address, now) or self._handshake is None:
            self._counters.dtls_dropped += 1
            return
        self._drive(lambda handshake: handshake.receive(datagram), now)

    def poll(self, now: float) -> None:
        """Every 20 ms or so, for what a lost datagram or a silent peer makes necessary."""
        if self.keys is not None or self.failure is not None:
            return
        if self._deadline is not None and now >= self._deadline:
            self.failure = self._last_error or "the peer made no DTLS handshake"
            self._drop()
        elif self._handshake is not None:
            self._drive(DtlsHandshake.poll, now)
        elif self.active and self._signalled is not None:
            if now - self._began_at >= STALLED_SECONDS:
                self._begin(None, Claim.IMPOSSIBLE, now)

    # ---- whose datagram is it ---------------------------------------------------------------

    def _is_ours(self, datagram: bytes, address: Address, now: float) -> bool:
        """Whether it belongs to the present handshake, or to one that it begins."""
        if self.failure is not None:
            return False
        if self.keys is not None:
            return address == self.peer
        claim = self._policy.claim(address, self._signalled)
        if claim is Claim.IMPOSSIBLE:
            return False
        if self.active:
            return self._answers(address, claim, now)
        hello = client_random(datagram)
        if address == self.peer and self._handshake is not None:
            anew = hello is not None and hello != self.hello
            if not anew or now - self._began_at < STALLED_SECONDS:
                return not self._handshake.exhausted
        elif hello is None or not self._may_begin(claim, now):
            return False
        self.hello = hello
        return self._begin(address, claim, now)

    def _answers(self, address: Address, claim: Claim, now: float) -> bool:
        """As the client: whether this is the server that we talk to. The first that answers is,
        until a better claim shows up; the handshake then starts over."""
        if self._handshake is None:
            return False
        if self.peer is None:
            self.peer, self._claim = address, claim
        elif address != self.peer:
            if claim >= self._claim:
                return False
            self._begin(None, Claim.IMPOSSIBLE, now)
            return False
        return not self._handshake.exhausted

    def _may_begin(self, claim: Claim, now: float) -> bool:
        if claim is not Claim.SIGNALLED and self._strangers >= MAX_STRANGERS:
            return False
        if self._handshake is None:
            return claim is Claim.SIGNALLED or now - self._began_at >= STALLED_SECONDS / 4
        return claim < self._claim or (
            claim == self._claim and now - self._began_at >= STALLED_SECONDS
        )

    # ---- the handshake ----------------------------------------------------------------------

    def _begin(self, peer: Address | None, claim: Claim, now: float) -> bool:
        self.peer, self._claim = peer, claim
        self._began_at = now
        if peer is not None and claim is not Claim.SIGNALLED:
            self._strangers += 1
        self._handshake = DtlsHandshake(self._identity, self._fingerprints, active=self.active)
        self._flush()
        return True

    def _drive(self, step: Callable[[DtlsHandshake], None], now: float) -> None:
        handshake = self._handshake
        if handshake is None:
            return
        try:
            step(handshake)
        except DtlsFailed as error:
            self._flush()
            self._broken(error, now)
            return
        self._flush()
        if handshake.keys is not None and self.keys is None:
            self._counters.dtls_handshakes += 1
            self.keys = handshake.keys

    def _flush(self) -> None:
        target = self.peer or self._signalled
        if self._handshake is None or target is None:
            return
        for datagram in self._handshake.datagrams_to_send():
            self._send(datagram, target)

    def _broken(self, error: DtlsFailed, now: float) -> None:
        """A handshake with the signalled address tells the truth about the peer; one with anybody
        else only tells about them."""
        self._counters.dtls_failed += 1
        self._last_error = str(error)
        self._began_at = now
        if self._claim is Claim.SIGNALLED:
            self._failures += 1
            if error.certificate or self._failures >= MAX_FAILURES:
                self.failure = self._last_error
        self._drop()

    def _drop(self) -> None:
        self._handshake = None
        self.hello = None
        self.peer = None
        self._claim = Claim.IMPOSSIBLE
