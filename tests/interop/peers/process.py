"""Programs that a test starts, watches and stops by pid."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
MAX_PORT = 65535


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP at this moment."""
    while True:
        with socket.socket(socket.AF_INET, kind) as first:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            other = socket.SOCK_STREAM if kind == socket.SOCK_DGRAM else socket.SOCK_DGRAM
            with socket.socket(socket.AF_INET, other) as second:
                try:
                    second.bind(("127.0.0.1", port))
                except OSError:
                    continue
            return port


def free_port_pair() -> int:
    """A free port whose next one is free too."""
    while True:
        port = free_port()
        if port < MAX_PORT and all(
            _is_free(port + 1, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ):
            return port


def is_bound(port: int) -> bool:
    """Whether somebody on this machine takes IPv4 datagrams or connections at ``port``."""
    wanted = f":{port:04X}"
    tables = (Path("/proc/net/udp"), Path("/proc/net/tcp"))
    rows = (row.split() for table in tables for row in table.read_text().splitlines()[1:])
    return any(row[1].endswith(wanted) for row in rows)


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def program(name: str, package: str) -> str:
    """The path of a peer program. Its absence is a skip only where it cannot be installed."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is not None:
        return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        pytest.fail(f"{name} is missing and this machine could install it: run `make peers`")
    pytest.skip(f"{name} is not installed and cannot be installed here (apt-get install {package})")


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
    """Ask until ``condition`` holds. Raises PeerFailed, naming ``what``, when the time is up."""
    deadline = time.monotonic() + timeout
    never = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise PeerFailed(f"{what}: not within {timeout:g} s")
        never.wait(POLL_SECONDS)


class PeerFailed(AssertionError):
    """A peer program did not do what the test waited for; carries its output."""


class Process:
    """A child process whose output is read by a thread, so that tests can wait for a line."""

    def __init__(
        self, argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = Path(argv[0]).name
        self._child = subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream = self._child.stdout
        if stream is None:
            return
        for line in stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def output(self) -> str:
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, timeout: float = 15.0) -> re.Match[str]:
        """The first match in the output so far or to come.

        Raises PeerFailed when the time is up or the program ended without it.
        """
        regex = re.compile(pattern)
        with self._changed:
            found = self._changed.wait_for(
                lambda: self._search(regex) is not None or self._closed, timeout
            )
            match = self._search(regex)
        if match is None:
            why = "ended" if found else f"said nothing like it in {timeout:g} s"
            raise PeerFailed(f"{self.name} {why}: waiting for {pattern!r}\n{self.output[-4000:]}")
        return match

    def _search(self, regex: re.Pattern[str]) -> re.Match[str] | None:
        return next((m for line in self._lines if (m := regex.search(line))), None)

    @property
    def ended(self) -> bool:
        return self._child.poll() is not None

    def wait(self, timeout: float) -> int:
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise PeerFailed(
                f"{self.name} still runs after {timeout:g} s\n{self.output[-4000:]}"
            ) from None

    def say(self, line: str) -> None:
        """Write one line to the program's standard input."""
        if self._child.stdin is None:
            raise PeerFailed(f"{self.name} has no standard input")
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()

    def send_signal(self, number: int) -> None:
        self._child.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._child.poll() is None:
            self._child.send_signal(number)
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
