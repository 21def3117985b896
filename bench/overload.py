"""More calls than the gateway can carry: who is refused, and what the others hear of it.

    python bench/overload.py --rate 20 --seconds 25 --ramp 12

A trunk calls at a steady rate and nobody hangs up. Each call that is answered has audio both ways
at once: `bench/load.c` is its phone and, on the call's WebSocket, an agent that says back what it
hears. `ringback serve` has one core, the load another. Shown are the answers, how many calls live
in the end, and the gaps between the packets that come back to the phones, from `--ramp` seconds on,
when the node is full and calls go on coming. With `--limit 0` nobody is refused, and one sees why
that matters.

Exit code 1 when nobody was refused, when a refusal was no 503 with Retry-After, or when more than
1 % of the gaps are longer than 25 ms. Where the gateway had to wait for its processor, the gaps are
those of the neighbours, too: measure on a machine that has two cores to itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from density import ALLOWED_LONG_GAPS, compiled
from media_calls import pin, say
from node import DID, KEY, LOCALHOST, Node
from raw_sip import SDP, audio_port, header, in_dialog, invite, udp
from websockets.asyncio.client import connect

from ringback.core.settings import Settings

SETTLE_SECONDS = 1
ROUND_SECONDS = 0.01
NUMBER = "X-Number"


@dataclass
class Answers:
    """What the trunk was told: calls by status, refusals without Retry-After, slowest answers."""

    by_status: Counter[str] = field(default_factory=Counter)
    without_time: int = 0
    first_refusal: float | None = None
    refused_after: list[float] = field(default_factory=list)
    """Seconds from an INVITE to its 503."""


class Trunk:
    """Calls from one socket. The phones' audio comes from ports of its own, as behind a NAT: the
    SDP names one that nobody reads."""

    def __init__(self, gateway: int) -> None:
        self.answers = Answers()
        self.answered: dict[str, int] = {}
        """The gateway's RTP port of each call, by number; taken out by who gives it audio."""
        self._gateway = (LOCALHOST, gateway)
        self._sip, self._nobody = udp(LOCALHOST), udp(LOCALHOST)
        self.port = int(self._sip.getsockname()[1])
        self._sent: dict[str, tuple[str, float]] = {}

    def call(self, number: int) -> None:
        body = SDP.format(host=LOCALHOST, port=self._nobody.getsockname()[1])
        mark = f"{NUMBER}: {number}\r\n"
        request = invite(LOCALHOST, self.port, number, DID, "Trunk", body, mark)
        self._sent[header(request.decode(), "Call-ID")] = (str(number), time.monotonic())
        self._sip.sendto(request, self._gateway)

    def listen(self) -> None:
        while True:
            try:
                text = self._sip.recv(65_535).decode()
            except BlockingIOError:
                return
            if text.startswith("SIP/2.0 ") and " INVITE\r\n" in text and text[8] != "1":
                self._final(text)

    def _final(self, text: str) -> None:
        number, sent_at = self._sent.pop(header(text, "Call-ID"), ("", 0.0))
        if not number:
            return
        status = text[8:11]
        self.answers.by_status[status] += 1
        if status == "200":
            self._sip.sendto(in_dialog("ACK", text, LOCALHOST, self.port, 1), self._gateway)
            self.answered[number] = audio_port(text)
            return
        self.answers.refused_after.append(time.monotonic() - sent_at)
        self.answers.without_time += not header(text, "Retry-After")
        if self.answers.first_refusal is None:
            self.answers.first_refusal = time.monotonic()


@dataclass(frozen=True)
class Plan:
    """Calls a second, how long, from when on it is measured (seconds), and how many at most."""

    rate: float
    seconds: float
    ramp: float
    calls: int


class Ends:
    """The phones and agents of all calls, in one process: several would wait for each other."""

    def __init__(self, program: Path, plan: Plan) -> None:
        most = min(plan.calls, round(plan.rate * plan.seconds))
        self._process = subprocess.Popen(
            [program, str(most), str(plan.seconds - plan.ramp), str(plan.ramp), "late=1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, rtp: int, http: int, path: str) -> None:
        """A call that was answered."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{rtp} {http} {path}\n")
            self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Waits for the end."""
        text, _ = self._process.communicate(timeout=40)
        if self._process.returncode:
            raise SystemExit("a stream was not opened, or a phone failed")
        seen: dict[str, Any] = json.loads(text.splitlines()[-1])
        return seen

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


async def learn_ids(node: Node, ids: dict[str, str]) -> None:
    async with connect(node.url("/api/events"), proxy=None, max_queue=None) as events:
        async for message in events:
            event = json.loads(message)
            if event["type"] == "call_invite":
                ids[event["headers"][NUMBER]] = event["call_id"]


async def drive(node: Node, program: Path, plan: Plan) -> Result:
    trunk, ids = Trunk(node.sip_port), dict[str, str]()
    node.answer_calls_from(LOCALHOST, trunk.port)
    learning = asyncio.create_task(learn_ids(node, ids))
    await asyncio.sleep(0.5)
    ends = Ends(program, plan)
    os.nice(19)  # this process shares a core with the ends, who must not wait for it
    start, number = time.monotonic(), 0
    until = start + plan.seconds
    last = until - SETTLE_SECONDS
    try:
        while (now := time.monotonic()) < until:
            while now < last and number < min(plan.calls, (now - start) * plan.rate):
                trunk.call(number)
                number += 1
            trunk.listen()
            for call in [each for each in trunk.answered if each in ids]:
                path = f"/api/call/{ids[call]}/stream?api_key={KEY}"
                ends.begin(trunk.answered.pop(call), node.http_port, path)
            await asyncio.sleep(ROUND_SECONDS)
        figures = node.metrics()
        result = await asyncio.to_thread(ends.result)
    finally:
        learning.cancel()
        ends.stop()
    refused = trunk.answers.first_refusal
    return Result(trunk.answers, number, refused and refused - start, figures, result)


@dataclass(frozen=True)
class Result:
    answers: Answers
    offered: int
    refused_from: float | None
    """Seconds after the first call."""
    metrics: dict[str, float]
    ends: dict[str, Any]


def show(result: Result, cpu: float, waiting: float) -> bool:
    answers, metrics = result.answers, result.metrics
    gaps = result.ends["gaps"]
    refused = sorted(answers.refused_after)
    say(f"calls            {result.offered} offered, {dict(answers.by_status)}")
    if refused:
        say(
            f"refused          from {result.refused_from or 0:.1f} s on, after "
            f"{refused[len(refused) // 2] * 1000:.0f} ms (median), "
            f"{refused[-1] * 1000:.0f} ms at most; without Retry-After: {answers.without_time}"
        )
    load = metrics.get('ringback_load{process="control"}', 0.0)
    say(f"live at the end  {metrics['ringback_calls_live']:.0f}, load {load:.2f}")
    say(f"gateway          {cpu:.0%} of a core over all, waiting {waiting:.0%}")
    late = metrics.get('ringback_audio_late{process="control"}', 0.0)
    say(f"audio clock      {late:.1%} late in the last second")
    say(f"with audio       {result.ends['opened']} calls")
    say(f"ends             {result.ends['load_cpu']:.0%} of a core")
    for way, title in (("inward", "to the agents"), ("outward", "to the phones")):
        times = result.ends[way]
        say(f"{title:16} p50 {times['p50']:.2f}, p99 {times['p99']:.2f} ms")
    say(f"gaps > 25 ms     {gaps['above_25']:.3%} of {gaps['count']}")
    say(f"longest gap      {gaps['longest']:.0f} ms")
    return bool(
        set(answers.by_status) == {"200", "503"}
        and not answers.without_time
        and result.ends["opened"] == answers.by_status["200"]
        and gaps["count"]
        and gaps["above_25"] <= ALLOWED_LONG_GAPS
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=float, default=20.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--ramp", type=float, default=12.0, help="when to begin to measure")
    parser.add_argument("--calls", type=int, default=10_000, help="calls at most")
    parser.add_argument("--limit", default=None, help="RINGBACK_LOAD_LIMIT; 0: none")
    options = parser.parse_args()
    plan = Plan(options.rate, options.seconds, options.ramp, options.calls)
    pin(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = compiled(folder)
        (folder / "node").mkdir()
        limit = options.limit or str(Settings.model_fields["load_limit"].default)
        with Node(folder / "node", shutdown_grace="0", load_limit=limit) as node:
            cpu, waiting = node.cpu_seconds(), node.waiting_seconds()
            result = asyncio.run(drive(node, program, plan))
            cpu, waiting = node.cpu_seconds() - cpu, node.waiting_seconds() - waiting
    good = show(result, cpu / options.seconds, waiting / options.seconds)
    say("refused in time, gaps within bounds" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
