"""The kernel's table of TCP connections."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from interop.peers.process import PeerFailed

ESTABLISHED = "01"
POLL_SECONDS = 0.05


def connections_to(port: int) -> int:
    """How many connections to this port of an IPv4 address stand."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [row.split() for row in rows]
    return sum(f[3] == ESTABLISHED and int(f[2].rpartition(":")[2], 16) == port for f in fields)


def wait_until_none(port: int, timeout: float = 30.0) -> None:
    """Raises PeerFailed when a connection to ``port`` still stands in the end."""
    deadline = time.monotonic() + timeout
    never = threading.Event()
    while connections_to(port):
        if time.monotonic() > deadline:
            raise PeerFailed(f"there are still connections to port {port}")
        never.wait(POLL_SECONDS)
