"""A gateway to measure: `ringback serve` in a process of its own, on cores of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

LOCALHOST = "127.0.0.1"
KEY = "a-key-for-the-bench-only"
DID = "+33612345678"
RTP_PORTS = "20000-31999"
STOP_SECONDS = 30
COMPLAINTS_SHOWN = 5


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """``SystemExit`` after ``seconds``; a SIGTERM is a Ctrl-C: whatever was started is stopped."""

    def late(number: int, frame: object) -> None:
        raise SystemExit(f"not done after {seconds:g} seconds")

    def told(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    handlers = {signal.SIGALRM: late, signal.SIGTERM: told}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class Node:
    """Started by entering it, bound to ``cores`` processors from ``core`` on.

    What it costs is the sum of its processes. What it complains of is in ``complaints``, and goes
    to standard error when it is left.
    """

    def __init__(self, data: Path, core: int = 0, cores: int = 1, **settings: str) -> None:
        self.http_port = free_port(socket.SOCK_STREAM)
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self._data = data
        self._log = data / "complaints.log"
        self._cores = set(range(core, core + cores)) & set(range(os.cpu_count() or 1))
        self._settings = {
            "DATA_DIR": str(data),
            "HTTP_HOST": LOCALHOST,
            "HTTP_PORT": str(self.http_port),
            "SIP_HOST": LOCALHOST,
            "SIP_PORT": str(self.sip_port),
            "RTP_PORTS": RTP_PORTS,
            "API_KEY": KEY,
            "LOG_LEVEL": "warning",
            "LOAD_LIMIT": "0",
        } | {name.upper(): value for name, value in settings.items()}

    def __enter__(self) -> Self:
        env = {k: v for k, v in os.environ.items() if not k.startswith("RINGBACK_")}
        env |= {f"RINGBACK_{name}": value for name, value in self._settings.items()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ringback", "serve"],
                cwd=self._data,
                env=env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=self._pin,
            )
        try:
            for line in self._process.stdout or ():
                if "Ringback is ready" in line:
                    return self
            raise RuntimeError("the gateway did not start")
        except BaseException:
            self.__exit__()
            raise

    def _pin(self) -> None:
        if self._cores:
            os.sched_setaffinity(0, self._cores)

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        complaints = self.complaints()
        for line in complaints[:COMPLAINTS_SHOWN]:
            print(f"the gateway: {line}", file=sys.stderr)
        if len(complaints) > COMPLAINTS_SHOWN:
            print(f"the gateway: {len(complaints)} lines in all", file=sys.stderr)

    def complaints(self) -> list[str]:
        """What it wrote to its log so far: warnings and worse."""
        return self._log.read_text(errors="replace").splitlines()

    def api(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://{LOCALHOST}:{self.http_port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"X-API-Key": KEY, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def url(self, path: str) -> str:
        return f"ws://{LOCALHOST}:{self.http_port}{path}?api_key={KEY}"

    def answer_calls_from(self, host: str, sip_port: int) -> None:
        """A trunk that is known by its address, and a number that is answered at once."""
        trunk = {"name": "bench", "mode": "ip_allowlist", "host": host, "port": sip_port}
        made = self.api("POST", "/api/trunks", dict(trunk))
        number = {"number": DID, "trunk_id": made["id"], "auto_answer": True}
        self.api("POST", "/api/phone-numbers", dict(number))

    def metrics(self) -> dict[str, float]:
        request = urllib.request.Request(
            f"http://{LOCALHOST}:{self.http_port}/metrics", headers={"X-API-Key": KEY}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def processes(self) -> list[int]:
        """Its process ids, its own first."""
        return [self._process.pid, *_descendants(self._process.pid)]

    def cpu_seconds(self) -> float:
        """Of all its processes, those that have ended among them."""
        ticks = sum(sum(map(int, _stat(process)[11:15])) for process in self.processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def waiting_seconds(self) -> float:
        """How long its processes' main threads wanted a processor and somebody else had it."""
        texts = (Path(f"/proc/{process}/schedstat").read_text() for process in self.processes())
        return sum(int(text.split()[1]) for text in texts) / 1e9

    def memory_bytes(self) -> int:
        """What of all its processes is in memory; what they share counts once each."""
        pages = (
            int(Path(f"/proc/{process}/statm").read_text().split()[1])
            for process in self.processes()
        )
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _descendants(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").iterdir():
        for child in map(int, (thread / "children").read_text().split()):
            yield child
            yield from _descendants(child)
