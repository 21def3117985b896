"""What the tests of DTLS share: identities, and two ends with a network of lists between them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime

from ringback.media.dtls import DtlsFailed, DtlsHandshake, DtlsIdentity
from ringback.media.latch import Address, AddressPolicy
from ringback.media.metrics import MediaCounters
from ringback.media.plane import DtlsSecurity, MediaSecurity, NegotiatedAudio, RtpAddress
from ringback.media.protection import MediaProtection, State

HERE: Address = ("192.0.2.1", 20000)
PHONE: Address = ("192.0.2.10", 4000)
NAT: Address = ("198.51.100.7", 62000)
STRANGER: Address = ("203.0.113.66", 5555)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@functools.cache
def identity(name: str = "ours") -> DtlsIdentity:
    """One key pair per name for all tests: making them is what costs."""
    return DtlsIdentity(NOW)


def handshake(us: str, them: str, *, active: bool) -> DtlsHandshake:
    return DtlsHandshake(identity(us), [identity(them).fingerprint], active=active)


def exchange(client: DtlsHandshake, server: DtlsHandshake) -> None:
    """Carry every datagram until both are silent. Raises what either raises."""
    while True:
        there, back = client.datagrams_to_send(), server.datagrams_to_send()
        if not there and not back:
            return
        for datagram in there:
            server.receive(datagram)
        for datagram in back:
            client.receive(datagram)


def failure(client: DtlsHandshake, server: DtlsHandshake) -> DtlsFailed:
    try:
        exchange(client, server)
    except DtlsFailed as error:
        return error
    raise AssertionError("the handshake did not fail")


def negotiated(
    security: MediaSecurity | None,
    remote: Address,
    *,
    mux: bool = True,
    rtcp: Address | None = None,
) -> NegotiatedAudio:
    return NegotiatedAudio(
        RtpAddress(*remote[:2]),
        "PCMU",
        0,
        rtcp_mux=mux,
        remote_rtcp=None if rtcp is None else RtpAddress(*rtcp[:2]),
        security=security,
    )


class End:
    """A protection with lists for sockets, leg and owner. ``address`` is where it sends from."""

    def __init__(self, name: str, address: Address, policy: AddressPolicy | None = None) -> None:
        self.name = name
        self.address = address
        self.counters = MediaCounters()
        self.rtp: list[tuple[bytes, Address]] = []
        self.rtcp: list[tuple[bytes, Address]] = []
        self.heard: list[bytes] = []
        self.reports: list[bytes] = []
        self.failures: list[str] = []
        self.verified: list[Address] = []
        self.now = 1000.0
        self.protection = MediaProtection(
            self.counters,
            identity=identity(name),
            policy=policy or AddressPolicy(),
            send_rtp=lambda data, to: self.rtp.append((data, to)),
            send_rtcp=lambda data, to: self.rtcp.append((data, to)),
            on_rtp=lambda data, source, now: self.heard.append(data),
            on_rtcp=lambda data, source, now: self.reports.append(data),
            on_failed=self.failures.append,
            on_verified=lambda source, now: self.verified.append(source),
        )

    def state(self) -> State:
        return self.protection.state

    def agree(
        self, peer: str, remote: Address, *, active: bool, mux: bool = True, rtcp: bool = False
    ) -> None:
        security = DtlsSecurity(active, (identity(peer).fingerprint,))
        port = (remote[0], remote[1] + 1) if rtcp else None
        self.protection.negotiate(negotiated(security, remote, mux=mux, rtcp=port), self.now)

    def receive(self, data: bytes, source: Address) -> None:
        self.protection.on_rtp(data, source, self.now)

    def tick(self, seconds: float) -> None:
        """Let time go by, 20 ms a tick."""
        for _ in range(round(seconds * 50)):
            self.now += 0.02
            self.protection.tick(self.now)


Between = Callable[[bytes], bytes | None]


def carry(one: End, other: End, change: Between = lambda data: data) -> int:
    """Bring what both have sent to each other until nobody sends any more; how many datagrams."""
    count = 0
    while one.rtp or other.rtp or one.rtcp or other.rtcp:
        for source, target in ((one, other), (other, one)):
            sent, source.rtp = source.rtp, []
            for data, _ in sent:
                carried = change(data)
                if carried is not None:
                    target.receive(carried, source.address)
            reports, source.rtcp = source.rtcp, []
            for data, _ in reports:
                target.protection.on_rtcp(data, _next_port(source.address), target.now)
            count += len(sent) + len(reports)
    return count


def _next_port(address: Address) -> Address:
    return address[0], address[1] + 1
