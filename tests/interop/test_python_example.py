"""An agent program as the API's Python example shows it, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import API_KEY, Gateway
from interop.peers.process import Process

SCRIPT = Path(__file__).parent / "scenarios" / "stream_client.py"
CALLERS_TONE = 440
AGENTS_TONE = 1000
FRAME_BYTES = 960


def run(gateway: Gateway, target: str) -> Process:
    return Process(
        [Path(sys.executable), SCRIPT, gateway.url, API_KEY, "sip", target], cwd=gateway.data
    )


def test_the_example_dials_listens_and_is_heard(gateway: Gateway, tmp_path: Path) -> None:
    speaks = sound.write_wav(tmp_path / "tone.wav", sound.sine(CALLERS_TONE, 30, 8000), 8000)
    with Baresip(tmp_path / "bob", user="bob", speaks=speaks, auto_answer=True) as bob:
        gateway.post(
            "/api/trunks",
            {"name": "Bob's desk", "mode": "ip_allowlist", "host": "127.0.0.1",
             "port": bob.sip_port},
        )  # fmt: skip
        with run(gateway, bob.uri) as script:
            call_id = script.wait_for(r"call: (\S+)").group(1)
            config = json.loads(script.wait_for(r'event: (.*"audio_config".*)').group(1))
            assert (config["sample_rate"], config["ready"]) == (24000, True)
            assert config["frame_bytes"] == FRAME_BYTES
            script.wait_for(r'event: .*"call_state".*"active"')
            script.wait_for(rf"audio frame: {FRAME_BYTES} bytes")
            bob.wait_event("CALL_ESTABLISHED")
            script.wait_for(r'event: .*"mark_played"')
            bob.hang_up()
            assert script.wait_for(r"closed: (\d+)").group(1) == "1000"
            assert script.wait(10) == 0
        sizes = {line for line in script.output.splitlines() if line.startswith("audio frame")}
        assert sizes == {f"audio frame: {FRAME_BYTES} bytes"}
        call = gateway.call(call_id)
        assert (call["state"], call["end_reason"]) == ("ended", "caller_hangup")
    (received,) = bob.heard()
    assert sound.tone_seconds(sound.mono(received.read_bytes()), AGENTS_TONE) > 2


def test_without_a_trunk_the_example_learns_what_is_missing(gateway: Gateway) -> None:
    with run(gateway, "sip:+15551230000@sip.example.com") as script:
        status, body = script.wait_for(r"refused: (\d+) (.*)").groups()
        assert script.wait(10) == 0
    error = json.loads(body)["error"]
    assert status == "400"
    assert "trunk" in error["code"]
    assert "trunk" in error["hint"].lower()
    assert error["retryable"] is False
