from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from ringback.core.errors import StartupError
from ringback.net import sip_transport
from ringback.net.resolver import ResolutionFailed
from ringback.net.sip_transport import Listen, SipTransport, SipTransportConfig
from ringback.sip.events import Dropped, DropReason, Event, ResolveNeeded
from ringback.sip.message import Request
from ringback.sip.transport import Flow, Hop
from ringback.sip.uri import Uri
from unit.net.manual_clock import ManualClock
from unit.net.sip_peers import Core, LoopFactory, Node, Pki, options, run


def event(detail: str) -> Dropped:
    return Dropped(DropReason.INVALID, Flow(Hop("udp", "192.0.2.1", 5060)), detail)


def free_udp_hop() -> Hop:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return Hop("udp", "127.0.0.1", probe.getsockname()[1])


# ---- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_request_goes_out_and_its_response_comes_back(
    loop_factory: LoopFactory, transport: str, host: str
) -> None:
    async def test() -> None:
        async with Node(host=host) as us, Node(host=host) as peer:
            us.say(peer.hop(transport), options())
            request, flow = await peer.core.received.get()
            assert isinstance(request, Request)
            assert flow.hop.host == host
            assert flow.hop.transport == transport
            response, back = await us.core.received.get()
            assert bytes(response).startswith(b"SIP/2.0 200 ")
            assert back.hop == peer.hop(transport)
            assert (flow.connection is None) == (transport == "udp")

    run(test, loop_factory)


def test_keepalive_datagrams_do_not_reach_the_core() -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:
            us.transport.keep_alive(Flow(peer.hop("udp")))
            us.say(peer.hop("udp"), b"\0")
            us.say(peer.hop("udp"), options())
            await peer.core.received.get()
            assert peer.transport.counters.keepalives == 2
            assert peer.core.garbage == []

    run(test)


def test_malformed_datagrams_are_the_cores_business_and_harm_nobody() -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:
            us.say(peer.hop("udp"), b"\xff\xfe garbage", "")
            us.say(peer.hop("udp"), options())
            await peer.core.received.get()
            assert peer.core.garbage == [b"\xff\xfe garbage"]

    run(test)


def test_an_unreachable_udp_peer_is_reported(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with Node() as us:
            sent = us.say(free_udp_hop(), options())
            assert await us.core.failed.get() == sent
            assert us.transport.counters.failed == 1

    run(test, loop_factory)


def test_a_family_that_is_not_listened_on_is_reported_at_once() -> None:
    async def test() -> None:
        async with Node() as us:
            sent = us.say(Hop("udp", "::1", 5060), options())
            assert us.core.failed.get_nowait() == sent

    run(test)


# ---- large requests -------------------------------------------------------------------------

LARGE = options(1, b"UDP", b"Subject: " + b"x" * 1400 + b"\r\n")


def test_a_large_request_goes_by_udp_unless_told_otherwise() -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:
            us.say(peer.hop("udp"), LARGE)
            _, flow = await peer.core.received.get()
            assert flow.hop.transport == "udp"

    run(test)


def test_a_large_request_goes_by_tcp_and_says_so_when_told() -> None:
    async def test() -> None:
        async with Node(large_requests_over_tcp=True) as us, Node() as peer:
            hop = Hop("udp", "127.0.0.1", peer.transport.ports["tcp"])
            us.say(hop, LARGE)
            message, flow = await peer.core.received.get()
            assert flow.hop.transport == "tcp"
            assert message.top_via.transport == "TCP"
            assert us.transport.counters.large_over_tcp == 1
            us.say(Hop("udp", "127.0.0.1", peer.transport.ports["udp"]), options(2, b"UDP"))
            assert (await peer.core.received.get())[1].hop.transport == "udp"

    run(test)


def test_a_large_request_goes_by_udp_after_all_without_tcp_at_the_peer() -> None:
    async def test() -> None:
        async with Node(large_requests_over_tcp=True) as us, Node() as peer:
            us.say(peer.hop("udp"), LARGE)
            message, flow = await peer.core.received.get()
            assert flow.hop.transport == "udp"
            assert message.top_via.transport == "UDP"
            dead = us.say(free_udp_hop(), LARGE)
            assert await us.core.failed.get() == dead

    run(test)


# ---- draining -------------------------------------------------------------------------------


def test_a_command_returns_its_result_and_its_error_and_drains_both_times() -> None:
    async def test() -> None:
        async with Node() as us, Node() as peer:

            def fail(now: float) -> None:
                us.core.say(peer.hop("udp"), options())
                raise ValueError(f"at {now}")

            with pytest.raises(ValueError, match="at 1000"):
                us.transport.run(fail)
            await peer.core.received.get()
            assert us.transport.run(lambda now: now + 1) == 1001.0

    run(test)


def test_commands_given_while_an_event_is_handled_are_drained_in_the_same_round() -> None:
    async def test() -> None:
        seen: list[str] = []

        def on_event(happened: Event) -> None:
            assert isinstance(happened, Dropped)
            seen.append(happened.detail)
            if happened.detail == "first":
                node.transport.run(lambda now: node.core.happened.append(event("third")))
                node.transport.pump()
                seen.append("first is done")

        async with Node(on_event=on_event) as node:
            node.transport.run(
                lambda now: node.core.happened.extend([event("first"), event("second")])
            )
            assert seen == ["first", "first is done", "second", "third"]

    run(test)


def test_a_handler_that_raises_is_logged_and_costs_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        def on_event(happened: Event) -> None:
            raise RuntimeError("handler is broken")

        async with Node(on_event=on_event) as us, Node() as peer:
            us.core.happened.append(event("x"))
            us.say(peer.hop("udp"), options())
            await peer.core.received.get()
            assert us.transport.counters.event_errors == 1

    run(test)
    assert "handler is broken" in caplog.text


def test_what_is_commanded_before_the_start_is_sent_at_the_start() -> None:
    async def test() -> None:
        async with Node() as peer:
            us = Node()
            us.say(peer.hop("udp"), options())
            assert us.core.failed.empty()
            async with us:
                await peer.core.received.get()

    run(test)


# ---- the timer ------------------------------------------------------------------------------


def test_the_timer_of_the_core_fires_with_its_own_moment(loop_factory: LoopFactory) -> None:
    async def test() -> None:
        async with Node() as us:
            us.transport.run(lambda now: setattr(us.core, "due", now + 0.001))
            assert await us.core.timeouts.get() == 1000.001

    run(test, loop_factory)


def test_an_earlier_moment_replaces_a_later_one() -> None:
    async def test() -> None:
        async with Node() as us:
            us.transport.run(lambda now: setattr(us.core, "due", now + 3600))
            us.transport.run(lambda now: setattr(us.core, "due", now + 0.001))
            assert await us.core.timeouts.get() == 1000.001
            us.transport.run(lambda now: setattr(us.core, "due", now - 5))
            assert await us.core.timeouts.get() == 1000.0

    run(test)


def test_a_timer_whose_work_fails_does_not_stop_the_others() -> None:
    async def test() -> None:
        async with Node() as us:
            errors: asyncio.Queue[object] = asyncio.Queue()
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.put_nowait(context))
            work = us.core.handle_timeout

            def fails(now: float) -> None:
                us.core.due = us.clock.monotonic()
                monkeypatch.setattr(us.core, "handle_timeout", work)
                raise RuntimeError("our own mistake")

            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setattr(us.core, "handle_timeout", fails)
                us.transport.run(lambda now: setattr(us.core, "due", now))
                await us.core.timeouts.get()
            assert "our own mistake" in str(await errors.get())

    run(test)


# ---- names ----------------------------------------------------------------------------------

NEEDED = ResolveNeeded("key", Uri.parse("sip:example.test"))


def test_names_are_resolved_for_the_core() -> None:
    async def test() -> None:
        hop = Hop("udp", "192.0.2.1", 5060)

        async def resolve(uri: Uri) -> list[Hop]:
            assert uri == NEEDED.uri
            return [hop]

        async with Node(resolve=resolve) as us:
            us.transport.run(lambda now: us.core.happened.append(NEEDED))
            assert await us.core.answers.get() == ("key", [hop], "")
            assert us.events == []

    run(test)


def test_a_name_that_cannot_be_resolved_is_told_in_words() -> None:
    async def test() -> None:
        async def resolve(uri: Uri) -> list[Hop]:
            raise ResolutionFailed("there is no such domain")

        async with Node(resolve=resolve) as us:
            us.transport.run(lambda now: us.core.happened.append(NEEDED))
            assert await us.core.answers.get() == ("key", (), "there is no such domain")

    run(test)


def test_a_resolver_that_breaks_does_not_leave_the_core_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async def resolve(uri: Uri) -> list[Hop]:
            raise RuntimeError("resolver is broken")

        async with Node(resolve=resolve) as us:
            us.transport.run(lambda now: us.core.happened.append(NEEDED))
            assert await us.core.answers.get() == ("key", (), "an internal error")

    run(test)
    assert "resolver is broken" in caplog.text


def test_without_a_resolver_the_question_is_an_event_like_others() -> None:
    async def test() -> None:
        async with Node() as us:
            us.transport.run(lambda now: us.core.happened.append(NEEDED))
            assert us.events == [NEEDED]

    run(test)


def test_resolutions_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_transport, "MAX_RESOLUTIONS", 1)

    async def test() -> None:
        async def resolve(uri: Uri) -> list[Hop]:
            await asyncio.Event().wait()
            return []

        async with Node(resolve=resolve) as us:
            us.transport.run(lambda now: us.core.happened.extend([NEEDED, NEEDED]))
            key, hops, failure = us.core.answers.get_nowait()
            assert (key, list(hops)) == ("key", [])
            assert "at once" in failure
            assert us.transport.counters.resolutions_refused == 1

    run(test)


# ---- starting and stopping ------------------------------------------------------------------


def start(*listen: Listen, **settings: Path) -> None:
    async def test() -> None:
        transport = SipTransport(
            Core(),
            SipTransportConfig(
                listen=listen,
                tls_certificate=settings.get("certificate"),
                tls_key=settings.get("key"),
            ),
            clock=ManualClock(),
            on_event=lambda happened: None,
        )
        try:
            await transport.start()
        finally:
            await transport.close()

    run(test)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_port_in_use_is_one_sentence_with_the_cure(transport: str) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if transport == "tcp":
            other.listen()
        port = other.getsockname()[1]
        listen = Listen("udp" if transport == "udp" else "tcp", "127.0.0.1", port)
        with pytest.raises(StartupError, match=f"port {port}: another program") as caught:
            start(Listen("udp", "::1", 0), listen)
        assert "RINGBACK_SIP_PORT" in caught.value.hint


def test_an_address_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(StartupError, match="does not have that address"):
        start(Listen("udp", "192.0.2.1", 5060))


def test_tls_without_a_certificate_is_one_sentence() -> None:
    with pytest.raises(StartupError, match="needs a certificate"):
        start(Listen("tls", "127.0.0.1", 0))


def test_two_udp_sockets_of_one_family_are_refused() -> None:
    with pytest.raises(StartupError, match="one UDP address"):
        start(Listen("udp", "127.0.0.1", 0), Listen("udp", "127.0.0.1", 0))


def test_a_broken_certificate_is_one_sentence(tmp_path: Path, pki: Pki) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    with pytest.raises(StartupError, match=r"broken\.pem cannot be used"):
        start(Listen("tls", "127.0.0.1", 0), certificate=broken, key=pki.key)


def test_both_families_can_be_listened_on_at_once() -> None:
    start(
        Listen("udp", "127.0.0.1", 0),
        Listen("udp", "::1", 0),
        Listen("tcp", "127.0.0.1", 0),
        Listen("tcp", "::1", 0),
    )


def test_closing_sends_what_is_left_and_frees_the_ports() -> None:
    async def test() -> None:
        async with Node() as peer:
            us = Node()
            await us.transport.start()
            us.say(peer.hop("tcp"), options())
            await us.core.received.get()
            await peer.core.received.get()
            us.core.say(peer.hop("tcp"), options(2))
            ports = us.transport.ports
            await us.transport.close()
            await us.transport.close()
            await peer.core.received.get()
            await peer.core.closed.get()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.bind(("127.0.0.1", ports["udp"]))

    run(test)
