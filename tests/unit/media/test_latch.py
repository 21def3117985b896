from __future__ import annotations

import pytest

from ringback.media.latch import (
    BETTER_WINS_SECONDS,
    PROBATION,
    SSRC_SILENCE_SECONDS,
    Address,
    SourceLatch,
    Verdict,
    is_usable,
)

PHONE = ("192.0.2.10", 4000)
NAT = ("198.51.100.7", 62000)
STRANGER = ("203.0.113.66", 5555)
SSRC = 0xAAAA
OTHER = 0xBBBB

TAKEN = (Verdict.ACCEPTED, Verdict.NEW_SOURCE)


class Wire:
    """Sends packets of one source, numbered, 20 ms apart."""

    def __init__(self, latch: SourceLatch, address: Address, ssrc: int = SSRC) -> None:
        self.latch = latch
        self.address = address
        self.ssrc = ssrc
        self.sequence = 65534

    def send(self, now: float = 0.0, count: int = 1) -> Verdict:
        verdict = Verdict.WRONG_SOURCE
        for n in range(count):
            verdict = self.latch.judge(self.address, self.ssrc, self.sequence, now + n * 0.02)
            self.sequence = (self.sequence + 1) & 0xFFFF
        return verdict


@pytest.fixture
def latch() -> SourceLatch:
    latch = SourceLatch()
    latch.negotiate(PHONE, reopen=False)
    return latch


@pytest.mark.requirement("media.latching")
def test_until_somebody_sends_the_sdp_says_where_to_send(latch: SourceLatch) -> None:
    assert latch.send_to == PHONE
    assert latch.source is None


def test_the_address_of_the_sdp_is_believed_at_once(latch: SourceLatch) -> None:
    assert Wire(latch, PHONE).send() is Verdict.NEW_SOURCE
    assert latch.source == PHONE
    assert Wire(latch, PHONE).send() is Verdict.ACCEPTED


@pytest.mark.requirement("media.latching")
def test_a_source_behind_nat_is_believed_after_packets_in_sequence(latch: SourceLatch) -> None:
    wire = Wire(latch, NAT)
    assert [wire.send() in TAKEN for _ in range(PROBATION)] == [False] * (PROBATION - 1) + [True]
    assert latch.send_to == NAT


@pytest.mark.requirement("media.latching")
def test_packets_that_are_not_in_sequence_prove_nothing(latch: SourceLatch) -> None:
    wire = Wire(latch, NAT)
    for _ in range(20):
        wire.sequence += 1
        assert wire.send() is Verdict.WRONG_SOURCE


@pytest.mark.requirement("media.latching", "bad.rtp-flood")
def test_a_flood_of_many_sources_proves_nothing(latch: SourceLatch) -> None:
    for n in range(200):
        assert Wire(latch, STRANGER, ssrc=n).send() is Verdict.WRONG_SOURCE
        assert Wire(latch, ("203.0.113.1", 1024 + n)).send() is Verdict.WRONG_SOURCE
    assert latch.send_to == PHONE


@pytest.mark.requirement("media.latching")
def test_once_latched_a_stranger_changes_nothing(latch: SourceLatch) -> None:
    Wire(latch, NAT).send(count=PROBATION)
    assert Wire(latch, STRANGER).send(count=1000) is Verdict.WRONG_SOURCE
    assert latch.send_to == NAT


@pytest.mark.requirement("media.latching")
def test_the_same_host_from_another_port_is_a_stranger(latch: SourceLatch) -> None:
    Wire(latch, NAT).send(count=PROBATION)
    assert Wire(latch, (NAT[0], NAT[1] + 1)).send(count=1000) is Verdict.WRONG_SOURCE


def test_the_signalled_address_takes_the_stream_back_from_who_came_first(
    latch: SourceLatch,
) -> None:
    Wire(latch, STRANGER).send(0.0, PROBATION)
    assert Wire(latch, PHONE).send(1.0) is Verdict.NEW_SOURCE
    assert Wire(latch, STRANGER).send(1.1, 100) is Verdict.WRONG_SOURCE
    assert latch.send_to == PHONE


@pytest.mark.requirement("media.latching")
def test_the_signalled_address_cannot_take_it_back_much_later(latch: SourceLatch) -> None:
    Wire(latch, NAT).send(0.0, PROBATION)
    late = BETTER_WINS_SECONDS + 1
    assert Wire(latch, PHONE).send(late, 10) is Verdict.WRONG_SOURCE


@pytest.mark.requirement("media.latching")
def test_a_renegotiation_with_the_same_address_keeps_the_latch_shut(latch: SourceLatch) -> None:
    Wire(latch, NAT).send(0.0, PROBATION)
    latch.negotiate(PHONE, reopen=False)
    assert latch.source == NAT
    assert Wire(latch, STRANGER).send(1.0, 100) is Verdict.WRONG_SOURCE


@pytest.mark.requirement("media.latching")
def test_a_new_address_in_the_sdp_opens_it_again(latch: SourceLatch) -> None:
    Wire(latch, NAT).send(0.0, PROBATION)
    latch.negotiate(("192.0.2.99", 7000), reopen=False)
    assert latch.send_to == ("192.0.2.99", 7000)
    elsewhere = ("198.51.100.8", 1234)
    assert Wire(latch, elsewhere).send(1.0, PROBATION) in TAKEN
    assert latch.send_to == elsewhere


def test_after_reopening_the_known_source_needs_no_proof(latch: SourceLatch) -> None:
    Wire(latch, NAT).send(0.0, PROBATION)
    latch.negotiate(PHONE, reopen=True)
    assert Wire(latch, NAT).send(1.0) is Verdict.NEW_SOURCE


@pytest.mark.requirement("media.wrong-ssrc")
def test_another_ssrc_beside_the_present_one_is_dropped(latch: SourceLatch) -> None:
    voice, intruder = Wire(latch, PHONE), Wire(latch, PHONE, OTHER)
    for n in range(200):
        assert voice.send(n * 0.02) in TAKEN
        assert intruder.send(n * 0.02 + 0.01) is Verdict.WRONG_SSRC
    assert latch.ssrc == SSRC


@pytest.mark.requirement("media.wrong-ssrc")
def test_another_ssrc_takes_over_when_the_first_has_fallen_silent(latch: SourceLatch) -> None:
    Wire(latch, PHONE).send(0.0)
    successor = Wire(latch, PHONE, OTHER)
    start = SSRC_SILENCE_SECONDS + 0.01
    verdicts = [successor.send(start + n * 0.02) for n in range(PROBATION + 1)]
    assert verdicts == [
        *[Verdict.WRONG_SSRC] * (PROBATION - 1),
        Verdict.NEW_SOURCE,
        Verdict.ACCEPTED,
    ]


@pytest.mark.requirement("media.wrong-ssrc")
def test_a_flood_of_ssrcs_does_not_take_over_a_silent_stream(latch: SourceLatch) -> None:
    Wire(latch, PHONE).send(0.0)
    for n in range(500):
        assert Wire(latch, PHONE, 1 + n).send(1.0 + n * 0.001) is Verdict.WRONG_SSRC
    assert Wire(latch, PHONE).send(2.0) is Verdict.ACCEPTED


def test_after_a_renegotiation_another_ssrc_is_followed_at_once(latch: SourceLatch) -> None:
    Wire(latch, PHONE).send(0.0)
    latch.negotiate(PHONE, reopen=False)
    assert Wire(latch, PHONE, OTHER).send(0.02) is Verdict.NEW_SOURCE


@pytest.mark.requirement("media.latching")
@pytest.mark.parametrize(
    "address",
    [("224.0.0.1", 4000), ("255.255.255.255", 4000), ("0.0.0.0", 4000), ("192.0.2.1", 0)],
)
def test_an_address_that_makes_no_sense_is_never_sent_to(address: Address) -> None:
    latch = SourceLatch()
    latch.negotiate(address, reopen=False)
    assert latch.send_to is None
    assert Wire(latch, address).send(count=100) is Verdict.WRONG_SOURCE
    assert latch.send_to is None


def test_a_hold_address_keeps_nobody_from_latching_later(latch: SourceLatch) -> None:
    latch.negotiate(("0.0.0.0", 4000), reopen=False)
    assert latch.send_to is None
    assert Wire(latch, NAT).send(count=PROBATION) in TAKEN


def test_ipv6_is_compared_as_an_address_and_not_as_text() -> None:
    latch = SourceLatch()
    latch.negotiate(("2001:DB8:0::1", 4000), reopen=False)
    assert Wire(latch, ("2001:db8::1", 4000)).send() is Verdict.NEW_SOURCE


def test_an_ipv6_source_is_answered_with_its_scope() -> None:
    latch = SourceLatch()
    latch.negotiate(("fe80::1", 4000), reopen=False)
    scoped = ("fe80::1", 4000, 0, 2)
    assert latch.judge(scoped, SSRC, 1, 0.0) is Verdict.NEW_SOURCE
    assert latch.send_to == scoped


@pytest.mark.parametrize(
    ("address", "usable"),
    [
        (("10.0.0.1", 4000), True),
        (("127.0.0.1", 4000), True),
        (("fe80::1%eth0", 4000), True),
        (("ff02::1", 4000), False),
        (("::", 4000), False),
        (("240.0.0.1", 4000), False),
        (("phone.example.com", 4000), False),
        (("192.0.2.1%x", 4000), False),
        (("fe80::1%\u00e9", 4000), False),
        (("192.0.2.1", 65536), False),
    ],
)
def test_only_unicast_addresses_with_a_port_are_usable(address: Address, usable: bool) -> None:
    assert is_usable(address) is usable


def test_an_sdp_address_that_is_no_literal_is_as_good_as_none(latch: SourceLatch) -> None:
    latch.negotiate(("192.0.2.1%x", 4000), reopen=False)
    assert latch.send_to is None
