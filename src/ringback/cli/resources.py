"""``ringback trunk|number|agent|key``: the resources of the account, over the API."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from ringback.cli.client import ApiClient
from ringback.cli.console import out, table
from ringback.core.errors import InvalidRequest

Url = Annotated[str | None, typer.Option("--url", help="The gateway's address.")]
Key = Annotated[str | None, typer.Option("--key", help="API key.", envvar="RINGBACK_API_KEY")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Codecs = Annotated[
    list[str] | None,
    typer.Option(help="opus, G722, PCMA or PCMU; repeatable, the first is preferred."),
]
MediaEncryption = Annotated[
    str | None, typer.Option(help="SRTP: none, optional, required, sdes or dtls.")
]
DtmfMode = Annotated[str | None, typer.Option(help="How keys are sent: auto, rtp, inband or info.")]

trunks = typer.Typer(help="SIP trunks: the providers and PBXs that carry calls.")
numbers = typer.Typer(help="Phone numbers and who answers them.")
agents = typer.Typer(help="Agents: who talks.")
keys = typer.Typer(help="API keys.")


def given(**values: Any) -> dict[str, Any]:
    """What was said on the command line, without the rest."""
    return {name: value for name, value in values.items() if value is not None and value != []}


def _listed(api: ApiClient, path: str) -> list[dict[str, Any]]:
    """All pages of a list; one that is short has a single page and no cursor."""
    page = api.get(path, limit="100")
    rows: list[dict[str, Any]] = page["items"]
    while cursor := page.get("next_cursor"):
        page = api.get(path, limit="100", cursor=cursor)
        rows += page["items"]
    return rows


def _text(value: Any) -> str:
    return "" if value is None else str(value)


# ---- trunks ---------------------------------------------------------------------------------


@trunks.command("add")
def add_trunk(
    host: Annotated[
        str | None,
        typer.Argument(help="SIP server of the provider, or the PBX's address; a preset knows it."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    username: Annotated[str | None, typer.Option(help="Registers with it, if given.")] = None,
    password: Annotated[
        str | None, typer.Option(help="Asked for when a username is given without it.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="SIP port; found by DNS if not given.")] = None,
    transport: Annotated[str | None, typer.Option(help="udp, tcp or tls.")] = None,
    realm: Annotated[str | None, typer.Option(help="The provider's SIP domain or realm.")] = None,
    auth_username: Annotated[str | None, typer.Option(help="Login, if not the username.")] = None,
    outbound_proxy: Annotated[str | None, typer.Option(help="host or host:port.")] = None,
    caller_id: Annotated[str | None, typer.Option(help="Number shown on calls out.")] = None,
    allowed_ip: Annotated[
        list[str] | None, typer.Option(help="Address or CIDR that may call; repeatable.")
    ] = None,
    codec: Codecs = None,
    media_encryption: MediaEncryption = None,
    dtmf_mode: DtmfMode = None,
    preset: Annotated[
        str | None, typer.Option(help="A provider's defaults, see `presets`.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Connect a trunk: with a username it registers, without it is known by its address."""
    if username and password is None:
        password = typer.prompt("Password", hide_input=True)
    if host is None and preset is None:
        raise InvalidRequest("Which trunk?", hint="Give its host, or a preset: --preset zadarma.")
    body = given(
        name=name or host or preset,
        mode="registration" if username else "ip_allowlist",
        host=host,
        port=port,
        transport=transport,
        username=username,
        password=password,
        realm=realm,
        auth_username=auth_username,
        outbound_proxy=outbound_proxy,
        caller_id=caller_id,
        allowed_ips=allowed_ip,
        codecs=codec,
        media_encryption=media_encryption,
        dtmf_mode=dtmf_mode,
        provider=preset,
    )
    with ApiClient(url, key) as api:
        made = api.post("/api/trunks", body)
    out.print(f"Added {escape(made['id'])}. `ringback trunk status` shows when it is registered.")
    for warning in made.get("warnings", []):
        out.print(f"[yellow]Note:[/yellow] {escape(warning)}")


@trunks.command("list")
@trunks.command("status")
def list_trunks(url: Url = None, key: Key = None) -> None:
    """Show the trunks, whether they are registered, and if not, why."""
    with ApiClient(url, key) as api:
        rows = _listed(api, "/api/trunks")
    table(
        ["id", "name", "mode", "server", "status", "reason"],
        [
            [
                _text(t["id"]),
                _text(t["name"]),
                _text(t["mode"]),
                _text(t["host"]) + (f":{t['port']}" if t.get("port") else ""),
                _text(t["registration"]["status"]),
                _text(t["registration"].get("reason")),
            ]
            for t in rows
        ],
    )


@trunks.command("presets")
def list_presets(url: Url = None, key: Key = None) -> None:
    """Show the providers whose settings are known."""
    with ApiClient(url, key) as api:
        rows = _listed(api, "/api/trunk-presets")
    table(
        ["id", "name", "server", "notes"],
        [[_text(p.get(k)) for k in ("id", "name", "host", "notes")] for p in rows],
    )


@trunks.command("rm")
def remove_trunk(trunk_id: str, yes: Yes = False, url: Url = None, key: Key = None) -> None:
    """Disconnect a trunk and release its numbers."""
    if not yes:
        typer.confirm(f"Disconnect {trunk_id} and release its numbers?", abort=True)
    with ApiClient(url, key) as api:
        api.delete(f"/api/trunks/{trunk_id}")
    out.print(f"Removed {escape(trunk_id)}.")


# ---- numbers --------------------------------------------------------------------------------


@numbers.command("add")
def add_number(
    number: Annotated[str, typer.Argument(help="E.164, such as +33612345678.")],
    trunk: Annotated[str | None, typer.Option(help="Trunk id; the first one if not given.")] = None,
    agent: Annotated[str | None, typer.Option(help="Agent id that answers.")] = None,
    auto_answer: Annotated[bool, typer.Option(help="Answer without asking the agent.")] = False,
    label: Annotated[str | None, typer.Option()] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Let a number reach an agent."""
    with ApiClient(url, key) as api:
        made = api.post(
            "/api/phone-numbers",
            given(
                number=number, trunk_id=trunk, agent_id=agent, auto_answer=auto_answer, label=label
            ),
        )
    out.print(f"Added {escape(made['number'])} ({escape(made['id'])}).")


@numbers.command("list")
@numbers.command("status")
def list_numbers(url: Url = None, key: Key = None) -> None:
    """Show the numbers and who answers them."""
    with ApiClient(url, key) as api:
        rows = _listed(api, "/api/phone-numbers")
    columns = ["id", "number", "label", "agent_id", "trunk_id", "auto_answer"]
    table(columns, [[_text(n.get(c)) for c in columns] for n in rows])


@numbers.command("rm")
def remove_number(number_id: str, yes: Yes = False, url: Url = None, key: Key = None) -> None:
    """Stop answering a number."""
    if not yes:
        typer.confirm(f"Remove {number_id}? Calls to it will be refused.", abort=True)
    with ApiClient(url, key) as api:
        api.delete(f"/api/phone-numbers/{number_id}")
    out.print(f"Removed {escape(number_id)}.")


# ---- agents ---------------------------------------------------------------------------------


@agents.command("add")
def add_agent(
    name: str,
    mode: Annotated[str, typer.Option(help="stream (your program talks) or hosted.")] = "stream",
    brain: Annotated[str | None, typer.Option(help="hosted: demo or openai.")] = None,
    base_url: Annotated[str | None, typer.Option(help="openai: the chat endpoint.")] = None,
    model: Annotated[str | None, typer.Option(help="openai: the model's name.")] = None,
    llm_key: Annotated[str | None, typer.Option(help="openai: the vendor's API key.")] = None,
    prompt: Annotated[str | None, typer.Option(help="hosted: how to behave.")] = None,
    greeting: Annotated[str | None, typer.Option(help="hosted: the first sentence.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make an agent."""
    openai = given(base_url=base_url, model=model, api_key=llm_key)
    body = given(
        name=name, mode=mode, brain=brain, greeting=greeting, prompt=prompt, openai=openai or None
    )
    with ApiClient(url, key) as api:
        made = api.post("/api/agents", body)
    out.print(f"Added {escape(made['id'])}.")


@agents.command("list")
@agents.command("status")
def list_agents(url: Url = None, key: Key = None) -> None:
    """Show the agents."""
    with ApiClient(url, key) as api:
        rows = _listed(api, "/api/agents")
    columns = ["id", "name", "mode", "brain"]
    table(columns, [[_text(a.get(c)) for c in columns] for a in rows])


@agents.command("rm")
def remove_agent(agent_id: str, yes: Yes = False, url: Url = None, key: Key = None) -> None:
    """Remove an agent; its numbers then have none."""
    if not yes:
        typer.confirm(f"Remove {agent_id}?", abort=True)
    with ApiClient(url, key) as api:
        api.delete(f"/api/agents/{agent_id}")
    out.print(f"Removed {escape(agent_id)}.")


# ---- keys -----------------------------------------------------------------------------------


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="What it is for.")] = "command line",
    here: Annotated[
        bool, typer.Option("--here", help="Make it in this machine's database, without a key.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make an API key; it is shown only now."""
    if here:
        from ringback.cli.local_key import make_key_here

        made_key = make_key_here(name)
    else:
        with ApiClient(url, key) as api:
            made_key = api.post("/api/api-keys", {"name": name})["key"]
    out.print(escape(made_key))


@keys.command("list")
@keys.command("status")
def list_keys(url: Url = None, key: Key = None) -> None:
    """Show the API keys (their beginnings)."""
    with ApiClient(url, key) as api:
        rows = _listed(api, "/api/api-keys")
    columns = ["id", "prefix", "name", "created_at", "last_used_at"]
    table(columns, [[_text(k.get(c)) for c in columns] for k in rows])


@keys.command("rm")
def remove_key(key_id: str, yes: Yes = False, url: Url = None, key: Key = None) -> None:
    """Revoke an API key, at once."""
    if not yes:
        typer.confirm(f"Revoke {key_id}?", abort=True)
    with ApiClient(url, key) as api:
        api.delete(f"/api/api-keys/{key_id}")
    out.print(f"Revoked {escape(key_id)}.")
