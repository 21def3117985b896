"""The ``ringback`` command."""

from __future__ import annotations

import sys

import typer

from ringback.cli.console import EXIT_FAILED, EXIT_STARTUP, complain
from ringback.core.errors import ErrorKind, RingbackError

app = typer.Typer(
    name="ringback",
    help="A phone line and an inbox for any AI agent.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _with_subcommands() -> None:
    """A phone line and an inbox for any AI agent."""


def main() -> None:
    """Entry point: an error that people can act on is one sentence, never a traceback."""
    from ringback.cli.commands import attach

    attach(app, sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        app()
    except RingbackError as error:
        complain(error)
        sys.exit(EXIT_STARTUP if error.kind is ErrorKind.STARTUP else EXIT_FAILED)
