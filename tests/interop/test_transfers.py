"""Transfers of either side, played with sipp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.peers.call_script import AUDIO, CallScript
from interop.peers.gateway import EventStream, Gateway
from interop.peers.sipp_calls import (
    ALLOW,
    answering,
    call_out,
    completed,
    dialog_of,
    line_to,
    play,
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests here; each has numbers and trunks of its own."""
    with Gateway(tmp_path_factory.mktemp("gateway") / "data") as running:
        yield running


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
