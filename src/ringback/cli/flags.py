"""Every setting as a ``--flag`` of the same name, with the text of the settings table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ringback.core.settings import Settings, flag_name, settings_table


def with_settings_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command(**flags)`` one optional text parameter per setting (``None``: not given)."""
    meanings = {row.flag: row for row in settings_table()}
    parameters = list(_own_parameters(command))
    for field in Settings.model_fields:
        flag = flag_name(field)
        row = meanings[flag]
        default = f" [default: {row.default}]" if row.default else ""
        option = typer.Option(flag, help=row.meaning + default, show_default=False, metavar="VALUE")
        parameters.append(
            inspect.Parameter(
                field,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[str | None, option],
            )
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _own_parameters(command: Callable[..., Any]) -> list[inspect.Parameter]:
    signature = inspect.signature(command, eval_str=True)
    return [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
