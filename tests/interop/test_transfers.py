"""Provisional responses, session timers, UPDATE, hold and transfers, played with sipp."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from interop.peers.call_script import AUDIO, CallScript
from interop.peers.gateway import EventStream, Gateway
from interop.peers.process import PeerFailed
from interop.peers.sipp import Sipp

TIMER = "Supported: timer"
ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, REFER, NOTIFY"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests here; each has numbers and trunks of its own."""
    with Gateway(tmp_path_factory.mktemp("gateway") / "data") as running:
        yield running


def play(
    folder: Path,
    script: CallScript,
    gateway: Gateway | None = None,
    user: str = "nobody",
    *more: str,
) -> Sipp:
    """Run ``script``: toward ``user`` of ``gateway`` where sipp calls, else waiting for a call."""
    remote = f"127.0.0.1:{gateway.sip_port}" if gateway is not None else ""
    return Sipp(
        folder, "-sf", str(script.write(folder)), "-m", "1", "-key", "user", user,
        "-timeout", "60s", *more, remote=remote,
    )  # fmt: skip


def completed(sipp: Sipp) -> None:
    assert sipp.process.wait(60) == 0, sipp.error_text() + sipp.process.output[-2000:]


@pytest.fixture
def events(gateway: Gateway) -> Iterator[EventStream]:
    with gateway.events() as stream:
        yield stream


@dataclass(frozen=True)
class Line:
    """A trunk that calls from this machine, and its number."""

    trunk_id: str
    number: str


_NUMBERS = count(33_612_345_000)


def line_to(gateway: Gateway, port: int | None = None, **number: Any) -> Line:
    """``port`` is where the trunk is called."""
    place = {"port": port} if port is not None else {}
    trunk = gateway.post(
        "/api/trunks",
        {"name": "PBX", "mode": "ip_allowlist", "host": "127.0.0.1", **place},
    )
    line = Line(trunk["id"], f"+{next(_NUMBERS)}")
    gateway.post("/api/phone-numbers", {"number": line.number, "trunk_id": line.trunk_id, **number})
    return line


def answering(gateway: Gateway) -> dict[str, Any]:
    """What makes a number answer by itself, for an outside agent."""
    agent = gateway.post("/api/agents", {"name": "Outside", "mode": "stream"})
    return {"agent_id": agent["id"], "auto_answer": True}


def call_out(gateway: Gateway, line: Line, port: int) -> str:
    target = f"sip:+15550001@127.0.0.1:{port}"
    call = gateway.post(
        "/api/call", {"platform": "sip", "meeting_url": target, "trunk_id": line.trunk_id}
    )
    return str(call["call_id"])


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
        eventually(lambda: any(said.startswith("PRACK") for said in messages(gateway, call_id)))
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
        eventually(lambda: sum(said.startswith("INFO") for said in messages(gateway, call_id)) == 3)
        gateway.delete(f"/api/call/{call_id}")
        completed(sipp)


# ---- transfers that we ask for --------------------------------------------------------------


def notified(script: CallScript, status: int, state: str) -> CallScript:
    """sipp tells how its new call goes."""
    body = f"SIP/2.0 {status} So\n"
    headers = ("Event: refer", f"Subscription-State: {state}")
    return script.request(
        "NOTIFY", *headers, body=body, content_type="message/sipfrag;version=2.0"
    ).expect(200)


@pytest.mark.requirement("call.refer-out-blind", "rfc3515.2.4")
def test_a_blind_transfer_is_followed_to_its_end(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    script = CallScript.caller("transferred").answered(ALLOW)
    script.expect_request("REFER", "Refer-To: <sip:carol@192.0.2.9>", "Referred-By: ")
    script.respond(202)
    notified(script, 100, "active;expires=60")
    notified(script, 180, "active;expires=60")
    notified(script, 200, "terminated;reason=noresource")
    script.is_hung_up_on()
    line = line_to(gateway, **answering(gateway))
    with play(tmp_path / "sipp", script, gateway, line.number) as sipp:
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        gateway.post(
            f"/api/call/{call_id}/transfer", {"target": "sip:carol@192.0.2.9", "mode": "refer"}
        )
        ended = events.wait_state(call_id, "ended")
        assert ended["end_reason"] == "transferred"
        completed(sipp)


@pytest.mark.requirement("call.refer-out-blind")
def test_a_far_end_that_hangs_up_at_once_has_been_transferred(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    script = CallScript.caller("hasty").answered(ALLOW)
    script.expect_request("REFER").respond(202).hangs_up()
    line = line_to(gateway, **answering(gateway))
    with play(tmp_path / "sipp", script, gateway, line.number) as sipp:
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        gateway.post(f"/api/call/{call_id}/transfer", {"target": "sip:carol@192.0.2.9"})
        done = events.wait("call_transfer", lambda e: e["state"] == "done")
        assert done["call_id"] == call_id
        completed(sipp)


@pytest.mark.requirement("call.refer-out-attended")
def test_an_attended_transfer_names_the_other_call(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    alice = CallScript.caller("alice").answered(ALLOW)
    alice.expect_request("REFER", "Replaces=[^>]*%3Bto-tag%3D[^>]*%3Bfrom-tag%3D")
    alice.respond(202)
    notified(alice, 200, "terminated;reason=noresource").is_hung_up_on()
    bob = CallScript.callee("bob").answers().is_hung_up_on()
    with play(tmp_path / "bob", bob) as second:
        line = line_to(gateway, second.port, **answering(gateway))
        with play(tmp_path / "alice", alice, gateway, line.number) as first:
            call_id = events.wait("call_invite")["call_id"]
            events.wait_state(call_id, "active")
            other = call_out(gateway, line, second.port)
            events.wait_state(other, "active")
            gateway.post(f"/api/call/{call_id}/transfer", {"to_call_id": other})
            assert events.wait_state(call_id, "ended")["end_reason"] == "transferred"
            assert events.wait_state(other, "ended")["end_reason"] == "transferred"
            completed(first)
        completed(second)


# ---- transfers that the far end asks for ----------------------------------------------------


@pytest.mark.requirement("call.refer-in", "rfc3515.2.4")
def test_a_transfer_by_the_far_end_is_followed_and_told(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    alice = (
        CallScript.caller("transferor")
        .answered(ALLOW)
        .pause(500)
        .request("REFER", "Refer-To: <sip:+15557777@127.0.0.1>", "Referred-By: <sip:alice@pbx>")
        .expect(202)
        .expect_request("NOTIFY", "SIP/2.0 100 ", "Subscription-State: active")
        .respond(200)
        .expect_request("NOTIFY", "SIP/2.0 180 ")
        .respond(200)
        .expect_request("NOTIFY", "SIP/2.0 200 ", "Subscription-State: terminated")
        .respond(200)
        .hangs_up()
    )
    bob = (
        CallScript.callee("target")
        .expect_request("INVITE", "INVITE sip:[+]15557777@", "Referred-By: <sip:alice@pbx>")
        .respond(180, to_invite=True)
        .pause(500)
        .respond(200, sdp=AUDIO, to_invite=True)
        .expect_request("ACK")
        .is_hung_up_on()
    )
    with play(tmp_path / "bob", bob) as second:
        line = line_to(gateway, second.port, **answering(gateway))
        with play(tmp_path / "alice", alice, gateway, line.number) as first:
            call_id = events.wait("call_invite")["call_id"]
            done = events.wait("call_transfer", lambda e: e["state"] == "done")
            assert (done["call_id"], done["by"]) == (call_id, "remote")
            completed(first)
        assert gateway.call(call_id)["state"] == "active"
        assert gateway.call(call_id)["remote"] == "+15557777"
        gateway.delete(f"/api/call/{call_id}")
        completed(second)


@pytest.mark.requirement("call.refer-in")
def test_a_transferor_who_hangs_up_at_once_leaves_the_call_to_the_other(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    alice = (
        CallScript.caller("gone")
        .answered(ALLOW)
        .pause(500)
        .request("REFER", "Refer-To: <sip:+15557777@127.0.0.1>", "Refer-Sub: false")
        .expect(202, "Refer-Sub: false")
        .hangs_up()
    )
    bob = (
        CallScript.callee("target")
        .expect_request("INVITE")
        .respond(180, to_invite=True)
        .pause(1500)
        .respond(200, sdp=AUDIO, to_invite=True)
        .expect_request("ACK")
        .is_hung_up_on()
    )
    with play(tmp_path / "bob", bob) as second:
        line = line_to(gateway, second.port, **answering(gateway))
        with play(tmp_path / "alice", alice, gateway, line.number) as first:
            call_id = events.wait("call_invite")["call_id"]
            completed(first)
        events.wait("call_transfer", lambda e: e["state"] == "done")
        assert gateway.call(call_id)["state"] == "active"
        gateway.delete(f"/api/call/{call_id}")
        completed(second)


@pytest.mark.requirement("call.refer-in")
def test_a_transfer_whose_target_is_busy_leaves_the_call_as_it_was(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    alice = (
        CallScript.caller("unlucky")
        .answered(ALLOW)
        .pause(500)
        .request("REFER", "Refer-To: <sip:+15557777@127.0.0.1>")
        .expect(202)
        .expect_request("NOTIFY", "SIP/2.0 100 ")
        .respond(200)
        .expect_request("NOTIFY", "SIP/2.0 486 ", "Subscription-State: terminated")
        .respond(200)
        .pause(500)
        .hangs_up()
    )
    bob = (
        CallScript.callee("busy")
        .expect_request("INVITE")
        .respond(486, to_invite=True)
        .expect_request("ACK")
    )
    with play(tmp_path / "bob", bob) as second:
        line = line_to(gateway, second.port, **answering(gateway))
        with play(tmp_path / "alice", alice, gateway, line.number) as first:
            call_id = events.wait("call_invite")["call_id"]
            completed(first)
        assert events.wait_state(call_id, "ended")["end_reason"] == "caller_hangup"
        completed(second)


@pytest.mark.requirement("call.refer-in")
def test_a_strangers_transfer_is_forbidden(gateway: Gateway, tmp_path: Path) -> None:
    script = (
        CallScript.caller("stranger_refers")
        .answered()
        .request("REFER", "Refer-To: <sip:+15557777@127.0.0.1>")
        .expect(403)
        .hangs_up()
    )
    with play(tmp_path / "sipp", script, gateway, "demo") as sipp:
        completed(sipp)


# ---- Replaces -------------------------------------------------------------------------------


@pytest.mark.requirement("call.replaces-in", "rfc3891.3")
def test_an_invite_with_replaces_takes_the_call_over(
    gateway: Gateway, events: EventStream, tmp_path: Path
) -> None:
    alice = CallScript.caller("alice").answered(ALLOW).is_hung_up_on()
    line = line_to(gateway, **answering(gateway))
    with play(tmp_path / "alice", alice, gateway, line.number) as one:
        call_id = events.wait("call_invite")["call_id"]
        events.wait_state(call_id, "active")
        call_id_header, to_tag, from_tag = dialog_of(gateway, call_id)
        replaces = f"Replaces: {call_id_header};to-tag={to_tag};from-tag={from_tag}"
        bob = CallScript.caller("bob").answered("Require: replaces", replaces).is_hung_up_on()
        with play(tmp_path / "bob", bob, gateway, line.number) as two:
            completed(one)
            done = events.wait("call_transfer", lambda e: e["state"] == "done")
            assert done["call_id"] == call_id
            assert gateway.call(call_id)["state"] == "active"
            assert gateway.call(call_id)["end_reason"] is None
            gateway.delete(f"/api/call/{call_id}")
            completed(two)


@pytest.mark.requirement("call.replaces-in", "rfc3891.3")
def test_a_call_that_is_not_there_cannot_be_replaced(gateway: Gateway, tmp_path: Path) -> None:
    line = line_to(gateway)
    script = (
        CallScript.caller("nothing")
        .invite("Replaces: nobody;to-tag=1;from-tag=2")
        .expect(100, optional=True)
        .expect(481)
        .ack()
    )
    with play(tmp_path / "sipp", script, gateway, line.number) as sipp:
        completed(sipp)


def eventually(true: Callable[[], bool]) -> None:
    """Bounded wait."""
    for _ in range(100):
        if true():
            return
        time.sleep(0.05)
    raise PeerFailed("it never came true")


def messages(gateway: Gateway, call_id: str) -> list[str]:
    """What went over the wire."""
    return [message["text"] for message in gateway.get(f"/api/call/{call_id}/sip")["messages"]]


def dialog_of(gateway: Gateway, call_id: str) -> tuple[str, str, str]:
    """Call-ID, our tag and the caller's, as the answer had them."""
    answer = next(said for said in messages(gateway, call_id) if said.startswith("SIP/2.0 200"))
    fields = dict(line.split(": ", 1) for line in answer.split("\r\n\r\n")[0].split("\r\n")[1:])
    return (
        fields["Call-ID"],
        fields["To"].partition("tag=")[2],
        fields["From"].partition("tag=")[2],
    )
