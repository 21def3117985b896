"""Registrations that fail: the reason in words, and when the next try comes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringback.sip.events import ResolveNeeded
from ringback.sip.registration import (
    RegistrationChanged,
    RegistrationFailure,
    RegistrationState,
    RegistrationStatus,
    RetryPolicy,
)
from unit.sip.registration_lab import Trunk
from unit.sip.sipkit import GIVE_UP, OTHER, PEER, nameaddr

# ---- refused ------------------------------------------------------------------------------------


@pytest.mark.requirement("trunk.status-reasons")
@pytest.mark.parametrize(
    ("status", "failure", "words"),
    [
        (403, RegistrationFailure.FORBIDDEN, "forbids"),
        (404, RegistrationFailure.UNKNOWN_DOMAIN, "does not know this user or domain"),
        (500, RegistrationFailure.REJECTED, "500"),
        (600, RegistrationFailure.REJECTED, "600"),
    ],
)
def test_a_refusal_is_told_in_words(status: int, failure: RegistrationFailure, words: str) -> None:
    trunk = Trunk(PEER)
    trunk.hear(status)
    change = trunk.change()
    assert (change.failure, change.sip_status) == (failure, status)
    assert words in change.reason
    assert trunk.registration.reason == change.reason
    assert trunk.registration.state is RegistrationState.FAILED


@pytest.mark.requirement("trunk.min-expires")
def test_423_is_followed_to_the_wanted_interval_at_once_and_from_then_on() -> None:
    trunk = Trunk(PEER)
    trunk.hear(423, Min_Expires=600)
    assert trunk.register.expires == 600
    assert "expires=600" in str(trunk.register.contact)
    trunk.grant(600)
    trunk.next_register()
    assert trunk.register.expires == 600


@pytest.mark.parametrize("wanted", [100, 300, 100_000_000, "x"])
def test_a_423_that_makes_no_sense_is_a_refusal(wanted: object) -> None:
    trunk = Trunk(PEER)
    trunk.hear(423, Min_Expires=wanted)
    assert trunk.change().failure is RegistrationFailure.REJECTED


def test_423_over_and_over_is_a_refusal() -> None:
    trunk = Trunk(PEER)
    for wanted in (400, 500, 600):
        trunk.hear(423, Min_Expires=wanted)
    assert trunk.change().failure is RegistrationFailure.REJECTED
    assert trunk.node.take_sent().count("REGISTER") == 3


@pytest.mark.requirement("trunk.status-reasons")
def test_no_answer_is_a_timeout_in_words() -> None:
    trunk = Trunk(PEER)
    trunk.node.advance(GIVE_UP)
    change = trunk.change()
    assert change.failure is RegistrationFailure.TIMEOUT
    assert "did not answer" in change.reason
    assert change.sip_status is None


@pytest.mark.requirement("trunk.status-reasons")
def test_what_does_not_answer_is_named_by_its_own_name_not_the_domain() -> None:
    trunk = Trunk(PEER, server="proxy.example.net:5080")
    trunk.node.advance(GIVE_UP)
    reason = trunk.change().reason
    assert reason.startswith("proxy.example.net:5080 did not answer")
    assert "provider.example" not in reason
    refused = Trunk(PEER, server="proxy.example.net:5080")
    refused.hear(403)
    assert refused.change().reason.startswith("provider.example forbids")


@pytest.mark.requirement("trunk.status-reasons")
def test_a_registrar_that_cannot_be_sent_to_is_unreachable_and_the_reason_says_why() -> None:
    trunk = Trunk(PEER, server="proxy.example.net")
    failed = replace(
        trunk.node.last("REGISTER").transmission, failure="its certificate has expired"
    )
    trunk.node.endpoint.transport_failed(failed, trunk.node.now)
    trunk.node.drain()
    change = trunk.change()
    assert change.failure is RegistrationFailure.UNREACHABLE
    assert change.reason == "proxy.example.net cannot be reached: its certificate has expired"


@pytest.mark.requirement("trunk.dns-failover")
def test_the_next_hop_is_tried_before_the_registration_fails() -> None:
    trunk = Trunk(PEER, OTHER)
    trunk.node.advance(GIVE_UP)
    assert trunk.changes() == []
    assert trunk.node.last("REGISTER").destination.hop == OTHER
    trunk.grant(flow=OTHER)
    trunk.next_register()
    assert trunk.node.last("REGISTER").destination.hop == OTHER


def test_a_503_tries_the_next_hop() -> None:
    trunk = Trunk(PEER, OTHER)
    trunk.hear(503)
    assert trunk.node.last("REGISTER").destination.hop == OTHER


def test_a_failed_refresh_is_reported_and_a_later_success_too() -> None:
    trunk = Trunk(PEER)
    trunk.grant()
    trunk.changes()
    trunk.next_register()
    trunk.hear(500)
    assert trunk.change().status is RegistrationStatus.UNREGISTERED
    trunk.next_register()
    trunk.grant()
    assert trunk.change().status is RegistrationStatus.REGISTERED
    assert trunk.registration.reason == ""


# ---- trying again -------------------------------------------------------------------------------


def test_tries_come_further_and_further_apart_up_to_a_bound() -> None:
    trunk = Trunk(PEER, random=1.0)
    waits = []
    for _ in range(9):
        trunk.hear(500)
        waits.append(trunk.next_register())
    assert waits[:4] == pytest.approx([8.0, 16.0, 32.0, 64.0])
    assert waits[-1] == pytest.approx(300.0)


def test_what_a_person_has_to_mend_is_tried_less_often() -> None:
    trunk = Trunk(PEER, random=1.0)
    trunk.hear(403)
    change = trunk.change()
    assert change.retry_in == pytest.approx(60.0)
    assert trunk.next_register() == pytest.approx(60.0)


def test_the_wait_is_spread_over_its_second_half() -> None:
    policy = RetryPolicy(first=10.0, longest=100.0)
    assert policy.delay(1, 0.0) == 5.0
    assert policy.delay(1, 1.0) == 10.0
    assert policy.delay(3, 1.0) == 40.0
    assert policy.delay(10_000, 1.0) == 100.0


def test_the_same_failure_again_is_no_news() -> None:
    trunk = Trunk(PEER)
    trunk.hear(500)
    trunk.changes()
    trunk.next_register()
    trunk.hear(500)
    assert trunk.changes() == []
    trunk.next_register()
    trunk.hear(403)
    assert trunk.change().failure is RegistrationFailure.FORBIDDEN


def test_retry_after_is_honoured_within_a_bound() -> None:
    trunk = Trunk(PEER)
    trunk.hear(503, Retry_After=120)
    assert trunk.next_register() == pytest.approx(120.0)
    trunk.hear(503, Retry_After=999999999)
    assert trunk.next_register() == pytest.approx(3600.0)
    trunk.hear(503, Retry_After="soon")
    assert trunk.next_register() < 60.0


def test_a_success_starts_the_waits_from_the_beginning() -> None:
    trunk = Trunk(PEER, random=1.0)
    for _ in range(3):
        trunk.hear(500)
        trunk.next_register()
    trunk.grant()
    trunk.next_register()
    trunk.hear(500)
    assert trunk.next_register() == pytest.approx(8.0)


# ---- names --------------------------------------------------------------------------------------


def test_without_hops_the_registrars_name_is_asked_for_first() -> None:
    trunk = Trunk()
    needed = trunk.node.event(ResolveNeeded)
    assert needed.key == trunk.registration.id
    assert str(needed.uri) == "sip:provider.example"
    trunk.node.endpoint.resolved(needed.key, (OTHER,), trunk.node.now)
    trunk.node.drain()
    assert trunk.node.last("REGISTER").destination.hop == OTHER


def test_with_an_outbound_proxy_its_name_is_asked_for() -> None:
    trunk = Trunk(routes=(nameaddr("<sip:proxy.example;lr>"),))
    assert str(trunk.node.event(ResolveNeeded).uri) == "sip:proxy.example;lr"


def test_a_name_that_is_not_found_is_told_in_words_and_tried_again() -> None:
    trunk = Trunk()
    key = trunk.registration.id
    trunk.node.endpoint.resolved(key, (), trunk.node.now, failure="no such name in DNS")
    trunk.node.drain()
    trunk.node.events = [e for e in trunk.node.events if isinstance(e, RegistrationChanged)]
    change = trunk.change()
    assert change.failure is RegistrationFailure.NAME_NOT_FOUND
    assert "no such name in DNS" in change.reason
    trunk.next_register()
    trunk.node.event(ResolveNeeded)


def test_a_name_that_nobody_answers_for_is_not_found() -> None:
    trunk = Trunk()
    trunk.node.advance(GIVE_UP)
    changes = trunk.changes()
    assert changes[-1].failure is RegistrationFailure.NAME_NOT_FOUND


def test_after_all_hops_failed_the_name_is_asked_for_anew() -> None:
    trunk = Trunk(PEER)
    trunk.node.advance(GIVE_UP)
    trunk.node.events.clear()
    trunk.next_register()
    trunk.node.event(ResolveNeeded)


def test_hops_can_be_replaced() -> None:
    trunk = Trunk(PEER)
    trunk.grant()
    trunk.registration.use_hops((OTHER,))
    trunk.next_register()
    assert trunk.node.last("REGISTER").destination.hop == OTHER
