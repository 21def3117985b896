"""Rates, offences and bans of strangers, by a clock of the test's own."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.net.source_guard import Ban, GuardRules, Offence, SourceGuard, Verdict, source_of

FAR = "203.0.113.7"
RULES = GuardRules(rate=10, burst=30, total_rate=100, total_burst=300, offences=20)


def guard(
    rules: GuardRules = RULES, max_sources: int = 20_000, max_bans: int = 10_000
) -> tuple[SourceGuard, list[Ban]]:
    bans: list[Ban] = []
    made = SourceGuard(rules, on_ban=bans.append, max_sources=max_sources, max_bans=max_bans)
    return made, bans


@pytest.mark.requirement("guard.source-rate")
def test_a_stranger_gets_its_burst_then_a_few_503s_then_silence() -> None:
    made, _ = guard()
    verdicts = [made.judge(FAR, 100.0) for _ in range(40)]
    assert verdicts[:30] == [Verdict.ACCEPT] * 30
    assert verdicts[30:33] == [Verdict.BUSY] * 3
    assert set(verdicts[33:]) == {Verdict.DROP}
    assert [made.judge(FAR, 101.0) for _ in range(11)].count(Verdict.ACCEPT) == 10


@pytest.mark.requirement("guard.source-rate")
def test_many_sources_together_cost_no_more_than_all_strangers_may() -> None:
    made, bans = guard()
    hosts = [f"203.0.{n // 250}.{n % 250 + 1}" for n in range(1000)]
    accepted = sum(made.judge(host, 100.0) is Verdict.ACCEPT for host in hosts)
    assert accepted == 300
    assert made.counters.dropped_total == 700
    assert bans == []  # each of them has done nothing wrong


@pytest.mark.requirement("guard.scanner-ban")
def test_offences_within_the_window_bring_a_ban_and_a_slow_drip_does_not() -> None:
    made, bans = guard()
    for n in range(19):
        made.offend(FAR, Offence.REFUSED, 100.0 + n)
    assert not made.is_banned(FAR, 119.0)
    made.offend(FAR, Offence.REFUSED, 119.0)
    assert made.judge(FAR, 120.0) is Verdict.DROP
    assert [ban.source for ban in bans] == [FAR]
    slow, none = guard()
    for n in range(100):
        slow.offend(FAR, Offence.REFUSED, 100.0 + 10 * n)
    assert none == []


@pytest.mark.requirement("guard.scanner-ban")
def test_a_scanner_is_banned_at_once_and_each_ban_is_twice_as_long() -> None:
    made, bans = guard()
    now = 100.0
    for _ in range(12):
        made.offend(FAR, Offence.SCANNER, now)
        assert made.judge(FAR, now) is Verdict.DROP
        now = bans[-1].until
        assert made.judge(FAR, now) is Verdict.ACCEPT
    lengths = [ban.until - ban.since for ban in bans]
    assert lengths[:3] == [600, 1200, 2400]
    assert lengths[-1] == 86_400
    made.offend(FAR, Offence.SCANNER, now + 2 * 86_400)
    assert bans[-1].strikes == 1  # forgiven


def test_a_ban_in_force_is_not_made_longer_by_what_it_swallows() -> None:
    made, bans = guard()
    made.offend(FAR, Offence.SCANNER, 100.0)
    for _ in range(5000):
        made.judge(FAR, 101.0)
    assert len(bans) == 1
    assert bans[0].dropped == 5000


def test_a_flood_brings_a_ban_by_itself() -> None:
    made, bans = guard()
    for n in range(60):
        made.judge(FAR, 100.0 + n / 1000)
    assert [ban.reason for ban in bans] == [Offence.FLOOD]


@pytest.mark.requirement("guard.source-rate")
def test_a_trunk_is_never_banned_and_its_bound_is_far_away() -> None:
    trunks = {FAR}
    made = SourceGuard(GuardRules(rate=1, burst=1), exempt=trunks.__contains__)
    verdicts = []
    for _ in range(400):
        made.offend(FAR, Offence.SCANNER, 100.0)
        verdicts.append(made.judge(FAR, 100.0))
    assert verdicts[:300] == [Verdict.ACCEPT] * 300
    assert verdicts[300:303] == [Verdict.BUSY] * 3
    assert set(verdicts[303:]) == {Verdict.DROP}
    assert made.judge(FAR, 101.0) is Verdict.ACCEPT
    assert made.bans(101.0) == []
    trunks.clear()
    assert made.is_exempt(FAR, 101.0)  # remembered, so that a packet costs no look-up
    made.forget_exemptions()
    assert not made.is_exempt(FAR, 101.0)


def test_named_networks_have_no_limit_at_all() -> None:
    rules = GuardRules(rate=1, burst=1, exempt=(ipaddress.ip_network("198.51.100.0/24"),))
    made, bans = guard(rules)
    for _ in range(1000):
        made.offend("198.51.100.9", Offence.SCANNER, 100.0)
        assert made.judge("198.51.100.9", 100.0) is Verdict.ACCEPT
    assert bans == []


def test_a_banned_source_that_becomes_a_trunk_is_heard() -> None:
    trunks: set[str] = set()
    made = SourceGuard(RULES, exempt=trunks.__contains__)
    made.offend(FAR, Offence.SCANNER, 100.0)
    assert made.judge(FAR, 101.0) is Verdict.DROP
    trunks.add(FAR)
    made.forget_exemptions()
    assert made.judge(FAR, 102.0) is Verdict.ACCEPT


@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.20", "10.0.0.3", "::1", "fe80::1"])
def test_a_source_nearby_is_given_more_rope(host: str) -> None:
    made, bans = guard(GuardRules(total_burst=10_000))
    assert [made.judge(host, 100.0) for _ in range(300)] == [Verdict.ACCEPT] * 300
    for _ in range(199):
        made.offend(host, Offence.REFUSED, 100.0)
    assert bans == []
    made.offend(host, Offence.REFUSED, 100.0)
    assert bans[0].near


def test_messages_of_live_calls_pass_a_ban_but_not_without_end() -> None:
    made, _ = guard()
    made.offend(FAR, Offence.SCANNER, 100.0)
    known = [made.judge_known(FAR, 101.0) for _ in range(600)]
    assert known == [True] * 500 + [False] * 100


@pytest.mark.requirement("guard.lift")
def test_a_ban_is_listed_and_lifted_with_all_that_brought_it() -> None:
    made, _ = guard()
    made.offend(FAR, Offence.SCANNER, 100.0)
    assert [ban.source for ban in made.bans(101.0)] == [FAR]
    assert made.lift(FAR, 101.0)
    assert made.bans(101.0) == []
    assert made.judge(FAR, 101.0) is Verdict.ACCEPT
    assert not made.lift(FAR, 101.0)
    made.offend(FAR, Offence.SCANNER, 102.0)
    assert made.bans(103.0)[0].strikes == 1
    assert made.bans(103.0 + made.rules.longest_ban) == []
    for _ in range(made.rules.offences - 1):
        made.offend(FAR, Offence.REFUSED, 104.0)
    made.lift(FAR, 104.0)
    made.offend(FAR, Offence.REFUSED, 105.0)
    assert made.bans(105.0) == []


def test_a_ban_by_hand_lasts_as_long_as_it_says() -> None:
    made, _ = guard()
    made.ban(FAR, 100.0, 5.0)
    assert made.is_banned(FAR, 104.9)
    assert not made.is_banned(FAR, 105.0)
    assert made.bans(105.0) == []


def test_of_ipv6_the_network_is_the_source() -> None:
    made, _ = guard()
    made.offend("2001:db8:1:2::1", Offence.SCANNER, 100.0)
    assert made.judge("2001:db8:1:2:ffff::9", 100.0) is Verdict.DROP
    assert made.judge("2001:db8:1:3::1", 100.0) is Verdict.ACCEPT
    assert source_of("2001:db8:1:2::/64") == "2001:db8:1:2::/64"
    assert source_of("::ffff:203.0.113.7") == FAR


def test_the_tables_are_bounded_and_forget_the_longest_quiet_one() -> None:
    made, bans = guard(
        GuardRules(total_burst=10**9, total_rate=10**9), max_sources=100, max_bans=10
    )
    for n in range(1000):
        made.judge(f"203.0.{n // 250}.{n % 250 + 1}", 100.0)
    assert made.known_sources == 100
    assert made.counters.sources_forgotten == 900
    for n in range(50):
        made.offend(f"198.51.100.{n}", Offence.SCANNER, 100.0)
    assert len(made.bans(101.0)) == 10
    assert made.counters.bans_forgotten == 40
    assert len(bans) == 50


def test_switched_off_it_lets_everybody_in() -> None:
    made, bans = guard(GuardRules(enabled=False, rate=1, burst=1))
    for _ in range(100):
        made.offend(FAR, Offence.SCANNER, 100.0)
        assert made.judge(FAR, 100.0) is Verdict.ACCEPT
    assert bans == []


@given(st.lists(st.floats(0, 2), min_size=1, max_size=300))
def test_no_pattern_of_arrivals_gets_more_than_burst_and_rate(gaps: list[float]) -> None:
    made, _ = guard(GuardRules(rate=10, burst=30, offences=10**6, total_burst=10**6))
    now = 100.0
    accepted = 0
    for gap in gaps:
        now += gap
        accepted += made.judge(FAR, now) is Verdict.ACCEPT
    assert accepted <= 30 + 10 * (now - 100.0) + 1
