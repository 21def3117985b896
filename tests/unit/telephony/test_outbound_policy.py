"""Where and when a trunk may call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ringback.core.errors import Forbidden
from ringback.telephony.destinations import classify
from ringback.telephony.limit_schemas import NightRule, TrunkLimits
from ringback.telephony.outbound_policy import check_destination, is_night

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)


def refusal(
    user: str, at: datetime = NOON, node_denied: tuple[str, ...] = (), **limits: Any
) -> Forbidden | None:
    try:
        check_destination(
            classify(user, "FR"), TrunkLimits.model_validate(limits), "trunk_1", at, node_denied
        )
    except Forbidden as error:
        return error
    return None


def code(user: str, at: datetime = NOON, **limits: Any) -> str | None:
    error = refusal(user, at, **limits)
    return error.code if error else None


@pytest.mark.requirement("guard.premium")
def test_by_default_ordinary_numbers_may_be_called_and_dear_ones_not() -> None:
    assert code("+33612345678") is None
    assert code("+12125551212") is None
    assert code("2001") is None
    assert code("bob") is None
    assert code("0899123456") == "premium_denied"
    assert code("0825123456") == "premium_denied"
    assert code("+8816512345678") == "satellite_denied"
    assert code("112") == "emergency_denied"


@pytest.mark.requirement("guard.premium")
def test_each_kind_is_lifted_by_taking_it_out_and_the_hint_says_so() -> None:
    error = refusal("+8816512345678")
    assert error is not None
    assert "satellite" in error.hint
    assert "PATCH /api/trunks/trunk_1" in error.hint
    assert code("+8816512345678", denied_classes=["premium"]) is None
    assert code("112", denied_classes=[]) is None
    assert code("+32470123456", denied_classes=["international"]) == "destination_denied"
    assert code("+18095551234", denied_classes=["one_ring"]) == "destination_denied"


@pytest.mark.requirement("guard.destinations")
def test_prefixes_are_allowed_and_denied() -> None:
    assert code("+33612345678", allowed_prefixes=["+33", "+32"]) is None
    assert code("0612345678", allowed_prefixes=["+33"]) is None
    assert code("+12125551212", allowed_prefixes=["+33"]) == "destination_denied"
    assert code("bob", allowed_prefixes=["+33"]) == "destination_denied"
    assert code("2001", allowed_prefixes=["+32"]) == "destination_denied"
    assert code("2001", allowed_prefixes=["+32", "20"]) is None
    assert code("+22507123456", denied_prefixes=["+225"]) == "destination_denied"
    assert code("0022507123456", denied_prefixes=["+225"]) == "destination_denied"
    both: dict[str, Any] = {"allowed_prefixes": ["+33"], "denied_prefixes": ["+336"]}
    assert code("+33612345678", **both) == "destination_denied"
    assert code("+33472000000", **both) is None


@pytest.mark.requirement("guard.destinations")
def test_what_the_node_denies_no_trunk_allows() -> None:
    error = refusal("+22507123456", node_denied=("+225",), allowed_prefixes=["+225"])
    assert error is not None
    assert "RINGBACK_OUTBOUND_DENIED_PREFIXES" in error.hint


@pytest.mark.requirement("guard.cost-and-night")
def test_at_night_only_the_named_prefixes_may_be_called() -> None:
    night = {"begins": "22:00", "ends": "06:00", "allowed_prefixes": ["+336"]}
    assert code("+33472000000", NOON, night_rule=night) is None
    assert code("+33472000000", MIDNIGHT, night_rule=night) == "night_rule"
    assert code("+33612345678", MIDNIGHT, night_rule=night) is None
    assert code("+33472000000", MIDNIGHT, night_rule={**night, "time_zone": "Asia/Tokyo"}) is None


@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        ("22:00", "06:00", {22, 23, 0, 1, 2, 3, 4, 5}),
        ("12:00", "14:00", {12, 13}),
        ("00:00", "00:00", set(range(24))),
    ],
)
def test_the_hours_of_the_night(begins: str, ends: str, hours: set[int]) -> None:
    rule = NightRule(begins=begins, ends=ends)
    found = {h for h in range(24) if is_night(rule, datetime(2026, 1, 1, h, tzinfo=UTC))}
    assert found == hours
