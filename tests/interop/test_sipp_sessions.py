"""Provisional responses, session timers, UPDATE, hold and keys by INFO, played with sipp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers.call_script import AUDIO, CallScript
from interop.peers.gateway import EventStream, Gateway
from interop.peers.process import wait_until
from interop.peers.sipp_calls import (
    ALLOW,
    TIMER,
    answering,
    call_out,
    completed,
    line_to,
    messages,
    play,
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests here; each has numbers and trunks of its own."""
    with Gateway(tmp_path_factory.mktemp("gateway") / "data") as running:
        yield running


def heard(gateway: Gateway, call_id: str, method: str) -> int:
    """How often a request of that method went over the wire."""
    return sum(text.startswith(method) for text in messages(gateway, call_id))


# ---- 100rel ---------------------------------------------------------------------------------


@pytest.mark.requirement("call.100rel", "rfc3262.4")
def test_reliable_ringing_of_a_callee_is_acknowledged(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    script = (
        CallScript.callee("reliable_callee")
        .expect_request("INVITE", "Supported: .*100rel")
        .respond(100)
        .respond(183, "Require: 100rel", "RSeq: 4711", ALLOW, sdp=AUDIO, to_invite=True)
        .expect_request("PRACK", "RAck: 4711 1 INVITE")
        .respond(200)
        .respond(180, "Require: 100rel", "RSeq: 4712", ALLOW, to_invite=True)
        .expect_request("PRACK", "RAck: 4712 1 INVITE")
        .respond(200)
        .respond(200, ALLOW, to_invite=True)
        .expect_request("ACK")
        .is_hung_up_on()
    )
    with play(tmp_path / "sipp", script) as sipp:
        line = line_to(gateway, sipp.port)
        call_id = call_out(gateway, line, sipp.port)
        events.wait_state(call_id, "active")
        gateway.delete(f"/api/call/{call_id}")
        completed(sipp)


@pytest.mark.requirement("call.100rel", "rfc3262.3")
@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_a_caller_who_requires_reliable_ringing_gets_it(
    gateway: Gateway, events: EventStream, tmp_path: Path, transport: str
) -> None:
    script = (
        CallScript.caller("reliable_caller")
        .invite("Require: 100rel", ALLOW)
        .expect(100, optional=True)
        .expect(180, "Require: 100rel", keep=("RSeq",))
        .request("PRACK", "RAck:[$rseq] 1 INVITE")
        .expect(180, optional=True)
        .expect(200, "CSeq: 2 PRACK")
        .expect(200, "m=audio")
        .ack()
        .pause(300)
        .hangs_up()
    )
    line = line_to(gateway)
    with play(tmp_path / "sipp", script, gateway, line.number, "-t", transport) as sipp:
        call_id = events.wait("call_invite")["call_id"]
        wait_until(
            lambda: any(said.startswith("PRACK") for said in messages(gateway, call_id)),
            "the message",
        )
        gateway.post(f"/api/call/{call_id}/accept")
        completed(sipp)
        events.wait_state(call_id, "ended")


# ---- session timers -------------------------------------------------------------------------


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway whose sessions last ten seconds."""
    with Gateway(tmp_path / "impatient", session_expires=10) as running:
        yield running


@pytest.mark.requirement("call.session-timer", "rfc4028.9", "call.update")
def test_a_call_through_refresher_uas_is_refreshed_by_us(
    impatient: Gateway, tmp_path: Path
) -> None:
    script = (
        CallScript.caller("refreshed")
        .invite(TIMER, ALLOW, "Session-Expires: 10;refresher=uas")
        .expect(100, optional=True)
        .expect(180, optional=True)
        .expect(200, "Session-Expires: 10;refresher=uas", "Require: timer")
        .ack()
    )
    for _ in range(3):
        script.expect_request("UPDATE", "Session-Expires: 10;refresher=uac", timeout=7000)
        script.respond(200, "Session-Expires: 10;refresher=uac", "Require: timer")
    script.hangs_up()
    with play(tmp_path / "sipp", script, impatient, "demo") as sipp:
        completed(sipp)


@pytest.mark.requirement("call.session-timer")
def test_a_peer_without_update_is_refreshed_by_reinvite(impatient: Gateway, tmp_path: Path) -> None:
    script = (
        CallScript.caller("reinvited")
        .invite(TIMER, "Allow: INVITE, ACK, BYE", "Session-Expires: 10;refresher=uas")
        .expect(100, optional=True)
        .expect(180, optional=True)
        .expect(200, " 0 IN IP4 127.0.0.1")
        .ack()
    )
    for _ in range(2):  # the description is what it was, version and all
        script.expect_request("INVITE", "refresher=uac", " 0 IN IP4 127.0.0.1", timeout=7000)
        script.respond(200, "Session-Expires: 10;refresher=uac", "Require: timer", sdp=AUDIO)
        script.expect_request("ACK")
    script.hangs_up()
    with play(tmp_path / "sipp", script, impatient, "demo") as sipp:
        completed(sipp)


@pytest.mark.requirement("call.session-timer-long", "rfc4028.10")
def test_a_caller_who_was_to_refresh_and_vanished_is_hung_up_on(
    impatient: Gateway, tmp_path: Path
) -> None:
    script = (
        CallScript.caller("vanished")
        .answered(TIMER, ALLOW, "Session-Expires: 12;refresher=uac")
        .expect_request("BYE", "Reason: SIP", timeout=9500)
        .respond(200)
    )
    with impatient.events() as events, play(tmp_path / "sipp", script, impatient, "demo") as sipp:
        ended = events.wait("call_state", lambda e: e["state"] == "ended", 20)
        assert ended["end_reason"] == "session_expired"
        completed(sipp)


@pytest.mark.requirement("call.session-timer", "rfc4028.7")
def test_too_short_a_session_is_refused_and_the_next_attempt_taken(
    gateway: Gateway, tmp_path: Path
) -> None:
    script = (
        CallScript.caller("too_short")
        .invite(TIMER, "Session-Expires: 30")
        .expect(100, optional=True)
        .expect(422, "Min-SE: 90")
        .ack()
    )
    with play(tmp_path / "sipp", script, gateway, "demo") as sipp:
        completed(sipp)
    with play(
        tmp_path / "again",
        CallScript.caller("long_enough").answered(TIMER, "Session-Expires: 90").hangs_up(),
        gateway,
        "demo",
    ) as sipp:
        completed(sipp)


@pytest.mark.requirement("call.session-timer", "rfc4028.7")
def test_a_callee_that_wants_a_longer_session_gets_it(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    script = (
        CallScript.callee("longer")
        .expect_request("INVITE", "Session-Expires: 1800")
        .respond(422, "Min-SE: 3600", to_invite=True)
        .expect_request("ACK")
        .expect_request("INVITE", "Session-Expires: 3600", "Min-SE: 3600", "CSeq: 2 INVITE")
        .respond(200, "Session-Expires: 3600;refresher=uac", sdp=AUDIO, to_invite=True)
        .expect_request("ACK")
        .is_hung_up_on()
    )
    with play(tmp_path / "sipp", script) as sipp:
        line = line_to(gateway, sipp.port)
        call_id = call_out(gateway, line, sipp.port)
        events.wait_state(call_id, "active")
        gateway.delete(f"/api/call/{call_id}")
        completed(sipp)


# ---- UPDATE and hold ------------------------------------------------------------------------


@pytest.mark.requirement("call.update", "rfc3311.5", "call.remote-hold")
def test_an_update_holds_and_resumes(gateway: Gateway, events: EventStream, tmp_path: Path) -> None:
    script = (
        CallScript.caller("update")
        .answered(ALLOW)
        .pause(300)
        .request("UPDATE", sdp=(*AUDIO, "a=sendonly"))
        .expect(200, "a=recvonly")
        .pause(500)
        .request("UPDATE", sdp=AUDIO)
        .expect(200, "a=sendrecv")
        .pause(300)
        .hangs_up()
    )
    with play(tmp_path / "sipp", script, gateway, "demo") as sipp:
        held = events.wait("call_state", lambda e: e["state"] == "on_hold")
        events.wait("call_state", lambda e: e["state"] == "active", after=held)
        completed(sipp)


@pytest.mark.requirement("call.local-hold", "rfc3264.8.4")
def test_we_hold_and_resume_by_reinvite(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    script = (
        CallScript.caller("held")
        .answered()
        .expect_request("INVITE", "a=sendonly")
        .respond(200, sdp=(*AUDIO, "a=recvonly"))
        .expect_request("ACK")
        .expect_request("INVITE", "a=sendrecv")
        .respond(200, sdp=AUDIO)
        .expect_request("ACK")
        .is_hung_up_on()
    )
    line = line_to(gateway, **answering(gateway))
    with play(tmp_path / "sipp", script, gateway, line.number) as sipp:
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        assert gateway.post(f"/api/call/{call_id}/hold")["state"] == "on_hold"
        assert gateway.post(f"/api/call/{call_id}/resume")["state"] == "active"
        gateway.delete(f"/api/call/{call_id}")
        completed(sipp)


@pytest.mark.requirement("media.dtmf-send")
def test_keys_by_info_go_in_the_body_that_the_far_end_takes(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    script = (
        CallScript.caller("keys")
        .answered(ALLOW)
        .expect_request("INFO", "Content-Type: application/dtmf-relay", "Signal=4")
        .respond(415)
        .expect_request("INFO", "Content-Type: application/dtmf", "Content-Length: *1")
        .respond(200)
        .expect_request("INFO", "Content-Type: application/dtmf", "Content-Length: *1")
        .respond(200)
        .is_hung_up_on()
    )
    line = line_to(gateway, **answering(gateway))
    with play(tmp_path / "sipp", script, gateway, line.number) as sipp:
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        gateway.post(f"/api/call/{call_id}/dtmf", {"digits": "42", "method": "info"})
        wait_until(
            lambda: sum(said.startswith("INFO") for said in messages(gateway, call_id)) == 3,
            "the message",
        )
        gateway.delete(f"/api/call/{call_id}")
        completed(sipp)
