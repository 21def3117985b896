"""Kamailio as the provider of a trunk: registration, calls in and calls out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.peers.baresip import Baresip
from interop.peers.gateway import Gateway
from interop.peers.kamailio import Kamailio
from interop.peers.process import free_port
from interop.peers.sipp import Sipp

DID = "+33612345678"
CALLER_ID = "+33699887766"


@pytest.fixture
def callee(tmp_path: Path) -> Iterator[Baresip]:
    with Baresip(tmp_path / "bob", user="bob", auto_answer=True) as bob:
        yield bob


@pytest.fixture
def provider(tmp_path: Path, callee: Baresip) -> Iterator[Kamailio]:
    with Kamailio(tmp_path / "kamailio", callee=callee.sip_port, silent=free_port()) as running:
        yield running


def connect(gateway: Gateway, provider: Kamailio, **changes: Any) -> Any:
    return gateway.post(
        "/api/sip/trunk",
        {
            "sip_host": "127.0.0.1",
            "sip_port": provider.port,
            "sip_username": provider.user,
            "sip_password": provider.password,
            "sip_realm": provider.domain,
            "sip_caller_id": CALLER_ID,
        }
        | changes,
    )


@pytest.fixture
def registered(gateway: Gateway, provider: Kamailio) -> Gateway:
    with gateway.events() as events:
        connect(gateway, provider)
        events.wait("registration", lambda e: e["status"] == "registered")
    return gateway


@contextmanager
def call_from_outside(folder: Path, provider: Kamailio, did: str) -> Iterator[Sipp]:
    """Somebody out there dials ``did``; the provider brings the call to the trunk."""
    sipp = Sipp(
        folder, "-sf", str(Path(__file__).parent / "scenarios" / "outside_caller.xml"),
        "-m", "1", "-s", did, "-timeout", "100s", "-key", "did", did,
        remote=f"127.0.0.1:{provider.port}",
    )  # fmt: skip
    try:
        yield sipp
    finally:
        sipp.stop()


# ---- registration ---------------------------------------------------------------------------


@pytest.mark.requirement("trunk.status", "trunk.digest-algorithms")
def test_a_trunk_registers_and_shows_it(registered: Gateway) -> None:
    trunk = registered.get("/api/sip/trunk")
    assert trunk["registration"]["status"] == "registered"
    assert "s3cret" not in str(trunk)


@pytest.mark.requirement("trunk.status-reasons")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sip_password": "wrong-password"}, "password"),
        ({"sip_realm": "nowhere.test"}, "domain"),
        ({"sip_username": "nobody"}, "forbid"),
    ],
)
def test_a_registration_that_fails_says_why_in_words(
    gateway: Gateway, provider: Kamailio, change: dict[str, str], words: str
) -> None:
    with gateway.events() as events:
        connect(gateway, provider, **change)
        event = events.wait("registration", lambda e: e["status"] == "unregistered")
    assert words in event["reason"].lower()
    assert gateway.get("/api/sip/trunk")["registration"]["status"] == "unregistered"


@pytest.mark.requirement("trunk.edit-live")
def test_an_edit_takes_effect_without_a_restart(gateway: Gateway, provider: Kamailio) -> None:
    with gateway.events() as events:
        connect(gateway, provider, sip_password="wrong-password")
        events.wait("registration", lambda e: e["status"] == "unregistered")
        connect(gateway, provider)
        events.wait("registration", lambda e: e["status"] == "registered")


# ---- calls in -------------------------------------------------------------------------------


def test_a_known_number_rings_and_is_accepted_over_rest(
    registered: Gateway, provider: Kamailio, tmp_path: Path
) -> None:
    registered.post("/api/sip/trunk/dids", {"number": DID})
    with (
        registered.events() as events,
        call_from_outside(tmp_path / "caller", provider, DID) as caller,
    ):
        invite = events.wait("call_invite")
        assert (invite["callee"], invite["state"]) == (DID, "ringing")
        registered.post(f"/api/call/{invite['call_id']}/accept")
        events.wait_state(invite["call_id"], "active")
        registered.delete(f"/api/call/{invite['call_id']}")
        events.wait_state(invite["call_id"], "ended")
        assert caller.process.wait(20) == 0, caller.error_text()
    assert registered.call(invite["call_id"])["end_reason"] == "agent_hangup"


@pytest.mark.requirement("call.refusals")
def test_an_unknown_number_is_refused_with_404(
    registered: Gateway, provider: Kamailio, tmp_path: Path
) -> None:
    registered.post("/api/sip/trunk/dids", {"number": DID})
    with call_from_outside(tmp_path / "caller", provider, "+33611111111") as caller:
        assert caller.process.wait(20) != 0
        assert "404" in caller.error_text()
    assert registered.get("/api/calls")["items"] == []


def test_a_call_nobody_accepts_is_missed(tmp_path: Path, provider: Kamailio) -> None:
    with Gateway(tmp_path / "impatient", ring_timeout=2) as gateway, gateway.events() as events:
        connect(gateway, provider)
        events.wait("registration", lambda e: e["status"] == "registered")
        gateway.post("/api/sip/trunk/dids", {"number": DID})
        with call_from_outside(tmp_path / "caller", provider, DID) as caller:
            invite = events.wait("call_invite")
            events.wait_state(invite["call_id"], "missed")
            assert caller.process.wait(20) != 0
            assert "480" in caller.error_text()
        assert gateway.call(invite["call_id"])["end_reason"] == "unanswered"


def test_auto_answer_goes_straight_to_active(
    registered: Gateway, provider: Kamailio, tmp_path: Path
) -> None:
    did = registered.post("/api/sip/trunk/dids", {"number": DID})
    registered.post(f"/api/sip/trunk/dids/{did['id']}/settings", {"auto_answer": True})
    with (
        registered.events() as events,
        call_from_outside(tmp_path / "caller", provider, DID) as caller,
    ):
        event = events.wait("call_state", lambda e: e["state"] == "active")
        registered.delete(f"/api/call/{event['call_id']}")
        assert caller.process.wait(20) == 0, caller.error_text()


# ---- calls out ------------------------------------------------------------------------------


def dial(gateway: Gateway, provider: Kamailio, number: str) -> str:
    call = gateway.post(
        "/api/call",
        {"platform": "sip", "meeting_url": f"sip:{number}@127.0.0.1:{provider.port}"},
    )
    assert call["state"] == "connecting"
    return str(call["call_id"])


@pytest.mark.requirement("rfc3325.9")
def test_an_outbound_call_is_answered_and_shows_the_caller_id(
    registered: Gateway, provider: Kamailio, callee: Baresip
) -> None:
    with registered.events() as events:
        call_id = dial(registered, provider, "+15551230000")
        events.wait_state(call_id, "active")
        incoming = callee.wait_event("CALL_ESTABLISHED")
        assert CALLER_ID in incoming["peeruri"]
        callee.hang_up()
        events.wait_state(call_id, "ended")
    assert registered.call(call_id)["end_reason"] == "caller_hangup"
    assert CALLER_ID in provider.process.wait_for(r"OUTBOUND to=\S+ from=\S+ pai=.*").group()


@pytest.mark.requirement("call.end-causes")
@pytest.mark.parametrize(
    ("number", "end_reason"),
    [
        ("+15555550001", "busy"),
        ("+15555550002", "declined"),
        ("+15555550004", "invalid_number"),
        ("+15555550005", "unavailable"),
    ],
)
def test_an_outbound_call_that_is_refused_tells_why(
    registered: Gateway, provider: Kamailio, number: str, end_reason: str
) -> None:
    with registered.events() as events:
        call_id = dial(registered, provider, number)
        events.wait_state(call_id, "ended")
    assert registered.call(call_id)["end_reason"] == end_reason


def test_an_outbound_call_that_nobody_answers_ends_with_no_answer(
    tmp_path: Path, provider: Kamailio
) -> None:
    with (
        Gateway(tmp_path / "impatient", ring_timeout=3) as gateway,
        Baresip(tmp_path / "carol", user="carol") as carol,
        gateway.events() as events,
    ):
        gateway.post(
            "/api/trunks",
            {"name": "Carol's desk", "mode": "ip_allowlist", "host": "127.0.0.1",
             "port": carol.sip_port},
        )  # fmt: skip
        call = gateway.post(
            "/api/call",
            {"platform": "sip", "meeting_url": f"sip:carol@127.0.0.1:{carol.sip_port}"},
        )
        events.wait_state(call["call_id"], "ringing")
        events.wait_state(call["call_id"], "ended")
        carol.wait_event("CALL_CLOSED")
        assert gateway.call(call["call_id"])["end_reason"] == "no_answer"


def test_a_provider_that_cannot_be_reached_is_a_network_error(
    gateway: Gateway, tmp_path: Path
) -> None:
    with gateway.events() as events:
        nobody = free_port()
        gateway.post(
            "/api/trunks",
            {"name": "Gone", "mode": "ip_allowlist", "host": "127.0.0.1", "port": nobody},
        )
        call = gateway.post(
            "/api/call", {"platform": "sip", "meeting_url": f"sip:+15550001111@127.0.0.1:{nobody}"}
        )
        events.wait_state(call["call_id"], "ended", 45)
    assert gateway.call(call["call_id"])["end_reason"] == "network_error"
