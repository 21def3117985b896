"""The end of a gateway with people on the line, and what it leaves behind."""

from __future__ import annotations

import io
import signal
import subprocess
import wave
from pathlib import Path

import pytest

from interop.peers import sound
from interop.peers.baresip import Baresip
from interop.peers.gateway import Gateway
from interop.peers.namespace import small_disk
from interop.peers.sipp import Sipp

GRACE_SECONDS = 2


def call_demo(alice: Baresip, gateway: Gateway, *, greeted: bool = True) -> str:
    """Put ``alice`` through to the demo agent, and wait for its greeting; the id of the call."""
    with gateway.events() as events:
        alice.dial(f"sip:demo@127.0.0.1:{gateway.sip_port}")
        alice.wait_event("CALL_ESTABLISHED")
        call_id = str(events.wait("call_state", lambda e: e["state"] == "active")["call_id"])
        if greeted:
            events.wait("call_transcript", lambda e: e["speaker"] == "agent")
    return call_id


def test_a_call_that_was_live_when_the_node_was_killed_is_node_lost(
    gateway: Gateway, tmp_path: Path
) -> None:
    with Baresip(tmp_path / "alice") as alice:
        call_id = call_demo(alice, gateway)
        gateway.get("/api/calls?state=ended")  # waits for what is yet to be written
        gateway.kill()
        gateway.restart()
        call = gateway.call(call_id)
        assert (call["state"], call["end_reason"]) == ("ended", "node_lost")
        assert call["ended_at"] is not None
        assert any(line.startswith("[agent]") for line in call["transcript"])
        assert gateway.get("/api/calls")["items"] == []
        (ended,) = gateway.get("/api/calls?state=ended")["items"]
        assert ended["call_id"] == call_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_refuses_new_calls_ends_the_live_one_and_completes_its_records(
    tmp_path: Path, number: signal.Signals
) -> None:
    with (
        Gateway(tmp_path / "gateway", shutdown_grace=GRACE_SECONDS) as gateway,
        Baresip(tmp_path / "alice") as alice,
    ):
        call_id = call_demo(alice, gateway)
        gateway.process.send_signal(number)
        gateway.process.wait_for("Stopping, hanging up 1 live call first")
        late = Sipp(
            tmp_path / "late", "-sn", "uac", "-s", "demo", "-m", "1", "-timeout", "10s",
            remote=f"127.0.0.1:{gateway.sip_port}",
        )  # fmt: skip
        try:
            assert late.process.wait(15) != 0
            assert "503" in late.error_text()
            assert not alice.events("CALL_CLOSED")
            alice.wait_event("CALL_CLOSED")
            assert gateway.process.wait(15) == 0, gateway.process.output
        finally:
            late.stop()
        assert "Traceback" not in gateway.process.output

        (recording,) = (gateway.data / "recordings").rglob("*.wav")
        assert_complete(recording)
        _, agent = sound.stereo(recording.read_bytes())
        assert sound.loud_seconds(agent) > 1

        gateway.restart()
        call = gateway.call(call_id)
        assert (call["state"], call["end_reason"]) == ("ended", "shutdown")
        assert gateway.api.get(f"/api/call/{call_id}/recording").content == recording.read_bytes()


def assert_complete(recording: Path) -> None:
    """The header tells the length that the file has."""
    data = recording.read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    with wave.open(io.BytesIO(data)) as file:
        frames = file.getnframes()
        assert file.getnchannels() == 2
        assert len(file.readframes(frames)) == frames * 4
    assert int.from_bytes(data[data.index(b"data") + 4 :][:4], "little") == frames * 4


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    with (
        Gateway(tmp_path / "gateway", shutdown_grace=3600) as gateway,
        Baresip(tmp_path / "alice") as alice,
    ):
        call_demo(alice, gateway, greeted=False)
        gateway.process.send_signal(signal.SIGINT)
        gateway.process.wait_for("again to stop at once")
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(10) == 1
        alice.process.stop(signal.SIGKILL)  # nobody is left to answer a BYE
        assert "Traceback" not in gateway.process.output


def test_a_disk_that_fills_up_under_a_call_does_not_end_it(tmp_path: Path) -> None:
    data = tmp_path / "gateway"
    with (
        Gateway(data, before=small_disk(data, 20)) as gateway,
        Baresip(tmp_path / "alice") as alice,
        gateway.events() as events,
    ):
        call_id = call_demo(alice, gateway)
        fill = ["nsenter", "--mount", "-t", str(gateway.process.pid)]
        filled = subprocess.run(
            [*fill, "dd", "if=/dev/zero", f"of={data}/filler", "bs=64k"],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert "No space left" in filled.stderr
        alice.press("5")
        events.wait("call_transcript", lambda e: e["speaker"] == "agent" and "5" in e["text"], 30)
        assert gateway.call(call_id)["state"] == "active"

        subprocess.run([*fill, "rm", f"{data}/filler"], check=True, timeout=10)
        alice.hang_up()
        events.wait_state(call_id, "ended")
        call = gateway.call(call_id)
        assert call["end_reason"] == "caller_hangup"
        assert any("5" in line for line in call["transcript"])
        assert "Traceback" not in gateway.process.output
