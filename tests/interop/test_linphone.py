"""Linphone's console phone calls the demo agent, and is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.peers import sound
from interop.peers.gateway import Gateway
from interop.peers.linphone import Linphone


@pytest.mark.parametrize("codec", ["opus", "G722", "PCMU", "PCMA"])
@pytest.mark.requirement("media.codecs")
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
        assert gateway.call(call_id)["end_reason"] == "caller_hangup"
        assert events.count("dtmf") == 1
    assert sound.loud_seconds(sound.mono(lin.heard.read_bytes())) > 1
