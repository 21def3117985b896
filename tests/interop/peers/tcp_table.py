"""The kernel's table of TCP connections."""

from __future__ import annotations

from pathlib import Path

from interop.peers.process import wait_until

ESTABLISHED = "01"


def connections_to(port: int) -> int:
    """How many connections to this port of an IPv4 address stand."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [row.split() for row in rows]
    return sum(f[3] == ESTABLISHED and int(f[2].rpartition(":")[2], 16) == port for f in fields)


def wait_until_none(port: int, timeout: float = 30.0) -> None:
    """Raises PeerFailed when a connection to ``port`` still stands in the end."""
    wait_until(lambda: not connections_to(port), f"no connection to port {port}", timeout)
