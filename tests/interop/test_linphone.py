"""Linphone's console phone calls the demo agent, and is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.peers import sound
from interop.peers.gateway import Gateway
from interop.peers.linphone import Linphone


@pytest.mark.parametrize("codec", ["opus", "PCMU", "PCMA"])
@pytest.mark.requirement("media.codecs", "media.dtmf-rfc4733", "media.telephone-event-rate")
def test_linphone_talks_with_the_demo_agent(gateway: Gateway, tmp_path: Path, codec: str) -> None:
    with Linphone(tmp_path / "lin", codecs=(codec,)) as lin, gateway.events() as events:
        lin.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        lin.record()
        events.wait("call_transcript", lambda e: e["speaker"] == "agent")
        lin.press("7")
        assert events.wait("dtmf")["digit"] == "7"
        events.wait("call_transcript", lambda e: e["speaker"] == "agent" and "7" in e["text"], 30)
        lin.hang_up()
        events.wait_state(call_id, "ended")
        call = gateway.call(call_id)
        assert call["end_reason"] == "caller_hangup"
        assert call["quality"]["codec"].lower() == codec.lower()
        assert events.count("dtmf") == 1
    assert sound.loud_seconds(sound.mono(lin.heard.read_bytes())) > 1


@pytest.mark.parametrize("encryption", ["srtp", "dtls"])
@pytest.mark.requirement("media.srtp-sdes", "media.srtp-dtls", "media.srtp-profiles")
def test_linphone_insists_on_protected_media_and_is_heard(
    gateway: Gateway, tmp_path: Path, encryption: str
) -> None:
    with (
        Linphone(tmp_path / "lin", codecs=("PCMU",), encryption=encryption) as lin,
        gateway.events() as events,
    ):
        lin.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        lin.record()
        events.wait("call_transcript", lambda e: e["speaker"] == "agent")
        lin.press("7")
        assert events.wait("dtmf")["digit"] == "7"
        events.wait("call_transcript", lambda e: e["speaker"] == "agent" and "7" in e["text"], 30)
        lin.hang_up()
        events.wait_state(call_id, "ended")
        assert gateway.call(call_id)["quality"]["security"] != "none"
    assert sound.loud_seconds(sound.mono(lin.heard.read_bytes())) > 1


@pytest.mark.requirement("call.remote-hold")
def test_linphone_holds_and_resumes(gateway: Gateway, tmp_path: Path) -> None:
    with Linphone(tmp_path / "lin") as lin, gateway.events() as events:
        lin.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        lin.hold()
        held = events.wait_state(call_id, "on_hold")
        lin.resume()
        events.wait("call_state", lambda e: e["state"] == "active", after=held)
        lin.hang_up()
        events.wait_state(call_id, "ended")


def test_linphone_is_called_and_hangs_up(gateway: Gateway, tmp_path: Path) -> None:
    with Linphone(tmp_path / "lin", auto_answer=True) as lin, gateway.events() as events:
        gateway.post(
            "/api/trunks",
            {"name": "phone", "mode": "ip_allowlist", "host": "127.0.0.1", "port": lin.sip_port},
            expect=201,
        )
        call_id = gateway.post("/api/call", {"platform": "sip", "meeting_url": "+33612345678"})[
            "call_id"
        ]
        events.wait_state(call_id, "active")
        lin.hang_up()
        events.wait_state(call_id, "ended")
        assert gateway.call(call_id)["end_reason"] == "caller_hangup"
