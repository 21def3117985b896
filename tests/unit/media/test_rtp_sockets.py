from __future__ import annotations

import asyncio
import logging

import pytest

from ringback.core.clock import SystemClock
from ringback.core.errors import Unavailable
from ringback.media.latch import Address
from ringback.media.metrics import MediaCounters
from ringback.media.rtp_sockets import DatagramPoller, RtpEndpoint
from ringback.net.rtp_ports import RtpPorts, RtpSockets
from unit.media.media_lab import LOCALHOST, Run, phone_socket


class Open:
    """An endpoint on real ports that remembers what came in."""

    def __init__(self, host: str = LOCALHOST) -> None:
        clock = SystemClock()
        self.counters = MediaCounters()
        self.ports = RtpPorts(20000, 29999, clock=clock, quarantine=0.0)
        self.sockets: RtpSockets = self.ports.bind(host)
        self.endpoint = RtpEndpoint(self.sockets, clock, self.counters)
        self.rtp: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.rtcp: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()

    async def start(self) -> None:
        self.endpoint.open(self.on_rtp, self.on_rtcp)

    def on_rtp(self, data: bytes, address: Address, now: float) -> None:
        if data == b"bug":
            raise RuntimeError("our own mistake")
        self.rtp.put_nowait((data, address))

    def on_rtcp(self, data: bytes, address: Address, now: float) -> None:
        self.rtcp.put_nowait((data, address))

    async def stop(self) -> None:
        self.endpoint.close()
        self.ports.release(self.sockets)


@pytest.mark.requirement("media.symmetric-rtp")
def test_each_port_receives_its_own_and_sends_from_where_it_receives(run: Run) -> None:
    async def main() -> None:
        opened = Open()
        await opened.start()
        with phone_socket() as phone:
            here = phone.getsockname()
            phone.sendto(b"rtp", (LOCALHOST, opened.sockets.port))
            phone.sendto(b"rtcp", (LOCALHOST, opened.sockets.port + 1))
            assert await asyncio.wait_for(opened.rtp.get(), 5) == (b"rtp", here)
            assert await asyncio.wait_for(opened.rtcp.get(), 5) == (b"rtcp", here)
            opened.endpoint.send_rtp(b"x", here)
            assert phone.recvfrom(100) == (b"x", (LOCALHOST, opened.sockets.port))
            opened.endpoint.send_rtcp(b"y", here)
            assert phone.recvfrom(100) == (b"y", (LOCALHOST, opened.sockets.port + 1))
        await opened.stop()

    run(main())


def test_what_the_kernel_refuses_is_counted(run: Run) -> None:
    async def main() -> None:
        opened = Open()
        await opened.start()
        opened.endpoint.send_rtp(b"x", ("255.255.255.255", 4000))
        opened.endpoint.send_rtp(bytes(70_000), (LOCALHOST, 4000))
        assert opened.counters.send_failed == 2
        await opened.stop()

    run(main())


def test_our_own_mistakes_do_not_close_the_port(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        opened = Open()
        await opened.start()
        with phone_socket() as phone:
            for data in (b"bug", b"bug", b"fine"):
                phone.sendto(data, (LOCALHOST, opened.sockets.port))
            assert (await asyncio.wait_for(opened.rtp.get(), 5))[0] == b"fine"
        assert opened.counters.receive_errors == 2
        await opened.stop()

    with caplog.at_level(logging.ERROR):
        run(main())
    assert len([record for record in caplog.records if "media port" in record.message]) == 1


def test_a_closed_endpoint_sends_nothing_and_its_ports_can_be_bound_again(run: Run) -> None:
    async def main() -> None:
        opened = Open()
        await opened.start()
        opened.endpoint.close()
        opened.endpoint.close()
        opened.endpoint.send_rtp(b"x", (LOCALHOST, 4000))
        assert opened.counters.send_failed == 0
        opened.ports.release(opened.sockets)
        again = RtpPorts(opened.sockets.port, opened.sockets.port + 1, clock=SystemClock())
        again.release(again.bind(LOCALHOST))

    run(main())


def test_a_port_that_is_flooded_is_read_faster_than_one_datagram_a_round(run: Run) -> None:
    async def main() -> None:
        opened = Open()
        await opened.start()
        with phone_socket() as phone:
            for _ in range(60):
                phone.sendto(b"flood", (LOCALHOST, opened.sockets.port))
        poller = DatagramPoller.of_running_loop()
        poller._on_ready()
        assert opened.rtp.qsize() == 1
        for _ in range(6):
            poller._on_ready()
        assert opened.rtp.qsize() == 60
        assert opened.counters.socket_errors == 0
        await opened.stop()

    run(main())


def test_ipv6_ports_work_alike(run: Run) -> None:
    async def main() -> None:
        try:
            opened = Open("::1")
        except Unavailable:
            pytest.skip("this machine has no IPv6 loopback")
        await opened.start()
        own = ("::1", opened.sockets.port, 0, 0)
        opened.endpoint.send_rtcp(b"x", own)
        data, address = await asyncio.wait_for(opened.rtp.get(), 5)
        assert (data, address[:2]) == (b"x", ("::1", opened.sockets.port + 1))
        await opened.stop()

    run(main())
