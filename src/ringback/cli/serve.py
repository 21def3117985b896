"""``ringback serve``: the gateway in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
import signal

import uvloop
from rich.markup import escape

from ringback.app import Application, build
from ringback.cli.console import EXIT_FAILED, out
from ringback.core.clock import SystemClock
from ringback.core.logging import configure_logging
from ringback.core.pauses import ShortPauses
from ringback.core.settings import Settings, load_settings


def serve(**flags: str | None) -> None:
    """Start the gateway."""
    settings = load_settings(flags)
    configure_logging(settings.log_level, json=settings.log_json, lasting=True)
    allow_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


def allow_open_files() -> None:
    """Take all the open files that the system grants: a call needs four of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends at once, as a kill would: the next start
    closes the records."""
    application = build(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            out.file.flush()
            os._exit(EXIT_FAILED)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    pauses = ShortPauses(SystemClock(), lambda: application.live_calls)
    await application.start()
    try:
        pauses.start()
        announce(application)
        await stop.wait()
        live = application.live_calls
        calls = f", hanging up {live} live call{'s' if live != 1 else ''} first" if live else ""
        out.print(f"Stopping{calls} (again to stop at once) ...")
    finally:
        pauses.stop()
        await application.stop()


def announce(application: Application) -> None:
    """Where to call, where to read, and the key that is shown only now."""
    out.print()
    out.print("[bold green]Ringback is ready.[/]")
    for uri in application.demo_uris:
        out.print(f"  Call the demo agent:  [bold]{escape(uri)}[/]")
    out.print(f"  API and its docs:     [bold]{escape(application.docs_url)}[/]")
    if application.first_api_key:
        out.print(f"  API key:              [bold]{escape(application.first_api_key)}[/]")
        out.print("                        [dim](shown this once; keep it)[/]")
    for warning in application.warnings:
        out.print(f"  [yellow]Note:[/] {escape(warning)}")
    out.print("  [dim]Ctrl-C stops it.[/]")
