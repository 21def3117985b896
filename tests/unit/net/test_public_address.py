from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence

import pytest

from ringback.net import public_address as module
from ringback.net import routes
from ringback.net.public_address import PublicAddress, is_private
from ringback.net.routes import Network
from ringback.net.stun import StunFailed
from ringback.net.stun_message import MappedAddress
from ringback.sip.transport import Hop, LocalAddresses, Transport
from unit.net.manual_clock import ManualClock

PUBLIC_PEER = "198.51.100.20"
EXTERNAL = "203.0.113.7"


class Kernel:
    """Routes that a test can change, and a count of how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.source: str | None = "10.1.2.3"
        self.networks: tuple[Network, ...] = (ipaddress.ip_network("10.1.2.0/24"),)

    def local_address_towards(self, peer: str) -> str | None:
        self.asked.append(peer)
        if peer.startswith("127."):
            return "127.0.0.1"
        return "2001:db8::5" if ":" in peer else self.source


def build(
    kernel: Kernel | None = None,
    *,
    external_ip: str | None = EXTERNAL,
    stun_server: tuple[str, int] | None = None,
    bind_host: str = "0.0.0.0",
    clock: ManualClock | None = None,
    ports: dict[Transport, int] | None = None,
) -> PublicAddress:
    kernel = kernel or Kernel()
    return PublicAddress(
        clock=clock or ManualClock(),
        ports=ports,
        bind_host=bind_host,
        external_ip=external_ip,
        stun_server=stun_server,
        local_address_towards=kernel.local_address_towards,
        on_link_networks=lambda: kernel.networks,
    )


def stun(*answers: str | StunFailed) -> Callable[..., object]:
    waiting = list(answers)

    async def query(host: str, port: int, *, within: float) -> MappedAddress:
        answer = waiting.pop(0)
        if isinstance(answer, StunFailed):
            raise answer
        return MappedAddress(answer, 1)

    return query


@pytest.mark.requirement("trunk.public-address")
def test_a_public_peer_is_told_the_public_address() -> None:
    assert build().host_for(PUBLIC_PEER) == EXTERNAL


@pytest.mark.parametrize(
    "peer", ["10.9.9.9", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.7.7"]
)
def test_a_private_peer_is_told_the_address_on_its_route(peer: str) -> None:
    assert build().host_for(peer) == "10.1.2.3"


def test_a_loopback_peer_is_told_the_loopback_address() -> None:
    assert build().host_for("127.0.0.1") == "127.0.0.1"


def test_a_public_peer_on_the_same_link_is_told_the_address_on_that_link() -> None:
    kernel = Kernel()
    kernel.networks = (ipaddress.ip_network("198.51.100.0/24"),)
    kernel.source = "198.51.100.1"
    assert build(kernel).host_for(PUBLIC_PEER) == "198.51.100.1"


def test_the_route_is_all_there_is_without_setting_and_stun() -> None:
    assert build(external_ip=None).host_for(PUBLIC_PEER) == "10.1.2.3"


@pytest.mark.parametrize("peer", ["fe80::1", "fd12::1", "::1", "2001:db8:1::1"])
def test_an_external_ipv4_address_is_not_for_ipv6_peers(peer: str) -> None:
    assert build().host_for(peer) == "2001:db8::5"


def test_an_external_ipv6_address_is_for_public_ipv6_peers_only() -> None:
    address = build(external_ip="2001:db8::99")
    assert address.host_for("2001:db8:1::1") == "2001:db8::99"
    assert address.host_for("fd12::1") == "2001:db8::5"
    assert address.host_for(PUBLIC_PEER) == "10.1.2.3"


def test_a_specific_bind_address_is_the_route_for_its_family() -> None:
    kernel = Kernel()
    address = build(kernel, external_ip=None, bind_host="10.1.2.99")
    assert address.host_for("192.168.3.4") == "10.1.2.99"
    assert kernel.asked == []
    assert address.host_for("fd12::1") == "2001:db8::5"


def test_a_peer_without_a_route_gets_an_address_all_the_same() -> None:
    kernel = Kernel()
    kernel.source = None
    assert build(kernel, external_ip=None).host_for(PUBLIC_PEER) == "127.0.0.1"
    assert build(kernel).host_for("10.9.9.9") == EXTERNAL


def test_a_peer_given_by_name_counts_as_public() -> None:
    assert build().host_for("sip.example.com") == EXTERNAL
    assert build(external_ip=None).host_for("sip.example.com") == "10.1.2.3"


def test_the_kernel_is_asked_once_per_peer_until_the_entry_is_old() -> None:
    kernel, clock = Kernel(), ManualClock()
    address = build(kernel, clock=clock)
    for _ in range(5):
        address.host_for("10.9.9.9")
    assert kernel.asked == ["10.9.9.9"]
    kernel.source = "10.1.2.4"
    clock.time += module.PEER_LIFETIME
    assert address.host_for("10.9.9.9") == "10.1.2.4"


def test_the_number_of_remembered_peers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PEERS", 2)
    kernel = Kernel()
    address = build(kernel)
    for peer in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.3", "10.0.0.2", "10.0.0.1"):
        address.host_for(peer)
    assert kernel.asked == ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]


def test_it_advertises_the_port_of_the_transport() -> None:
    address: LocalAddresses = build(ports={"udp": 5070, "tcp": 5071})
    assert address.advertised(Hop("udp", PUBLIC_PEER, 5060)) == (EXTERNAL, 5070)
    assert address.advertised(Hop("tcp", PUBLIC_PEER, 5060)) == (EXTERNAL, 5071)
    assert address.advertised(Hop("tls", PUBLIC_PEER, 5061)) == (EXTERNAL, 5061)


@pytest.mark.requirement("trunk.public-address")
def test_stun_fills_in_for_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "query", stun("203.0.113.50", "203.0.113.50", "203.0.113.51"))
    address = build(external_ip=None, stun_server=("stun.example", 3478))
    assert address.host_for(PUBLIC_PEER) == "10.1.2.3"
    assert asyncio.run(address.discover())
    assert address.host_for(PUBLIC_PEER) == "203.0.113.50"
    assert not asyncio.run(address.discover())
    assert asyncio.run(address.discover())
    assert address.host_for(PUBLIC_PEER) == "203.0.113.51"
    assert address.host_for("10.9.9.9") == "10.1.2.3"


def test_a_failing_stun_server_keeps_what_was_known_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "query", stun("203.0.113.50", StunFailed("it is mute")))
    address = build(external_ip=None, stun_server=("stun.example", 3478))
    asyncio.run(address.discover())
    assert address.stun_failure is None
    assert not asyncio.run(address.discover())
    assert address.external_ip == "203.0.113.50"
    assert address.stun_failure == "it is mute"


def test_the_setting_wins_over_stun_which_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "query", stun())
    address = build(stun_server=("stun.example", 3478))
    assert not asyncio.run(address.discover())
    assert address.external_ip == EXTERNAL


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.0.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("100.127.255.255", True),
        ("100.128.0.1", False),
        ("127.5.5.5", True),
        ("8.8.8.8", False),
        ("fc00::1", True),
        ("fe80::1", True),
        ("2001:4860:4860::8888", False),
    ],
)
def test_private_ranges_are_known(text: str, private: bool) -> None:
    assert is_private(ipaddress.ip_address(text)) is private


# ---- what the kernel says -------------------------------------------------------------------


def test_the_real_kernel_routes_loopback_to_itself() -> None:
    assert routes.local_address_towards("127.0.0.1") == "127.0.0.1"
    assert routes.local_address_towards("::1") == "::1"


def test_an_address_that_cannot_be_routed_has_no_local_address() -> None:
    assert routes.local_address_towards("256.1.1.1") is None


def test_the_real_route_tables_can_be_read() -> None:
    networks: Sequence[Network] = routes.on_link_networks()
    assert all(network.prefixlen for network in networks)


def test_only_networks_without_a_gateway_are_on_the_link() -> None:
    text = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "tun0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n"
        "down\t0000010A\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "short line\n"
    )
    assert routes.parse_ipv4_routes(text) == [ipaddress.ip_network("192.0.2.0/24")]


def test_ipv6_networks_are_read_without_default_multicast_and_link_local() -> None:
    zero = "0" * 32
    text = "".join(
        f"{network} {prefix} {zero} 00 {gateway} 00000100 00000001 00000000 {flags}     eth0\n"
        for network, prefix, gateway, flags in [
            ("20010db8000000010000000000000000", "40", zero, "00000001"),
            ("20010db8000000020000000000000000", "40", "fd" + "0" * 30, "00000003"),
            ("fe800000000000000000000000000000", "40", zero, "00000001"),
            ("ff000000000000000000000000000000", "08", zero, "00000001"),
            (zero, "00", "fd" + "0" * 30, "00000003"),
        ]
    )
    assert routes.parse_ipv6_routes(text) == [ipaddress.ip_network("2001:db8:0:1::/64")]


@pytest.mark.requirement("trunk.public-address")
@pytest.mark.parametrize("seen", ["10.1.2.3", "127.0.0.1", "0.0.0.0", "224.0.0.1", "fd00::1"])
def test_what_stun_sees_on_our_side_of_the_nat_is_not_public(
    monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    async def answer(host: str, port: int, *, within: float) -> MappedAddress:
        return MappedAddress(seen, 4000)

    monkeypatch.setattr(module, "query", answer)
    addresses = PublicAddress(clock=ManualClock(), stun_server=("stun.example.com", 3478))
    assert asyncio.run(addresses.discover()) is False
    assert addresses.external_ip is None
    assert addresses.stun_failure is not None
    assert seen in addresses.stun_failure
