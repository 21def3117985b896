"""What programs that use the API at the same time do to live calls.

    python bench/api_beside.py --calls 100 --rate 100

The same node carries ``--calls`` echoed calls twice: left alone, and while ``--rate`` requests a
second read calls, agents and numbers, and make, change and delete agents, which writes to the
database (SQLite). The order changes each round. Times of audio in ms as in ``whole_node.py``, then
of the requests. Exit code 1 when a packet is missing, a request fails or the share of gaps over
25 ms rises by more than 1 %.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

from barge_in import percentile
from live_calls import HEAD, Figures, callers_of, live_load, load_core, row, whole_node
from media_calls import pin
from node import KEY, LOCALHOST, Node, bounded

CLIENTS = 4
ALLOWED_MORE_GAPS = 0.01
AGENT = {"name": "Beside", "mode": "stream"}


class Client(threading.Thread):
    """A program on one connection: ``rate`` requests a second, as long as they are answered."""

    def __init__(self, node: Node, rate: float) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._rate = rate
        self._over = threading.Event()
        self.took: dict[str, list[float]] = defaultdict(list)
        """Milliseconds, by request."""
        self.failed: list[str] = []

    def run(self) -> None:
        self._connection = http.client.HTTPConnection(LOCALHOST, self._node.http_port, timeout=20)
        due = time.monotonic()
        try:
            while not self._over.is_set():
                for method, path, body in self._tour():
                    due += 1 / self._rate
                    self._over.wait(max(0.0, due - time.monotonic()))
                    self._ask(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self.failed.append(repr(error))
        finally:
            self._connection.close()

    def _tour(self) -> list[tuple[str, str, dict[str, str] | None]]:
        made = self._ask("POST", "/api/agents", AGENT)
        path = f"/api/agents/{made['id']}"
        return [
            ("GET", "/api/calls", None),
            ("GET", path, None),
            ("PATCH", path, {"name": "Beside them"}),
            ("GET", "/api/calls?state=ended", None),
            ("GET", "/api/phone-numbers", None),
            ("DELETE", path, None),
        ]

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, str]:
        kind = f"{method} {'/'.join(path.split('/')[:3])}"
        start = time.monotonic()
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, headers)
        answer = self._connection.getresponse()
        told = answer.read()
        self.took[kind].append((time.monotonic() - start) * 1000)
        if answer.status >= 300:
            self.failed.append(f"{kind}: {answer.status}")
        result: dict[str, str] = json.loads(told) if told else {}
        return result

    def end(self) -> None:
        self._over.set()
        self.join(30)


def run(node: Node, options: argparse.Namespace, rate: float) -> tuple[Figures, list[Client]]:
    """``rate`` 0: nobody uses the API."""
    clients = [Client(node, rate / CLIENTS) for _ in range(CLIENTS)] if rate else []
    core = load_core(options.cores)
    calls, seconds = options.calls, options.seconds
    with callers_of(node) as callers, live_load(node, callers, calls, seconds, core) as load:
        load.start()
        for client in clients:
            client.start()
        try:
            return load.figures(), clients
        finally:
            for client in clients:
                client.end()


def requests(clients: list[Client]) -> dict[str, list[float]]:
    took: dict[str, list[float]] = defaultdict(list)
    for client in clients:
        for kind, times in client.took.items():
            took[kind] += times
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured in each run")
    parser.add_argument("--cores", type=int, default=1, help="of the node")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    pin(load_core(options.cores))
    runs: dict[bool, list[Figures]] = {False: [], True: []}
    users: list[Client] = []
    print(f"{'':8}{HEAD}", flush=True)
    for number in range(options.rounds):
        for busy in (False, True) if number % 2 == 0 else (True, False):
            with bounded(90 + options.seconds), whole_node(options.cores) as node:
                figures, clients = run(node, options, options.rate if busy else 0.0)
            runs[busy].append(figures)
            users += clients
            print(f"{'API' if busy else 'alone':8}{row(figures)}", flush=True)
    return judge(runs, users, options)


def judge(runs: dict[bool, list[Figures]], users: list[Client], options: argparse.Namespace) -> int:
    took = requests(users)
    for kind, times in sorted(took.items()):
        p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
        print(f"{len(times):6} {kind:24} p50 {p50:6.1f}, p99 {p99:6.1f}, longest {max(times):.1f}")
    failed = [why for client in users for why in client.failed]
    if options.json is not None:
        told = {
            "alone": [one.as_json() for one in runs[False]],
            "api": [one.as_json() for one in runs[True]],
            "requests": took,
            "failed": failed,
        }
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    gaps = {
        busy: sum(one.seen["gaps"]["above_25"] for one in ran) / len(ran)
        for busy, ran in runs.items()
    }
    lost = sum(one.lost for ran in runs.values() for one in ran)
    good = not lost and not failed and gaps[True] - gaps[False] <= ALLOWED_MORE_GAPS
    if failed:
        print(f"failed: {failed[0]} and {len(failed) - 1} more")
    print("the calls did not notice" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
