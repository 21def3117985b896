from __future__ import annotations

import asyncio
import socket

import pytest

from ringback.net import sip_udp
from ringback.net.sip_udp import SipUdpSocket
from ringback.sip.transport import Flow, Hop, Transmission
from unit.net.sip_peers import LoopFactory, run


class Listener:
    """A socket under test with what it reported."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.received: asyncio.Queue[tuple[bytes, Hop]] = asyncio.Queue()
        self.failed: asyncio.Queue[Transmission] = asyncio.Queue()
        self.socket = SipUdpSocket(
            host,
            0,
            on_datagram=lambda data, hop: self.received.put_nowait((data, hop)),
            on_failure=self.failed.put_nowait,
        )

    @property
    def hop(self) -> Hop:
        return Hop("udp", *self.socket.address)


def to(hop: Hop, data: bytes = b"x", key: str = "") -> Transmission:
    return Transmission(Flow(hop), data, key)


def nobody(family: socket.AddressFamily = socket.AF_INET) -> Hop:
    """A loopback port where nobody listens."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        host, port = probe.getsockname()[:2]
    return Hop("udp", host, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_datagrams_arrive_with_the_hop_to_answer_to(host: str, loop_factory: LoopFactory) -> None:
    async def test() -> None:
        one, two = Listener(host), Listener(host)
        assert one.socket.send(to(two.hop, b"hello"))
        data, source = await two.received.get()
        assert (data, source) == (b"hello", one.hop)
        assert two.socket.send(to(source, b"back"))
        assert await one.received.get() == (b"back", two.hop)
        assert one.socket.ipv6 == (host == "::1")
        assert (one.socket.counters.sent, one.socket.counters.received_bytes) == (1, 4)
        one.socket.close()
        two.socket.close()

    run(test, loop_factory)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_an_icmp_error_is_reported_for_the_transmission_that_it_quotes(
    family: socket.AddressFamily, loop_factory: LoopFactory
) -> None:
    async def test() -> None:
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        ours, peer = Listener(host), Listener(host)
        dead = nobody(family)
        for number in range(3):
            first = to(dead, b"INVITE %d" % number + b"." * 900, f"a{number}")
            second = to(dead, b"BYE %d" % number, f"b{number}")
            assert ours.socket.send(first)
            assert ours.socket.send(second)
            assert {await ours.failed.get(), await ours.failed.get()} == {first, second}
        assert ours.socket.counters.unreachable == 6
        assert ours.socket.send(to(peer.hop, b"alive", "c"))
        assert (await peer.received.get())[0] == b"alive"
        peer.socket.send(to(ours.hop, b"and hearing"))
        assert (await ours.received.get())[0] == b"and hearing"
        assert ours.failed.empty()
        ours.socket.close()
        peer.socket.close()

    run(test, loop_factory)


def test_an_error_about_one_peer_does_not_cost_another_its_datagram(
    loop_factory: LoopFactory,
) -> None:
    async def test() -> None:
        ours, peer = Listener(), Listener()
        dead = nobody()
        for number in range(50):
            ours.socket.send(to(dead, b"lost %d" % number, f"l{number}"))
            assert ours.socket.send(to(peer.hop, b"%d" % number, f"k{number}"))
            peer.socket.send(to(ours.hop, b"%d" % number))
        for number in range(50):
            assert (await peer.received.get())[0] == b"%d" % number
            assert (await ours.received.get())[0] == b"%d" % number
            assert (await ours.failed.get()).key.startswith("l")
        assert ours.socket.counters.send_failures == 0
        ours.socket.close()
        peer.socket.close()

    run(test, loop_factory)


def test_of_several_to_one_peer_the_quoted_one_is_reported() -> None:
    async def test() -> None:
        ours, peer = Listener(), Listener()
        sent = [to(peer.hop, b"INVITE %d" % number, str(number)) for number in range(3)]
        for transmission in sent:
            ours.socket.send(transmission)
        ours.socket._report(b"INVITE 1", peer.socket.address)
        ours.socket._report(b"INVITE 7", peer.socket.address)
        assert await ours.failed.get() == sent[1]
        assert ours.socket.counters.unreachable == 1
        ours.socket.close()
        peer.socket.close()

    run(test)


def test_transmissions_without_a_key_are_not_reported() -> None:
    async def test() -> None:
        ours = Listener()
        dead = nobody()
        ours.socket.send(to(dead, b"keepalive"))
        ours.socket.send(to(dead, b"request", "key"))
        assert (await ours.failed.get()).key == "key"
        assert ours.failed.empty()
        ours.socket.close()

    run(test)


@pytest.mark.parametrize(
    "hop",
    [Hop("udp", "2001:db8::1", 5060), Hop("udp", "127.0.0.1", 0), Hop("udp", "127.0.0.1", 70_000)],
)
def test_a_send_that_the_system_refuses_returns_false(hop: Hop) -> None:
    async def test() -> None:
        ours = Listener()
        assert not ours.socket.send(to(hop))
        assert ours.socket.counters.send_failures == 1
        ours.socket.close()

    run(test)


def test_a_datagram_beyond_what_udp_can_carry_is_refused() -> None:
    async def test() -> None:
        ours, peer = Listener(), Listener()
        assert not ours.socket.send(to(peer.hop, bytes(70_000), "key"))
        assert ours.socket.send(to(peer.hop, b"small"))
        assert (await peer.received.get())[0] == b"small"
        ours.socket.close()
        peer.socket.close()

    run(test)


def test_what_can_be_matched_with_an_error_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_udp, "MAX_REMEMBERED", 0)

    async def test() -> None:
        ours, peer = Listener(), Listener()
        ours.socket.send(to(nobody(), b"forgotten", "key"))
        peer.socket.send(to(ours.hop, b"after the error"))
        assert (await ours.received.get())[0] == b"after the error"
        assert ours.socket.counters.unreachable == 0
        assert ours.failed.empty()
        ours.socket.close()
        peer.socket.close()

    run(test)


def test_a_port_in_use_cannot_be_bound() -> None:
    async def test() -> None:
        ours = Listener()
        with pytest.raises(OSError, match="in use"):
            SipUdpSocket(
                *ours.socket.address,
                on_datagram=lambda data, hop: None,
                on_failure=lambda transmission: None,
            )
        ours.socket.close()
        ours.socket.close()

    run(test)
