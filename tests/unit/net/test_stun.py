from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from ringback.net.stun import StunFailed, query
from ringback.net.stun_message import MappedAddress, binding_success

MAPPED = MappedAddress("203.0.113.77", 54321)
Reply = Callable[[int, bytes], list[bytes]]


class Server(asyncio.DatagramProtocol):
    """Answers the n-th request with what ``reply(n, transaction id)`` gives."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.requests: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.requests.append(data)
        assert self._transport is not None
        for answer in self._reply(len(self.requests), data[8:20]):
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def stun_server(reply: Reply, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, Server]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: Server(reply), local_addr=(host, 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1], server
    finally:
        transport.close()


def ask(reply: Reply, within: float = 5.0) -> tuple[MappedAddress, list[bytes]]:
    async def run() -> tuple[MappedAddress, list[bytes]]:
        async with stun_server(reply) as (port, server):
            return await query("127.0.0.1", port, within=within), server.requests

    return asyncio.run(run())


def test_the_mapped_address_of_the_server_is_returned() -> None:
    mapped, requests = ask(lambda _, key: [binding_success(key, MAPPED)])
    assert mapped == MAPPED
    assert len(requests) == 1


def test_a_lost_request_is_sent_again_under_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringback.net.stun.FIRST_RETRANSMISSION", 0.01)
    mapped, requests = ask(lambda n, key: [binding_success(key, MAPPED)] if n == 3 else [])
    assert mapped == MAPPED
    assert len(requests) == 3
    assert len(set(requests)) == 1


def test_strangers_and_garbage_are_ignored() -> None:
    forged = MappedAddress("192.0.2.66", 1)
    mapped, _ = ask(
        lambda _, key: [b"", b"x", binding_success(bytes(12), forged), binding_success(key, MAPPED)]
    )
    assert mapped == MAPPED


def test_a_silent_server_fails_within_the_time_given() -> None:
    with pytest.raises(StunFailed, match="did not answer") as caught:
        ask(lambda _, key: [], within=0.05)
    assert "EXTERNAL_IP" in caught.value.hint


def test_a_broken_answer_under_our_id_fails() -> None:
    broken = bytes.fromhex("010100002112a442")
    with pytest.raises(StunFailed, match="no address"):
        ask(lambda _, key: [broken + key])


def test_a_port_where_nobody_listens_fails_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StunFailed, match="refused"):
        asyncio.run(query("127.0.0.1", port))


def test_an_ipv6_server_is_asked_over_ipv6() -> None:
    async def run() -> MappedAddress:
        async with stun_server(lambda _, key: [binding_success(key, MAPPED)], "::1") as (port, _):
            return await query("::1", port, family=socket.AF_INET6)

    assert asyncio.run(run()) == MAPPED
