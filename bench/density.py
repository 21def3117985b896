"""What a call costs and how long audio is under way: phones and echo agents in C beside the media.

    python bench/density.py --calls 200 --seconds 10

The media plane runs on one core, ``bench/load.c`` (compiled here with ``cc``) on another: for each
call a phone that sends 50 packets a second and an agent that says back on the call's WebSocket what
it hears. Every packet of G.711 carries its number, so that both ways are timed: from RTP in to the
agent's frame out, and from the agent's frame in to RTP out. What other codecs or SRTP bring is told
by its order. Exit code 1 when a packet is missing or more than 1 % of the gaps between returned
packets are longer than 25 ms.

With ``--loss``, ``--reorder``, ``--duplicate`` or ``--burst`` (shares of packets) the lines are
bad and the exit code tells another thing: whether the gateway counted exactly what was lost and
what came twice, and whether nothing in it failed. ``--calm`` puts the bad lines before what is
measured, which then costs what it does without.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import phone_packets
from media_calls import pin

HERE = Path(__file__).parent
SETTLE_SECONDS = 4
ALLOWED_LONG_GAPS = 0.01
PASSED = "every packet returned, gaps within bounds"
DISTURBANCES = ("loss", "reorder", "duplicate", "burst")


def compiled(folder: Path) -> Path:
    """The load as a program. Raises ``SystemExit`` without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("This needs a C compiler for bench/load.c: apt-get install gcc")
    program = folder / "load"
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, HERE / "load.c"], check=True)
    return program


class Child:
    """A process that is talked to by lines."""

    def __init__(self, argv: list[str | Path], core: int) -> None:
        self._process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: pin(core),
        )

    def say(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def hear(self) -> str:
        line = "" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended")
        return line.strip()

    def ask(self, command: dict[str, object]) -> dict[str, Any]:
        self.say(json.dumps(command))
        answer: dict[str, Any] = json.loads(self.hear())
        return answer

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def running(argv: list[str | Path], core: int) -> Iterator[Child]:
    child = Child(argv, core)
    try:
        yield child
    finally:
        child.stop()


@dataclass(frozen=True)
class Load:
    """What the calls are like. Of ``disturbed``, shares of packets by the names of ``load.c``."""

    calls: int
    seconds: float
    codec: str = "pcmu"
    srtp: bool = False
    agent_rate: int = 0
    agent_ahead: int = 0
    seed: int = 1
    disturbed: tuple[tuple[str, float], ...] = ()

    calm: float | None = None
    """Not while measured, but in the ten seconds until so long before."""

    @property
    def settle(self) -> float:
        return SETTLE_SECONDS + (0 if self.calm is None else 10 + self.calm)

    def arguments(self, folder: Path) -> list[str]:
        """Those of ``load.c``; what it needs is put into ``folder``."""
        texts = [str(self.calls), str(self.seconds), str(self.settle), f"seed={self.seed}"]
        if self.calm is not None:
            texts.append(f"calm={self.calm}")
        texts += [f"{name}={share}" for name, share in self.disturbed]
        if self.agent_ahead:
            texts.append(f"ahead={self.agent_ahead}")
        if self.agent_rate:
            texts.append(f"rate={self.agent_rate}")
        if self.codec != "pcmu" or self.srtp:
            packets = folder / "packets"
            count = int((self.settle + self.seconds + 3) * 50)
            phone_packets.write(packets, self.codec, count, protected=self.srtp)
            marked = phone_packets.is_marked(self.codec) and not self.srtp
            texts.append(f"marks={self.codec[-1] if marked else 'none'}")
            texts.append(f"packets={packets}")
        return texts


def measure(plan: Load, recordings: str | None) -> dict[str, Any]:
    gateway: list[str | Path] = [sys.executable, HERE / "media_calls.py", "--gateway"]
    if recordings:
        gateway += ["--recordings", recordings]
    with tempfile.TemporaryDirectory() as folder, running(gateway, 0) as media:
        load: list[str | Path] = [compiled(Path(folder)), *plan.arguments(Path(folder))]
        http = json.loads(media.hear())["http"]
        with running(load, 1) as ends:
            for number, phone in enumerate(ends.hear().split()):
                command: dict[str, object] = {"open": f"call{number}", "phone": int(phone)}
                opened = media.ask({**command, "codec": plan.codec, "srtp": plan.srtp})
                ends.say(f"{opened['rtp']} {http} /api/call/call{number}/stream")
            ends.hear()
            media.ask({"measure": True})
            ends.hear()
            told = media.ask({"result": True})
            seen = json.loads(ends.hear())
            time.sleep(1)  # what is still under way
            after = media.ask({"result": True})
    return {
        "calls": plan.calls,
        "seconds": plan.seconds,
        "codec": plan.codec,
        "srtp": plan.srtp,
        "disturbed": dict(plan.disturbed),
        "core_share": told["cpu"] / plan.seconds,
        "core_share_per_call": told["cpu"] / plan.seconds / plan.calls,
        "waiting_for_processor": told["waiting"] / plan.seconds,
        "memory_kb": [told["memory_before_kb"], told["memory_kb"]],
        "counters": after["counters"],
        "pacer": after["pacer"],
        **seen,
    }


FAILURES = (
    "receive_errors",
    "ear_errors",
    "socket_errors",
    "dropped_malformed",
    "recording_errors",
)


def wrongs(result: dict[str, Any]) -> list[str]:
    """What the gateway says of bad lines and is not so."""
    counters, truth = result["counters"], result["truth"]
    pairs = (
        ("packets_received", truth["sent"] + truth["duplicate"]),
        ("packets_lost", truth["lost"]),
        ("packets_duplicate", truth["duplicate"]),
        *((name, 0) for name in FAILURES),
    )
    wrong = [
        f"{name} is {counters.get(name, 0)} and not {right}"
        for name, right in pairs
        if counters.get(name, 0) != right
    ]
    if result["pacer"]["errors"]:
        wrong.append(f"{result['pacer']['errors']} ticks failed")
    return wrong


def show(result: dict[str, Any]) -> bool:
    calls, sent, returned = result["calls"], result["sent"], result["returned"]
    print(f"calls            {calls} for {result['seconds']:g} s, load {result['load_cpu']:.0%}")
    print(f"codec            {result['codec']}{', SRTP' if result['srtp'] else ''}")
    print(f"media            {result['core_share']:.1%} of a core,", end=" ")
    print(f"{result['core_share_per_call']:.3%} a call")
    print(f"waiting          {result['waiting_for_processor']:.0%} of the time, for others")
    print(f"packets          {sent} sent, {returned} returned")
    for name, title in (("inward", "to the agent"), ("outward", "to the phone"), ("gaps", "gaps")):
        times = result[name]
        points = ", ".join(f"{point} {times[point]:.2f}" for point in ("p50", "p99", "p999"))
        print(f"{title:16} {points}, longest {times['longest']:.1f} ms")
    long_gaps = result["gaps"]["above_25"]
    print(f"gaps > 25 ms     {long_gaps:.3%}")
    before, after = result["memory_kb"]
    print(
        f"memory           {after / 1024:.1f} MB, {(after - before) / 1024:+.1f} MB while measured"
    )
    if result["disturbed"]:
        print(f"bad lines        {result['disturbed']}: {result['truth']}")
        print(f"counters         {result['counters']}")
        wrong = wrongs(result)
        print("\n".join(wrong))
        return not wrong
    return bool(sent == returned and long_gaps <= ALLOWED_LONG_GAPS)


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--codec", choices=list(phone_packets.PAYLOAD_TYPES), default="pcmu")
    parser.add_argument("--srtp", action="store_true", help="protect the RTP, with keys of SDES")
    parser.add_argument("--agent-rate", type=int, default=0, help="Hz; 0: what the call has")
    parser.add_argument("--agent-ahead", type=int, default=0, help="frames that it says ahead")
    parser.add_argument("--record", action="store_true", help="record every call to a file")
    for name in DISTURBANCES:
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of packets")
    parser.add_argument("--calm", type=float, help="bad until so many seconds before measuring")
    parser.add_argument("--seed", type=int, default=1, help="of what happens to packets")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    return parser.parse_args()


def main() -> int:
    options = asked_for()
    plan = Load(
        options.calls,
        options.seconds,
        options.codec,
        options.srtp,
        options.agent_rate,
        options.agent_ahead,
        options.seed,
        tuple((name, share) for name in DISTURBANCES if (share := getattr(options, name))),
        options.calm,
    )
    with tempfile.TemporaryDirectory() as folder:
        result = measure(plan, folder if options.record else None)
    good = show(result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    passed = "counted right, nothing failed" if plan.disturbed else PASSED
    print(passed if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
