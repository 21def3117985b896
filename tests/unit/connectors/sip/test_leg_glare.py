"""Offers of ours that met one of the far end's, and wait to be made again."""

from __future__ import annotations

import asyncio

import pytest

from ringback.sip.sdp import SessionDescription
from unit.connectors.sip.leg_lab import OFFER, Lab, result, says

NOTHING_IN_COMMON = OFFER.replace(b"RTP/AVP 8 101", b"RTP/AVP 18").partition(b"a=rtpmap")[0]


async def hold_after_a_glare(lab: Lab) -> asyncio.Task[None]:
    """Our hold met an offer of theirs: it is refused with 491 and waits."""
    leg = await lab.called()
    held = asyncio.create_task(leg.hold())
    await lab.settle()
    await lab.answer("INVITE", 491)
    lab.sent()
    return held


@pytest.mark.requirement("call.glare", "rfc3261.14")
def test_an_offer_that_comes_first_after_a_glare_is_taken_and_ours_is_made_anew() -> None:
    async def test(lab: Lab) -> None:
        held = await hold_after_a_glare(lab)
        await lab.says("INVITE", body=OFFER.replace(b"192.0.2.2", b"192.0.2.99"))
        assert lab.sent() == ["200 INVITE"]
        assert lab.plane.negotiated["call"].remote.host == "192.0.2.99"
        await lab.says("ACK", cseq=2)
        for _ in range(20):
            await lab.wait(0.2)
        (audio,) = SessionDescription.parse(lab.node.last_request("INVITE").body).media
        assert audio.direction is not None
        assert audio.direction.value == "sendonly"
        await lab.answer("INVITE", 200, sdp=says(OFFER, "recvonly"))
        await result(held)

    Lab.run(test)


@pytest.mark.requirement("call.glare")
def test_an_offer_that_is_refused_after_a_glare_leaves_ours_to_be_made_again() -> None:
    async def test(lab: Lab) -> None:
        held = await hold_after_a_glare(lab)
        await lab.says("INVITE", body=NOTHING_IN_COMMON)
        assert lab.sent() == ["488 INVITE"]
        await lab.wait(4.0)
        assert "INVITE" in lab.sent()
        await lab.answer("INVITE", 200, sdp=says(OFFER, "recvonly"))
        await result(held)
        assert lab.plane.negotiated["call"].receive is False

    Lab.run(test)
