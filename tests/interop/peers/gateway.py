"""The gateway as an operator runs it: `ringback serve` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from interop.peers.process import PeerFailed, Process, free_port

API_KEY = "rb_live_interop_0123456789abcdefghijklmnop"
RTP_PAIRS = 1000
RINGBACK: tuple[Path | str, ...] = (Path(sys.executable), "-m", "ringback")


def free_rtp_range(pairs: int = RTP_PAIRS) -> str:
    """A range of UDP ports below the kernel's ephemeral ones that nobody holds just now."""
    start = 12000 + (os.getpid() * 37 % 60) * 200
    for first in range(start, 30000, 2 * pairs):
        if _holds_nobody(first) and _holds_nobody(first + 2 * pairs - 1):
            return f"{first}-{first + 2 * pairs - 1}"
    raise PeerFailed("no free RTP range")


def _holds_nobody(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with these settings and no others."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RINGBACK_")}
    return env | {f"RINGBACK_{k.upper()}": str(v) for k, v in settings.items()}


class Gateway:
    """A gateway on free ports with its own data folder, and a client for its API. ``before`` is
    a command that runs the command that follows it."""

    def __init__(
        self, data: Path, *, before: Sequence[str | Path] = (), **settings: str | int
    ) -> None:
        self.data = data
        self._before = before
        data.mkdir(parents=True, exist_ok=True)
        self.http_port = free_port(socket.SOCK_STREAM)
        self.sip_port = free_port()
        self._settings = {
            "data_dir": data,
            "http_host": "127.0.0.1",
            "http_port": self.http_port,
            "sip_host": "127.0.0.1",
            "sip_port": self.sip_port,
            "rtp_ports": free_rtp_range(),
            "api_key": API_KEY,
            "shutdown_grace": 1,
            "media_workers": 1,
            "load_limit": 0,
        } | settings
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.api = httpx2.Client(base_url=self.url, headers={"X-API-Key": API_KEY}, timeout=20)
        self.process = self._start()

    def _start(self) -> Process:
        env = environment(self._settings)
        process = Process([*self._before, *RINGBACK, "serve"], cwd=self.data, env=env)
        try:
            process.wait_for("Ringback is ready", 30)
        except PeerFailed:
            process.stop()
            raise
        return process

    def restart(self) -> None:
        """Start again after its end; it is stopped if it still runs."""
        self.process.stop()
        self.process = self._start()

    def kill(self) -> None:
        self.process.stop(signal.SIGKILL)

    def post(self, path: str, body: Mapping[str, Any] | None = None, expect: int = 200) -> Any:
        return self._answer(self.api.post(path, json=dict(body or {})), expect)

    def get(self, path: str, expect: int = 200) -> Any:
        return self._answer(self.api.get(path), expect)

    def delete(self, path: str, expect: int = 200) -> Any:
        return self._answer(self.api.delete(path), expect)

    def _answer(self, response: httpx2.Response, expect: int) -> Any:
        fits = response.status_code == expect or (
            expect == 200 and 200 <= response.status_code < 300
        )
        if not fits:
            raise PeerFailed(
                f"{response.request.method} {response.request.url}: {response.status_code}, "
                f"not {expect}: {response.text}\n{self.process.output[-3000:]}"
            )
        return response.json() if response.content else None

    def events(self) -> EventStream:
        return EventStream(f"ws://127.0.0.1:{self.http_port}/api/events?api_key={API_KEY}")

    def stream(self, call_id: str) -> ClientConnection:
        """The call WebSocket of ``call_id``."""
        return connect(
            f"ws://127.0.0.1:{self.http_port}/api/call/{call_id}/stream?api_key={API_KEY}",
            max_queue=None,
            proxy=None,
        )

    def call(self, call_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(f"/api/call/{call_id}")
        return answer

    def stop(self) -> None:
        self.api.close()
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class EventStream:
    """The account's events, read by a thread from the moment of opening."""

    def __init__(self, url: str) -> None:
        self._exits = contextlib.ExitStack()
        self._socket = self._exits.enter_context(connect(url, proxy=None))
        self._events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            for message in self._socket:
                with self._changed:
                    self._events.append(json.loads(message))
                    self._changed.notify_all()
        except ConnectionClosed:
            return

    def wait(
        self,
        kind: str,
        where: Callable[[dict[str, Any]], bool] = lambda event: True,
        timeout: float = 20.0,
        after: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The first event of this type that fits, past or to come; with ``after``, the first
        behind that one."""

        def found() -> dict[str, Any] | None:
            start = (
                0
                if after is None
                else next(i + 1 for i, e in enumerate(self._events) if e is after)
            )
            return next(
                (e for e in self._events[start:] if e.get("type") == kind and where(e)), None
            )

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout)
            event = found()
        if event is None:
            raise PeerFailed(f"no {kind} event within {timeout:g} s among {self._events}")
        return event

    def count(self, kind: str) -> int:
        with self._changed:
            return sum(e.get("type") == kind for e in self._events)

    def wait_state(self, call_id: str, state: str, timeout: float = 20.0) -> dict[str, Any]:
        return self.wait(
            "call_state",
            lambda e: e.get("call_id") == call_id and e.get("state") == state,
            timeout,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._exits.close()
        self._reader.join(5)
