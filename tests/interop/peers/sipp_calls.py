"""Calls between sipp and a gateway: its trunks and numbers, and what went over the wire."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from interop.peers.call_script import CallScript
from interop.peers.gateway import Gateway
from interop.peers.sipp import Sipp

TIMER = "Supported: timer"
ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, REFER, NOTIFY"


def play(
    folder: Path,
    script: CallScript,
    gateway: Gateway | None = None,
    user: str = "nobody",
    *more: str,
) -> Sipp:
    """Run ``script``: toward ``user`` of ``gateway`` where sipp calls, else waiting for a call."""
    remote = f"127.0.0.1:{gateway.sip_port}" if gateway is not None else ""
    return Sipp(
        folder, "-sf", str(script.write(folder)), "-m", "1", "-key", "user", user,
        "-timeout", "60s", *more, remote=remote,
    )  # fmt: skip


def completed(sipp: Sipp) -> None:
    assert sipp.process.wait(60) == 0, sipp.error_text() + sipp.process.output[-2000:]


@dataclass(frozen=True)
class Line:
    """A trunk that calls from this machine, and its number."""

    trunk_id: str
    number: str


NUMBERS = count(33_612_345_000)


def line_to(gateway: Gateway, port: int | None = None, **number: Any) -> Line:
    """``port`` is where the trunk is called."""
    place = {"port": port} if port is not None else {}
    trunk = gateway.post(
        "/api/trunks",
        {"name": "PBX", "mode": "ip_allowlist", "host": "127.0.0.1", **place},
    )
    line = Line(trunk["id"], f"+{next(NUMBERS)}")
    gateway.post("/api/phone-numbers", {"number": line.number, "trunk_id": line.trunk_id, **number})
    return line


def answering(gateway: Gateway) -> dict[str, Any]:
    """What makes a number answer by itself, for an outside agent."""
    agent = gateway.post("/api/agents", {"name": "Outside", "mode": "stream"})
    return {"agent_id": agent["id"], "auto_answer": True}


def call_out(gateway: Gateway, line: Line, port: int) -> str:
    target = f"sip:+15550001@127.0.0.1:{port}"
    call = gateway.post(
        "/api/call", {"platform": "sip", "meeting_url": target, "trunk_id": line.trunk_id}
    )
    return str(call["call_id"])


def messages(gateway: Gateway, call_id: str) -> list[str]:
    """What went over the wire."""
    return [message["text"] for message in gateway.get(f"/api/call/{call_id}/sip")["messages"]]


def dialog_of(gateway: Gateway, call_id: str) -> tuple[str, str, str]:
    """Call-ID, our tag and the caller's, as the answer had them."""
    answer = next(said for said in messages(gateway, call_id) if said.startswith("SIP/2.0 200"))
    fields = dict(line.split(": ", 1) for line in answer.split("\r\n\r\n")[0].split("\r\n")[1:])
    return (
        fields["Call-ID"],
        fields["To"].partition("tag=")[2],
        fields["From"].partition("tag=")[2],
    )
