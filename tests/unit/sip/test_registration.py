"""Registrations (RFC 3261 section 10): grants, refreshes, challenges, the end."""

from __future__ import annotations

import pytest

from ringback.sip.registration import (
    TRANSITIONS,
    RegistrationFailure,
    RegistrationState,
    RegistrationStatus,
)
from ringback.sip.transport import Flow, Hop
from unit.sip.registration_lab import Trunk
from unit.sip.sipkit import OTHER, PEER, answer_to, nameaddr

# ---- the request --------------------------------------------------------------------------------


def test_the_register_has_what_a_registrar_needs() -> None:
    trunk = Trunk(
        PEER,
        contact_params=(("tok", "xyz"),),
        display_name="Alice A",
        routes=(nameaddr("<sip:192.0.2.2;lr>"),),
        headers=(("X-Vendor", "1"),),
    )
    register = trunk.register
    assert str(register.uri) == "sip:provider.example"
    assert str(register.to) == "Alice A <sip:alice@provider.example>"
    assert register.from_.uri == register.to.uri
    assert register.from_.tag is not None
    assert str(register.contact) == "<sip:alice@192.0.2.1:5060;tok=xyz>;expires=300"
    assert register.expires == 300
    assert [str(route) for route in register.routes] == ["<sip:192.0.2.2;lr>"]
    assert register.headers.get("X-Vendor") == "1"
    assert trunk.registration.state is RegistrationState.REGISTERING
    assert trunk.registration.status is RegistrationStatus.UNKNOWN


def test_call_id_and_from_tag_stay_and_cseq_grows() -> None:
    trunk = Trunk(PEER)
    first = trunk.register
    trunk.challenge()
    second = trunk.register
    trunk.grant()
    trunk.next_register()
    third = trunk.register
    assert len({request.call_id for request in (first, second, third)}) == 1
    assert len({request.from_.tag for request in (first, second, third)}) == 1
    assert [request.cseq.number for request in (first, second, third)] == [1, 2, 3]


@pytest.mark.requirement("rfc3261.8.1.1")
def test_no_two_registrations_share_a_call_id_or_a_tag() -> None:
    trunk = Trunk(PEER)
    first = trunk.register
    trunk.node.endpoint.register(trunk.registration.request, [PEER], now=trunk.node.now)
    trunk.node.drain()
    second = trunk.register
    assert first.call_id != second.call_id
    assert first.from_.tag != second.from_.tag


# ---- registered ---------------------------------------------------------------------------------


def test_a_grant_registers_and_is_reported_once() -> None:
    trunk = Trunk(PEER)
    trunk.grant(expires=120)
    change = trunk.change()
    assert change.registration is trunk.registration
    assert (change.status, change.expires) == (RegistrationStatus.REGISTERED, 120)
    trunk.next_register()
    trunk.grant(expires=120)
    assert trunk.changes() == []
    assert trunk.registration.state is RegistrationState.REGISTERED


@pytest.mark.requirement("trunk.refresh")
@pytest.mark.parametrize(
    ("granted", "wait"), [(3600, 3560.0), (300, 260.0), (60, 30.0), (20, 10.0), (1, 1.0)]
)
def test_the_refresh_comes_before_the_granted_expiry(granted: int, wait: float) -> None:
    trunk = Trunk(PEER)
    trunk.grant(granted)
    assert trunk.next_register() == pytest.approx(wait)
    assert trunk.registration.state is RegistrationState.REFRESHING


def test_the_refresh_is_spread_by_a_random_tenth() -> None:
    trunk = Trunk(PEER, random=1.0)
    trunk.grant(300)
    assert trunk.next_register() == pytest.approx(234.0)


@pytest.mark.requirement("trunk.refresh")
def test_what_we_ask_for_does_not_follow_what_was_granted_down() -> None:
    trunk = Trunk(PEER)
    for granted in (200, 100, 60):
        trunk.grant(granted)
        trunk.next_register()
        assert trunk.register.expires == 300


def test_the_expiry_of_our_own_contact_counts_and_not_that_of_other_devices() -> None:
    trunk = Trunk(PEER)
    trunk.hear(
        200,
        Expires=3600,
        Contact=(
            "<sip:alice@198.51.100.1:5060>;expires=20, "
            f"{trunk.binding};expires=100, <sip:other@192.0.2.1>;expires=1"
        ),
    )
    assert trunk.change().expires == 100


def test_a_contact_that_the_registrar_rewrote_is_found_by_its_parameter() -> None:
    trunk = Trunk(PEER, contact_params=(("tok", "xyz"),))
    trunk.hear(
        200,
        Contact=(
            "<sip:alice@198.51.100.1:5060;tok=abc>;expires=20, "
            "<sip:alice@203.0.113.9:40000;tok=xyz>;expires=90"
        ),
    )
    assert trunk.change().expires == 90


def test_a_contact_that_the_registrar_rewrote_is_found_by_its_user_if_it_is_the_only_one() -> None:
    trunk = Trunk(PEER)
    trunk.hear(200, Contact="<sip:alice@203.0.113.9:40000>;expires=80")
    assert trunk.change().expires == 80


def test_without_our_contact_the_expires_header_counts() -> None:
    trunk = Trunk(PEER)
    trunk.hear(200, Expires=77, Contact="<sip:someone@198.51.100.1>;expires=20")
    assert trunk.change().expires == 77


@pytest.mark.parametrize("contact", ["*", "<<<", "<sip:alice@192.0.2.1:5060>;expires=never"])
def test_without_any_expiry_that_can_be_read_what_we_asked_for_counts(contact: str) -> None:
    trunk = Trunk(PEER)
    trunk.hear(200, Contact=contact, Expires="soon")
    assert trunk.change().expires == 300


def test_a_grant_of_no_time_is_a_refusal() -> None:
    trunk = Trunk(PEER)
    trunk.grant(0)
    change = trunk.change()
    assert change.failure is RegistrationFailure.REJECTED
    assert "no time" in change.reason


def test_the_address_that_the_registrar_sees_is_exposed_and_its_change_is_news() -> None:
    trunk = Trunk(PEER)

    def grant_seen_at(port: int) -> None:
        response = answer_to(trunk.register, 200, contact=None)
        via = response.top_via.with_source("203.0.113.9", port)
        response.headers.set("Via", via)
        trunk.node.receive(response)

    grant_seen_at(40000)
    assert trunk.change().observed == ("203.0.113.9", 40000)
    assert trunk.registration.observed == ("203.0.113.9", 40000)
    trunk.next_register()
    grant_seen_at(40000)
    assert trunk.changes() == []
    trunk.next_register()
    grant_seen_at(41000)
    assert trunk.change().observed == ("203.0.113.9", 41000)


def test_a_refresh_on_demand_is_sent_at_once() -> None:
    trunk = Trunk(PEER)
    assert not trunk.registration.refresh(now=trunk.node.now)
    trunk.grant()
    trunk.node.take_sent()
    assert trunk.registration.refresh(now=trunk.node.now)
    trunk.node.drain()
    assert trunk.node.take_sent() == ["REGISTER"]


def test_a_lost_connection_is_registered_again_over_a_new_one() -> None:
    hop = Hop("tls", "192.0.2.2", 5061)
    trunk = Trunk(hop)
    trunk.grant(flow=Flow(hop, 9))
    trunk.node.take_sent()
    trunk.node.endpoint.connection_closed(8, trunk.node.now)
    trunk.node.drain()
    assert trunk.node.take_sent() == []
    trunk.node.endpoint.connection_closed(9, trunk.node.now)
    trunk.node.drain()
    assert trunk.node.last("REGISTER").destination == Flow(hop, None)
    assert trunk.node.take_sent() == ["REGISTER"]


# ---- authentication -----------------------------------------------------------------------------


@pytest.mark.requirement("trunk.auth-username")
def test_a_challenge_is_answered_with_the_authentication_user() -> None:
    trunk = Trunk(PEER)
    trunk.challenge()
    assert 'username="alice-auth"' in (trunk.register.headers.get("Authorization") or "")
    trunk.grant()
    assert trunk.change().status is RegistrationStatus.REGISTERED


@pytest.mark.requirement("trunk.challenge-same-host", "rfc3261.22")
def test_a_challenge_is_answered_where_it_came_from_though_there_are_other_hops() -> None:
    trunk = Trunk(PEER, OTHER)
    trunk.challenge()
    assert "Authorization" in trunk.register.headers
    assert trunk.node.last("REGISTER").destination.hop == PEER


def test_a_refresh_carries_credentials_unasked_and_a_new_nonce_is_no_wrong_password() -> None:
    trunk = Trunk(PEER)
    trunk.challenge()
    trunk.grant()
    trunk.changes()
    trunk.next_register()
    assert "nc=00000002" in (trunk.register.headers.get("Authorization") or "")
    trunk.challenge("n2")
    assert 'nonce="n2"' in (trunk.register.headers.get("Authorization") or "")
    trunk.grant()
    assert trunk.changes() == []


@pytest.mark.requirement("trunk.status-reasons")
def test_the_same_challenge_again_means_a_wrong_password() -> None:
    trunk = Trunk(PEER)
    trunk.challenge("n1")
    trunk.challenge("n2")
    change = trunk.change()
    assert change.status is RegistrationStatus.UNREGISTERED
    assert change.failure is RegistrationFailure.WRONG_PASSWORD
    assert change.reason.startswith("wrong password")
    assert "provider.example" in change.reason
    assert change.sip_status == 401
    assert trunk.node.take_sent().count("REGISTER") == 2


@pytest.mark.requirement("trunk.stale-nonce")
def test_a_stale_nonce_is_no_wrong_password() -> None:
    trunk = Trunk(PEER)
    trunk.challenge("n1")
    trunk.challenge("n2", ", stale=true")
    assert trunk.changes() == []
    trunk.grant()
    assert trunk.change().status is RegistrationStatus.REGISTERED


def test_a_challenge_without_credentials_says_so() -> None:
    trunk = Trunk(PEER, credentials=None)
    trunk.challenge()
    change = trunk.change()
    assert change.failure is RegistrationFailure.NO_CREDENTIALS
    assert "no password is set" in change.reason


def test_a_challenge_that_we_cannot_answer_says_so() -> None:
    trunk = Trunk(PEER)
    trunk.hear(401, WWW_Authenticate="Basic realm=x")
    assert "kind of authentication" in trunk.change().reason


# ---- the end ------------------------------------------------------------------------------------


def test_unregister_removes_our_binding_and_is_reported() -> None:
    trunk = Trunk(PEER)
    trunk.grant()
    trunk.changes()
    assert trunk.registration.unregister(now=trunk.node.now)
    trunk.node.drain()
    assert trunk.register.expires == 0
    assert "expires=0" in str(trunk.register.contact)
    assert trunk.changes() == []
    trunk.hear(200)
    assert trunk.change().status is RegistrationStatus.UNKNOWN
    assert trunk.registration.state is RegistrationState.UNREGISTERED
    assert not trunk.registration.unregister(now=trunk.node.now)
    trunk.node.settle()
    assert trunk.node.clean
    assert trunk.node.take_sent().count("REGISTER") == 2


@pytest.mark.parametrize("status", [403, 500])
def test_a_refused_unregister_is_the_end_too(status: int) -> None:
    trunk = Trunk(PEER)
    trunk.grant()
    trunk.registration.unregister(now=trunk.node.now)
    trunk.node.drain()
    trunk.hear(status)
    trunk.node.settle()
    assert trunk.registration.state is RegistrationState.UNREGISTERED
    assert trunk.node.clean


def test_an_unanswered_unregister_ends_after_its_timeout() -> None:
    trunk = Trunk(PEER)
    trunk.grant()
    trunk.registration.unregister(now=trunk.node.now)
    trunk.node.settle()
    assert trunk.changes()[-1].status is RegistrationStatus.UNKNOWN
    assert trunk.node.clean


def test_a_challenged_unregister_is_sent_again_with_credentials() -> None:
    trunk = Trunk(PEER)
    trunk.grant()
    trunk.registration.unregister(now=trunk.node.now)
    trunk.node.drain()
    trunk.challenge()
    assert trunk.register.expires == 0
    assert "Authorization" in trunk.register.headers
    trunk.hear(200)
    assert trunk.registration.stopped


def test_unregister_while_the_register_is_under_way_forgets_it() -> None:
    trunk = Trunk(PEER)
    first = trunk.register
    trunk.registration.unregister(now=trunk.node.now)
    trunk.node.drain()
    assert trunk.register.expires == 0
    trunk.node.receive(answer_to(first, 200, contact=None))
    assert trunk.registration.state is RegistrationState.UNREGISTERING
    trunk.hear(200)
    assert trunk.registration.stopped


def test_unregister_after_a_failure_has_nothing_to_remove() -> None:
    trunk = Trunk(PEER)
    trunk.hear(403)
    trunk.changes()
    trunk.node.take_sent()
    assert trunk.registration.unregister(now=trunk.node.now)
    trunk.node.drain()
    assert trunk.node.take_sent() == []
    assert trunk.change().status is RegistrationStatus.UNKNOWN
    trunk.node.settle()
    assert trunk.node.clean


def test_unregister_after_a_failed_refresh_removes_what_may_be_left() -> None:
    trunk = Trunk(PEER)
    trunk.grant(300)
    trunk.next_register()
    trunk.hear(500)
    trunk.node.take_sent()
    trunk.registration.unregister(now=trunk.node.now)
    trunk.node.drain()
    assert trunk.register.expires == 0
    assert trunk.node.take_sent() == ["REGISTER"]


def test_unregister_while_the_name_is_looked_up_needs_it_once_more() -> None:
    trunk = Trunk()
    trunk.registration.unregister(now=trunk.node.now)
    trunk.node.endpoint.resolved(trunk.registration.id, (PEER,), trunk.node.now)
    trunk.node.drain()
    assert trunk.register.expires == 0
    trunk.hear(200)
    trunk.node.settle()
    assert trunk.node.clean


def test_every_state_can_be_left_and_reached() -> None:
    states = set(RegistrationState)
    assert {state for state, _ in TRANSITIONS} == states
    assert set(TRANSITIONS.values()) == states
