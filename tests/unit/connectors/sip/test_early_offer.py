"""An INVITE without an offer from a caller who wants reliable provisional responses."""

from __future__ import annotations

import asyncio

import pytest

from ringback.connectors.contract import LegControl
from unit.connectors.sip.leg_lab import OFFER, Lab
from unit.sip.sipkit import request_from

RELIABLE = [("Require", "100rel")]


async def rings(lab: Lab) -> LegControl:
    await lab.hear(request_from("INVITE", headers=RELIABLE))
    assert lab.sink.leg is not None
    await lab.sink.leg.ring()
    await lab.settle()
    return lab.sink.leg


async def acknowledges(lab: Lab, body: bytes = b"") -> None:
    ringing = lab.node.last_response("180 INVITE")
    request = request_from(
        "PRACK",
        cseq=2,
        to=f"<sip:alice@192.0.2.1>;tag={ringing.to.tag}",
        branch="z9hG4bKprack",
        headers=[("RAck", f"{ringing.headers.get('RSeq')} 1 INVITE")],
        body=body,
    )
    await lab.hear(request)


@pytest.mark.requirement("call.late-offer", "rfc3262.5")
def test_the_offer_is_in_the_180_and_the_answer_in_its_prack() -> None:
    async def test(lab: Lab) -> None:
        leg = await rings(lab)
        assert b"m=audio" in lab.node.last_response("180 INVITE").body
        assert lab.plane.negotiated == {}
        await acknowledges(lab, OFFER)
        assert lab.plane.negotiated["call"].remote.port == 4000
        await leg.accept()
        await lab.settle()
        assert lab.node.last_response("200 INVITE").body == b""
        await lab.says("ACK", cseq=1)
        assert ("answered", "call") in lab.sink.said

    Lab.run(test)


@pytest.mark.requirement("rfc3262.5")
def test_an_answer_before_the_prack_waits_for_it() -> None:
    async def test(lab: Lab) -> None:
        leg = await rings(lab)
        accepting = asyncio.create_task(leg.accept())
        await lab.settle()
        assert "200 INVITE" not in lab.sent()
        await acknowledges(lab, OFFER)
        await accepting
        assert lab.sent() == ["200 PRACK", "200 INVITE"]

    Lab.run(test)


@pytest.mark.parametrize("body", [b"", OFFER.replace(b" 8 101", b" 18"), b"nonsense"])
def test_a_prack_without_an_answer_that_can_be_used_ends_the_call(body: bytes) -> None:
    async def test(lab: Lab) -> None:
        await rings(lab)
        await acknowledges(lab, body)
        assert "488 INVITE" in lab.sent()
        assert lab.sink.said[-1] == ("ended", "call", "codec_mismatch")

    Lab.run(test)


def test_a_caller_without_that_wish_gets_our_offer_in_the_200() -> None:
    async def test(lab: Lab) -> None:
        await lab.hear(request_from("INVITE"))
        assert lab.sink.leg is not None
        await lab.sink.leg.ring()
        await lab.settle()
        assert lab.node.last_response("180 INVITE").body == b""
        await lab.sink.leg.accept()
        await lab.settle()
        assert b"m=audio" in lab.node.last_response("200 INVITE").body

    Lab.run(test)
