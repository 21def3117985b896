"""The whole signalling stack on real sockets against programs that are not ours."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from ringback.core.clock import SystemClock
from ringback.net.public_address import PublicAddress
from ringback.net.sip_transport import Listen, SipTransport, SipTransportConfig
from ringback.sip.endpoint import EndpointConfig, SipEndpoint
from ringback.sip.events import Answered, Ended, Event, IncomingInvite, InviteFailed
from ringback.sip.headers import NameAddr
from ringback.sip.invite_session import InviteRequest
from ringback.sip.offer_answer import LocalMedia, Negotiated, OfferAnswer
from ringback.sip.sdp import SessionDescription
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri
from unit.net.sip_peers import until

BOUND = 30.0
CALLS = 20

needs_sipsak = pytest.mark.skipif(not shutil.which("sipsak"), reason="sipsak is not installed")
needs_sipp = pytest.mark.skipif(not shutil.which("sipp"), reason="sipp is not installed")


class Phone:
    """Answers every call and hangs up what it called as soon as that is answered."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.negotiated: list[Negotiated] = []
        self.ended: asyncio.Queue[Ended | InviteFailed] = asyncio.Queue()
        self._offers: dict[str, OfferAnswer] = {}
        self._addresses = PublicAddress(clock=clock)
        self.endpoint = SipEndpoint(
            EndpointConfig(), self._addresses, lambda: secrets.token_hex(8), random.random
        )
        self.transport = SipTransport(
            self.endpoint,
            SipTransportConfig(
                listen=(Listen("udp", "127.0.0.1", 0), Listen("tcp", "127.0.0.1", 0))
            ),
            clock=clock,
            on_event=self._on_event,
        )

    async def __aenter__(self) -> Phone:
        await self.transport.start()
        self._addresses.ports.update(self.transport.ports)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.transport.close()

    def call(self, hop: Hop) -> None:
        exchange = OfferAnswer(LocalMedia("127.0.0.1", 30_000), 1)
        target = Uri.parse(f"sip:service@{hop.host}:{hop.port};transport={hop.transport}")
        invite = InviteRequest(
            target, NameAddr(Uri.parse("sip:ringback@127.0.0.1")), bytes(exchange.offer())
        )
        session = self.transport.run(lambda now: self.endpoint.invite(invite, [hop], now=now))
        self._offers[session.id] = exchange

    def _on_event(self, event: Event) -> None:
        match event:
            case IncomingInvite(session=session, sdp=sdp):
                exchange = OfferAnswer(LocalMedia("127.0.0.1", 30_000), 1)
                assert sdp is not None
                exchange.receive_offer(SessionDescription.parse(sdp))
                answer = bytes(exchange.answer())
                self.transport.run(lambda now: session.accept(answer, now=now))
                assert exchange.negotiated is not None
                self.negotiated.append(exchange.negotiated)
            case Answered(session=session, sdp=sdp):
                assert sdp is not None
                exchange = self._offers[session.id]
                self.negotiated.append(exchange.receive_answer(SessionDescription.parse(sdp)))
                self.transport.run(lambda now: session.bye(now=now))
            case Ended() | InviteFailed():
                self.ended.put_nowait(event)
            case _:
                pass


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND):
            await test()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


async def start(folder: Path, *command: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd=folder
    )


async def finish(process: Process) -> int:
    """Its exit code; it is stopped if the test has failed meanwhile."""
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bound(port: int, transport: str) -> bool:
    """Whether some program has ``port``; looked up, because to try would take it away."""
    rows = Path(f"/proc/net/{transport}").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") for row in rows)


@pytest.mark.requirement("trunk.keepalive", "rfc3261.11")
@needs_sipsak
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipsak_gets_its_options_answered(tmp_path: Path, transport: str) -> None:
    async def test() -> None:
        async with Phone() as phone:
            port = phone.transport.ports["udp" if transport == "udp" else "tcp"]
            uri = f"sip:ringback@127.0.0.1:{port}"
            assert await finish(await start(tmp_path, "sipsak", "-E", transport, "-s", uri)) == 0

    run(test)


@needs_sipp
@pytest.mark.parametrize(("transport", "mode"), [("udp", "u1"), ("tcp", "t1"), ("tcp", "tn")])
def test_sipp_calls_and_hangs_up(tmp_path: Path, transport: str, mode: str) -> None:
    async def test() -> None:
        async with Phone() as phone:
            port = phone.transport.ports["udp" if transport == "udp" else "tcp"]
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            options = (
                f"-sn uac -t {mode} -i 127.0.0.1 -p {free_port(kind)} "
                f"-m {CALLS} -r 100 -d 10 -max_socket 200 127.0.0.1:{port}"
            )
            sipp = await start(tmp_path, "sipp", *options.split())
            assert await finish(sipp) == 0
            for _ in range(CALLS):
                assert isinstance(await phone.ended.get(), Ended)
            assert {(n.codec, n.remote.host) for n in phone.negotiated} == {("PCMU", "127.0.0.1")}
            assert phone.endpoint.sessions == ()
            assert phone.transport.counters.failed == 0

    run(test)


@needs_sipp
@pytest.mark.parametrize(("transport", "mode"), [("udp", "u1"), ("tcp", "t1")])
def test_sipp_is_called_and_hung_up(tmp_path: Path, transport: str, mode: str) -> None:
    async def test() -> None:
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        port = free_port(kind)
        options = f"-sn uas -t {mode} -i 127.0.0.1 -p {port} -m {CALLS}"
        sipp = await start(tmp_path, "sipp", *options.split())
        try:
            await until(lambda: bound(port, transport))
            async with Phone() as phone:
                for _ in range(CALLS):
                    phone.call(Hop("udp" if transport == "udp" else "tcp", "127.0.0.1", port))
                for _ in range(CALLS):
                    assert isinstance(await phone.ended.get(), Ended)
                assert len(phone.negotiated) == CALLS
                assert await sipp.wait() == 0
                assert phone.transport.streams.counters.dialled == (transport == "tcp")
        finally:
            if sipp.returncode is None:
                sipp.kill()
                await sipp.wait()

    run(test)
