"""Which trunk carries a call, and how the called number is written for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.connectors.sip.directory import OutboundRoute
from ringback.core.errors import InvalidRequest, NotConfigured
from ringback.telephony.directory import Directory
from ringback.telephony.routing import OutboundQuery, route_outbound
from unit.telephony.rows import directory, number, trunk

PARIS = "+33612345678"
EXAMPLE = {"host": "sip.example.com"}


def dial(
    known: Directory, target: str, *, down: frozenset[str] = frozenset(), **wishes: Any
) -> OutboundRoute:
    return route_outbound(OutboundQuery("a", target, **wishes), known, down.__contains__)


def test_the_documented_form_is_carried_by_the_trunk_with_that_host() -> None:
    known = directory(trunk("t1", host="sip.other.com"), trunk("t2", **EXAMPLE))
    route = dial(known, "sip:+33612345678@sip.example.com")
    assert (route.trunk.id, route.user, route.caller_id) == ("t2", PARIS, None)
    assert dial(known, "sip:+33612345678@SIP.Example.com:5060").trunk.id == "t2"


@pytest.mark.parametrize("target", ["+33612345678", "+33 6 12 34 56 78", "tel:+33-6-12-34-56-78"])
def test_a_number_alone_takes_the_oldest_trunk(target: str) -> None:
    known = directory(trunk("t2", host="sip.other.com"), trunk("t1", **EXAMPLE))
    route = dial(known, target)
    assert (route.trunk.id, route.user) == ("t1", PARIS)


def test_a_trunk_is_known_by_its_realm_proxy_and_addresses_too() -> None:
    known = directory(
        trunk("t", **EXAMPLE, realm="sip-domain.io", outbound_proxy="proxy.example.com:5080")
    )
    known.set_addresses("t", ["192.0.2.1"])
    for host in ("sip-domain.io", "proxy.example.com", "192.0.2.1"):
        assert dial(known, f"sip:{PARIS}@{host}").trunk.id == "t"


@pytest.mark.requirement("call.number-formats")
@pytest.mark.parametrize(
    ("values", "target", "user"),
    [
        ({"dial_format": "e164_no_plus"}, PARIS, "33612345678"),
        ({"dial_format": "international"}, PARIS, "0033612345678"),
        ({"dial_format": "national", "country": "FR"}, PARIS, "0612345678"),
        ({"dial_format": "national", "caller_id": "+33472000000"}, PARIS, "0612345678"),
        ({"dial_format": "national", "country": "US"}, PARIS, "0033612345678"),
        ({"tech_prefix": "77"}, PARIS, "77+33612345678"),
        ({"dial_format": "e164_no_plus", "tech_prefix": "77"}, PARIS, "7733612345678"),
        ({"country": "FR"}, "06 12 34 56 78", PARIS),
        ({"dial_format": "e164_no_plus"}, "sip:+33612345678@sip.example.com", "33612345678"),
        ({"dial_format": "e164_no_plus"}, "sip:0033612345678@sip.example.com", "33612345678"),
        ({}, "sip:0612345678@sip.example.com", "0612345678"),
        ({"tech_prefix": "77"}, "sip:0612345678@sip.example.com", "770612345678"),
        ({"tech_prefix": "77"}, "sip:2001@sip.example.com", "2001"),
        ({}, "sip:bob@sip.example.com", "bob"),
    ],
)
def test_the_number_is_written_as_the_trunk_wants_it(
    values: dict[str, Any], target: str, user: str
) -> None:
    assert dial(directory(trunk("t", **EXAMPLE, **values)), target).user == user


def test_without_a_trunk_it_says_what_to_set_up() -> None:
    cases = (
        directory(),
        directory(trunk("t", account_id="b")),
        directory(trunk("t", enabled=False)),
        directory(trunk("t", host=None, mode="ip_allowlist", allowed_ips=["192.0.2.1"])),
    )
    for known in cases:
        with pytest.raises(NotConfigured) as caught:
            dial(known, "sip:+33612345678@sip.example.com")
        assert caught.value.code == "no_sip_trunk"


def test_a_host_that_no_trunk_has_is_refused_with_those_that_there_are() -> None:
    known = directory(trunk("t", **EXAMPLE), trunk("u", account_id="b", host="sip.evil.com"))
    with pytest.raises(InvalidRequest) as caught:
        dial(known, "sip:+33612345678@sip.evil.com")
    assert caught.value.code == "no_trunk_for_host"
    assert "sip.example.com" in caught.value.hint
    assert "evil" not in caught.value.hint


@pytest.mark.parametrize(
    "target", ["sip:", "sip:@", "sip:sip.example.com", "hello", "+33 6", "", "tel:", "tel:abc"]
)
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dial(directory(trunk("t", **EXAMPLE)), target)
    assert (caught.value.code, caught.value.field) == ("invalid_target", "meeting_url")


def test_a_wished_trunk_is_taken_or_refused_but_never_replaced() -> None:
    known = directory(
        trunk("t1"), trunk("t2"), trunk("off", enabled=False), trunk("b", account_id="b")
    )
    assert dial(known, PARIS, trunk_id="t2", down=frozenset({"t2"})).trunk.id == "t2"
    for wish in ("off", "b", "nothing"):
        with pytest.raises(InvalidRequest) as caught:
            dial(known, PARIS, trunk_id=wish)
        assert caught.value.code == "trunk_not_found"


def test_a_trunk_that_is_not_registered_is_the_last_choice() -> None:
    known = directory(trunk("t1"), trunk("t2"))
    assert dial(known, PARIS).trunk.id == "t1"
    assert dial(known, PARIS, down=frozenset({"t1"})).trunk.id == "t2"
    assert dial(known, PARIS, down=frozenset({"t1", "t2"})).trunk.id == "t1"


def test_the_trunk_of_the_callers_number_is_preferred() -> None:
    known = directory(trunk("t1"), trunk("t2"), number("n", "+33472000000", trunk_id="t2"))
    route = dial(known, PARIS, caller_id="+33472000000")
    assert (route.trunk.id, route.caller_id) == ("t2", "+33472000000")
    down = dial(known, PARIS, caller_id="+33472000000", down=frozenset({"t2"}))
    assert down.trunk.id == "t1"


def test_the_trunks_caller_id_is_shown_unless_the_call_has_its_own() -> None:
    known = directory(trunk("t", caller_id="+33100000000"))
    assert dial(known, PARIS).caller_id == "+33100000000"
    assert dial(known, PARIS, caller_id="+33472000000").caller_id == "+33472000000"
    bare = directory(trunk("t", caller_id="+33100000000", dial_format="e164_no_plus"))
    assert dial(bare, PARIS).caller_id == "33100000000"


@given(st.text(max_size=60))
def test_no_target_crashes_routing(target: str) -> None:
    known = directory(trunk("t", **EXAMPLE))
    for text in (target, f"sip:{target}", f"sip:{target}@sip.example.com", f"tel:{target}"):
        try:
            route = dial(known, text)
        except InvalidRequest:
            continue
        assert route.user
