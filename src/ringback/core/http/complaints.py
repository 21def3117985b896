"""Pydantic's complaints about a request, as sentences that name the field and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MAX_COMPLAINTS = 5
"""Faults of one request that its error message names."""

_NOT_AN_OBJECT = ("model_type", "model_attributes_type", "dict_type", "dataclass_type")


def validation_message(details: Sequence[Mapping[str, Any]]) -> str:
    """Pydantic's complaints as sentences, each of which names its field."""
    complaints = [_complaint(detail) for detail in details[:MAX_COMPLAINTS]]
    if len(details) > MAX_COMPLAINTS:
        complaints.append(f"and {len(details) - MAX_COMPLAINTS} more")
    text = "; ".join(complaints)
    return f"The request is not valid: {text}" + ("" if text.endswith("?") else ".")


def validation_hint(details: Sequence[Mapping[str, Any]]) -> str:
    """The hint of the first complaint that has one."""
    for detail in details:
        hint = detail.get("ctx", {}).get("hint")
        if hint:
            return str(hint)
    return ""


def _complaint(detail: Mapping[str, Any]) -> str:
    name = _name(detail)
    kind = detail["type"]
    if kind == "missing":
        return f"`{name}` is required" if name else "a JSON body is required"
    if kind in _NOT_AN_OBJECT:
        where = f"`{name}`" if name else "the body"
        return f"{where} must be a JSON object (sent as application/json)"
    words = _WORDS.get(kind)
    if words is not None:
        message = words(detail.get("ctx", {}))
    else:
        message = str(detail["msg"]).rstrip(".")
        if kind not in ("rule", "unknown_field"):
            message = message[:1].lower() + message[1:]
            message = f": {message.removeprefix('value error, ')}"
    if not name:
        return f"the body{message}" if message.startswith(":") else f"the body {message}"
    return f"`{name}`{message}" if message.startswith(":") else f"`{name}` {message}"


def _name(detail: Mapping[str, Any]) -> str:
    """The field as its sender wrote it: ``limits.rates.+33``."""
    path = [str(part) for part in detail["loc"] if part not in ("body", "query", "path", "[key]")]
    if "field" in detail.get("ctx", {}):
        path.append(str(detail["ctx"]["field"]))
    return ".".join(path)


def _at_least(unit: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda ctx: f"must have at least {_counted(ctx['min_length'], unit)}"


def _at_most(unit: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda ctx: f"must have at most {_counted(ctx['max_length'], unit)}"


def _too_many(ctx: Mapping[str, Any]) -> str:
    # Pydantic counts the characters of a string as items, where a constraint follows a function.
    unit = "character" if ctx.get("field_type") == "Value" else "item"
    return _at_most(unit)(ctx)


def _too_few(ctx: Mapping[str, Any]) -> str:
    unit = "character" if ctx.get("field_type") == "Value" else "item"
    return _at_least(unit)(ctx)


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda ctx: f"must be more than {_figure(ctx['gt'])}",
    "greater_than_equal": lambda ctx: f"must be {_figure(ctx['ge'])} or more",
    "less_than": lambda ctx: f"must be less than {_figure(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"must be {_figure(ctx['le'])} or less",
    "literal_error": lambda ctx: f"must be {ctx['expected']}",
    "enum": lambda ctx: f"must be {ctx['expected']}",
    "string_type": lambda _: "must be a text",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "int_type": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "float_parsing": lambda _: "must be a number",
    "finite_number": lambda _: "must be a finite number",
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "string_too_short": _at_least("character"),
    "string_too_long": _at_most("character"),
    "too_short": _too_few,
    "too_long": _too_many,
}
"""What a complaint of each type says, after the field's name."""


def _figure(number: float) -> str:
    """``5`` and ``0.1``, and never ``1e+06``."""
    return str(int(number)) if float(number).is_integer() else str(number)
