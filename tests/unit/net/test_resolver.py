from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from ringback.net import dns_client
from ringback.net.dns_client import Srv
from ringback.net.resolver import ResolutionFailed, Resolver, Target, in_srv_order
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri
from unit.net.dns_server import DnsServer, dns_server
from unit.net.manual_clock import ManualClock

ZONE = """
carrier.test.              60 IN NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.carrier.test.
carrier.test.              60 IN NAPTR 10 20 "s" "SIP+D2T" "" _sip._tcp.edge.test.
carrier.test.              60 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.edge.test.
carrier.test.              60 IN NAPTR 5 10 "s" "SIP+D2S" "" _sip._sctp.edge.test.
carrier.test.              60 IN NAPTR 1 10 "u" "E2U+sip" "!.*!sip:x@y!" .
carrier.test.              60 IN A 192.0.2.250
_sip._udp.carrier.test.    60 IN SRV 10 0 5060 a.edge.test.
_sips._tcp.edge.test.      60 IN SRV 10 0 5071 a.edge.test.
_sip._tcp.edge.test.       60 IN SRV 10 0 5070 a.edge.test.
a.edge.test.               60 IN A 192.0.2.1
a.edge.test.               60 IN AAAA 2001:db8::1
srv.test.                  60 IN A 192.0.2.251
_sip._udp.srv.test.        60 IN SRV 20 0 5060 backup.srv.test.
_sip._udp.srv.test.        60 IN SRV 10 0 5080 main.srv.test.
_sip._tcp.srv.test.        60 IN SRV 10 0 5081 main.srv.test.
_sips._tcp.srv.test.       60 IN SRV 10 0 5091 main.srv.test.
main.srv.test.             60 IN A 192.0.2.11
backup.srv.test.           60 IN A 192.0.2.13
plain.test.                60 IN A 192.0.2.31
many.test.                 60 IN A 192.0.2.32
many.test.                 60 IN A 192.0.2.33
alias.test.                60 IN CNAME plain.test.
six.test.                  60 IN AAAA 2001:db8::6
none.test.                 60 IN A 192.0.2.41
_sip._udp.none.test.       60 IN SRV 0 0 0 .
_sip._udp.gone.test.       60 IN SRV 10 0 5060 missing.gone.test.
_sip._udp.gone.test.       60 IN SRV 20 0 5060 plain.test.
_sip._udp.lost.test.       60 IN SRV 10 0 5060 missing.gone.test.
"""


@pytest.fixture(autouse=True)
def _only_localhost_is_known_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(loop: object, host: str, *args: object, **kwargs: object) -> list[object]:
        if host != "localhost":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 0))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)


def resolve(
    *targets: str | Target,
    prepare: Callable[[DnsServer], None] = lambda server: None,
    between: Callable[[ManualClock], None] = lambda clock: None,
    within: float = 5.0,
    ipv6: bool = True,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> tuple[list[Hop], DnsServer]:
    """The hops of the last target, and the server that was asked for all of them."""

    async def run() -> tuple[list[Hop], DnsServer]:
        async with dns_server(ZONE) as server:
            prepare(server)
            clock = ManualClock()
            resolver = Resolver(
                clock=clock,
                nameservers=[("127.0.0.1", server.port)],
                random=lambda: 0.5,
                within=within,
                ipv6=ipv6,
            )
            hops: list[Hop] = []
            for target in targets:
                hops = await resolver.resolve(
                    Uri.parse(target) if isinstance(target, str) else target
                )
                between(clock)
            return hops, server

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run())


# ---- no questions to ask --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:192.0.2.9", Hop("udp", "192.0.2.9", 5060)),
        ("sip:192.0.2.9:5099", Hop("udp", "192.0.2.9", 5099)),
        ("sip:192.0.2.9;transport=TCP", Hop("tcp", "192.0.2.9", 5060)),
        ("sip:[2001:db8::9]:5099", Hop("udp", "2001:db8::9", 5099)),
        ("sip:192.0.2.9;transport=tls", Hop("tls", "192.0.2.9", 5061)),
        ("sips:192.0.2.9", Hop("tls", "192.0.2.9", 5061)),
        ("sips:192.0.2.9;transport=tcp", Hop("tls", "192.0.2.9", 5061)),
        ("sip:carrier.test;maddr=192.0.2.8", Hop("udp", "192.0.2.8", 5060)),
    ],
)
def test_an_ip_literal_needs_no_dns(uri: str, hop: Hop) -> None:
    hops, server = resolve(uri)
    assert hops == [hop]
    assert server.questions == []


def test_a_port_is_a_word_for_addresses_without_srv() -> None:
    hops, server = resolve("sip:srv.test:5099")
    assert hops == [Hop("udp", "192.0.2.251", 5099)]
    assert {kind for _, kind in server.questions} == {"A", "AAAA"}


def test_localhost_comes_from_the_system() -> None:
    hops, server = resolve("sip:localhost:5070")
    assert hops == [Hop("udp", "127.0.0.1", 5070)]
    assert server.questions == []


def test_names_that_only_the_system_knows_are_found_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def getaddrinfo(*args: object, **kwargs: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.77", 0)),
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("fe80::1%eth0", 0, 0, 2)),
        ]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)
    assert resolve("sip:hosts-file.test")[0] == [
        Hop("udp", "192.0.2.77", 5060),
        Hop("udp", "fe80::1", 5060),
    ]


# ---- NAPTR ----------------------------------------------------------------------------------


@pytest.mark.requirement("trunk.dns", "rfc3263.4.1")
def test_naptr_decides_transport_and_order() -> None:
    hops, _ = resolve("sip:carrier.test")
    assert hops == [
        Hop("tls", "192.0.2.1", 5071, "carrier.test"),
        Hop("tls", "2001:db8::1", 5071, "carrier.test"),
        Hop("tcp", "192.0.2.1", 5070),
        Hop("tcp", "2001:db8::1", 5070),
    ]


@pytest.mark.requirement("trunk.dns", "rfc3263.4.1")
def test_a_sips_uri_takes_nothing_but_the_tls_service() -> None:
    hops, _ = resolve("sips:carrier.test")
    assert {hop.transport for hop in hops} == {"tls"}
    assert {hop.port for hop in hops} == {5071}


def test_a_given_transport_does_without_naptr() -> None:
    _, server = resolve("sip:srv.test;transport=tcp")
    assert ("srv.test", "NAPTR") not in server.questions


# ---- SRV ------------------------------------------------------------------------------------


@pytest.mark.requirement("trunk.dns", "rfc3263.4.2")
def test_srv_without_naptr_gives_every_transport_with_its_ports() -> None:
    hops, _ = resolve("sip:srv.test")
    assert hops == [
        Hop("udp", "192.0.2.11", 5080),
        Hop("udp", "192.0.2.13", 5060),
        Hop("tcp", "192.0.2.11", 5081),
        Hop("tls", "192.0.2.11", 5091, "srv.test"),
    ]


@pytest.mark.requirement("trunk.dns")
def test_an_address_record_does_not_hide_srv() -> None:
    assert all(hop.host != "192.0.2.251" for hop in resolve("sip:srv.test")[0])


@pytest.mark.parametrize(
    ("uri", "port", "name"),
    [
        ("sip:srv.test;transport=tcp", 5081, None),
        ("sip:srv.test;transport=tls", 5091, "srv.test"),
        ("sips:srv.test", 5091, "srv.test"),
    ],
)
def test_a_given_transport_takes_its_own_srv_records(uri: str, port: int, name: str | None) -> None:
    hops, _ = resolve(uri)
    assert {(hop.port, hop.server_name) for hop in hops} == {(port, name)}


def test_a_domain_that_says_it_has_no_service_is_believed() -> None:
    with pytest.raises(ResolutionFailed, match="offers no SIP service"):
        resolve("sip:none.test;transport=udp")


def test_an_srv_host_without_an_address_is_passed_over() -> None:
    assert resolve("sip:gone.test")[0] == [Hop("udp", "192.0.2.31", 5060)]


def test_srv_hosts_that_are_all_missing_are_named() -> None:
    with pytest.raises(ResolutionFailed, match=r"missing\.gone\.test"):
        resolve("sip:lost.test")


# ---- addresses ------------------------------------------------------------------------------


def test_a_domain_with_addresses_alone_gets_the_default_port() -> None:
    assert resolve("sip:plain.test")[0] == [Hop("udp", "192.0.2.31", 5060)]
    assert resolve("sips:plain.test")[0] == [Hop("tls", "192.0.2.31", 5061, "plain.test")]


def test_every_address_of_a_domain_is_tried() -> None:
    hosts = sorted(hop.host for hop in resolve("sip:many.test")[0])
    assert hosts == ["192.0.2.32", "192.0.2.33"]


def test_aliases_are_followed() -> None:
    assert resolve("sip:alias.test")[0] == [Hop("udp", "192.0.2.31", 5060)]


@pytest.mark.requirement("trunk.dns", "rfc3263.4.2")
def test_ipv6_addresses_can_be_left_out() -> None:
    assert resolve("sip:six.test")[0] == [Hop("udp", "2001:db8::6", 5060)]
    hops, _ = resolve("sip:carrier.test", ipv6=False)
    assert {hop.host for hop in hops} == {"192.0.2.1"}


def test_whether_to_verify_is_passed_on_to_the_hops() -> None:
    (hop,) = resolve(Target("plain.test", transport="tls", verify=False))[0]
    assert not hop.verify


# ---- failure --------------------------------------------------------------------------------


def test_an_unknown_domain_is_said_to_be_unknown() -> None:
    with pytest.raises(ResolutionFailed, match="nowhere.test cannot be found") as caught:
        resolve("sip:nowhere.test")
    assert caught.value.code == "resolution_failed"


def test_a_silent_server_ends_in_time() -> None:
    with pytest.raises(ResolutionFailed, match="No DNS server answered"):
        resolve("sip:plain.test", prepare=lambda s: s.silent.add(("*", "*")), within=0.05)


def test_refused_naptr_questions_do_not_matter() -> None:
    hops, _ = resolve("sip:srv.test", prepare=lambda s: s.failing.add(("srv.test", "NAPTR")))
    assert hops[0] == Hop("udp", "192.0.2.11", 5080)


def test_refused_srv_questions_fall_back_to_the_address() -> None:
    def prepare(server: DnsServer) -> None:
        server.failing |= {
            (f"{p}.srv.test", "SRV") for p in ("_sip._udp", "_sip._tcp", "_sips._tcp")
        }

    assert resolve("sip:srv.test", prepare=prepare)[0] == [Hop("udp", "192.0.2.251", 5060)]


def test_servers_that_fail_are_not_the_same_as_an_unknown_domain() -> None:
    def prepare(server: DnsServer) -> None:
        server.failing |= {("_sip._udp.nowhere.test", "SRV")}

    with pytest.raises(ResolutionFailed, match="No DNS server answered"):
        resolve("sip:nowhere.test", prepare=prepare)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test", ".".join(["label"] * 60)])
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(ResolutionFailed, match="not a host name"):
        resolve(Target(host))


@pytest.mark.parametrize("uri", ["tel:+123", "mailto:a@b.test", "sip:b.test;transport=sctp"])
def test_uris_that_lead_nowhere_are_refused(uri: str) -> None:
    with pytest.raises(ResolutionFailed):
        Target.of(Uri.parse(uri))


# ---- the cache ------------------------------------------------------------------------------


def test_answers_are_remembered_for_their_time_to_live() -> None:
    _, server = resolve("sip:srv.test", "sip:SRV.test", "sip:srv.test")
    assert len(server.questions) == len(set(server.questions))

    def minute(clock: ManualClock) -> None:
        clock.time += 60

    _, server = resolve("sip:srv.test", "sip:srv.test", between=minute)
    assert server.questions.count(("main.srv.test", "A")) == 2


def test_missing_records_are_remembered_for_a_short_while() -> None:
    _, server = resolve("sip:plain.test", "sip:plain.test")
    assert server.questions.count(("plain.test", "NAPTR")) == 1


def test_failures_are_not_remembered() -> None:
    _, server = resolve(
        "sip:srv.test", "sip:srv.test", prepare=lambda s: s.failing.add(("srv.test", "NAPTR"))
    )
    assert server.questions.count(("srv.test", "NAPTR")) == 2


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_client, "MAX_CACHED", 1)
    _, server = resolve("sip:plain.test:5060", "sip:six.test:5060", "sip:plain.test:5060")
    assert server.questions.count(("plain.test", "A")) == 2


def test_it_works_on_uvloop_too() -> None:
    hops, _ = resolve("sip:carrier.test", loop_factory=uvloop.new_event_loop)
    assert hops[0] == Hop("tls", "192.0.2.1", 5071, "carrier.test")


# ---- the order of SRV records ---------------------------------------------------------------

RECORDS = [
    Srv(10, 0, 1, "zero"),
    Srv(10, 10, 1, "light"),
    Srv(10, 90, 1, "heavy"),
    Srv(5, 1, 1, "first"),
]


@pytest.mark.requirement("rfc3263.4.2")
@pytest.mark.parametrize(
    ("chance", "second"), [(0.0, "zero"), (0.05, "light"), (0.5, "heavy"), (0.999, "heavy")]
)
def test_weight_decides_within_a_priority(chance: float, second: str) -> None:
    ordered = in_srv_order(RECORDS, lambda: chance)
    assert [record.target for record in ordered[:2]] == ["first", second]


@given(
    st.lists(
        st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(1), st.text(max_size=3)),
        max_size=10,
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_every_record_is_used_once_and_priorities_ascend(records: list[Srv], chance: float) -> None:
    ordered = in_srv_order(records, lambda: chance)
    assert sorted(ordered, key=repr) == sorted(records, key=repr)
    assert [r.priority for r in ordered] == sorted(r.priority for r in records)
