"""The base of what crosses the API.

Names are snake_case; requests may also use camelCase. An unknown field is refused, with the
nearest known name, because a silently ignored setting is the hardest kind of mistake to find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from ringback.core.errors import InvalidRequest
from ringback.core.http.complaints import validation_message
from ringback.core.paging import DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest

T = TypeVar("T")

MAX_SHOWN_KEY = 100
"""Characters of an unknown field's name that its complaint repeats."""

_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """``sipAuthUser`` → ``sip_auth_user``; a run of capitals is one word (``allowedIPs`` →
    ``allowed_ips``)."""
    name = re.sub(r"([A-Z]{2,})s\b", lambda run: run.group(1).capitalize() + "s", name)
    return _CAMEL_HUMP.sub("_", name).lower()


def rule(message: str, hint: str = "", field: str | None = None) -> PydanticCustomError:
    """A complaint for a validator to raise: ``message`` reads on from the field's name.

    ``raise rule("must be a host name without a scheme")`` gives "`sip_host` must be …".
    """
    context = {"complaint": message, "hint": hint}
    if field is not None:
        context["field"] = field
    return PydanticCustomError("rule", "{complaint}", context)


@dataclass(frozen=True, slots=True)
class Matching:
    """For ``Annotated[str, Matching(…)]``: a pattern that the schema shows, and ``words`` that
    tell people what it means."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        # Python's $ matches before a last line feed, too; that of JSON Schema does not.
        expression = re.compile(re.sub(r"\$$", r"\\Z", self.pattern))

        def check(text: str) -> str:
            if expression.search(text) is None:
                raise rule(self.words)
            return text

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"pattern": self.pattern}


def accept_camel_case(
    data: Mapping[str, Any],
    known: Mapping[str, object],
    aliases: Mapping[str, str],
    misnomers: Mapping[str, str],
) -> dict[str, Any]:
    """``data`` with the camelCase spellings of ``known`` fields turned into snake_case, and
    ``aliases`` (also in snake_case) into the fields that they stand for.

    Raises a validation error for a field that is not known, or that is given twice. It names the
    field that ``misnomers`` has for the wrong name, else one that is spelt like it.
    """
    renamed: dict[str, Any] = {}
    for key, value in data.items():
        name = key if key in known else snake_case(key)
        name = aliases.get(name, name)
        if name not in known:
            close = [misnomers[name]] if name in misnomers else get_close_matches(name, known, n=1)
            remedy = f": did you mean `{close[0]}`?" if close else ""
            raise PydanticCustomError(
                "unknown_field",
                "is not a field of this request{remedy}",
                {
                    "field": _shown(key),
                    "remedy": remedy,
                    "hint": f"Its fields are: {', '.join(known)}.",
                },
            )
        if name in renamed:
            raise rule(f"is given twice, also as `{_shown(key)}`", field=name)
        renamed[name] = value
    return renamed


def _shown(key: str) -> str:
    """A client's field name as a complaint may repeat it: JSON can hold half a surrogate pair,
    which no answer can."""
    key = key.encode("utf-8", "backslashreplace").decode()
    return key if len(key) <= MAX_SHOWN_KEY else f"{key[:MAX_SHOWN_KEY]}…"


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise rule("must be one line without control characters")
    return text


def _no_controls(text: str) -> str:
    if any(ord(char) < 32 and char not in "\t\n\r" for char in text):
        raise rule("must not hold control characters")
    return text


ONE_LINE = AfterValidator(_one_line)
"""For ``Annotated[str, StringConstraints(…), ONE_LINE]``: after the constraints, never before."""

Line = Annotated[str, ONE_LINE]
"""A single line of printable characters, of any length (also empty)."""

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    ONE_LINE,
]
"""What people call something: 1 to 100 printable characters."""

NO_CONTROLS = AfterValidator(_no_controls)
"""For ``Annotated[str, StringConstraints(…), NO_CONTROLS]``."""

Prose = Annotated[str, NO_CONTROLS]
"""Text of several lines."""


class ApiModel(BaseModel):
    """Base of every request and response body.

    ``aliases`` are other names that a documented API has for a field; ``misnomers`` are names that
    people try, refused with the right one.
    """

    aliases: ClassVar[Mapping[str, str]] = {}
    misnomers: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _accept_camel_case(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        return accept_camel_case(data, cls.model_fields, cls.aliases, cls.misnomers)


def api_example(**example: Any) -> ConfigDict:
    """``model_config = api_example(name="…")``: the example that the API docs show."""
    return ConfigDict(json_schema_extra={"example": example})


def patch_example(**example: Any) -> ConfigDict:
    """``model_config`` of a request that changes only what it is sent.

    Such a model inherits the one that creates, with a default for every field. The defaults are
    never read, so the API docs show neither them nor required fields.
    """

    def describe(schema: dict[str, Any]) -> None:
        schema.pop("required", None)
        schema["example"] = example
        for described in schema["properties"].values():
            described.pop("default", None)

    return ConfigDict(json_schema_extra=describe)


class PageOf(ApiModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None
    """Give it as ``cursor`` to get the next page; ``null`` on the last one."""


def _page_request(
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many items to return at most.")
    ] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", max_length=200)
    ] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


Paging = Annotated[PageRequest, Depends(_page_request)]
"""The dependency of a list route: ``?limit=&cursor=``."""


def page_of(page: Page[T], to_item: Callable[[T], object]) -> dict[str, Any]:
    """``page`` as the content of a :class:`PageOf`, each row through ``to_item``."""
    return {"items": [to_item(row) for row in page.items], "next_cursor": page.next_cursor}


M = TypeVar("M", bound=ApiModel)


def merged(model: type[M], current: Mapping[str, Any], patch: ApiModel) -> M:
    """``current`` with the fields that ``patch`` was sent, checked as a whole ``model``.

    Raises :class:`InvalidRequest` when the result is not one.
    """
    try:
        return model.model_validate({**current, **patch.model_dump(exclude_unset=True)})
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InvalidRequest(
            validation_message(details), field=".".join(str(part) for part in details[0]["loc"])
        ) from None
