"""Call flows that softphones rarely make, told to sipp step by step against the real gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.peers.gateway import Gateway
from interop.peers.sipp import Sipp

SCENARIOS = Path(__file__).parent / "scenarios"
DID = "+33612345678"


def play(folder: Path, gateway: Gateway, scenario: str, user: str, *more: str) -> Sipp:
    return Sipp(
        folder, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-m", "1", "-key", "user", user,
        "-timeout", "30s", *more, remote=f"127.0.0.1:{gateway.sip_port}",
    )  # fmt: skip


def own_a_number(gateway: Gateway) -> None:
    trunk = gateway.post(
        "/api/trunks", {"name": "PBX", "mode": "ip_allowlist", "host": "127.0.0.1"}
    )
    gateway.post("/api/phone-numbers", {"number": DID, "trunk_id": trunk["id"]})


@pytest.mark.requirement("call.late-offer")
@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_an_invite_without_an_offer_gets_ours(
    gateway: Gateway, tmp_path: Path, transport: str
) -> None:
    with (
        gateway.events() as events,
        play(tmp_path / "sipp", gateway, "late_offer", "demo", "-t", transport) as sipp,
    ):
        events.wait("call_state", lambda e: e["state"] == "active")
        assert sipp.process.wait(30) == 0, sipp.error_text()
        ended = events.wait("call_state", lambda e: e["state"] == "ended")
        assert ended["end_reason"] == "caller_hangup"


@pytest.mark.requirement("call.cancel")
def test_a_caller_who_gives_up_gets_a_487_and_the_call_is_missed(
    gateway: Gateway, tmp_path: Path
) -> None:
    own_a_number(gateway)
    with gateway.events() as events, play(tmp_path / "sipp", gateway, "give_up", DID) as sipp:
        call_id = events.wait("call_invite")["call_id"]
        assert sipp.process.wait(30) == 0, sipp.error_text()
        events.wait_state(call_id, "missed")
    assert gateway.call(call_id)["end_reason"] == "caller_cancelled"


@pytest.mark.requirement("call.refusals")
def test_a_caller_with_no_codec_of_ours_is_told_so_before_anybody_rings(
    gateway: Gateway, tmp_path: Path
) -> None:
    with play(tmp_path / "sipp", gateway, "only_g729", "demo") as sipp:
        assert sipp.process.wait(30) == 0, sipp.error_text()
    assert gateway.get("/api/calls?state=ended")["items"] == []


@pytest.mark.requirement("media.dtmf-info")
def test_a_key_in_an_info_is_a_key_of_the_call(gateway: Gateway, tmp_path: Path) -> None:
    with gateway.events() as events, play(tmp_path / "sipp", gateway, "info_key", "demo") as sipp:
        key = events.wait("dtmf")
        assert (key["digit"], key["duration_ms"]) == ("7", 240)
        assert sipp.process.wait(30) == 0, sipp.error_text()


@pytest.mark.requirement("call.ack-lost")
def test_a_caller_who_never_acknowledges_is_hung_up_on(gateway: Gateway, tmp_path: Path) -> None:
    with (
        gateway.events() as events,
        play(tmp_path / "sipp", gateway, "no_ack", "demo", "-timeout", "60s") as sipp,
    ):
        ended = events.wait("call_state", lambda e: e["state"] == "ended", 60)
        assert ended["end_reason"] == "ack_timeout"
        assert sipp.process.wait(30) == 0, sipp.error_text()


@pytest.mark.requirement("guard.no-enumeration", "trunk.stranger")
@pytest.mark.parametrize("user", [DID, "1000", "admin"])
def test_a_stranger_learns_nothing_about_our_numbers(
    gateway: Gateway, tmp_path: Path, user: str
) -> None:
    trunk = gateway.post(
        "/api/trunks", {"name": "far away", "mode": "ip_allowlist", "host": "192.0.2.77"}
    )
    gateway.post("/api/phone-numbers", {"number": DID, "trunk_id": trunk["id"]})
    with play(tmp_path / "sipp", gateway, "stranger", user) as sipp:
        assert sipp.process.wait(30) == 0, sipp.error_text()
    assert gateway.get("/api/calls")["items"] == []
