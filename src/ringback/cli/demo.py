"""``ringback demo``: a gateway on free ports, a real SIP call to its demo agent, and the proof.

The call is placed by the project's own softphone over real sockets. What is printed comes from the
gateway's public event stream, what is left in the folder from its public API.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
import uvloop
from rich.markup import escape
from websockets.asyncio.client import connect

from ringback.app import Application, build
from ringback.cli.console import EXIT_FAILED, out
from ringback.cli.softphone.command import Speech, local_voice, person_factory, quality, spoken
from ringback.cli.softphone.line import Account, parse_target
from ringback.cli.softphone.phone import CallResult, off_hook
from ringback.core.errors import Unavailable
from ringback.core.logging import configure_logging
from ringback.core.settings import Settings, load_settings

SENTENCES = ("What time is it?", "Thank you. Goodbye.")
LONGEST_SECONDS = 55.0
CALL_SECONDS = 45.0
LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class Story:
    """What the gateway told about the call, in order."""

    started: float = field(default_factory=time.monotonic)
    call_id: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: dict[str, Any]) -> None:
        seconds = time.monotonic() - self.started
        if event["type"] == "call_state":
            self.call_id = event["call_id"]
            reason = f" ({event['end_reason']})" if event.get("end_reason") else ""
            out.print(f"[dim]{seconds:5.1f} s  call {escape(event['state'] + reason)}[/]")
            if event["state"] in ("ended", "failed", "missed", "refused"):
                self.ended.set()
        elif event["type"] == "call_transcript":
            self.lines.append(event)
            who = "[bold cyan]agent [/]" if event["speaker"] == "agent" else "[bold]caller[/]"
            out.print(f"{seconds:5.1f} s  {who} {escape(event['text'])}")


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the recording and the transcript are left.")
    ] = Path("data/demo"),
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Place a real call to the demo agent and show the conversation."""
    configure_logging("debug" if verbose else "error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_within_a_minute(folder))


async def _within_a_minute(folder: Path) -> None:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await _demonstrate(folder)
    except TimeoutError:
        raise Unavailable(
            f"The demo was not through after {LONGEST_SECONDS:.0f} s.",
            hint="Is the machine very busy? `ringback demo -v` tells what happened.",
        ) from None


async def _demonstrate(folder: Path) -> None:
    settings = demo_settings(folder)
    story = Story()
    async with local_voice(needed=True) as voice:
        sounds = await spoken(Speech(SENTENCES, None, live=False), voice)
    application = build(settings)
    await application.start()
    try:
        uri = application.demo_uris[0]
        out.print(f"A gateway is up. Calling [bold]{escape(uri)}[/] over SIP ...")
        result = await _converse(application, settings, uri, sounds, story)
        await _keep(application, settings, story, folder)
    finally:
        await application.stop()
    out.print()
    out.print(quality(result.report))
    out.print(f"Recording:  [bold]{escape(str(folder / 'recording.wav'))}[/] (caller | agent)")
    out.print(f"Transcript: [bold]{escape(str(folder / 'transcript.txt'))}[/]")
    if not result.answered or not any(line["speaker"] == "caller" for line in story.lines):
        out.print("[bold red]The agent did not hear the caller.[/]")
        raise SystemExit(EXIT_FAILED)


def demo_settings(folder: Path) -> Settings:
    """A node of its own below ``folder``, whatever the environment says about the real one."""
    node = folder / "node"
    shutil.rmtree(node, ignore_errors=True)
    return load_settings(
        {
            "data_dir": node,
            "database_url": f"sqlite:///{(node / 'ringback.db').absolute()}",
            "http_host": LOOPBACK,
            "http_port": 0,
            "sip_host": LOOPBACK,
            "sip_port": 0,
            "api_key": secrets.token_urlsafe(32),
            "demo_agent": True,
            "load_limit": 0,
            "shutdown_grace": 0,
        }
    )


async def _converse(
    application: Application, settings: Settings, uri: str, sounds: list[bytes], story: Story
) -> CallResult:
    account = Account(username="visitor")
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    events = f"ws://{LOOPBACK}:{application.http_port}/api/events?api_key={key}"
    async with connect(events, proxy=None) as stream:
        listening = asyncio.create_task(_listen(stream, story))
        person = person_factory(Speech(SENTENCES, None, live=False), sounds, None, quiet=True)
        async with off_hook(account, parse_target(uri, account), person) as phone:
            result = await phone.call(10, None, CALL_SECONDS)
            await asyncio.wait_for(story.ended.wait(), 5)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return result


async def _listen(stream: Any, story: Story) -> None:
    async for message in stream:
        story.tell(json.loads(message))


async def _keep(application: Application, settings: Settings, story: Story, folder: Path) -> None:
    """Leave the stereo recording and the transcript in ``folder``."""
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    async with httpx2.AsyncClient(
        base_url=f"http://{LOOPBACK}:{application.http_port}",
        headers={"X-API-Key": key},
        trust_env=False,
    ) as api:
        await asyncio.wait_for(application.call_released(story.call_id), 10)
        call = await api.get(f"/api/call/{story.call_id}")
        recording = await api.get(f"/api/call/{story.call_id}/recording")
    recording.raise_for_status()
    transcript = "".join(f"{line}\n" for line in call.json()["transcript"])
    (folder / "recording.wav").write_bytes(recording.content)
    (folder / "transcript.txt").write_text(transcript)
