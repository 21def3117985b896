"""An ordinary softphone and the demo agent: the main job of the product."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import Gateway


def test_a_softphone_talks_with_the_demo_agent(
    gateway: Gateway, tmp_path: Path, question: Path
) -> None:
    with Baresip(tmp_path / "alice", speaks=question) as alice, gateway.events() as events:
        alice.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        alice.wait_event("CALL_ESTABLISHED")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]

        events.wait("call_transcript", lambda e: e["speaker"] == "agent")
        heard = events.wait("call_transcript", lambda e: e["speaker"] == "caller", 40)
        answer = events.wait("call_transcript", lambda e: e["speaker"] == "agent", 40, after=heard)
        assert "time" in heard["text"].lower()
        assert re.search(r"\b\d{1,2}:\d{2}\b", answer["text"])

        alice.hang_up()
        events.wait_state(call_id, "ended")
        call = gateway.call(call_id)
        assert call["end_reason"] == "caller_hangup"
        speakers = [line.partition("]")[0] for line in call["transcript"]]
        assert speakers[0] == "[agent"
        assert speakers[-2:] == ["[caller", "[agent"]

        caller, agent = sound.stereo(gateway.api.get(f"/api/call/{call_id}/recording").content)
        assert sound.loud_seconds(caller) > 0.4
        assert sound.loud_seconds(agent) > 2
    (received,) = alice.heard()
    assert sound.loud_seconds(sound.mono(received.read_bytes())) > 2


@pytest.mark.requirement("media.dtmf-once")
def test_a_pressed_key_reaches_the_demo_agent_once(gateway: Gateway, tmp_path: Path) -> None:
    with Baresip(tmp_path / "alice") as alice, gateway.events() as events:
        alice.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        alice.wait_event("CALL_ESTABLISHED")
        events.wait("call_transcript", lambda e: e["speaker"] == "agent")
        alice.press("5")
        assert events.wait("dtmf")["digit"] == "5"
        events.wait("call_transcript", lambda e: e["speaker"] == "agent" and "5" in e["text"], 30)
        assert events.count("dtmf") == 1


@pytest.mark.requirement("call.remote-hold")
def test_hold_and_resume_by_the_phone_are_states_of_the_call(
    gateway: Gateway, tmp_path: Path
) -> None:
    with Baresip(tmp_path / "alice") as alice, gateway.events() as events:
        alice.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        alice.wait_event("CALL_ESTABLISHED")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        alice.command("hold")
        held = events.wait_state(call_id, "on_hold")
        alice.command("resume")
        events.wait("call_state", lambda e: e["state"] == "active", after=held)
