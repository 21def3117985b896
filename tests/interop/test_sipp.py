"""sipp's built-in scenarios in both directions. The long run is in `make bench`."""

from __future__ import annotations

from pathlib import Path

from interop.peers.gateway import Gateway
from interop.peers.process import wait_until
from interop.peers.sipp import Sipp

CALLS = 100
RATE = 20


def settled(gateway: Gateway) -> dict[str, float]:
    """What the gateway holds, from its metrics."""
    text = gateway.api.get("/metrics").text
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line and not line.startswith("#")
    }


def test_sipps_caller_completes_every_call(gateway: Gateway, tmp_path: Path) -> None:
    with Sipp(
        tmp_path / "uac", "-sn", "uac", "-s", "demo", "-m", str(CALLS), "-r", str(RATE),
        "-d", "200", "-timeout", "60s", remote=f"127.0.0.1:{gateway.sip_port}",
    ) as sipp:  # fmt: skip
        assert sipp.process.wait(70) == 0, sipp.error_text() + sipp.process.output[-2000:]
        assert sipp.figures()["FailedCall(C)"] == "0"
    wait_until(lambda: settled(gateway)["ringback_calls_live"] == 0, "every call is over")


def test_sipps_callee_answers_every_call_of_ours(gateway: Gateway, tmp_path: Path) -> None:
    sipp = Sipp(tmp_path / "uas", "-sn", "uas")
    gateway.post(
        "/api/trunks",
        {"name": "sipp", "mode": "ip_allowlist", "host": "127.0.0.1", "port": sipp.port},
    )
    with gateway.events() as events:
        calls = [
            gateway.post(
                "/api/call",
                {"platform": "sip", "meeting_url": f"sip:+1555000{n:04d}@127.0.0.1:{sipp.port}"},
            )["call_id"]
            for n in range(20)
        ]
        for call_id in calls:
            events.wait_state(call_id, "active")
            gateway.delete(f"/api/call/{call_id}")
        for call_id in calls:
            events.wait_state(call_id, "ended")
    sipp.stop()
    assert sipp.error_text() == ""
