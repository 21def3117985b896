"""Telephone numbers: E.164 inside, and the ways in which a trunk writes them. Pure."""

from __future__ import annotations

from enum import StrEnum

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

MAX_INPUT_LENGTH = 40
_MIN_DIALLED_DIGITS = 7

_EXPLANATIONS = {
    NumberParseException.INVALID_COUNTRY_CODE: "has a country code that does not exist",
    NumberParseException.NOT_A_NUMBER: "is not a telephone number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "is too short",
    NumberParseException.TOO_SHORT_NSN: "is too short",
    NumberParseException.TOO_LONG: "is too long",
}


class DialFormat(StrEnum):
    """How a trunk wants numbers written in the request-URI."""

    E164 = "e164"
    """``+33612345678``"""
    E164_NO_PLUS = "e164_no_plus"
    """``33612345678``"""
    INTERNATIONAL = "international"
    """``0033612345678``"""
    NATIONAL = "national"
    """``0612345678`` within the trunk's country, ``00…`` to everywhere else."""


class NumberError(ValueError):
    """Not a number; the text reads on from the name of the field: "is too short"."""


def parse_e164(text: str, region: str | None = None) -> str:
    """E.164 (``+33612345678``) of a number written in any usual way: spaces, brackets, hyphens,
    ``00`` for ``+``; national ones too where ``region`` (ISO 3166, ``FR``) says whose.

    Numbers that the numbering plan allows but has not given out are accepted (``+1 555 …``).
    Raises :class:`NumberError`.
    """
    cleaned = text.strip()
    if not cleaned or len(cleaned) > MAX_INPUT_LENGTH:
        raise NumberError("is not a telephone number")
    international = cleaned.startswith("+")
    if cleaned.startswith("00"):
        cleaned, international = "+" + cleaned[2:], True
    if not international and region is None:
        raise NumberError(
            "must start with + and the country code, such as +33612345678 or +1 555 123 4567"
        )
    try:
        number = phonenumbers.parse(cleaned, region)
    except NumberParseException as error:
        raise NumberError(
            _EXPLANATIONS.get(error.error_type, "is not a telephone number")
        ) from None
    if number.extension:
        raise NumberError("must not have an extension")
    if not phonenumbers.is_possible_number(number):
        raise NumberError("has the wrong number of digits for its country")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def region_of(e164: str) -> str | None:
    """The ISO 3166 code of the country of a number, where it is known."""
    number = phonenumbers.parse(e164)
    region = phonenumbers.region_code_for_number(number)
    if region is None and number.country_code is not None:
        region = phonenumbers.region_code_for_country_code(number.country_code)
    return None if region in (None, "ZZ", "001") else region


def is_region(code: str) -> bool:
    """Whether ``code`` is an ISO 3166 country code with a numbering plan."""
    return code in phonenumbers.SUPPORTED_REGIONS


def dialled_number(user: str) -> str | None:
    """``user`` (the user part of a SIP URI) without visual separators where it is a telephone
    number, ``+`` and at least :data:`_MIN_DIALLED_DIGITS` digits, else ``None``."""
    text = user.partition(";")[0].translate(_SEPARATORS)
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) < _MIN_DIALLED_DIGITS:
        return None
    return text


_SEPARATORS = str.maketrans("", "", "-.() ")


def written_forms(e164: str) -> tuple[str, ...]:
    """Every way in which a provider may write the called number, the surest first: ``+…``, bare,
    ``00…``, ``011…``, national with its prefix, national without."""
    digits = e164.removeprefix("+")
    number = phonenumbers.parse(e164)
    national = _national_digits(number)
    significant = phonenumbers.national_significant_number(number)
    forms = (e164, digits, f"00{digits}", f"011{digits}", national, significant)
    return tuple(dict.fromkeys(forms))


def _national_digits(number: phonenumbers.PhoneNumber) -> str:
    text = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    return "".join(char for char in text if char.isdigit())


def write_number(
    e164: str, dial_format: DialFormat, *, region: str | None = None, tech_prefix: str = ""
) -> str:
    """``e164`` as the trunk wants it dialled. ``region`` is the trunk's country."""
    digits = e164.removeprefix("+")
    match dial_format:
        case DialFormat.E164:
            written = e164
        case DialFormat.E164_NO_PLUS:
            written = digits
        case DialFormat.INTERNATIONAL:
            written = f"00{digits}"
        case DialFormat.NATIONAL:
            at_home = region is not None and region_of(e164) == region
            written = _national_digits(phonenumbers.parse(e164)) if at_home else f"00{digits}"
    return tech_prefix + written
