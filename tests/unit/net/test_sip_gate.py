"""What passes before a message is parsed: the gate in front of a real endpoint and real sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from ringback.net import sip_connection, sip_peek
from ringback.net.sip_gate import SipGate
from ringback.net.sip_peek import ScannerNames
from ringback.net.sip_streams import StreamLimits
from ringback.net.sip_transport import Listen, SipTransport, SipTransportConfig
from ringback.net.source_guard import GuardRules, Offence, SourceGuard, Verdict
from ringback.sip.message import Request
from ringback.sip.transport import Flow
from unit.net.manual_clock import ManualClock
from unit.net.sip_peers import Core, RawClient, options, run, until

FAR = "203.0.113.7"
STRICT = GuardRules(rate=1, burst=2, near_factor=1, offences=1000)


class Calls:
    """A core that has a few live calls and requests of its own."""

    def __init__(self) -> None:
        self.busy: list[bytes | Request] = []

    def serves(self, call_id: str) -> bool:
        return call_id == "live@call"

    def expects(self, branch: str) -> bool:
        return branch == "z9hG4bKours"

    def refuse_busy(self, message: bytes | Request, flow: Flow) -> None:
        self.busy.append(message)


def gate(rules: GuardRules = STRICT, knows: Callable[[str], bool] = lambda token: False) -> SipGate:
    return SipGate(SourceGuard(rules), Calls(), knows_token=knows)


def invite(
    call_id: str = "x@y", agent: str = "Phone", line: str = "", method: str = "INVITE"
) -> bytes:
    return (
        f"{method} sip:100@192.0.2.1{line} SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 203.0.113.7:5060;branch=z9hG4bKtheirs;rport\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:100@192.0.2.1>\r\nCall-ID: {call_id}\r\n"
        f"CSeq: 1 {method}\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def response(branch: str) -> bytes:
    via = f"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch={branch}"
    return f"SIP/2.0 200 OK\r\n{via}\r\nCall-ID: z\r\nCSeq: 1 OPTIONS\r\n\r\n".encode()


# ---- what belongs to somebody -------------------------------------------------------------------


@pytest.mark.requirement("guard.source-rate")
def test_a_banned_source_keeps_its_live_calls_and_our_answers() -> None:
    made = gate()
    made.guard.offend(FAR, Offence.SCANNER, 100.0)
    assert made.datagram(invite(), FAR, 101.0) is Verdict.DROP
    assert made.datagram(invite("live@call", method="BYE"), FAR, 101.0) is Verdict.ACCEPT
    assert made.datagram(response("z9hG4bKours"), FAR, 101.0) is Verdict.ACCEPT
    assert made.datagram(response("z9hG4bKother"), FAR, 101.0) is Verdict.DROP


def test_whoever_knows_the_token_of_our_contact_is_a_trunk() -> None:
    made = gate(knows=lambda token: token == "secret")
    made.guard.offend(FAR, Offence.SCANNER, 100.0)
    assert made.datagram(invite(line=";line=secret"), FAR, 101.0) is Verdict.ACCEPT
    assert made.datagram(invite(line=";line=guess"), FAR, 101.0) is Verdict.DROP


def test_a_scanner_behind_a_trunks_address_is_not_heard_and_the_trunk_is() -> None:
    made = gate()
    made.guard.exempt = FAR.__eq__
    for _ in range(500):
        assert made.datagram(invite(agent="friendly-scanner"), FAR, 100.0) is Verdict.DROP
    assert made.datagram(invite(), FAR, 100.0) is Verdict.ACCEPT
    assert made.datagram(invite("live@call", method="BYE"), FAR, 100.0) is Verdict.ACCEPT
    assert made.datagram(response("z9hG4bKother"), FAR, 100.0) is Verdict.ACCEPT
    assert made.guard.bans(100.0) == []


def test_responses_and_acks_to_nothing_are_dropped_without_a_token() -> None:
    made = gate()
    for _ in range(50):
        assert made.datagram(invite(method="ACK"), FAR, 100.0) is Verdict.DROP
        assert made.datagram(response("z9hG4bKnone"), FAR, 100.0) is Verdict.DROP
    assert made.datagram(invite(), FAR, 100.0) is Verdict.ACCEPT
    assert made.counters.stray == 100


@pytest.mark.requirement("guard.scanner-ban")
@pytest.mark.parametrize(
    "agent",
    ["friendly-scanner", "sipvicious", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "pplsip", "sundayddr"],
)
def test_a_scanner_is_known_by_its_name_and_banned_at_once(agent: str) -> None:
    made = gate()
    assert made.datagram(invite(agent=agent), FAR, 100.0) is Verdict.DROP
    assert made.guard.is_banned(FAR, 100.0)
    assert ScannerNames().in_headers(agent, "")


@pytest.mark.parametrize("agent", ["Ringback 1.0", "Asterisk PBX 20", "baresip v3", "Zoiper", ""])
def test_a_phone_is_no_scanner(agent: str) -> None:
    made = gate()
    assert made.datagram(invite(agent=agent), FAR, 100.0) is Verdict.ACCEPT


def test_the_operator_can_name_further_scanners() -> None:
    names = ScannerNames(("evil-dialer",))
    assert names.in_message(invite(agent="Evil-Dialer/9"))
    assert not names.in_message(invite(agent="not-so-Evil"))


@pytest.mark.parametrize(
    "head",
    ["Call-ID: abc", "call-id :abc", "i: abc", "I:\tabc"],
)
def test_the_call_id_is_seen_in_every_usual_form(head: str) -> None:
    assert sip_peek.call_id(f"BYE sip:a SIP/2.0\r\n{head}\r\n\r\n".encode()) == "abc"


def test_garbage_is_looked_at_without_harm() -> None:
    source = random.Random(7)
    made = gate(GuardRules())
    for _ in range(300):
        data = source.randbytes(source.randrange(0, 3000))
        assert made.datagram(data, FAR, 100.0) in Verdict
    assert made.datagram(b"\n" * 60_000, FAR, 100.0) in Verdict


# ---- on sockets ---------------------------------------------------------------------------------


class Guarded:
    """A transport with a gate before a core that answers OPTIONS."""

    def __init__(self, rules: GuardRules, limits: StreamLimits | None = None) -> None:
        self.clock, self.core = ManualClock(), Core()
        self.calls = Calls()
        self.guard = SourceGuard(rules)
        self.transport = SipTransport(
            self.core,
            SipTransportConfig(
                (Listen("udp", "127.0.0.1", 0), Listen("tcp", "127.0.0.1", 0)),
                limits=limits or StreamLimits(sweep_interval=0.005),
            ),
            clock=self.clock,
            on_event=lambda event: None,
            gate=SipGate(self.guard, self.calls),
        )

    async def __aenter__(self) -> Guarded:
        await self.transport.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.transport.close()

    async def connect(self) -> RawClient:
        port = self.transport.ports["tcp"]
        return RawClient(*await asyncio.open_connection("127.0.0.1", port))


def test_datagrams_beyond_the_rate_never_reach_the_core() -> None:
    async def test() -> None:
        async with Guarded(STRICT) as us:
            peer, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=("127.0.0.1", us.transport.ports["udp"])
            )
            for number in range(20):
                peer.sendto(options(number, b"UDP"))
            await until(lambda: us.guard.counters.dropped_rate == 18)
            assert us.core.received.qsize() == 2
            assert len(us.calls.busy) == 3
            peer.close()

    run(test)


def test_a_banned_source_gets_no_connection() -> None:
    async def test() -> None:
        async with Guarded(STRICT) as us:
            us.guard.ban("127.0.0.1", us.clock.monotonic())
            client = await us.connect()
            assert await client.ended()
            assert us.transport.streams.counters.refused == 1
            await client.close()

    run(test)


def test_a_connection_of_a_stranger_that_floods_is_cut_off() -> None:
    async def test() -> None:
        async with Guarded(GuardRules(rate=1, burst=5, near_factor=1, offences=3)) as us:
            client = await us.connect()
            client.writer.write(b"".join(options(n) for n in range(200)))
            await until(lambda: us.transport.streams.counters.cut_off == 1)
            assert us.core.received.qsize() <= 5
            await client.close()

    run(test)


def test_a_keepalive_flood_ends_the_connection() -> None:
    async def test() -> None:
        async with Guarded(GuardRules()) as us:
            client = await us.connect()
            client.writer.write(b"\r\n\r\n" * (sip_connection.MAX_PINGS + 1))
            await until(lambda: us.transport.streams.counters.ping_floods == 1)
            await client.close()

    run(test)


def test_a_quiet_stranger_is_closed_early_and_one_with_a_call_is_not() -> None:
    async def test() -> None:
        async with Guarded(GuardRules()) as us:
            quiet, caller = await us.connect(), await us.connect()
            live = options(1).replace(b"call-1", b"live@call")
            caller.writer.write(live)
            await us.core.received.get()
            us.clock.time += 61
            assert await quiet.ended()
            assert us.transport.streams.open_connections == 1
            us.clock.time += 900
            await until(lambda: us.transport.streams.open_connections == 0)
            await quiet.close()
            await caller.close()

    run(test)


def test_strangers_together_have_a_bound_on_connections() -> None:
    async def test() -> None:
        limits = StreamLimits(stranger_connections=3)
        async with Guarded(GuardRules(), limits) as us:
            clients = [await us.connect() for _ in range(5)]
            await until(lambda: us.transport.streams.counters.refused == 2)
            assert us.transport.streams.open_connections == 3
            for client in clients:
                await client.close()

    run(test)
