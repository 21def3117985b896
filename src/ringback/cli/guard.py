"""``ringback guard``: who is banned, over the API."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer
from rich.markup import escape

from ringback.cli.client import ApiClient
from ringback.cli.console import out, table
from ringback.cli.resources import Key, Url

guard = typer.Typer(help="Bans of strangers that scan or flood.")


@guard.command("list")
@guard.command("bans")
def list_bans(url: Url = None, key: Key = None) -> None:
    """Show who is banned, why, and until when."""
    columns = ["source", "reason", "until", "strikes", "dropped"]
    with ApiClient(url, key) as api:
        rows = api.get("/api/guards/bans")["items"]
    table(columns, [[str(row[column]) for column in columns] for row in rows])


@guard.command("status")
def show_status(url: Url = None, key: Key = None) -> None:
    """Show what was dropped and why."""
    with ApiClient(url, key) as api:
        state = api.get("/api/guards")
    out.print("The guard is on." if state["enabled"] else "The guard is off (RINGBACK_GUARD).")
    rows = [
        *state["counters"].items(),
        *(("offence: " + k, v) for k, v in state["offences"].items()),
    ]
    table(["what", "count"], [[name, str(count)] for name, count in rows])


@guard.command("ban")
def ban(
    source: Annotated[str, typer.Argument(help="IP address.")],
    minutes: Annotated[float | None, typer.Option(help="How long.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Ban an address by hand."""
    body: dict[str, object] = {"source": source}
    if minutes is not None:
        body["seconds"] = minutes * 60
    with ApiClient(url, key) as api:
        made = api.post("/api/guards/bans", body)
    out.print(f"Banned {escape(made['source'])} until {escape(made['until'])}.")


@guard.command("lift")
def lift(
    source: Annotated[str, typer.Argument(help="IP address.")], url: Url = None, key: Key = None
) -> None:
    """Lift a ban and forget what brought it."""
    with ApiClient(url, key) as api:
        api.delete(f"/api/guards/bans/{quote(source, safe='')}")
    out.print(f"Lifted the ban of {escape(source)}.")
