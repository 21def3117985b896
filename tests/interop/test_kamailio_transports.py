"""Kamailio over TCP and TLS, found by SRV, and behind a connection that it closes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interop.peers import tcp_table
from interop.peers.baresip import Baresip
from interop.peers.certificate import make_certificate
from interop.peers.dns_zone import DnsZone
from interop.peers.gateway import EventStream, Gateway
from interop.peers.kamailio import Kamailio

CALLER_ID = "+33699887766"
NUMBER = "+33612345678"


def trunk(provider: Kamailio, **changes: Any) -> dict[str, Any]:
    return {
        "name": "provider",
        "mode": "registration",
        "host": "127.0.0.1",
        "port": provider.port,
        "username": provider.user,
        "password": provider.password,
        "realm": provider.domain,
        "caller_id": CALLER_ID,
    } | changes


def registered(events: EventStream, trunk_id: str) -> dict[str, Any]:
    return events.wait(
        "registration",
        lambda e: e["status"] == "registered" and e["trunk_id"] == trunk_id,
        40,
    )


def call_and_hang_up(gateway: Gateway, events: EventStream, bob: Baresip) -> None:
    """A call of ours that bob answers and we end: every request after the first follows the route
    that Kamailio recorded."""
    call_id = gateway.post("/api/call", {"platform": "sip", "meeting_url": NUMBER})["call_id"]
    events.wait_state(call_id, "active")
    gateway.delete(f"/api/call/{call_id}")
    bob.wait_event("CALL_CLOSED")
    events.wait_state(call_id, "ended")
    assert gateway.call(call_id)["end_reason"] == "agent_hangup"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.requirement("trunk.transports", "trunk.tls-verify", "call.ack-route")
def test_a_trunk_registers_calls_and_hangs_up(tmp_path: Path, transport: str) -> None:
    certificate = make_certificate(tmp_path / "tls", "127.0.0.1")
    with (
        Baresip(tmp_path / "bob", user="bob", auto_answer=True) as bob,
        Kamailio(tmp_path / "kam", callee=bob.sip_port, certificate=certificate) as provider,
        Gateway(tmp_path / "gateway", sip_tls_ca=str(certificate.authority)) as gateway,
        gateway.events() as events,
    ):
        port = provider.tls_port if transport == "tls" else provider.port
        wanted = trunk(provider, transport=transport, port=port)
        registered(events, gateway.post("/api/trunks", wanted, expect=201)["id"])
        call_and_hang_up(gateway, events, bob)


@pytest.mark.requirement("trunk.tls-verify", "trunk.status-reasons")
def test_a_certificate_of_an_unknown_authority_is_refused_unless_the_trunk_allows_it(
    tmp_path: Path,
) -> None:
    certificate = make_certificate(tmp_path / "tls", "127.0.0.1")
    with (
        Kamailio(tmp_path / "kam", certificate=certificate) as provider,
        Gateway(tmp_path / "gateway") as gateway,
        gateway.events() as events,
    ):
        wanted = trunk(provider, transport="tls", port=provider.tls_port)
        made = gateway.post("/api/trunks", wanted, expect=201)["id"]
        refused = events.wait("registration", lambda e: e["status"] == "unregistered", 40)
        assert "certificate" in refused["reason"].lower()
        gateway.api.patch(f"/api/trunks/{made}", json={"tls_verify": False}).raise_for_status()
        registered(events, made)


@pytest.mark.requirement("trunk.tcp-redial")
def test_a_call_outlives_the_connection_that_the_provider_closed(tmp_path: Path) -> None:
    with (
        Baresip(tmp_path / "bob", user="bob", auto_answer=True) as bob,
        Kamailio(tmp_path / "kam", callee=bob.sip_port, tcp_lifetime=3) as provider,
        Gateway(tmp_path / "gateway") as gateway,
        gateway.events() as events,
    ):
        # without a registration, whose binding would hold the connection at the registrar
        wanted = trunk(provider, transport="tcp", mode="ip_allowlist", host="127.0.0.1")
        gateway.post("/api/trunks", wanted, expect=201)
        call_id = gateway.post("/api/call", {"platform": "sip", "meeting_url": NUMBER})["call_id"]
        events.wait_state(call_id, "active")
        tcp_table.wait_until_none(provider.port)
        gateway.delete(f"/api/call/{call_id}")
        bob.wait_event("CALL_CLOSED")


@pytest.mark.requirement("trunk.dns", "trunk.dns-failover", "rfc3263.4.2", "rfc3263.4.3")
def test_the_second_server_of_the_srv_records_takes_over(tmp_path: Path) -> None:
    with (
        Baresip(tmp_path / "bob", user="bob", auto_answer=True) as bob,
        Kamailio(tmp_path / "first", callee=bob.sip_port) as first,
        Kamailio(tmp_path / "second", callee=bob.sip_port) as second,
        DnsZone(
            ("provider.test", "A", "127.0.0.9"),
            ("_sip._udp.provider.test", "SRV", f"10 10 {first.port} one.provider.test."),
            ("_sip._udp.provider.test", "SRV", f"20 10 {second.port} two.provider.test."),
            ("one.provider.test", "A", "127.0.0.1"),
            ("two.provider.test", "A", "127.0.0.1"),
        ) as zone,
        Gateway(tmp_path / "gateway", dns_servers=zone.address) as gateway,
        gateway.events() as events,
    ):
        wanted = trunk(first, host="provider.test", port=None, transport="udp")
        made = gateway.post("/api/trunks", wanted, expect=201)["id"]
        registered(events, made)
        call_and_hang_up(gateway, events, bob)
        assert first.process.output.count("OUTBOUND") == 1

        first.process.stop()
        call_id = gateway.post("/api/call", {"platform": "sip", "meeting_url": NUMBER})["call_id"]
        events.wait_state(call_id, "active", 30)
        gateway.delete(f"/api/call/{call_id}")
        events.wait_state(call_id, "ended")
        assert second.process.output.count("OUTBOUND") == 1
