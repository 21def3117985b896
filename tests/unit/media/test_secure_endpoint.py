from __future__ import annotations

import asyncio
import struct

import pytest

from ringback.core.clock import SystemClock
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.plane import DtlsSecurity, SdesSecurity
from ringback.media.protection import State
from ringback.media.secure_endpoint import SecureEndpoint, is_here
from ringback.net.rtp_ports import RtpPorts
from unit.media.dtls_lab import identity, negotiated
from unit.media.media_lab import LOCALHOST, Run

SUITE = "AEAD_AES_128_GCM"
KEY, OTHER = bytes(28), bytes(range(28))


def rtp(sequence: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, sequence, sequence * 160, 7) + bytes(160)


class Leg:
    """An endpoint on real ports, and a clock that ticks it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counters = MediaCounters()
        self.clock = SystemClock()
        self.ports = RtpPorts(20000, 29999, clock=self.clock, quarantine=0.0)
        self.sockets = self.ports.bind(LOCALHOST)
        self.endpoint = SecureEndpoint(self.sockets, self.clock, self.counters, identity(name))
        self.endpoint.on_failed = self.failed
        self.failures: list[str] = []
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.verified = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def address(self) -> tuple[str, int]:
        return LOCALHOST, self.sockets.port

    async def start(self) -> None:
        self.endpoint.open(self._rtp, self._rtp, self._verified)
        self._tick()

    def _tick(self) -> None:
        self.endpoint.tick(self.clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(0.02, self._tick)

    def _rtp(self, data: bytes, source: Address, now: float) -> None:
        self.heard.put_nowait(data)

    def _verified(self, source: Address, now: float) -> None:
        self.verified.set()

    def failed(self, why: str) -> None:
        self.failures.append(why)

    def agree(self, peer: Leg, *, active: bool, towards: tuple[str, int] | None = None) -> None:
        security = DtlsSecurity(active, (identity(peer.name).fingerprint,))
        audio = negotiated(security, towards or peer.address)
        self.endpoint.negotiate(audio, self.clock.monotonic())

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.endpoint.close()
        self.ports.release(self.sockets)


class Lossy(asyncio.DatagramProtocol):
    """A network between two addresses that loses the first of each kind of DTLS flight."""

    def __init__(self, one: tuple[str, int], other: tuple[str, int]) -> None:
        self._way = {one: other, other: one}
        self._lost: set[tuple[object, bytes]] = set()
        self.transport: asyncio.DatagramTransport | None = None
        self.losses = 0

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        source = (str(addr[0]), addr[1])
        kind = (source, data[13:14])
        if 20 <= data[0] <= 63 and kind not in self._lost:
            self._lost.add(kind)
            self.losses += 1
        elif self.transport is not None:
            self.transport.sendto(data, self._way[source])


def test_a_handshake_over_real_ports_protects_what_follows(run: Run) -> None:
    async def main() -> None:
        here, phone = Leg("ours"), Leg("theirs")
        await here.start()
        await phone.start()
        here.agree(phone, active=False)
        phone.agree(here, active=True)
        await here.verified.wait()
        await phone.verified.wait()
        phone.endpoint.send_rtp(rtp(1), here.address)
        assert await here.heard.get() == rtp(1)
        assert here.endpoint.state is State.KEYED
        assert here.endpoint.suite == phone.endpoint.suite == "AEAD_AES_256_GCM"
        await here.stop()
        await phone.stop()

    run(main())


@pytest.mark.requirement("media.srtp-dtls")
def test_lost_flights_of_a_handshake_are_sent_again(run: Run) -> None:
    async def main() -> None:
        here, phone = Leg("ours"), Leg("theirs")
        await here.start()
        await phone.start()
        loop = asyncio.get_running_loop()
        transport, network = await loop.create_datagram_endpoint(
            lambda: Lossy(here.address, phone.address), local_addr=(LOCALHOST, 0)
        )
        network.transport = transport
        between: tuple[str, int] = transport.get_extra_info("sockname")
        here.agree(phone, active=False, towards=between)
        phone.agree(here, active=True, towards=between)
        await here.verified.wait()
        await phone.verified.wait()
        assert network.losses >= 3
        here.endpoint.send_rtp(rtp(1), between)
        assert await phone.heard.get() == rtp(1)
        transport.close()
        await here.stop()
        await phone.stop()

    run(main())


@pytest.mark.requirement("media.srtp-sdes")
def test_keys_of_the_sdp_work_over_real_ports(run: Run) -> None:
    async def main() -> None:
        here, phone = Leg("ours"), Leg("theirs")
        await here.start()
        await phone.start()
        ours, theirs = SdesSecurity(SUITE, KEY, OTHER), SdesSecurity(SUITE, OTHER, KEY)
        here.endpoint.negotiate(negotiated(ours, phone.address), 0.0)
        phone.endpoint.negotiate(negotiated(theirs, here.address), 0.0)
        phone.endpoint.send_rtp(rtp(1), here.address)
        assert await here.heard.get() == rtp(1)
        await here.stop()
        await phone.stop()

    run(main())


def test_an_impostor_on_real_ports_is_told_about(run: Run) -> None:
    async def main() -> None:
        here, impostor = Leg("ours"), Leg("impostor")
        expected = Leg("theirs")
        told = asyncio.Event()
        await here.start()
        await impostor.start()
        here.endpoint.on_failed = lambda why: told.set()
        here.agree(expected, active=False, towards=impostor.address)
        impostor.agree(here, active=True)
        await told.wait()
        assert here.endpoint.state is State.FAILED
        for leg in (here, impostor, expected):
            await leg.stop()

    run(main())


def test_our_own_ports_are_never_sent_to(run: Run) -> None:
    async def main() -> None:
        here = Leg("ours")
        await here.start()
        policy = here.endpoint.policy
        assert not policy.usable(here.address)
        assert not policy.usable((LOCALHOST, here.sockets.port + 1))
        assert policy.usable((LOCALHOST, here.sockets.port + 2))
        assert policy.usable(("192.0.2.1", here.sockets.port))
        await here.stop()

    run(main())


def test_an_address_of_this_machine_is_known() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.77")
