"""What the gateway keeps of a real call's signalling, and what tshark makes of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from interop.peers.gateway import Gateway
from interop.test_call_flows import play


def download(gateway: Gateway, path: str, accept: str) -> httpx2.Response:
    answer = gateway.api.get(path, headers={"Accept": accept})
    assert answer.status_code == 200
    return answer


@pytest.mark.requirement("ops.ladder", "ops.pcap")
@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_the_messages_of_a_call_are_kept_with_it(
    gateway: Gateway, tmp_path: Path, transport: str
) -> None:
    with (
        gateway.events() as events,
        play(tmp_path / "sipp", gateway, "late_offer", "demo", "-t", transport) as sipp,
    ):
        ended = events.wait("call_state", lambda e: e["state"] == "ended")
        assert sipp.process.wait(30) == 0, sipp.error_text()
    call_id = ended["call_id"]
    messages = gateway.get(f"/api/call/{call_id}/sip")["messages"]
    told = [(message["direction"], message["summary"].split()[0:2]) for message in messages]
    assert told[0] == ("received", ["INVITE", f"sip:demo@127.0.0.1:{gateway.sip_port}"])
    assert ("sent", ["SIP/2.0", "200"]) in told
    assert told[-1] == ("sent", ["SIP/2.0", "200"])
    names = [message["text"].split()[0] for message in messages]
    assert names.index("INVITE") < names.index("ACK") < names.index("BYE")
    here, there = f"127.0.0.1:{gateway.sip_port}", f"127.0.0.1:{sipp.port}"
    assert messages[0]["to"] == here
    assert messages[0]["transport"] == ("udp" if transport == "u1" else "tcp")
    if transport == "u1":
        assert messages[0]["from"] == there

    drawn = download(gateway, f"/api/call/{call_id}/sip", "text/plain").text
    assert "INVITE sip:demo@" in drawn
    assert "200 OK (BYE)" in drawn
    capture = download(gateway, f"/api/call/{call_id}/sip.pcap", "*/*").content
    (tmp_path / "call.pcap").write_bytes(capture)
    if shutil.which("tshark") is not None:
        read = subprocess.run(
            ["tshark", "-n", "-r", str(tmp_path / "call.pcap"), "-T", "fields", "-e", "sip.CSeq"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert len([line for line in read.stdout.splitlines() if line]) == len(messages)
