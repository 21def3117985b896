"""Another leg in the place of a call's leg: REFER from the far end, and INVITE with Replaces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.connectors.sip import transfers
from ringback.connectors.sip.directory import Refusal
from ringback.connectors.sip.leg import SipLeg
from ringback.core.end_reason import EndReason
from ringback.core.errors import Forbidden, LimitReached
from ringback.sip.message import Request
from unit.connectors.sip.leg_lab import OFFER, ROUTE, STRANGER, Lab
from unit.sip.sipkit import OTHER, PEER, answer_to, request_from

CAROL = ("Refer-To", "Carol <sip:+4930777@192.0.2.2>")


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "FAREWELL_GRACE", 0.0)


async def referred(lab: Lab, *headers: tuple[str, str]) -> SipLeg:
    """The peer has asked us to call Carol, and the call to her is under way."""
    leg = await lab.called()
    await lab.says("REFER", headers=[CAROL, *headers])
    return leg


async def told(lab: Lab) -> list[bytes]:
    """Answer every NOTIFY that went out; their bodies."""
    bodies: list[bytes] = []
    done = 0
    while True:
        found = [
            sent.message
            for sent in lab.node.log
            if isinstance(sent.message, Request) and sent.message.method == "NOTIFY"
        ]
        if len(found) == done:
            return bodies
        for notify in found[done:]:
            bodies.append(notify.body.rstrip())
            await lab.hear(answer_to(notify, 200))
        done = len(found)


@pytest.mark.requirement("call.refer-in", "rfc3515.2.4")
def test_the_target_of_a_refer_takes_the_call_over() -> None:
    async def test(lab: Lab) -> None:
        old = await referred(lab, ("Referred-By", "<sip:boss@pbx>"))
        assert lab.sent() == ["202 REFER", "NOTIFY", "INVITE"]
        invite = lab.node.last_request("INVITE")
        assert invite.uri.user == "+4930777"
        assert invite.headers.get("Referred-By") == "<sip:boss@pbx>"
        assert ("transfer", "+4930777") in lab.sink.said
        await told(lab)
        await lab.answer("INVITE", 180)
        await told(lab)
        await lab.answer("INVITE", 200, sdp=OFFER.replace(b"4000", b"4444"))
        assert ("take_leg", "call") in lab.plane.commands
        assert lab.plane.negotiated["call"].remote.port == 4444
        assert lab.sink.said[-1] == ("replaced", "call", "+4930777", "Carol")
        assert lab.sink.leg is not old
        assert await told(lab) == [b"SIP/2.0 100 Trying", b"SIP/2.0 180 Ringing", b"SIP/2.0 200 OK"]
        await lab.settle()
        bye = lab.node.last_request("BYE")
        assert bye.call_id == lab.invite.call_id  # nobody else hung the old leg up
        await lab.answer("BYE", 200)
        assert not lab.sink.causes
        assert lab.sink.leg is not None
        await lab.sink.leg.hang_up(EndReason.AGENT_HANGUP)
        await lab.settle()
        assert [cause.reason for cause in lab.sink.causes] == [EndReason.AGENT_HANGUP]

    Lab.run(test)


@pytest.mark.requirement("call.refer-in")
def test_a_target_that_does_not_answer_leaves_the_call_as_it_was() -> None:
    async def test(lab: Lab) -> None:
        leg = await referred(lab)
        await lab.answer("INVITE", 486)
        assert (await told(lab))[-1] == b"SIP/2.0 486 Busy Here"
        assert ("close",) in lab.plane.commands
        assert ("take_leg", "call") not in lab.plane.commands
        assert leg.answered
        assert not lab.sink.causes
        assert all(lease.released for lease in lab.directory.leases)
        await lab.says("REFER", headers=[CAROL])
        assert lab.node.last("202 REFER")  # it may be tried again

    Lab.run(test)


@pytest.mark.requirement("call.refer-in")
@pytest.mark.parametrize("answers", [True, False])
def test_a_transferor_that_hangs_up_at_once_leaves_the_call_to_the_target(answers: bool) -> None:
    async def test(lab: Lab) -> None:
        await referred(lab)
        await lab.says("BYE")
        assert not lab.sink.causes
        if answers:
            await lab.answer("INVITE", 200, sdp=OFFER)
            assert lab.sink.said[-1][0] == "replaced"
            assert not lab.sink.causes
        else:
            await lab.answer("INVITE", 603)
            assert [cause.reason for cause in lab.sink.causes] == [EndReason.CALLER_HANGUP]

    Lab.run(test)


def test_an_agent_that_hangs_up_ends_the_call_and_the_one_to_the_target() -> None:
    async def test(lab: Lab) -> None:
        leg = await referred(lab)
        await lab.answer("INVITE", 180)
        await leg.hang_up(EndReason.AGENT_HANGUP)
        await lab.settle()
        assert {"CANCEL", "BYE"} <= set(lab.sent())
        assert [cause.reason for cause in lab.sink.causes] == [EndReason.AGENT_HANGUP]

    Lab.run(test)


def test_an_agent_that_hangs_up_after_the_transferor_ends_the_call_once() -> None:
    async def test(lab: Lab) -> None:
        leg = await referred(lab)
        await lab.answer("INVITE", 180)
        await lab.says("BYE")
        await leg.hang_up(EndReason.AGENT_HANGUP)
        await lab.settle()
        assert "CANCEL" in lab.sent()
        assert [cause.reason for cause in lab.sink.causes] == [EndReason.AGENT_HANGUP]

    Lab.run(test)


@pytest.mark.requirement("call.refer-in")
def test_a_strangers_refer_is_forbidden() -> None:
    async def test(lab: Lab) -> None:
        leg = await referred(lab)
        assert lab.sent() == ["403 REFER"]
        assert leg.answered

    Lab.run(test, STRANGER)


@pytest.mark.requirement("call.refer-in", "guard.every-way")
@pytest.mark.parametrize("where", ["directory", "call"])
def test_a_limit_holds_for_the_far_ends_refer(where: str) -> None:
    async def test(lab: Lab) -> None:
        refusal = Forbidden("not there") if where == "directory" else LimitReached("too many")
        (lab.directory if where == "directory" else lab.sink).refuses = refusal
        leg = await referred(lab)
        assert lab.sent() == ["403 REFER" if where == "directory" else "486 REFER"]
        assert leg.answered
        assert all(lease.released for lease in lab.directory.leases)

    Lab.run(test)


@pytest.mark.requirement("call.refer-in")
def test_an_attended_refer_is_followed_to_the_dialog_that_it_names() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        replaced = "abc%40host%3Bto-tag%3Dt1%3Bfrom-tag%3Df1"
        to = f"<sip:carol@192.0.2.9:5066?Replaces={replaced}>"
        await lab.says("REFER", headers=[("Refer-To", to)])
        sent = lab.node.last("INVITE")
        invite = lab.node.last_request("INVITE")
        assert str(invite.uri) == "sip:carol@192.0.2.9:5066"
        assert sent.destination.hop == PEER  # over the trunk
        assert invite.headers.get("Replaces") == "abc@host;to-tag=t1;from-tag=f1"
        assert "replaces" in invite.require
        await lab.answer("INVITE", 481)
        assert leg.answered

    Lab.run(test)


def test_a_transfer_during_a_transfer_is_refused() -> None:
    async def test(lab: Lab) -> None:
        await referred(lab)
        await lab.says("REFER", headers=[CAROL])
        assert lab.node.last("491 REFER")

    Lab.run(test)


# ---- Replaces -----------------------------------------------------------------------------------


def replacing(lab: Lab, **changes: object) -> Request:
    tag = lab.node.last_response("200 INVITE").to.tag
    values: dict[str, object] = {
        "call_id": "second",
        "from_": '"Dave" <sip:+4930888@192.0.2.2>;tag=dave',
        "headers": [("Replaces", f"their-call;to-tag={tag};from-tag=theirs")],
        "body": OFFER.replace(b"4000", b"4600"),
    }
    return request_from("INVITE", **(values | changes))  # type: ignore[arg-type]  # by name


@pytest.mark.requirement("call.replaces-in", "rfc3891.3")
def test_an_invite_with_replaces_takes_the_call_over_and_hangs_up_the_old_leg() -> None:
    async def test(lab: Lab) -> None:
        await lab.called()
        await lab.hear(replacing(lab))
        assert lab.sent() == ["200 INVITE"]
        answer = lab.node.last_response("200 INVITE")
        await lab.hear(
            request_from(
                "ACK",
                call_id="second",
                from_="<sip:+4930888@192.0.2.2>;tag=dave",
                to=f"<sip:alice@192.0.2.1>;tag={answer.to.tag}",
            )
        )
        assert lab.sink.said[-1] == ("replaced", "call", "+4930888", "Dave")
        assert ("stand in for", "call") in lab.plane.commands
        assert lab.plane.negotiated["call"].remote.port == 4600
        assert lab.node.last_request("BYE").call_id == "their-call"
        assert not lab.sink.causes

    Lab.run(test)


@pytest.mark.requirement("call.replaces-in", "rfc3891.3")
@pytest.mark.parametrize(
    ("route", "status"),
    [
        (replace(ROUTE, trunk_id="other"), 403),
        (replace(ROUTE, account_id="other"), 403),
        (STRANGER, 403),
        (Refusal(404, "Not Found", "who?"), 404),
    ],
)
def test_nobody_else_may_replace_a_call(route: object, status: int) -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        lab.directory.route = route  # type: ignore[assignment]
        await lab.hear(replacing(lab), OTHER)
        assert lab.sent() == [f"{status} INVITE"]
        assert leg.answered
        assert not lab.sink.causes

    Lab.run(test)


@pytest.mark.requirement("call.replaces-in")
def test_who_comes_from_where_the_peer_of_the_call_is_may_replace_it() -> None:
    """It calls our Contact, which need not be a number of the trunk."""

    async def test(lab: Lab) -> None:
        await lab.called()
        lab.directory.route = Refusal(404, "Not Found", "no number")
        await lab.hear(replacing(lab))
        assert lab.sent() == ["200 INVITE"]

    Lab.run(test)


@pytest.mark.requirement("rfc3891.3")
def test_a_call_that_is_not_there_is_481_for_its_trunk() -> None:
    async def test(lab: Lab) -> None:
        await lab.called()
        nobody = [("Replaces", "nobody;to-tag=1;from-tag=2")]
        await lab.hear(replacing(lab, headers=nobody))
        assert lab.sent() == ["481 INVITE"]

    Lab.run(test)


def test_a_replacement_without_a_codec_of_ours_leaves_the_call_as_it_was() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        offer = OFFER.replace(b"RTP/AVP 8 101", b"RTP/AVP 18")
        await lab.hear(replacing(lab, body=offer))
        assert lab.sent() == ["488 INVITE"]
        assert leg.answered
        assert leg.takeover is None

    Lab.run(test)


def test_a_replacement_that_is_never_acknowledged_leaves_the_call_as_it_was() -> None:
    async def test(lab: Lab) -> None:
        leg = await lab.called()
        await lab.hear(replacing(lab))
        await lab.wait(33.0)
        assert leg.answered
        assert ("close",) in lab.plane.commands
        assert not lab.sink.causes

    Lab.run(test)
