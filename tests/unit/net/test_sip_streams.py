from __future__ import annotations

import asyncio

import pytest

from ringback.net import sip_connection, sip_streams
from ringback.net.sip_streams import StreamLimits
from ringback.sip.message import Request
from ringback.sip.transport import Flow, Hop
from unit.net.manual_clock import ManualClock
from unit.net.sip_peers import LoopFactory, Node, Pki, RawClient, options, run, until

QUICK = StreamLimits(sweep_interval=0.005)


# ---- reuse ----------------------------------------------------------------------------------


def test_one_connection_carries_everything_to_a_hop(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:
            for number in (1, 2, 3):
                us.say(peer.hop("tcp"), options(number))
            flows = {(await peer.core.received.get())[1] for _ in range(3)}
            assert len(flows) == 1
            for _ in range(3):
                await us.core.received.get()
            us.say(peer.hop("tcp"), options(4))
            flows.add((await peer.core.received.get())[1])
            assert len(flows) == 1
            assert us.transport.streams.counters.dialled == 1
            assert peer.transport.streams.counters.accepted == 1

    run(test, loop_factory)


@pytest.mark.requirement("rfc3261.18")
def test_the_peers_connection_is_used_to_answer_and_to_ask_back() -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:
            us.say(peer.hop("tcp"), options())
            _, flow = await peer.core.received.get()
            peer.say(flow, options(7))
            peer.say(Flow(flow.hop), options(8))
            asked = [await us.core.received.get() for _ in range(3)]
            methods = [m.method for m, _ in asked if isinstance(m, Request)]
            assert methods == ["OPTIONS", "OPTIONS"]
            assert peer.transport.streams.counters.dialled == 0

    run(test)


@pytest.mark.requirement("trunk.tcp-redial")
def test_a_closed_connection_is_told_to_the_core_and_dialled_again(
    loop_factory: LoopFactory,
) -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:
            us.say(peer.hop("tcp"), options(1))
            _, first = await us.core.received.get()
            _, theirs = await peer.core.received.get()
            assert theirs.connection is not None
            peer.transport.streams._connections[theirs.connection].close()
            assert await us.core.closed.get() == first.connection
            us.say(Flow(first.hop, first.connection), options(2))
            _, second = await us.core.received.get()
            assert second.connection != first.connection
            assert us.transport.streams.counters.dialled == 2
            assert us.core.failed.empty()

    run(test, loop_factory)


@pytest.mark.requirement("trunk.tcp-redial")
def test_a_request_that_meets_a_dead_connection_is_sent_again_on_a_new_one(
    loop_factory: LoopFactory,
) -> None:
    async def test() -> None:
        requests: asyncio.Queue[bytes] = asyncio.Queue()
        served = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal served
            served += 1
            await requests.put(await reader.readuntil(b"\r\n\r\n"))
            if served == 1:
                writer.transport.abort()
            else:
                await reader.read()
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        hop = Hop("tcp", *server.sockets[0].getsockname()[:2])
        async with Node() as us:
            us.say(hop, options(1))
            first, second = await requests.get(), await requests.get()
            assert first == second
            assert us.transport.streams.counters.resent == 1
            assert us.core.failed.empty()
        server.close()
        await server.wait_closed()

    run(test, loop_factory)


def test_a_request_is_sent_again_once_and_then_failed() -> None:
    async def test() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            server.close()
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        hop = Hop("tcp", *server.sockets[0].getsockname()[:2])
        async with Node() as us:
            sent = us.say(hop, options(1))
            assert await us.core.failed.get() == sent
            assert us.transport.streams.counters.resent == 1
        await server.wait_closed()

    run(test)


def test_a_server_that_hangs_up_on_everybody_is_not_dialled_for_ever(
    loop_factory: LoopFactory,
) -> None:
    async def test() -> None:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        hop = Hop("tcp", *server.sockets[0].getsockname()[:2])
        async with Node() as us:
            sent = us.say(hop, options(1))
            assert await asyncio.wait_for(us.core.failed.get(), 5) == sent
            assert connections == 2
        server.close()
        await server.wait_closed()

    run(test, loop_factory)


def test_a_response_to_a_peer_that_hung_up_is_not_dialled_after() -> None:
    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            client.writer.write(options())
            await client.message()
            await client.close()
            await us.core.closed.get()
            assert us.transport.streams.counters.resent == 0
            assert us.transport.streams.counters.dial_failures == 0

    run(test)


# ---- failing --------------------------------------------------------------------------------


def test_everything_that_waited_for_a_refused_connection_is_reported(
    loop_factory: LoopFactory,
) -> None:
    async def test() -> None:
        async with Node() as gone:
            hop = gone.hop("tcp")
        async with Node() as us:
            sent = [us.say(hop, options(number)) for number in (1, 2)]
            assert [await us.core.failed.get() for _ in sent] == sent
            assert us.core.closed.empty()
            assert us.transport.streams.counters.dial_failures == 1
            assert us.transport.streams.open_connections == 0

    run(test, loop_factory)


def test_a_peer_that_never_finishes_its_handshake_fails_in_time(
    loop_factory: LoopFactory, pki: Pki
) -> None:
    async def test() -> None:
        async with Node() as mute, Node(pki=pki, limits=StreamLimits(dial_timeout=0.05)) as us:
            hop = Hop("tls", "127.0.0.1", mute.transport.ports["tcp"], "sip.test")
            sent = us.say(hop, options())
            assert await us.core.failed.get() == sent

    run(test, loop_factory)


@pytest.mark.parametrize(
    "hop",
    [
        Hop("tcp", "127.0.0.1", 0),
        Hop("tcp", "127.0.0.1", 99_999),
        Hop("tls", "127.0.0.1", 1, "bad..name"),
    ],
)
def test_a_hop_that_is_none_is_reported_as_failed(hop: Hop) -> None:
    async def test() -> None:
        async with Node() as us:
            sent = us.say(hop, options())
            assert await us.core.failed.get() == sent

    run(test)


def test_what_waits_for_a_connection_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_connection, "MAX_BUFFERED_BYTES", 500)

    async def test() -> None:
        async with Node() as us, Node() as peer:
            us.say(peer.hop("tcp"), options(1))
            refused = us.say(peer.hop("tcp"), options(2) + options(3))
            assert us.core.failed.get_nowait() == refused
            await us.core.received.get()

    run(test)


def test_a_peer_that_does_not_read_is_cut_off(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_connection, "MAX_BUFFERED_BYTES", 64 * 1024)

    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            client.writer.write(options())
            _, flow = await us.core.received.get()
            streams = us.transport.streams

            def flooded() -> bool:
                us.say(flow, options(1) * 1000, "")
                return streams.counters.overflows > 0

            await until(flooded)
            assert await us.core.closed.get() == flow.connection
            await client.close()

    run(test, loop_factory)


class Unread(asyncio.Transport):
    """What a peer that never reads leaves in our buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.buffered = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.buffered += len(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def test_a_peer_that_does_not_read_its_pongs_is_cut_off() -> None:
    connection = sip_connection.SipConnection(
        1,
        Hop("tcp", "192.0.2.1", 5060),
        outgoing=False,
        clock=ManualClock(),
        counters=sip_connection.StreamCounters(),
        on_message=lambda connection, item: None,
        on_closed=lambda connection: None,
    )
    transport = Unread()
    connection.connection_made(transport)
    for _ in range(100):
        connection.data_received(b"\r\n\r\n" * 10_000)
    assert transport.aborted
    assert transport.buffered < sip_connection.MAX_BUFFERED_BYTES + 16


def test_closing_while_a_connection_is_dialled_ends_at_once(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with Node() as peer:
            us = Node()
            await us.transport.start()
            us.say(peer.hop("tcp"), options())
            await us.transport.close()
            assert us.transport.streams.open_connections == 0

    run(test, loop_factory)


# ---- what comes in --------------------------------------------------------------------------


def test_messages_are_cut_however_the_bytes_arrive() -> None:
    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            data = options(1) + options(2)
            for offset in range(0, len(data), 100):
                client.writer.write(data[offset : offset + 100])
                await client.writer.drain()
            assert b"branch=z9hG4bK1" in await client.message()
            assert b"branch=z9hG4bK2" in await client.message()
            await client.close()

    run(test)


@pytest.mark.requirement("trunk.keepalive", "rfc5626.4.4.1")
def test_a_double_crlf_is_answered_with_a_single_one(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            client.writer.write(b"\r\n\r\n")
            assert await client.reader.readexactly(2) == b"\r\n"
            client.writer.write(b"\r\n\r\n" + options())
            assert (await client.message()).startswith(b"\r\nSIP/2.0 200 ")
            assert us.transport.streams.counters.pings == 2
            await client.close()

    run(test, loop_factory)


def test_line_ends_on_a_connection_that_we_opened_are_pongs_and_get_no_answer() -> None:
    async def test() -> None:
        heard = bytearray()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.extend(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"\r\n\r\n\r\n\r\n" + options(2))
            heard.extend(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        hop = Hop("tcp", *server.sockets[0].getsockname()[:2])
        async with Node() as us:
            us.say(hop, options(1))
            await us.core.closed.get()
            assert bytes(heard).startswith(options(1) + b"SIP/2.0 200 ")
            assert us.transport.streams.counters.pings == 0
        server.close()
        await server.wait_closed()

    run(test)


def test_a_malformed_request_is_answered_and_the_next_one_is_served() -> None:
    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            broken = options(1).replace(b"OPTIONS sip:ringback@127.0.0.1", b"OPTIONS <nonsense>", 1)
            client.writer.write(broken + options(2))
            first, second = await client.message(), await client.message()
            assert first.startswith(b"SIP/2.0 400 ")
            assert second.startswith(b"SIP/2.0 200 ")
            assert us.transport.streams.counters.malformed == 1
            await client.close()

    run(test)


def test_a_stream_out_of_step_is_answered_and_closed() -> None:
    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            client.writer.write(options(1).replace(b"Content-Length: 0", b"Content-Length: x"))
            client.writer.write(options(2))
            assert (await client.message()).startswith(b"SIP/2.0 400 ")
            assert await client.ended()
            assert us.core.received.empty()
            assert us.transport.streams.counters.broken == 1
            await client.close()

    run(test)


@pytest.mark.requirement("bad.fuzz")
def test_endless_garbage_is_closed() -> None:
    async def test() -> None:
        async with Node() as us:
            client = await RawClient.to(us)
            client.writer.write(b"x" * 200_000)
            assert await client.ended()
            await client.close()

    run(test)


# ---- bounds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits", [StreamLimits(connections=2), StreamLimits(connections_per_source=2)]
)
def test_connections_beyond_a_bound_are_closed_and_room_is_given_back(
    limits: StreamLimits,
) -> None:
    async def test() -> None:
        async with Node(limits=limits) as us:
            clients = [await RawClient.to(us) for _ in range(3)]
            assert await clients[2].ended()
            assert us.transport.streams.counters.refused == 1
            await clients[0].close()
            await us.core.closed.get()
            another = await RawClient.to(us)
            another.writer.write(options())
            assert await another.message()
            for client in (*clients[1:], another):
                await client.close()

    run(test)


def test_the_bound_counts_connections_that_we_open_too() -> None:
    async def test() -> None:
        async with Node(limits=StreamLimits(connections=1)) as us, Node() as peer:
            client = await RawClient.to(us)
            client.writer.write(options())
            await client.message()
            sent = us.say(peer.hop("tcp"), options())
            assert us.core.failed.get_nowait() == sent
            await client.close()

    run(test)


def test_a_quiet_connection_is_closed_after_its_time() -> None:
    async def test() -> None:
        async with Node(limits=QUICK) as us:
            client = await RawClient.to(us)
            client.writer.write(options())
            await client.message()
            us.clock.time += QUICK.idle_timeout
            assert await client.ended()
            assert us.transport.streams.counters.idle_closed == 1
            await client.close()

    run(test)


@pytest.mark.parametrize(
    "beginning", [b"OPTIONS sip:", options().replace(b"Content-Length: 0", b"Content-Length: 9")]
)
def test_a_message_that_never_ends_is_cut_off(beginning: bytes) -> None:
    async def test() -> None:
        async with Node(limits=QUICK) as us:
            client = await RawClient.to(us)
            client.writer.write(options())
            await client.message()
            client.writer.write(beginning)
            connections = us.transport.streams._connections
            await until(lambda: any(c.incomplete_since for c in connections.values()))
            us.clock.time += QUICK.message_timeout
            assert await client.ended()
            await client.close()

    run(test)


def test_connections_that_we_opened_are_kept_alive() -> None:
    async def test() -> None:
        async with Node(limits=QUICK) as us, Node() as peer:
            us.say(peer.hop("tcp"), options())
            _, flow = await us.core.received.get()
            us.clock.time += QUICK.keepalive_interval
            await until(lambda: peer.transport.streams.counters.pings == 1)
            us.transport.keep_alive(flow)
            await until(lambda: peer.transport.streams.counters.pings == 2)
            assert us.transport.streams.open_connections == 1

    run(test)


def test_running_out_of_descriptors_pauses_accepting_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sip_streams, "ACCEPT_PAUSE", 0.01)

    async def test() -> None:
        async with Node() as us:
            streams = us.transport.streams
            listener = streams._listeners[0]
            client = await RawClient.to(us)
            streams._pause(listener, "tcp", OSError(24, "Too many open files"))
            client.writer.write(options())
            assert await client.message()
            await client.close()

    run(test)
    assert "Too many open files" in caplog.text
