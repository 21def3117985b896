"""What the command prints: to people on a terminal, plain lines when piped."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ringback.core.errors import RingbackError

EXIT_FAILED = 1
EXIT_STARTUP = 2
PIPED_WIDTH = 10_000
"""Columns of a table that a program reads: one line for each row."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(error: RingbackError) -> None:
    err.print(f"[bold red]ringback:[/] {escape(error.message)}")
    if error.hint:
        err.print(f"[dim]{escape(error.hint)}[/]")


def table(columns: list[str], rows: list[list[str]]) -> None:
    if not rows:
        out.print("[dim]none[/]")
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    target = out if out.is_terminal else Console(file=out.file, width=PIPED_WIDTH)
    target.print(grid)


def quiet_broken_pipe() -> None:
    """`ringback … | head` must not end in a traceback."""
    if hasattr(signal, "SIGPIPE") and not sys.stdout.isatty():
        signal.signal(signal.SIGPIPE, _default_pipe)


def _default_pipe(number: int, frame: FrameType | None) -> None:
    sys.exit(EXIT_FAILED)
