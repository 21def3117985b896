"""What kind of destination a dialled text is: emergency, premium, satellite, … Pure.

A dialled text can often be read in more than one way (national or international, with or without
the carrier's prefix); it is of every kind that one of its readings is, because the phone bill
does not ask which was meant.

Sources: ITU-T E.164 assigned country codes (870, 878, 881, 882, 883, 888, 979) and the metadata
of libphonenumber (premium, shared cost and personal numbers, short numbers and their cost,
emergency numbers by country).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType, ShortNumberCost, shortnumberinfo
from phonenumbers.phonenumberutil import PhoneNumberFormat

MAX_DIALLED = 64
"""Characters of a user part that are looked at; more is no number."""

SATELLITE_CODES = (870, 878, 881, 882, 883, 888)
"""Inmarsat, personal numbers, satellite networks, international networks, disaster relief."""
PREMIUM_PREFIXES = (
    "+1900",
    "+1976",
    "+979",
    "+4490",
    "+4491",
    "+4498",
    "+49900",
    "+4319",
    "+43930",
)
"""Premium ranges also where the digits after them are not a number that was given out."""
ONE_RING_CODES = (
    *("+1242", "+1246", "+1264", "+1268", "+1284", "+1345", "+1441", "+1473", "+1649", "+1658"),
    *("+1664", "+1721", "+1758", "+1767", "+1784", "+1809", "+1829", "+1849", "+1868", "+1869"),
    *("+1876", "+222", "+232", "+235", "+252", "+53", "+675", "+677", "+678", "+688"),
)
"""Caribbean codes that look like numbers of the United States, and other countries to which
one-ring fraud lures callers back. Ordinary countries: denied only where that is asked for."""
EMERGENCY_ANYWHERE = frozenset({"112", "911"})
EMERGENCY_WITHOUT_REGION = frozenset({"000", "110", "112", "119", "911", "999"})
"""What counts where the trunk's country is not known."""

_PREMIUM_TYPES = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.PERSONAL_NUMBER})
_SEPARATORS = str.maketrans("", "", "-.() /_~")
_DIALLED = re.compile(r"\+?[0-9*#]+")
_SERVICE_CODE = re.compile(r"(?:[*#]+[0-9]{0,4}[*#]?)+")
_MIN_INTERNATIONAL = 8


class DestinationClass(StrEnum):
    EMERGENCY = "emergency"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    ONE_RING = "one_ring"
    INTERNATIONAL = "international"
    """Outside of the trunk's own country."""


@dataclass(frozen=True, slots=True)
class Destination:
    """``user`` is what is dialled; ``numbers`` its readings in E.164, the likeliest first."""

    user: str
    numbers: tuple[str, ...] = ()
    classes: frozenset[DestinationClass] = frozenset()

    @property
    def shown(self) -> str:
        return self.numbers[0] if self.numbers else self.user

    def begins_with(self, prefix: str) -> bool:
        """Whether any reading begins with ``prefix`` (``+33``, or as it is dialled: ``10``)."""
        return self.user.startswith(prefix) or any(
            number.startswith(prefix) for number in self.numbers
        )

    def lies_within(self, prefixes: Sequence[str]) -> bool:
        """Whether every reading begins with one of ``prefixes``, or what is dialled does."""
        wanted = tuple(prefixes)
        if self.user.startswith(wanted):
            return True
        return bool(self.numbers) and all(number.startswith(wanted) for number in self.numbers)


def classify(user: str, region: str | None = None) -> Destination:
    """``user`` is a number in any form, or a SIP user part; ``region`` (``FR``) the country whose
    national numbers it may be."""
    text = user.partition(";")[0].partition(",")[0].translate(_SEPARATORS)
    if len(text) > MAX_DIALLED or _DIALLED.fullmatch(text) is None:
        return Destination(user[:MAX_DIALLED])
    text = _SERVICE_CODE.sub("", text) or text
    numbers = tuple(dict.fromkeys(_readings(text, region)))
    classes = {kind for number in numbers for kind in _classes_of(number, region)}
    classes.update(_short_classes(text, numbers, region))
    return Destination(text, numbers, frozenset(classes))


def _readings(text: str, region: str | None) -> Iterator[str]:
    """Every number in E.164 that ``text`` may mean."""
    digits = text.removeprefix("+")
    if not digits.isdigit():
        return
    if text.startswith("+"):
        yield from _e164(text, None)
        return
    for prefix in ("00", "011"):
        if digits.startswith(prefix):
            yield from _e164("+" + digits.removeprefix(prefix), None)
    if region is not None:
        yield from _e164(digits, region)
        if _is_valid(digits, region):
            return
    if len(digits) >= _MIN_INTERNATIONAL and not digits.startswith("0"):
        yield from _e164("+" + digits, None)


def _e164(text: str, region: str | None) -> Iterator[str]:
    """Also for a number that nobody has: what matters is where it would go."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        if text.startswith("+") and text[1:].isdigit():
            yield text
        return
    yield phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _is_valid(digits: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(digits, region), region)
    except NumberParseException:
        return False


def _classes_of(e164: str, region: str | None) -> Iterator[DestinationClass]:
    if e164.startswith(PREMIUM_PREFIXES):
        yield DestinationClass.PREMIUM
    if e164.startswith(tuple(f"+{code}" for code in SATELLITE_CODES)):
        yield DestinationClass.SATELLITE
    if e164.startswith(ONE_RING_CODES):
        yield DestinationClass.ONE_RING
    try:
        number = phonenumbers.parse(e164)
    except NumberParseException:
        yield DestinationClass.INTERNATIONAL
        return
    kind = phonenumbers.number_type(number)
    if kind in _PREMIUM_TYPES:
        yield DestinationClass.PREMIUM
    elif kind == PhoneNumberType.SHARED_COST:
        yield DestinationClass.SHARED_COST
    if region is not None and not _is_at_home(number, region):
        yield DestinationClass.INTERNATIONAL
    if _is_emergency_abroad(number):
        yield DestinationClass.EMERGENCY


def _is_at_home(number: phonenumbers.PhoneNumber, region: str) -> bool:
    where = phonenumbers.region_code_for_number(number)
    if where is not None:
        return where == region
    return number.country_code == phonenumbers.country_code_for_region(region)


def _is_emergency_abroad(number: phonenumbers.PhoneNumber) -> bool:
    """``+49 112``: a country code, and then its emergency number."""
    digits = phonenumbers.national_significant_number(number)
    regions = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    return len(digits) <= 4 and any(
        shortnumberinfo.is_emergency_number(digits, region) for region in regions[:1]
    )


def _short_classes(
    text: str, numbers: tuple[str, ...], region: str | None
) -> Iterator[DestinationClass]:
    digits = text.removeprefix("+")
    if region is None:
        if digits in EMERGENCY_WITHOUT_REGION:
            yield DestinationClass.EMERGENCY
        return
    if digits in EMERGENCY_ANYWHERE or shortnumberinfo.is_emergency_number(digits, region):
        yield DestinationClass.EMERGENCY
    elif len(digits) <= 6 and digits.isdigit():
        short = phonenumbers.PhoneNumber(
            country_code=phonenumbers.country_code_for_region(region), national_number=int(digits)
        )
        cost = shortnumberinfo.expected_cost_for_region(short, region)
        if cost == ShortNumberCost.PREMIUM_RATE:
            yield DestinationClass.PREMIUM
