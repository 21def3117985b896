"""Scanners, floods and the phone bill, against a gateway as an operator runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interop.peers.gateway import Gateway
from interop.peers.raw_sip import RawSip, header
from interop.peers.sipp import Sipp

PREMIUM = "+33899123456"
SATELLITE = "+8816512345678"
PARIS = "+33612345678"


def trunk_to(gateway: Gateway, peer: RawSip, **limits: Any) -> str:
    body = {"name": "peer", "mode": "ip_allowlist", "host": peer.host, "port": peer.port}
    made: str = gateway.post("/api/trunks", {**body, "limits": limits})["id"]
    return made


def call(gateway: Gateway, target: str) -> tuple[int, str]:
    answer = gateway.api.post("/api/call", json={"platform": "sip", "meeting_url": target})
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def bans(gateway: Gateway) -> list[str]:
    return [ban["source"] for ban in gateway.get("/api/guards/bans")["items"]]


# ---- strangers ------------------------------------------------------------------------------


@pytest.mark.requirement("guard.scanner-ban", "guard.lift")
def test_a_scanner_is_banned_without_a_word_listed_and_let_in_again(gateway: Gateway) -> None:
    with RawSip(gateway.sip_port, "127.0.0.2") as scanner, RawSip(gateway.sip_port) as phone:
        scanner.send(scanner.request("OPTIONS", "sip:100@127.0.0.1", agent="friendly-scanner"))
        scanner.send(scanner.request("OPTIONS", "sip:100@127.0.0.1"))
        phone.send(phone.request("OPTIONS", "sip:100@127.0.0.1"))
        assert phone.wait(lambda m: True).startswith("SIP/2.0 200 ")
        assert scanner.waiting() == []
        assert bans(gateway) == ["127.0.0.2"]
        assert "ringback guard lift 127.0.0.2" in gateway.process.output
        gateway.delete("/api/guards/bans/127.0.0.2", 204)
        scanner.send(scanner.request("OPTIONS", "sip:100@127.0.0.1"))
        assert scanner.wait(lambda m: True).startswith("SIP/2.0 200 ")
        gateway.delete("/api/guards/bans/127.0.0.2", 404)


@pytest.mark.requirement("guard.no-enumeration")
def test_a_stranger_hears_the_same_of_numbers_that_exist_and_that_do_not(
    gateway: Gateway,
) -> None:
    with RawSip(gateway.sip_port) as trunk, RawSip(gateway.sip_port, "127.0.0.2") as stranger:
        trunk_id = trunk_to(gateway, trunk)
        gateway.post("/api/phone-numbers", {"number": PARIS, "trunk_id": trunk_id})
        shapes = set()
        for user in (PARIS, "+33612345679", "raw", "admin"):
            request = stranger.request("INVITE", f"sip:{user}@127.0.0.1", body=stranger.sdp())
            stranger.send(request)
            answer = stranger.wait(lambda m: "CSeq: 1 INVITE" in m)
            for name in ("Via", "From", "To", "Call-ID"):
                answer = answer.replace(header(answer, name), "")
            shapes.add(answer)
        assert len(shapes) == 1
        assert shapes.pop().startswith("SIP/2.0 403 ")


@pytest.mark.requirement("guard.source-rate", "guard.scanner-ban")
def test_a_flood_from_the_callers_own_address_leaves_the_calls_alone(
    gateway: Gateway, tmp_path: Path
) -> None:
    with (
        gateway.events() as events,
        RawSip(gateway.sip_port) as scanner,
        Sipp(
            tmp_path / "uac", "-sn", "uac", "-s", "demo", "-m", "5", "-r", "20", "-d", "6000",
            "-timeout", "40s", remote=f"127.0.0.1:{gateway.sip_port}",
        ) as callers,
    ):  # fmt: skip
        last = None
        for _ in range(5):
            last = events.wait("call_state", lambda e: e.get("state") == "active", after=last)
        for n in range(2000):
            scanner.send(scanner.request("INVITE", f"sip:{1000 + n}@127.0.0.1", body=scanner.sdp()))
        assert callers.process.wait(40) == 0, callers.error_text()
        assert callers.figures()["FailedCall(C)"] == "0"
        assert bans(gateway) == ["127.0.0.1"]
        answered = [m for m in scanner.waiting() if m.startswith("SIP/2.0 ")]
        assert len(answered) <= 310
        assert {m[8:11] for m in answered} <= {"403", "503"}


def test_a_trunk_is_never_banned(gateway: Gateway) -> None:
    with RawSip(gateway.sip_port) as peer:
        trunk_to(gateway, peer)
        for n in range(290):  # of strangers 200 are too many
            peer.send(peer.request("INVITE", f"sip:{n}@127.0.0.1", body=peer.sdp()))
            peer.wait(lambda m: m.startswith("SIP/2.0 404 "))
        assert bans(gateway) == []
        assert gateway.api.post("/api/guards/bans", json={"source": "127.0.0.1"}).status_code == 409


# ---- the phone bill -------------------------------------------------------------------------


@pytest.mark.requirement("guard.premium", "guard.every-way")
def test_what_a_trunk_may_not_call_is_refused_in_every_way_of_dialling(gateway: Gateway) -> None:
    with RawSip(gateway.sip_port) as peer, gateway.events() as events:
        trunk_id = trunk_to(gateway, peer)
        host = f"127.0.0.1:{peer.port}"
        assert call(gateway, PREMIUM) == (403, "premium_denied")
        assert call(gateway, f"sip:{SATELLITE}@{host}") == (403, "satellite_denied")
        assert call(gateway, "sip:112@" + host) == (403, "emergency_denied")

        call_id, dialog = answered_call(gateway, peer, f"sip:{PARIS}@{host}")
        events.wait_state(call_id, "active")
        for path in (f"/api/call/{call_id}/transfer", f"/api/call/{call_id}/participants"):
            answer = gateway.api.post(path, json={"target": SATELLITE})
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                403,
                "satellite_denied",
            ), answer.text
        peer.send(refer(peer, dialog, f"sip:{SATELLITE}@{host}"))
        assert peer.wait(lambda m: "REFER" in header(m, "CSeq")).startswith("SIP/2.0 403 ")
        assert not any(m.startswith("INVITE ") for m in peer.waiting())
        gateway.delete(f"/api/call/{call_id}")

        gateway.api.patch(f"/api/trunks/{trunk_id}", json={"limits": {"denied_classes": []}})
        gateway.post("/api/call", {"platform": "sip", "meeting_url": SATELLITE})
        assert peer.wait(lambda m: m.startswith("INVITE ")).startswith(f"INVITE sip:{SATELLITE}@")


@pytest.mark.requirement("guard.every-way")
def test_a_redirect_leads_to_no_dear_number(gateway: Gateway) -> None:
    with RawSip(gateway.sip_port) as peer, gateway.events() as events:
        trunk_to(gateway, peer)
        call_id = gateway.post("/api/call", {"platform": "sip", "meeting_url": PARIS})["call_id"]
        invite = peer.wait(lambda m: m.startswith("INVITE "))
        contact = f"Contact: <sip:{SATELLITE}@127.0.0.1:{peer.port}>\r\n"
        peer.answer(invite, "302 Moved Temporarily", headers=contact)
        events.wait("call_state", lambda e: e["call_id"] == call_id and "end_reason" in e)
        assert not any(m.startswith(f"INVITE sip:{SATELLITE}") for m in peer.waiting())


@pytest.mark.requirement("guard.outbound-daily", "guard.outbound-concurrent")
def test_limits_hold_across_a_kill_and_are_lifted_at_once(gateway: Gateway) -> None:
    with RawSip(gateway.sip_port) as peer:
        trunk_id = trunk_to(gateway, peer, calls_per_day=3, max_calls=1)
        assert call(gateway, PARIS)[0] == 200
        assert call(gateway, PARIS) == (429, "trunk_busy")
        lift(gateway, trunk_id, max_calls=10)
        assert call(gateway, PARIS)[0] == 200
        gateway.kill()
        gateway.restart()
        assert call(gateway, PARIS)[0] == 200
        assert call(gateway, PARIS) == (429, "daily_limit")
        metrics = gateway.api.get("/metrics").text
        assert 'ringback_limits_refused_total{code="daily_limit"} 1.0' in metrics
        lift(gateway, trunk_id, calls_per_day=None)
        assert call(gateway, PARIS)[0] == 200


@pytest.mark.requirement("guard.outbound-concurrent")
def test_a_trunk_that_has_its_calls_in_gets_503_for_the_next(gateway: Gateway) -> None:
    with RawSip(gateway.sip_port) as peer:
        trunk_id = trunk_to(gateway, peer, max_inbound_calls=1)
        gateway.post("/api/phone-numbers", {"number": PARIS, "trunk_id": trunk_id})
        peer.send(peer.request("INVITE", f"sip:{PARIS}@127.0.0.1", body=peer.sdp()))
        peer.wait(lambda m: m.startswith("SIP/2.0 180 "))
        peer.send(peer.request("INVITE", f"sip:{PARIS}@127.0.0.1", body=peer.sdp()))
        busy = peer.wait(lambda m: m.startswith("SIP/2.0 503 "))
        assert header(busy, "Retry-After") == "10"


def lift(gateway: Gateway, trunk_id: str, **limits: Any) -> None:
    answer = gateway.api.patch(f"/api/trunks/{trunk_id}", json={"limits": limits})
    assert answer.status_code == 200, answer.text


def answered_call(gateway: Gateway, peer: RawSip, target: str) -> tuple[str, str]:
    """A call that ``peer`` has answered: its id and its INVITE."""
    made = gateway.post("/api/call", {"platform": "sip", "meeting_url": target})
    invite = peer.wait(lambda m: m.startswith("INVITE "))
    peer.answer(invite, "200 OK", body=peer.sdp(peer.port + 1))
    peer.wait(lambda m: m.startswith("ACK "))
    return made["call_id"], invite


def refer(peer: RawSip, invite: str, target: str) -> str:
    """A REFER within the dialog of ``invite``, from the side that was called."""
    contact = header(invite, "Contact").strip("<>").partition(">")[0]
    return (
        f"REFER {contact} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {peer.host}:{peer.port};branch=z9hG4bKrefer;rport\r\n"
        f"From: {header(invite, 'To')};tag=peer\r\nTo: {header(invite, 'From')}\r\n"
        f"Call-ID: {header(invite, 'Call-ID')}\r\nCSeq: 1 REFER\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:peer@{peer.host}:{peer.port}>\r\nRefer-To: <{target}>\r\n"
        "Content-Length: 0\r\n\r\n"
    )
