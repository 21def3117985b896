"""Which subcommands there are. What is not called for is not loaded: to list the trunks, nobody
waits for the modules of the gateway."""

from __future__ import annotations

from collections.abc import Callable

import typer


def attach(app: typer.Typer, called: str | None) -> None:
    """Add the subcommand that is ``called``, or all of them where that is none (``--help``, a
    slip of the finger)."""
    wanted = [called] if called in _COMMANDS else list(_COMMANDS)
    for name in wanted:
        _COMMANDS[name](app)


def _serve(app: typer.Typer) -> None:
    from ringback.cli.flags import with_settings_flags
    from ringback.cli.serve import serve

    app.command()(with_settings_flags(serve))


def _demo(app: typer.Typer) -> None:
    from ringback.cli.demo import demo

    app.command()(demo)


def _call(app: typer.Typer) -> None:
    from ringback.cli.softphone.command import call

    app.command()(call)


def _call_trace(app: typer.Typer) -> None:
    from ringback.cli.call_trace import call_trace

    app.command()(call_trace)


def _doctor(app: typer.Typer) -> None:
    from ringback.cli.doctor import doctor

    app.command()(doctor)


def _trunk(app: typer.Typer) -> None:
    from ringback.cli.resources import trunks
    from ringback.cli.trunk_edit import edit_trunk, show_limits

    trunks.command("edit")(edit_trunk)
    trunks.command("limits")(show_limits)
    app.add_typer(trunks, name="trunk")


def _number(app: typer.Typer) -> None:
    from ringback.cli.resources import numbers

    app.add_typer(numbers, name="number")


def _agent(app: typer.Typer) -> None:
    from ringback.cli.resources import agents

    app.add_typer(agents, name="agent")


def _key(app: typer.Typer) -> None:
    from ringback.cli.resources import keys

    app.add_typer(keys, name="key")


def _guard(app: typer.Typer) -> None:
    from ringback.cli.guard import guard

    app.add_typer(guard, name="guard")


_COMMANDS: dict[str, Callable[[typer.Typer], None]] = {
    "serve": _serve,
    "demo": _demo,
    "call": _call,
    "call-trace": _call_trace,
    "doctor": _doctor,
    "trunk": _trunk,
    "number": _number,
    "agent": _agent,
    "key": _key,
    "guard": _guard,
}
