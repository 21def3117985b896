"""What a request that is not valid is told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints, ValidationError

from ringback.core.http import ApiModel
from ringback.core.http.complaints import validation_message
from ringback.core.http.models import Line, Matching


class Mode(StrEnum):
    AUTO = "auto"
    BRIDGE = "bridge"


class Inner(ApiModel):
    rates: dict[Annotated[str, Matching(r"^\+[0-9]+$", "must begin with +")], float] = {}


class Wanted(ApiModel):
    count: int = Field(default=1, ge=1, le=1_000_000)
    seconds: float = Field(default=1.0, gt=0.1, lt=60)
    way: Literal["rtp", "info"] = "rtp"
    mode: Mode = Mode.AUTO
    flag: bool = False
    codecs: list[str] = Field(default=["opus"], min_length=1, max_length=2)
    title: Annotated[Line, StringConstraints(min_length=2, max_length=4)] = "abc"
    plain: str = Field(default="abc", max_length=4)
    keys: Annotated[str, Matching(r"^[0-9]{1,4}$", "must be 1 to 4 digits")] = "1"
    inner: Inner = Inner()


def told(body: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Wanted.model_validate(body)
    return validation_message(caught.value.errors(include_url=False))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"count": 0}, "`count` must be 1 or more."),
        ({"count": 2_000_000}, "`count` must be 1000000 or less."),
        ({"count": "many"}, "`count` must be a whole number."),
        ({"count": 1.5}, "`count` must be a whole number."),
        ({"seconds": 0.1}, "`seconds` must be more than 0.1."),
        ({"seconds": 60}, "`seconds` must be less than 60."),
        ({"seconds": "soon"}, "`seconds` must be a number."),
        ({"way": "foo"}, "`way` must be 'rtp' or 'info'."),
        ({"mode": "foo"}, "`mode` must be 'auto' or 'bridge'."),
        ({"flag": "perhaps"}, "`flag` must be true or false."),
        ({"codecs": []}, "`codecs` must have at least 1 item."),
        ({"codecs": ["a", "b", "c"]}, "`codecs` must have at most 2 items."),
        ({"codecs": "opus"}, "`codecs` must be a list."),
        ({"title": "a"}, "`title` must have at least 2 characters."),
        ({"title": "abcde"}, "`title` must have at most 4 characters."),
        ({"plain": "abcde"}, "`plain` must have at most 4 characters."),
        ({"plain": 5}, "`plain` must be a text."),
        ({"keys": "12x"}, "`keys` must be 1 to 4 digits."),
        ({"keys": "12\n"}, "`keys` must be 1 to 4 digits."),
        ({"inner": {"rates": {"abc": 1}}}, "`inner.rates.abc` must begin with +."),
        ({"inner": 5}, "`inner` must be a JSON object (sent as application/json)."),
        ({"coun": 1}, "`coun` is not a field of this request: did you mean `count`?"),
    ],
)
def test_a_complaint_is_one_plain_sentence_that_names_the_field(
    body: dict[str, Any], complaint: str
) -> None:
    assert told(body) == f"The request is not valid: {complaint}"


def test_a_request_with_many_faults_hears_of_the_first_ones() -> None:
    body = {"count": 0, "seconds": 0, "way": "", "mode": "", "flag": "", "keys": "", "plain": 1}
    assert told(body).count(";") == 5
    assert told(body).endswith("; and 2 more.")


def test_the_schema_shows_the_pattern_of_a_field() -> None:
    schema = Wanted.model_json_schema()
    assert schema["properties"]["keys"]["pattern"] == "^[0-9]{1,4}$"
