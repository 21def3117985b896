"""Which subcommands there are. Imported late, so that ``--help`` does not load the gateway."""

from __future__ import annotations

import typer

from ringback.cli import resources
from ringback.cli.demo import demo
from ringback.cli.doctor import doctor
from ringback.cli.flags import with_settings_flags
from ringback.cli.serve import serve
from ringback.cli.softphone.command import call


def attach(app: typer.Typer) -> None:
    app.command()(with_settings_flags(serve))
    app.command()(demo)
    app.command()(call)
    app.command()(doctor)
    app.add_typer(resources.trunks, name="trunk")
    app.add_typer(resources.numbers, name="number")
    app.add_typer(resources.agents, name="agent")
    app.add_typer(resources.keys, name="key")
