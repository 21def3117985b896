"""Telephone numbers: read in any usual form, kept as E.164, written as a trunk wants them."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.telephony.numbers import (
    DialFormat,
    NumberError,
    dialled_number,
    is_region,
    parse_e164,
    region_of,
    write_number,
    written_forms,
)

PARIS = "+33612345678"
BOSTON = "+16175551234"


@pytest.mark.requirement("call.number-formats")
@pytest.mark.parametrize(
    ("text", "e164"),
    [
        ("+33612345678", PARIS),
        ("+33 6 12 34 56 78", PARIS),
        ("+33 (0)6 12 34 56 78", PARIS),
        ("0033 6 12.34.56.78", PARIS),
        (" +33-6-12-34-56-78 ", PARIS),
        ("+1 (617) 555-1234", BOSTON),
        ("+15551234567", "+15551234567"),
        ("+34911234567", "+34911234567"),
    ],
)
def test_a_number_is_read_in_any_usual_form(text: str, e164: str) -> None:
    assert parse_e164(text) == e164


def test_a_national_number_needs_a_country() -> None:
    assert parse_e164("06 12 34 56 78", "FR") == PARIS
    assert parse_e164("(617) 555-1234", "US") == BOSTON
    with pytest.raises(NumberError, match=r"must start with \+"):
        parse_e164("06 12 34 56 78")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a telephone number"),
        ("+", "is not a telephone number"),
        ("hello", "must start with"),
        ("+33 6 12", "wrong number of digits"),
        ("+3361234567890", "wrong number of digits"),
        ("+999 123456", "country code that does not exist"),
        ("+33612345678 ext. 5", "extension"),
        ("+" + "3" * 60, "is not a telephone number"),
        ("+1234567890123456789", "too long|wrong number"),
    ],
)
def test_what_is_no_number_is_explained(text: str, complaint: str) -> None:
    with pytest.raises(NumberError, match=complaint):
        parse_e164(text)


@given(st.text(max_size=50))
def test_no_text_crashes_the_reader(text: str) -> None:
    try:
        e164 = parse_e164(text)
    except NumberError:
        return
    assert parse_e164(e164) == e164


EXAMPLES = sorted(
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in phonenumbers.SUPPORTED_REGIONS
    if (number := phonenumbers.example_number(region)) is not None
)


@pytest.mark.parametrize("e164", EXAMPLES)
def test_every_country_reads_back_in_every_international_form(e164: str) -> None:
    for form in (DialFormat.E164, DialFormat.INTERNATIONAL):
        assert parse_e164(write_number(e164, form)) == e164
    assert parse_e164("+" + write_number(e164, DialFormat.E164_NO_PLUS)) == e164
    forms = written_forms(e164)
    assert forms[0] == e164
    assert len(set(forms)) == len(forms)
    assert all(form.removeprefix("+").isdigit() for form in forms)


@pytest.mark.requirement("call.number-formats")
@pytest.mark.parametrize(
    ("e164", "dial_format", "region", "written"),
    [
        (PARIS, DialFormat.E164, None, "+33612345678"),
        (PARIS, DialFormat.E164_NO_PLUS, None, "33612345678"),
        (PARIS, DialFormat.INTERNATIONAL, None, "0033612345678"),
        (PARIS, DialFormat.NATIONAL, "FR", "0612345678"),
        (PARIS, DialFormat.NATIONAL, "US", "0033612345678"),
        (PARIS, DialFormat.NATIONAL, None, "0033612345678"),
        (BOSTON, DialFormat.NATIONAL, "US", "6175551234"),
    ],
)
def test_a_trunk_gets_the_number_as_it_wants_it(
    e164: str, dial_format: DialFormat, region: str | None, written: str
) -> None:
    assert write_number(e164, dial_format, region=region) == written
    prefixed = write_number(e164, dial_format, region=region, tech_prefix="99#")
    assert prefixed == f"99#{written}"


def test_the_forms_of_a_number_run_from_sure_to_unsure() -> None:
    assert written_forms(PARIS) == (
        "+33612345678",
        "33612345678",
        "0033612345678",
        "01133612345678",
        "0612345678",
        "612345678",
    )


@pytest.mark.parametrize(
    ("user", "number"),
    [
        ("+33612345678", "+33612345678"),
        ("+33-6-12.34(56)78", "+33612345678"),
        ("0612345678;phone-context=+33", "0612345678"),
        ("2001", None),
        ("demo", None),
        ("", None),
        ("t3f9a1", None),
        ("+٣٣٦١٢٣٤٥٦٧٨", None),
    ],
)
def test_a_dialled_number_is_told_from_a_name_or_an_extension(
    user: str, number: str | None
) -> None:
    assert dialled_number(user) == number


def test_numbers_have_a_country_where_one_is_known() -> None:
    assert region_of(PARIS) == "FR"
    assert region_of("+15551234567") == "US"
    assert region_of("+80012345678") is None
    assert is_region("FR")
    assert not is_region("XX")
