"""What kind of destination a dialled text is, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.telephony.destinations import MAX_DIALLED, DestinationClass, classify

EMERGENCY, PREMIUM = DestinationClass.EMERGENCY, DestinationClass.PREMIUM
SATELLITE, SHARED = DestinationClass.SATELLITE, DestinationClass.SHARED_COST
ABROAD, ONE_RING = DestinationClass.INTERNATIONAL, DestinationClass.ONE_RING


@pytest.mark.requirement("guard.premium")
@pytest.mark.parametrize(
    ("user", "region", "kind"),
    [
        ("+19005551212", None, PREMIUM),
        ("+19001234567", None, PREMIUM),
        ("0019005551212", None, PREMIUM),
        ("1-900-555-1212", "US", PREMIUM),
        ("9005551212", "US", PREMIUM),
        ("09001234567", "DE", PREMIUM),
        ("+33899123456", None, PREMIUM),
        ("0899123456", "FR", PREMIUM),
        ("+449012345678", None, PREMIUM),
        ("+447012345678", None, PREMIUM),
        ("+979123456789", None, PREMIUM),
        ("3900", "FR", PREMIUM),
        ("+491801234567", None, SHARED),
        ("+80812345678", None, SHARED),
        ("+8816512345678", None, SATELLITE),
        ("8816512345678", None, SATELLITE),
        ("008816512345678", "FR", SATELLITE),
        ("0118816512345678", "US", SATELLITE),
        ("0118816512345678", None, SATELLITE),
        ("+870773111632", None, SATELLITE),
        ("+88213212345", None, SATELLITE),
        ("+883510000000009", None, SATELLITE),
        ("+88812", None, SATELLITE),
        ("*31#008816512345678", "FR", SATELLITE),
        ("+881 65 12-34.56(78)", None, SATELLITE),
        ("+8816512345678;phone-context=x", None, SATELLITE),
    ],
)
def test_dear_destinations_are_known_in_every_way_of_writing(
    user: str, region: str | None, kind: DestinationClass
) -> None:
    assert kind in classify(user, region).classes


@pytest.mark.parametrize(
    ("user", "region"),
    [
        ("+33612345678", None),
        ("+15550001111", None),
        ("8885551212", "US"),  # toll-free at home, not a country code
        ("0612345678", "FR"),
        ("2001", None),
        ("100", "DE"),
        ("bob", None),
        ("alice00881612345678", None),
        ("+18005551212", None),
    ],
)
def test_ordinary_destinations_are_ordinary(user: str, region: str | None) -> None:
    assert not classify(user, region).classes & {EMERGENCY, PREMIUM, SATELLITE, SHARED, ONE_RING}


@pytest.mark.parametrize(
    ("user", "region", "emergency"),
    [
        ("112", None, True),
        ("911", None, True),
        ("110", None, True),
        ("110", "DE", True),
        ("110", "FR", False),  # an extension there
        ("15", "FR", True),
        ("999", "GB", True),
        ("112", "US", True),
        ("+49112", None, True),
        ("0049110", None, True),
        ("1120", None, False),
        ("113", None, False),
    ],
)
def test_emergency_numbers_are_those_of_the_trunks_country(
    user: str, region: str | None, emergency: bool
) -> None:
    assert (EMERGENCY in classify(user, region).classes) == emergency


def test_abroad_is_what_is_not_the_trunks_country() -> None:
    assert ABROAD not in classify("+33612345678", "FR").classes
    assert ABROAD in classify("+32470123456", "FR").classes
    assert ABROAD not in classify("+32470123456").classes
    assert classify("+18095551234", "US").classes == {ABROAD, ONE_RING}


@pytest.mark.requirement("guard.destinations")
def test_an_allowed_prefix_must_fit_every_reading_and_a_denied_one_any() -> None:
    destination = classify("9055512121", "US")
    assert destination.numbers == ("+19055512121", "+9055512121")
    assert destination.begins_with("+90")
    assert not destination.lies_within(["+1"])
    assert classify("101").lies_within(["10"])
    assert not classify("bob").lies_within(["+33"])


@given(st.text(max_size=2 * MAX_DIALLED), st.sampled_from([None, "FR", "US", "DE", "IT"]))
def test_any_text_has_a_kind_and_a_bounded_name(text: str, region: str | None) -> None:
    destination = classify(text, region)
    assert len(destination.shown) <= MAX_DIALLED + 4


@given(st.from_regex(r"\+?[0-9*#]{1,20}", fullmatch=True), st.sampled_from([None, "FR", "US"]))
def test_any_digits_are_read_without_complaint(text: str, region: str | None) -> None:
    classify(text, region)
