"""What an answered leg is told to do: hold, resume, keys by INFO, transfers, refreshes."""

from __future__ import annotations

import asyncio

import pytest

from ringback.connectors.contract import DialRequest, TransferResult
from ringback.connectors.sip import info_keys
from ringback.connectors.sip.leg import SipLeg
from ringback.core.end_reason import EndReason
from ringback.core.errors import Conflict, InvalidRequest, UpstreamFailed
from ringback.sip.message import Request
from ringback.sip.sdp import SessionDescription
from unit.connectors.sip.leg_lab import OFFER, STRANGER, TRUNK, Lab, result, says
from unit.sip.sipkit import PEER, request_from


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info_keys, "GAP_SECONDS", 0.0)
    monkeypatch.setattr(info_keys, "PAUSE_SECONDS", 0.0)


def direction(request: Request) -> str:
    (audio,) = SessionDescription.parse(request.body).media
    return audio.direction.value if audio.direction else ""


# ---- hold ---------------------------------------------------------------------------------------


@pytest.mark.requirement("call.local-hold", "rfc3264.8.4")
def test_hold_offers_to_send_only_and_resume_to_send_and_receive() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        held = asyncio.create_task(leg.hold())
        await lab.settle()
        assert direction(lab.node.last_request("INVITE")) == "sendonly"
        assert not held.done()
        await lab.answer("INVITE", 200, sdp=says(OFFER, "recvonly"))
        await result(held)
        assert lab.plane.negotiated["call"].receive is False
        await leg.hold()  # it is held already: nothing to ask for
        assert lab.sent() == ["INVITE", "ACK"]
        resumed = asyncio.create_task(leg.resume())
        await lab.settle()
        assert direction(lab.node.last_request("INVITE")) == "sendrecv"
        await lab.answer("INVITE", 200, sdp=OFFER)
        await result(resumed)
        assert lab.plane.negotiated["call"].receive is True

    Lab.run(test)


@pytest.mark.requirement("call.local-hold", "call.remote-hold")
def test_when_both_hold_nobody_sends_until_both_resume() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        held = asyncio.create_task(leg.hold())
        await lab.settle()
        await lab.answer("INVITE", 200, sdp=says(OFFER, "recvonly"))
        await result(held)
        await lab.says("INVITE", body=says(OFFER, "sendonly"))
        answer = lab.node.last_response("200 INVITE")
        assert b"a=inactive" in answer.body
        assert ("held", "call") in lab.sink.said
        await lab.says("ACK", cseq=2)
        await lab.says("INVITE", body=OFFER)
        assert b"a=sendonly" in lab.node.last_response("200 INVITE").body

    Lab.run(test)


@pytest.mark.requirement("call.local-hold")
def test_a_refused_hold_leaves_the_call_as_it_was() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        held = asyncio.create_task(leg.hold())
        await lab.settle()
        await lab.answer("INVITE", 488)
        with pytest.raises(UpstreamFailed) as error:
            await result(held)
        assert error.value.code == "hold_refused"
        lab.sent()
        again = asyncio.create_task(leg.hold())
        await lab.settle()
        assert lab.sent() == ["INVITE"]
        await lab.answer("INVITE", 488)
        with pytest.raises(UpstreamFailed):
            await result(again)
        await lab.says("INVITE", body=OFFER)
        assert b"a=sendrecv" in lab.node.last_response("200 INVITE").body

    Lab.run(test)


@pytest.mark.requirement("call.local-hold", "call.glare")
def test_a_hold_that_meets_an_offer_is_made_again() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        held = asyncio.create_task(leg.hold())
        await lab.settle()
        await lab.answer("INVITE", 491)
        assert not held.done()
        await lab.says("INVITE", body=OFFER.replace(b"4000", b"4002"))
        await lab.says("ACK", cseq=2)
        await lab.wait(2.0)  # ours is void now, and the leg offers anew
        await lab.settle()
        assert direction(lab.node.last_request("INVITE")) == "sendonly"
        await lab.answer("INVITE", 200, sdp=says(OFFER, "recvonly"))
        await result(held)

    Lab.run(test)


def test_who_hangs_up_while_a_hold_is_asked_for_ends_it() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        held = asyncio.create_task(leg.hold())
        await lab.settle()
        await lab.says("BYE")
        with pytest.raises(Conflict) as error:
            await result(held)
        assert error.value.code == "call_not_active"
        with pytest.raises(Conflict):
            await leg.resume()

    Lab.run(test)


def test_nothing_is_held_before_the_answer() -> None:
    async def test(lab: Lab) -> None:
        await lab.hear(lab.invite)
        leg = lab.sink.leg
        assert leg is not None
        for ask in (leg.hold(), leg.resume(), leg.send_dtmf("1"), leg.transfer("+4930123")):
            with pytest.raises(Conflict) as error:
                await ask
            assert error.value.code == "call_not_active"

    Lab.run(test)


@pytest.mark.requirement("call.session-timer")
def test_a_refresh_by_reinvite_says_what_was_said_last() -> None:
    async def test(lab: Lab) -> None:
        timer = [("Supported", "timer"), ("Session-Expires", "600;refresher=uas")]
        lab.invite = request_from("INVITE", body=OFFER, headers=timer)
        await lab.called()
        said = lab.node.last_response("200 INVITE").body
        await lab.wait(300.0)
        assert lab.node.last_request("INVITE").body == said
        await lab.answer("INVITE", 200, sdp=OFFER.replace(b"4000", b"4010"))
        assert lab.plane.negotiated["call"].remote.port == 4010

    Lab.run(test)


@pytest.mark.requirement("call.session-timer-long")
def test_a_far_end_that_vanished_on_hold_is_found_and_named() -> None:
    async def test(lab: Lab) -> None:
        lab.invite = request_from("INVITE", body=OFFER, headers=[("Allow", "INVITE, UPDATE")])
        await lab.called()
        await lab.says("INVITE", body=says(OFFER, "inactive"))
        await lab.says("ACK", cseq=2)
        await lab.wait(950.0)
        assert lab.sink.causes[0].reason is EndReason.SESSION_EXPIRED

    Lab.run(test)


# ---- keys ---------------------------------------------------------------------------------------


@pytest.mark.requirement("media.dtmf-send")
def test_keys_go_one_by_one_as_dtmf_relay() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        pressed = asyncio.create_task(leg.send_dtmf("5,#"))
        await lab.settle()
        info = lab.node.last_request("INFO")
        assert str(info.content_type) == "application/dtmf-relay"
        assert info.body == b"Signal=5\r\nDuration=160\r\n"
        assert lab.sent() == ["INFO"]
        await lab.answer("INFO", 200)
        assert lab.node.last_request("INFO").body.startswith(b"Signal=#")
        await lab.answer("INFO", 200)
        await result(pressed)

    Lab.run(test)


@pytest.mark.requirement("media.dtmf-info")
def test_keys_come_in_by_info_in_either_body() -> None:
    async def test(lab: Lab) -> None:
        await lab.called()
        relay = b"Signal=5\r\nDuration=200\r\n"
        await lab.says("INFO", body=relay, content_type="application/dtmf-relay")
        await lab.says("INFO", body=b"#", content_type="application/dtmf")
        assert lab.sent() == ["200 INFO", "200 INFO"]
        assert lab.sink.said[-2:] == [("key", "5"), ("key", "#")]

    Lab.run(test)


@pytest.mark.requirement("media.dtmf-send")
def test_a_far_end_that_takes_the_plain_body_only_gets_it() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        pressed = asyncio.create_task(leg.send_dtmf("12"))
        await lab.settle()
        await lab.answer("INFO", 415)
        info = lab.node.last_request("INFO")
        assert (str(info.content_type), info.body) == ("application/dtmf", b"1")
        await lab.answer("INFO", 200)
        assert lab.node.last_request("INFO").body == b"2"
        await lab.answer("INFO", 200)
        await result(pressed)

    Lab.run(test)


def test_a_far_end_that_takes_no_keys_is_told() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        pressed = asyncio.create_task(leg.send_dtmf("1"))
        await lab.settle()
        await lab.answer("INFO", 405)
        with pytest.raises(UpstreamFailed) as error:
            await result(pressed)
        assert error.value.code == "dtmf_refused"
        with pytest.raises(InvalidRequest):
            await leg.send_dtmf("1x")

    Lab.run(test)


# ---- transfers ----------------------------------------------------------------------------------


async def transferred(lab: Lab, leg: SipLeg, target: str) -> asyncio.Task[TransferResult]:
    task = asyncio.create_task(leg.transfer(target))
    await lab.settle()
    return task


@pytest.mark.requirement("call.refer-out-blind")
@pytest.mark.parametrize(
    ("target", "refer_to"),
    [
        ("+4930123", "<sip:+4930123@192.0.2.2:5060>"),
        ("sip:carol@192.0.2.2", "<sip:carol@192.0.2.2>"),
        ("sip:carol@elsewhere.example", "<sip:carol@elsewhere.example>"),
    ],
)
def test_a_transfer_names_the_target_as_the_trunk_dials_it(target: str, refer_to: str) -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        task = await transferred(lab, leg, target)
        refer = lab.node.last_request("REFER")
        assert refer.headers.get("Refer-To") == refer_to
        assert refer.headers.get("Referred-By") == "<sip:alice@192.0.2.1>"
        await lab.answer("REFER", 403)
        assert (await result(task)).refused
        assert all(lease.released for lease in lab.directory.leases)

    Lab.run(test)


def test_a_number_needs_a_trunk_to_be_written_for() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        with pytest.raises(InvalidRequest) as error:
            await leg.transfer("+4930123")
        assert error.value.code == "invalid_target"

    Lab.run(test, STRANGER)


@pytest.mark.requirement("call.refer-out-blind")
def test_done_failed_and_refused_are_told_apart() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        outcomes = []
        for status, told in [(202, 200), (202, 486), (603, None)]:
            task = await transferred(lab, leg, "+4930123")
            await lab.answer("REFER", status)
            if told is not None:
                headers = [("Event", "refer"), ("Subscription-State", "terminated")]
                body = f"SIP/2.0 {told} So".encode()
                sipfrag = "message/sipfrag"
                await lab.says("NOTIFY", headers=headers, body=body, content_type=sipfrag)
            found = await result(task)
            outcomes.append((found.done, found.refused, found.status))
        assert outcomes == [(True, False, 200), (False, False, 486), (False, True, 603)]

    Lab.run(test)


@pytest.mark.requirement("call.refer-out-blind")
@pytest.mark.parametrize(("accepted", "done"), [(True, True), (False, False)])
def test_a_far_end_that_hangs_up_is_done_if_it_had_accepted(accepted: bool, done: bool) -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        task = await transferred(lab, leg, "+4930123")
        if accepted:
            await lab.answer("REFER", 202)
        await lab.says("BYE")
        assert (await result(task)).done is done

    Lab.run(test)


@pytest.mark.requirement("call.refer-out-attended")
def test_an_attended_transfer_names_the_other_dialog_as_its_peer_knows_it() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        other = await lab.connector.dial(DialRequest("other", "account", "+4930999"))
        await lab.settle()
        invite = lab.node.last_request("INVITE")
        await lab.answer("INVITE", 200, sdp=OFFER, contact="<sip:gw@192.0.2.2:5070>")
        task = asyncio.create_task(leg.transfer("", other))
        await lab.settle()
        refer_to = lab.node.last_request("REFER").headers.get("Refer-To") or ""
        tag = invite.from_.tag
        assert refer_to == (
            f"<sip:gw@192.0.2.2:5070?Replaces={invite.call_id}%3Bto-tag%3Dpeer%3Bfrom-tag%3D{tag}>"
        )
        await lab.answer("REFER", 501)
        assert (await result(task)).refused

    Lab.run(test)


# ---- headers ------------------------------------------------------------------------------------


@pytest.mark.requirement("call.x-headers")
def test_only_x_headers_that_are_safe_go_out_and_not_too_many() -> None:
    async def test(lab: Lab) -> None:
        wanted = {
            "X-Customer": "42",
            "Route": "<sip:evil@example.com>",
            "X-Bad": "a\r\nVia: b",
            "X Space": "1",
            "X-Long": "y" * 600,
        } | {f"X-{n}": str(n) for n in range(30)}
        await lab.connector.dial(DialRequest("other", "account", "+4930999", headers=wanted))
        await lab.settle()
        invite = lab.node.last_request("INVITE")
        passed = [name for name, _ in invite.headers if name.startswith("X-")]
        assert passed[0] == "X-Customer"
        assert len(passed) == 20
        assert "X-Bad" not in invite.headers
        assert "X-Long" not in invite.headers
        assert "Route" not in invite.headers
        await lab.answer("INVITE", 603)

    Lab.run(test)


@pytest.mark.requirement("call.end-causes", "rfc3326.2")
def test_a_refusal_keeps_its_status_its_network_cause_and_a_word() -> None:
    async def test(lab: Lab) -> None:
        await lab.connector.dial(DialRequest("other", "account", "+4930999"))
        await lab.settle()
        reason = ("Reason", 'Q.850;cause=17;text="User busy"')
        await lab.answer("INVITE", 480, headers=[reason])
        (cause,) = lab.sink.causes
        assert (cause.reason, cause.sip_code, cause.q850) == (EndReason.BUSY, 480, 17)
        assert cause.text == "User busy"

    Lab.run(test)


@pytest.mark.requirement("rfc3326.2")
def test_our_bye_gives_a_reason() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        await leg.hang_up(EndReason.AGENT_HANGUP)
        (reason,) = lab.node.last_request("BYE").reasons
        assert (reason.protocol, reason.cause) == ("Q.850", 16)

    Lab.run(test)


def test_the_trunk_of_these_tests_is_where_the_peer_is() -> None:
    assert TRUNK.host == PEER.host
