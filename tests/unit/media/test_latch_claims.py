"""Who wins when several sources claim a stream, and what floods cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.media.latch import (
    BETTER_WINS_SECONDS,
    MAX_CANDIDATES,
    PROBATION,
    PROBATION_SECONDS,
    SSRC_OPEN_SECONDS,
    Address,
    AddressPolicy,
    Claim,
    RtcpLatch,
    SourceLatch,
    Verdict,
)

PHONE: Address = ("192.0.2.10", 4000)
OTHER_PORT: Address = ("192.0.2.10", 61000)
NAT: Address = ("198.51.100.7", 62000)
STRANGER: Address = ("203.0.113.66", 5555)
SSRC = 0xAAAA
TAKEN = (Verdict.ACCEPTED, Verdict.NEW_SOURCE)


def latched(*, authenticated: bool = False, policy: AddressPolicy | None = None) -> SourceLatch:
    latch = SourceLatch(policy)
    latch.negotiate(PHONE, authenticated=authenticated)
    return latch


def prove(latch: SourceLatch, source: Address, now: float = 0.0, ssrc: int = SSRC) -> Verdict:
    """As many packets as it takes, 20 ms apart."""
    verdict = Verdict.WRONG_SOURCE
    for n in range(PROBATION):
        verdict = latch.judge(source, ssrc, 100 + n, now + n * 0.02)
    return verdict


def test_another_port_of_the_signalled_host_wins_over_a_foreign_host() -> None:
    latch = latched()
    prove(latch, STRANGER)
    assert prove(latch, OTHER_PORT, 1.0) is Verdict.NEW_SOURCE
    assert prove(latch, STRANGER, 2.0) is Verdict.WRONG_SOURCE
    assert latch.send_to == OTHER_PORT
    assert latch.judge(PHONE, SSRC, 1, 3.0) is Verdict.NEW_SOURCE
    assert prove(latch, OTHER_PORT, 4.0) is Verdict.WRONG_SOURCE


@pytest.mark.requirement("media.latching")
def test_a_better_claim_comes_too_late_after_a_while() -> None:
    latch = latched()
    prove(latch, STRANGER)
    late = BETTER_WINS_SECONDS + 1
    assert prove(latch, OTHER_PORT, late) is Verdict.WRONG_SOURCE
    assert latch.judge(PHONE, SSRC, 1, late) is Verdict.WRONG_SOURCE


@pytest.mark.requirement("bad.rtp-flood")
@pytest.mark.requirement("media.latching")
def test_a_flood_of_strangers_does_not_keep_the_caller_behind_nat_from_proving_itself() -> None:
    latch = latched()
    for n in range(PROBATION):
        now = n * 0.02
        verdict = latch.judge(NAT, SSRC, 500 + n, now)
        for k in range(MAX_CANDIDATES - 4):
            latch.judge(("203.0.113.1", 1024 + n * 1000 + k), k, 7, now + 0.001)
    assert verdict is Verdict.NEW_SOURCE
    assert latch.send_to == NAT


@pytest.mark.requirement("bad.rtp-flood")
def test_the_sources_on_probation_are_bounded() -> None:
    latch = latched()
    for n in range(5000):
        latch.judge(("203.0.113.1", 1024 + n), n, n & 0xFFFF, n * 0.0001)
    assert len(latch._probation) == MAX_CANDIDATES


@pytest.mark.requirement("bad.rtp-flood")
def test_one_that_has_shown_more_is_not_pushed_out_by_newcomers() -> None:
    latch = latched()
    latch.judge(NAT, SSRC, 1, 0.0)
    latch.judge(NAT, SSRC, 2, 0.02)
    for n in range(500):
        latch.judge(("203.0.113.1", 1024 + n), n, 7, 0.03)
    assert latch.judge(NAT, SSRC, 3, 0.04) is Verdict.NEW_SOURCE


def test_probation_ends_with_a_pause() -> None:
    latch = latched()
    latch.judge(NAT, SSRC, 1, 0.0)
    latch.judge(NAT, SSRC, 2, 0.02)
    assert latch.judge(NAT, SSRC, 3, 0.03 + PROBATION_SECONDS) is Verdict.WRONG_SOURCE


@pytest.mark.requirement("media.latching")
def test_an_authenticated_packet_needs_no_proof_and_is_moved_by_no_other() -> None:
    latch = latched(authenticated=True)
    assert latch.judge(NAT, SSRC, 9, 0.0) is Verdict.NEW_SOURCE
    assert latch.judge(PHONE, SSRC, 10, 0.1) is Verdict.WRONG_SOURCE
    assert latch.send_to == NAT


@pytest.mark.requirement("media.latching")
def test_protection_opens_a_latch_that_a_stranger_may_have_shut() -> None:
    latch = latched()
    prove(latch, STRANGER)
    latch.negotiate(PHONE, authenticated=True)
    assert latch.source is None
    assert latch.judge(NAT, SSRC, 1, 1.0) is Verdict.NEW_SOURCE
    latch.negotiate(PHONE, authenticated=True)
    assert latch.source == NAT


def test_a_handshake_shuts_an_open_latch_and_moves_no_shut_one() -> None:
    latch = latched(authenticated=True)
    latch.verified(("224.0.0.1", 4000), 0.0)
    assert latch.source is None
    latch.verified(NAT, 0.0)
    latch.verified(STRANGER, 0.1)
    assert latch.send_to == NAT
    assert latch.judge(NAT, SSRC, 1, 0.2) in TAKEN


@pytest.mark.requirement("media.latching")
def test_our_own_ports_are_neither_sent_to_nor_heard() -> None:
    policy = AddressPolicy(own_ports=(4000, 4001), is_here=lambda host: host == PHONE[0])
    latch = latched(policy=policy)
    assert latch.send_to is None
    assert prove(latch, PHONE) is Verdict.WRONG_SOURCE
    assert prove(latch, (PHONE[0], 4001)) is Verdict.WRONG_SOURCE
    assert prove(latch, (NAT[0], 4000)) is Verdict.NEW_SOURCE


@pytest.mark.requirement("media.latching")
@pytest.mark.parametrize(
    ("signalled", "private_here", "claim"),
    [
        (("192.0.2.10", 4000), True, Claim.ELSEWHERE),
        (("192.0.2.10", 4000), False, Claim.IMPOSSIBLE),
        (("10.0.0.9", 4000), False, Claim.ELSEWHERE),
        (None, False, Claim.IMPOSSIBLE),
    ],
)
def test_a_private_source_makes_sense_only_where_one_can_be_met(
    signalled: Address | None, private_here: bool, claim: Claim
) -> None:
    policy = AddressPolicy(private_here=private_here)
    assert policy.claim(("192.168.1.5", 4000), signalled) is claim
    assert policy.claim(("198.51.100.1", 4000), signalled) is Claim.ELSEWHERE
    assert policy.claim(("fd00::5", 4000), signalled) is claim


@pytest.mark.requirement("media.wrong-ssrc")
def test_after_a_new_sdp_the_old_ssrc_does_not_keep_the_door_open_for_ever() -> None:
    latch = latched()
    latch.judge(PHONE, SSRC, 1, 0.0)
    latch.negotiate(PHONE)
    for n in range(200):
        assert latch.judge(PHONE, SSRC, 2 + n, 1.0 + n * 0.02) is Verdict.ACCEPTED
    after = 1.0 + SSRC_OPEN_SECONDS + 2.0
    assert latch.judge(PHONE, 0xBBBB, 1, after - 0.001) is Verdict.WRONG_SSRC


SOURCES = st.sampled_from([NAT, STRANGER, OTHER_PORT, ("203.0.113.67", 9), ("0.0.0.0", 1)])
PACKETS = st.tuples(SOURCES, st.integers(0, 3), st.integers(0, 5), st.floats(0, 0.5))


@given(st.lists(PACKETS, max_size=200))
@pytest.mark.requirement("media.latching", "media.wrong-ssrc")
def test_nothing_that_strangers_send_moves_a_latch_that_is_shut(
    packets: list[tuple[Address, int, int, float]],
) -> None:
    latch = latched()
    sequence, now = 1000, 10.0
    latch.judge(PHONE, SSRC, sequence, now)
    for source, ssrc, number, pause in packets:
        assert latch.judge(source, ssrc, number, now) is Verdict.WRONG_SOURCE
        now += pause
        sequence += 1
        assert latch.judge(PHONE, SSRC, sequence, now) in TAKEN
        assert latch.send_to == PHONE
        assert len(latch._probation) <= MAX_CANDIDATES


@pytest.mark.requirement("bad.rtp-flood")
def test_rtcp_comes_from_the_host_that_rtp_goes_to_and_from_one_port_of_it() -> None:
    latch = RtcpLatch()
    latch.open(None)
    assert not latch.accepts(STRANGER, PHONE)
    assert not latch.accepts(PHONE, None)
    first, second = (PHONE[0], 4001), (PHONE[0], 4999)
    assert latch.accepts(first, PHONE)
    latch.follow(first)
    assert latch.accepts(first, PHONE)
    assert not latch.accepts(second, PHONE)
    latch.open(None)
    assert latch.accepts(second, PHONE)


def test_the_signalled_rtcp_address_takes_over() -> None:
    latch = RtcpLatch()
    signalled = ("192.0.2.77", 5001)
    latch.open(signalled)
    latch.follow((PHONE[0], 4999))
    assert latch.accepts(signalled, PHONE)
    latch.follow(signalled)
    assert latch.source == signalled
    assert not latch.accepts((PHONE[0], 4999), PHONE)
    latch.open(("0.0.0.0", 1))
    assert not latch.accepts(("0.0.0.0", 1), PHONE)
