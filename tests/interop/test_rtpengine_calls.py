"""Whole calls through Kamailio and rtpengine: a plain phone out there, a protected trunk here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import Gateway
from interop.peers.media_edge import MediaEdge
from interop.peers.rtpengine import Rtpengine
from interop.peers.stream import CallStream

DID = "+33612345679"
CALLERS_TONE, AGENTS_TONE = 440.0, 1000.0
CLEAR = 1000.0


@pytest.fixture(scope="module")
def rtpengine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rtpengine]:
    with Rtpengine(tmp_path_factory.mktemp("rtpengine")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def trunk(gateway: Gateway) -> str:
    """The path of a trunk to this machine with a number on it."""
    made = gateway.post(
        "/api/trunks", {"name": "Edge", "mode": "ip_allowlist", "host": "127.0.0.1"}
    )
    agent = gateway.post("/api/agents", {"name": "Outside", "mode": "stream"})
    gateway.post(
        "/api/phone-numbers",
        {"number": DID, "trunk_id": made["id"], "agent_id": agent["id"], "auto_answer": True},
    )
    return f"/api/trunks/{made['id']}"


@pytest.mark.requirement("media.srtp-sdes", "media.srtp-dtls")
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
@pytest.mark.parametrize(
    ("profile", "policy"), [("RTP/SAVP", "sdes"), ("UDP/TLS/RTP/SAVP", "dtls")]
)
def test_a_plain_phone_and_a_protected_trunk_hear_each_other(
    gateway: Gateway,
    rtpengine: Rtpengine,
    trunk: str,
    tmp_path: Path,
    profile: str,
    policy: str,
    direction: str,
) -> None:
    folder = tmp_path / "alice"
    folder.mkdir()
    hums = sound.write_wav(folder / "hum.wav", sound.sine(CALLERS_TONE, 60, 8000), 8000)
    with (
        Baresip(folder, speaks=hums, auto_answer=direction == "outbound") as alice,
        MediaEdge(
            tmp_path / "edge",
            rtpengine,
            user="alice",
            phone=alice.sip_port,
            gateway=gateway.sip_port,
            profile=profile,
        ) as edge,
        gateway.events() as events,
    ):
        fields: dict[str, Any] = {"media_encryption": policy, "port": edge.port}
        assert gateway.api.patch(trunk, json=fields).status_code == 200
        if direction == "inbound":
            alice.dial(f"sip:{DID}@127.0.0.1:{edge.port}")
        else:
            target = {"platform": "sip", "meeting_url": "sip:alice@127.0.0.1"}
            gateway.post("/api/call", target)
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        alice.wait_event("CALL_ESTABLISHED")
        with CallStream(gateway, call_id, 8000) as agent:
            agent.listen(1)
            assert sound.level(agent.listen(1), CALLERS_TONE, 8000) > CLEAR
            agent.send_raw(sound.sine(AGENTS_TONE, 1.5, 8000))
            agent.send("mark", name="spoken")
            agent.wait("mark_played")
            agent.listen(0.3)
            alice.hang_up()
            agent.wait_closed()
        (received,) = alice.heard()
        assert sound.tone_seconds(sound.mono(received.read_bytes()), AGENTS_TONE) > 1
        events.wait_state(call_id, "ended")
