"""An error of our own costs one call, and the call is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ringback.connectors.contract import Cause, DialRequest
from ringback.connectors.sip.connector import SipConnector
from ringback.connectors.sip.directory import OutboundRoute, TrunkAccount
from ringback.connectors.sip.inbound import InboundCalls, InboundLeg
from ringback.connectors.sip.leg import LegServices, SipDriver, SipLeg
from ringback.connectors.sip.outbound import OutboundLeg
from ringback.core.end_reason import EndReason
from ringback.net.resolver import Target
from ringback.sip.endpoint import SipEndpoint
from ringback.sip.events import Event, IncomingInvite
from ringback.sip.transport import Hop
from ringback.sip.uri import Uri
from unit.sip.call_lab import InboundCall
from unit.sip.sipkit import Node

TRUNK = TrunkAccount(
    id="trunk",
    account_id="account",
    registers=False,
    host="sip.example",
    port=None,
    transport="udp",
    domain="sip.example",
    username="me",
    auth_username="me",
    password="secret",
)


class Driver:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.handle: Callable[[Event], None] = lambda event: None
        self._seen = len(node.events)

    @property
    def endpoint(self) -> SipEndpoint:
        return self.node.endpoint

    def now(self) -> float:
        return self.node.now

    def pump(self) -> None:
        self.node.drain()
        while self._seen < len(self.node.events):
            self._seen += 1
            self.handle(self.node.events[self._seen - 1])


class Sink:
    def __init__(self) -> None:
        self.ended: list[tuple[str, EndReason]] = []

    def leg_ended(self, call_id: str, cause: Cause) -> None:
        self.ended.append((call_id, cause.reason))


def services(driver: SipDriver, sink: Sink) -> LegServices:
    def nothing(leg: SipLeg) -> None: ...

    return LegServices(driver, cast(Any, None), cast(Any, sink), nothing, nothing)


class Broken:
    """A directory, and a finder of hops, that has a bug."""

    async def route_inbound(self, query: object) -> object:
        raise RuntimeError("our own mistake")

    async def trunk_hops(self, trunk: TrunkAccount) -> tuple[Hop, ...]:
        raise RuntimeError("our own mistake")


def test_an_inbound_call_that_meets_a_bug_is_answered_with_500() -> None:
    call = InboundCall()
    driver = Driver(call.node)
    offered = services(driver, Sink())

    async def main() -> None:
        leg = InboundLeg(offered, call.session)
        driver.handle = leg.handle
        calls = InboundCalls(cast(Any, Broken()), offered, "127.0.0.1")
        await calls.take(call.node.event(IncomingInvite), leg, "127.0.0.1")
        assert leg.over

    asyncio.run(main())
    assert call.node.take_sent()[-1] == "500 INVITE"


def test_an_outbound_call_that_meets_a_bug_ends_at_once() -> None:
    sink = Sink()

    async def main() -> None:
        leg = OutboundLeg(
            services(Driver(Node()), sink),
            DialRequest("call", "account", "sip:you@sip.example"),
            OutboundRoute(TRUNK, "you"),
            cast(Any, Broken()),
            "127.0.0.1",
        )
        leg.start()
        await asyncio.wait_for(asyncio.gather(*leg._tasks), 5)

    asyncio.run(main())
    assert sink.ended == [("call", EndReason.INTERNAL_ERROR)]


@pytest.mark.parametrize(
    ("proxy", "asked"), [(None, "b.example"), ("px.example:5070", "px.example")]
)
def test_a_redirected_call_goes_through_the_trunks_proxy(proxy: str | None, asked: str) -> None:
    class Names:
        async def resolve(self, target: Target) -> list[Hop]:
            return [Hop("udp", target.host, target.port or 5060)]

    directory = SimpleNamespace(trunk_resolved=lambda *_: None)
    connector = SipConnector(
        cast(Any, None), cast(Any, Names()), cast(Any, directory), cast(Any, None), "127.0.0.1"
    )
    trunk = replace(TRUNK, outbound_proxy=proxy)
    hops = asyncio.run(connector.uri_hops(Uri.parse("sip:you@b.example"), trunk))
    assert [hop.host for hop in hops] == [asked]
