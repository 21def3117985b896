"""``ringback doctor``: what could go wrong on this machine, found before a caller finds it.

Each check is one function that yields findings; ``run_checks`` runs them all, and a check that
breaks is a finding too.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import resource
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.markup import escape

from ringback.audio import codec
from ringback.cli.client import ApiClient
from ringback.cli.console import EXIT_FAILED, out
from ringback.core.clock import SystemClock
from ringback.core.errors import RingbackError
from ringback.core.settings import Settings, load_settings
from ringback.net.public_address import PublicAddress, is_private
from ringback.net.routes import local_address_towards
from ringback.net.rtp_ports import RtpPorts
from ringback.net.source_guard import is_near
from ringback.voice.factory import available

FREE_DISK_WANTED = 1 << 30
"""Bytes: a day of one line's recordings in stereo."""
FILES_PER_CALL = 4
SOCKET_BUFFER_WANTED = 425_984
PUBLIC_PROBE = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): asks the kernel for a route to the internet; nothing is sent."""


class Level(StrEnum):
    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """``remedy`` is what to do; empty where all is well."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


Check = Callable[[Settings], AsyncIterator[Finding]]
_MARKS = {
    Level.GOOD: "[green]ok  [/]",
    Level.NOTE: "[yellow]note[/]",
    Level.BAD: "[bold red]BAD [/]",
}


def doctor() -> None:
    """Look for what may go wrong: ports, NAT, DNS, limits, disk, voices, trunks."""
    findings = asyncio.run(run_checks(load_settings()))
    for finding in findings:
        out.print(f"{_MARKS[finding.level]} {escape(finding.subject)}: {escape(finding.text)}")
        if finding.remedy:
            out.print(f"     [dim]-> {escape(finding.remedy)}[/]")
    bad = sum(finding.level is Level.BAD for finding in findings)
    out.print()
    out.print(
        "[bold green]Nothing stands in the way.[/]" if not bad else f"[bold red]{bad} to mend.[/]"
    )
    if bad:
        raise SystemExit(EXIT_FAILED)


async def run_checks(settings: Settings) -> list[Finding]:
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings += [finding async for finding in check(settings)]
        except (OSError, RingbackError) as error:
            findings.append(Finding(Level.BAD, check.__name__, str(error)))
    return findings


# ---- ports ----------------------------------------------------------------------------------


async def ports(settings: Settings) -> AsyncIterator[Finding]:
    running = _already_running(settings)
    wanted = [
        ("HTTP", settings.http_host, settings.http_port, socket.SOCK_STREAM),
        ("SIP over UDP", settings.sip_host, settings.sip_port, socket.SOCK_DGRAM),
        ("SIP over TCP", settings.sip_host, settings.sip_port, socket.SOCK_STREAM),
    ]
    if settings.sip_tls_port is not None:
        wanted.append(
            ("SIP over TLS", settings.sip_host, settings.sip_tls_port, socket.SOCK_STREAM)
        )
    for subject, host, port, kind in wanted:
        yield _port_finding(subject, host, port, kind, running)


def _already_running(settings: Settings) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", settings.http_port), timeout=0.5) as probe:
            probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b" 200 " in probe.recv(64)
    except OSError:
        return False


def _port_finding(
    subject: str, host: str, port: int, kind: socket.SocketKind, running: bool
) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = f"{host} port {port}"
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and running:
                return Finding(Level.GOOD, subject, f"{where} is held by the running gateway")
            setting = "RINGBACK_HTTP_PORT" if subject == "HTTP" else "RINGBACK_SIP_PORT"
            return Finding(
                Level.BAD,
                subject,
                f"{where} cannot be used ({error.strerror})",
                f"Stop what uses it (`ss -lnp | grep :{port}`) or set {setting}.",
            )
    return Finding(Level.GOOD, subject, f"{where} is free")


async def media_ports(settings: Settings) -> AsyncIterator[Finding]:
    ports = RtpPorts(settings.rtp_ports.first, settings.rtp_ports.last, clock=SystemClock())
    problems = ports.probe()
    for problem in problems:
        yield Finding(Level.NOTE, "RTP ports", problem)
    if not problems:
        yield Finding(
            Level.GOOD, "RTP ports", f"{settings.rtp_ports}: room for {ports.pairs} calls at once"
        )


# ---- network --------------------------------------------------------------------------------


async def public_address(settings: Settings) -> AsyncIterator[Finding]:
    route = local_address_towards(PUBLIC_PROBE)
    if route is None:
        yield Finding(Level.NOTE, "Network", "no route to the internet: calls stay on this network")
        return
    stun = (settings.stun_server.host, settings.stun_server.port) if settings.stun_server else None
    address = PublicAddress(clock=SystemClock(), external_ip=settings.external_ip, stun_server=stun)
    await address.discover()
    if address.stun_failure:
        yield Finding(
            Level.BAD,
            "STUN",
            address.stun_failure,
            "Check RINGBACK_STUN_SERVER and that UDP may leave this machine.",
        )
    behind_nat = is_private(ipaddress.ip_address(route))
    if address.external_ip:
        yield Finding(Level.GOOD, "Public address", f"{address.external_ip} (our route: {route})")
    elif behind_nat:
        yield Finding(
            Level.NOTE,
            "NAT",
            f"this machine is {route} on its network and knows no public address",
            "Calls from the internet may be silent: set RINGBACK_EXTERNAL_IP or "
            "RINGBACK_STUN_SERVER, and forward the SIP and RTP ports to this machine.",
        )
    else:
        yield Finding(Level.GOOD, "Public address", f"{route}, directly on the internet")


async def name_resolution(settings: Settings) -> AsyncIterator[Finding]:
    servers = [
        line.split()[1]
        for line in _read(Path("/etc/resolv.conf")).splitlines()
        if line.startswith("nameserver") and len(line.split()) > 1
    ]
    if servers:
        yield Finding(Level.GOOD, "DNS", f"name servers {', '.join(servers)}")
    else:
        yield Finding(
            Level.NOTE,
            "DNS",
            "no name server in /etc/resolv.conf: trunks must be given by address",
            "Add a nameserver line if trunks are named by host.",
        )


# ---- machine --------------------------------------------------------------------------------


async def kernel_limits(settings: Settings) -> AsyncIterator[Finding]:
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = limit // FILES_PER_CALL
    if room < settings.max_calls:
        yield Finding(
            Level.NOTE,
            "Open files",
            f"{limit} open files carry about {room} calls; RINGBACK_MAX_CALLS is "
            f"{settings.max_calls}",
            f"Raise the hard limit to {settings.max_calls * FILES_PER_CALL * 2}: LimitNOFILE= in "
            "the service file, or nofile in /etc/security/limits.conf.",
        )
    else:
        yield Finding(Level.GOOD, "Open files", f"limit {limit}")
    text = _read(Path("/proc/sys/net/core/rmem_max")).strip()
    if text.isdigit() and int(text) < SOCKET_BUFFER_WANTED // 2:
        yield Finding(
            Level.NOTE,
            "Socket buffers",
            f"net.core.rmem_max is {text} bytes",
            f"sysctl -w net.core.rmem_max={SOCKET_BUFFER_WANTED}",
        )


async def disk(settings: Settings) -> AsyncIterator[Finding]:
    folder = settings.data_dir.absolute()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Finding(
            Level.BAD, "Data folder", f"{folder} is not writable", "Set RINGBACK_DATA_DIR."
        )
        return
    free = shutil.disk_usage(existing).free
    text = f"{folder}, {free / (1 << 30):.1f} GiB free"
    if free < FREE_DISK_WANTED:
        yield Finding(Level.BAD, "Disk", text, "Make room: recordings need 2 MB a minute and call.")
    else:
        yield Finding(Level.GOOD, "Disk", text)


async def voices(settings: Settings) -> AsyncIterator[Finding]:
    for vendor in available().vendors:
        if vendor.missing:
            yield Finding(Level.NOTE, f"Voice {vendor.name}", "not installed", vendor.missing)
        else:
            yield Finding(Level.GOOD, f"Voice {vendor.name}", vendor.caution or "installed")


async def codecs(settings: Settings) -> AsyncIterator[Finding]:
    for name, reason in codec.missing().items():
        yield Finding(Level.NOTE, f"Codec {name}", "is not offered", reason)
    yield Finding(Level.GOOD, "Codecs", ", ".join(codec.names()))


# ---- trunks ---------------------------------------------------------------------------------


async def trunks(settings: Settings) -> AsyncIterator[Finding]:
    if not _already_running(settings):
        yield Finding(Level.NOTE, "Trunks", "not looked at: the gateway is not running")
        return
    try:
        with ApiClient(None, os.environ.get("RINGBACK_API_KEY")) as api:
            answer = api.get("/api/trunks")
    except RingbackError as error:
        yield Finding(Level.NOTE, "Trunks", error.message, error.hint)
        return
    for trunk in answer["items"]:
        registration = trunk["registration"]
        good = registration["status"] == "registered" or trunk["mode"] == "ip_allowlist"
        yield Finding(
            Level.GOOD if good else Level.BAD,
            f"Trunk {trunk['name']}",
            ": ".join(filter(None, (registration["status"], registration.get("reason")))),
        )


async def guards(settings: Settings) -> AsyncIterator[Finding]:
    """Whether somebody near was banned: a test call that fails may be no more than that."""
    if not settings.guard:
        yield Finding(
            Level.NOTE, "Guard", "off: scanners and floods are not kept out", "Set RINGBACK_GUARD."
        )
        return
    if not _already_running(settings):
        yield Finding(Level.GOOD, "Guard", "on")
        return
    try:
        with ApiClient(None, os.environ.get("RINGBACK_API_KEY")) as api:
            bans = api.get("/api/guards/bans")["items"]
    except RingbackError as error:
        yield Finding(Level.NOTE, "Guard", error.message, error.hint)
        return
    near = [ban for ban in bans if is_near(ban["source"])]
    for ban in near:
        yield Finding(
            Level.NOTE,
            "Guard",
            f"{ban['source']}, which is near, is banned until {ban['until']} ({ban['reason']})",
            f"`ringback guard lift {ban['source']}`, or exempt it: RINGBACK_GUARD_EXEMPT.",
        )
    if not near:
        yield Finding(Level.GOOD, "Guard", f"on; sources banned: {len(bans)}")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


CHECKS: tuple[Check, ...] = (
    ports,
    media_ports,
    public_address,
    name_resolution,
    kernel_limits,
    disk,
    voices,
    codecs,
    trunks,
    guards,
)
