"""Twinkle, strict about RFC 3261 and with ways of its own, calls the demo agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.peers.gateway import Gateway
from interop.peers.process import wait_until
from interop.peers.twinkle import Twinkle


@pytest.mark.parametrize("dtmf", ["rfc2833", "info", "inband"])
@pytest.mark.requirement("media.dtmf-rfc4733", "media.dtmf-info", "media.dtmf-inband")
def test_a_key_that_twinkle_sends_its_own_way_is_heard_once(
    gateway: Gateway, tmp_path: Path, dtmf: str
) -> None:
    with Twinkle(tmp_path / "twin", dtmf=dtmf) as twin, gateway.events() as events:
        twin.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        events.wait("call_transcript", lambda e: e["speaker"] == "agent")
        twin.press("7")
        assert events.wait("dtmf")["digit"] == "7"
        twin.hang_up()
        events.wait_state(call_id, "ended")
        assert gateway.call(call_id)["end_reason"] == "caller_hangup"
        assert events.count("dtmf") == 1


def acknowledged(gateway: Gateway, call_id: str) -> int:
    """How many of our answers the phone has seen: before that it is in no other state."""
    messages = gateway.get(f"/api/call/{call_id}/sip")["messages"]
    return sum(m["direction"] == "received" and m["text"].startswith("ACK ") for m in messages)


@pytest.mark.parametrize("hold", ["rfc2543", "rfc3264"])
@pytest.mark.requirement("call.remote-hold", "rfc3264.8.4")
def test_twinkle_holds_the_old_way_and_the_new(gateway: Gateway, tmp_path: Path, hold: str) -> None:
    with Twinkle(tmp_path / "twin", hold=hold) as twin, gateway.events() as events:
        twin.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        call_id = events.wait("call_state", lambda e: e["state"] == "active")["call_id"]
        twin.hold()
        held = events.wait_state(call_id, "on_hold")
        wait_until(lambda: acknowledged(gateway, call_id) == 2, "the ACK of the hold")
        twin.retrieve()
        events.wait("call_state", lambda e: e["state"] == "active", after=held)
        twin.hang_up()
        events.wait_state(call_id, "ended")
