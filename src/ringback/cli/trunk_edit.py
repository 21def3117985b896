"""``ringback trunk edit|limits``: change a trunk, and what may be dialled over it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from ringback.cli.client import ApiClient
from ringback.cli.console import out, table
from ringback.cli.resources import Codecs, DtmfMode, Key, MediaEncryption, Url, given
from ringback.core.errors import InvalidRequest

TrunkId = Annotated[str, typer.Argument(help="Trunk id, see `ringback trunk list`.")]
KINDS = "emergency, premium, shared_cost, satellite, one_ring or international"


def edit_trunk(
    trunk_id: TrunkId,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    host: Annotated[str | None, typer.Option(help="SIP server.")] = None,
    password: Annotated[str | None, typer.Option(help="SIP password.")] = None,
    caller_id: Annotated[str | None, typer.Option(help="Number shown on calls out.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    codec: Codecs = None,
    media_encryption: MediaEncryption = None,
    dtmf_mode: DtmfMode = None,
    max_calls: Annotated[int | None, typer.Option(help="Calls out at once.")] = None,
    max_inbound_calls: Annotated[int | None, typer.Option(help="Calls in at once.")] = None,
    calls_per_second: Annotated[float | None, typer.Option(help="Calls out per second.")] = None,
    calls_per_day: Annotated[int | None, typer.Option(help="Calls out per day.")] = None,
    cost_per_day: Annotated[float | None, typer.Option(help="Money per day, by the rates.")] = None,
    allow_prefix: Annotated[
        list[str] | None, typer.Option(help="Call these only; repeatable, replaces the list.")
    ] = None,
    deny_prefix: Annotated[
        list[str] | None, typer.Option(help="Never call these; repeatable, replaces the list.")
    ] = None,
    allow: Annotated[list[str] | None, typer.Option(help=f"Let it call {KINDS}.")] = None,
    deny: Annotated[list[str] | None, typer.Option(help=f"Do not let it call {KINDS}.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Change a trunk; only what is given changes, a list as a whole. Live calls go on."""
    fields = given(
        name=name,
        host=host,
        password=password,
        caller_id=caller_id,
        enabled=enabled,
        codecs=codec,
        media_encryption=media_encryption,
        dtmf_mode=dtmf_mode,
    )
    limits = given(
        max_calls=max_calls,
        max_inbound_calls=max_inbound_calls,
        calls_per_second=calls_per_second,
        calls_per_day=calls_per_day,
        cost_per_day=cost_per_day,
        allowed_prefixes=allow_prefix,
        denied_prefixes=deny_prefix,
    )
    where = f"/api/trunks/{trunk_id}"
    with ApiClient(url, key) as api:
        if allow or deny:
            denied = set(api.get(where)["limits"]["denied_classes"])
            limits["denied_classes"] = sorted((denied | set(deny or ())) - set(allow or ()))
        if not fields and not limits:
            raise InvalidRequest("Nothing to change.", hint="See `ringback trunk edit --help`.")
        changed = api.patch(where, fields | ({"limits": limits} if limits else {}))
    out.print(f"Changed {escape(changed['name'])} ({escape(changed['id'])}).")
    for warning in changed.get("warnings", []):
        out.print(f"[yellow]Note:[/yellow] {escape(warning)}")


def show_limits(trunk_id: TrunkId, url: Url = None, key: Key = None) -> None:
    """Show what may be dialled over a trunk, and how much."""
    with ApiClient(url, key) as api:
        limits = api.get(f"/api/trunks/{trunk_id}")["limits"]
    table(["limit", "value"], [[name, _shown(name, value)] for name, value in limits.items()])


def _shown(name: str, value: Any) -> str:
    if value is None and name != "night_rule":
        return "the node's default"
    if not value and not isinstance(value, int | float):
        return "none"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return str(value)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
