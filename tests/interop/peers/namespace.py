"""File systems of the test's own, in a mount namespace that ends with its program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from interop.peers.process import program

_PROBE_SECONDS = 10


def small_disk(folder: Path, mebibytes: int) -> list[str | Path]:
    """What to put before a command so that ``folder`` is a disk of this size to it."""
    folder.mkdir(parents=True, exist_ok=True)
    return _mounted(f'mount -t tmpfs -o size={mebibytes}m tmpfs "$0" && cd "$0"', folder)


def read_only(path: Path) -> list[str | Path]:
    """What to put before a command so that ``path``, a folder or a file, is read-only to it."""
    bind = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
    return _mounted(bind, path)


def _mounted(mount: str, path: Path) -> list[str | Path]:
    """Skips where this user may not mount."""
    unshare = program("unshare", "util-linux")
    as_user = [] if os.geteuid() == 0 else ["--map-root-user"]
    before: list[str | Path] = [unshare, *as_user, "--mount", "sh", "-c", f'{mount} && exec "$@"']
    probe = subprocess.run([*before, path, "true"], capture_output=True, timeout=_PROBE_SECONDS)
    if probe.returncode:
        pytest.skip(f"this user may not mount: {probe.stderr.decode(errors='replace').strip()}")
    return [*before, path]
