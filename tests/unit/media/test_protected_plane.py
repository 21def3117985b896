"""Protected media through the plane: two of its sessions talk to each other."""

from __future__ import annotations

import asyncio

import pytest

from ringback.core.end_reason import EndReason
from ringback.core.errors import InvalidRequest
from ringback.media.dtls_channel import HANDSHAKE_SECONDS
from ringback.media.plane import (
    DtlsSecurity,
    MediaFailed,
    MediaSecurity,
    SdesSecurity,
    SessionOpened,
)
from ringback.media.srtp import SUITES, SrtpSender
from unit.media.dtls_lab import identity
from unit.media.leg_lab import Phone
from unit.media.media_lab import LOCALHOST, Node, Run, audio, node, phone_socket

SUITE = "AEAD_AES_128_GCM"
KEY, OTHER = bytes(28), bytes(range(28))


def agree(n: Node, session: str, peer: SessionOpened, security: MediaSecurity | None) -> None:
    n.plane.negotiate(session, audio(peer.rtp_port, rtcp_mux=True, security=security))


def dtls(peer: SessionOpened, *, active: bool) -> DtlsSecurity:
    assert peer.fingerprint is not None
    return DtlsSecurity(active, (peer.fingerprint,))


async def received(n: Node, session: str) -> int:
    report = await n.plane.report(session)
    return 0 if report is None else report.packets_received


async def heard(n: Node, session: str, more: int = 20) -> None:
    """Let 20 ms after 20 ms go by until ``session`` has received so many packets more."""
    enough = await received(n, session) + more
    async with asyncio.timeout(10):
        while await received(n, session) < enough:
            n.ticker.run(0.02)
            await asyncio.sleep(0)


@pytest.mark.requirement("media.srtp-dtls")
def test_two_sessions_talk_under_keys_of_a_handshake(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            agree(n, "c1", other, dtls(other, active=False))
            agree(n, "c2", one, dtls(one, active=True))
            await heard(n, "c1")
            await heard(n, "c2")
            report = await n.plane.report("c1")
            assert report is not None
            assert report.security == "AEAD_AES_256_GCM"
            assert n.plane.counters().dtls_handshakes == 2
            assert n.plane.counters().srtp_unauthentic == 0

    run(main())


@pytest.mark.requirement("media.srtp-sdes")
def test_two_sessions_talk_under_keys_of_the_sdp(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            agree(n, "c1", other, SdesSecurity(SUITE, KEY, OTHER))
            agree(n, "c2", one, SdesSecurity(SUITE, OTHER, KEY))
            await heard(n, "c1")
            await heard(n, "c2")
            report = await n.plane.close("c1")
            assert report.security == SUITE

    run(main())


def takes_short_ways(n: Node, session: str) -> bool:
    leg = n.plane._sessions[session]._leg
    return leg is not None and leg.rtp.inlet.open and leg.rtp._outlet is not None


async def soon_on_short_ways(n: Node) -> None:
    async with asyncio.timeout(10):
        while not (takes_short_ways(n, "c1") and takes_short_ways(n, "c2")):
            n.ticker.run(0.02)
            await asyncio.sleep(0)


@pytest.mark.requirement("media.srtp-sdes")
def test_protected_audio_takes_the_short_ways_under_old_keys_and_new_ones(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            for ours, theirs in ((KEY, OTHER), (OTHER, KEY)):
                agree(n, "c1", other, SdesSecurity(SUITE, ours, theirs))
                agree(n, "c2", one, SdesSecurity(SUITE, theirs, ours))
                assert not takes_short_ways(n, "c1")
                await soon_on_short_ways(n)
            assert n.plane.counters().srtp_unauthentic == 0
            with phone_socket() as stranger:
                stranger.sendto(Phone().packet(bytes(160)), (LOCALHOST, one.rtp_port))
                await heard(n, "c1")
            assert n.plane.counters().srtp_unauthentic == 1
            agree(n, "c1", other, None)
            agree(n, "c2", one, None)
            await soon_on_short_ways(n)

    run(main())


@pytest.mark.requirement("media.srtp-sdes")
def test_one_that_protects_does_not_hear_one_that_does_not(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            agree(n, "c1", other, SdesSecurity(SUITE, KEY, OTHER))
            agree(n, "c2", one, None)
            for _ in range(50):
                n.ticker.run(0.02)
                await asyncio.sleep(0)
            assert await received(n, "c1") == 0
            assert n.plane.counters().srtp_unauthentic > 20

    run(main())


@pytest.mark.requirement("media.srtp-dtls")
def test_a_wrong_fingerprint_is_a_failure_of_the_session_and_no_audio(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            wrong = DtlsSecurity(False, (identity("another").fingerprint,))
            agree(n, "c1", other, wrong)
            agree(n, "c2", one, dtls(one, active=True))
            async with asyncio.timeout(10):
                while not n.events:
                    n.ticker.run(0.02)
                    await asyncio.sleep(0)
            event = n.events[0]
            assert isinstance(event, MediaFailed)
            assert (event.session_id, event.reason) == ("c1", EndReason.ENCRYPTION_FAILED)
            assert "fingerprint" in event.detail
            assert await received(n, "c1") == await received(n, "c2") == 0

    run(main())


def test_a_leg_takes_its_keys_along_to_another_session(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            await n.open("c3")
            agree(n, "c1", other, dtls(other, active=False))
            agree(n, "c2", one, dtls(one, active=True))
            await heard(n, "c1")
            n.plane.take_leg("c3", "c2")
            await heard(n, "c3")
            await heard(n, "c1")
            assert await n.plane.report("c2") is None
            assert n.plane.counters().srtp_unauthentic == 0
            assert n.plane.counters().dtls_handshakes == 2

    run(main())


def test_a_leg_that_moved_fails_where_it_is_now(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            await n.open("c3")
            agree(n, "c1", other, DtlsSecurity(False, (identity("another").fingerprint,)))
            n.plane.take_leg("c3", "c1")
            agree(n, "c2", one, dtls(one, active=True))
            async with asyncio.timeout(10):
                while not n.events:
                    n.ticker.run(0.02)
                    await asyncio.sleep(0)
            assert isinstance(n.events[0], MediaFailed)
            assert n.events[0].session_id == "c3"

    run(main())


def test_a_suite_that_is_not_known_is_refused_and_nothing_is_sent(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            with pytest.raises(InvalidRequest) as caught:
                agree(n, "c1", other, SdesSecurity("F8_128_HMAC_SHA1_80", KEY, OTHER))
            assert caught.value.code == "unknown_srtp_suite"
            agree(n, "c2", one, None)
            n.ticker.run(1.0)
            report = await n.plane.report("c1")
            assert report is None or report.packets_sent == 0

    run(main())


@pytest.mark.requirement("media.srtp-dtls")
def test_a_handshake_that_nobody_begins_ends_the_session_s_audio(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            agree(n, "c1", other, dtls(one, active=False))
            n.ticker.run(HANDSHAKE_SECONDS + 1)
            (event,) = await n.reported()
            assert isinstance(event, MediaFailed)
            assert event.reason == EndReason.ENCRYPTION_FAILED

    run(main())


@pytest.mark.requirement("media.latching")
def test_one_authenticated_packet_shows_where_a_person_behind_nat_is(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one, other = await n.open("c1"), await n.open("c2")
            agree(n, "c1", other, SdesSecurity(SUITE, KEY, OTHER))
            packet = SrtpSender(SUITES[SUITE], OTHER).protect(Phone().packet(bytes(160)))
            assert packet is not None
            with phone_socket() as phone:
                phone.sendto(packet, (LOCALHOST, one.rtp_port))
                await heard(n, "c1", 1)
                n.ticker.run(0.02)
                await asyncio.sleep(0)
                assert phone.recv(2000)

    run(main())


@pytest.mark.requirement("media.latching")
def test_nobody_can_have_a_session_talk_to_itself(run: Run) -> None:
    async def main() -> None:
        async with node() as n:
            one = await n.open("c1")
            agree(n, "c1", one, None)
            for _ in range(50):
                n.ticker.run(0.02)
                await asyncio.sleep(0)
            report = await n.plane.report("c1")
            assert report is not None
            assert (report.packets_sent, report.packets_received) == (0, 0)

    run(main())
