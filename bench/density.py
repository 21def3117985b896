"""What a call costs and how long audio is under way: phones and echo agents in C beside the media.

    python bench/density.py --calls 200 --seconds 10

The media plane runs on one core, ``bench/load.c`` (compiled here with ``cc``) on another: for each
call a phone that sends 50 packets a second and an agent that says back on the call's WebSocket what
it hears. Every packet carries its number, so that both ways are timed: from RTP in to the agent's
frame out, and from the agent's frame in to RTP out. Exit code 1 when a packet is missing or more
than 1 % of the gaps between returned packets are longer than 25 ms.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from media_calls import pin

HERE = Path(__file__).parent
SETTLE_SECONDS = 4
ALLOWED_LONG_GAPS = 0.01


def compiled(folder: Path) -> Path:
    """The load as a program. Raises ``SystemExit`` without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("This needs a C compiler for bench/load.c: apt-get install gcc")
    program = folder / "load"
    subprocess.run([compiler, "-O2", "-o", program, HERE / "load.c"], check=True)
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


def measure(calls: int, seconds: float, recordings: str | None) -> dict[str, Any]:
    gateway: list[str | Path] = [sys.executable, HERE / "media_calls.py", "--gateway"]
    if recordings:
        gateway += ["--recordings", recordings]
    with tempfile.TemporaryDirectory() as folder, running(gateway, 0) as media:
        load = [compiled(Path(folder)), str(calls), str(seconds), str(SETTLE_SECONDS)]
        http = json.loads(media.hear())["http"]
        with running(load, 1) as ends:
            for number, phone in enumerate(ends.hear().split()):
                opened = media.ask({"open": f"call{number}", "phone": int(phone)})
                ends.say(f"{opened['rtp']} {http} /api/call/call{number}/stream")
            ends.hear()
            media.ask({"measure": True})
            ends.hear()
            told = media.ask({"result": True})
            seen = json.loads(ends.hear())
    return {
        "calls": calls,
        "seconds": seconds,
        "core_share": told["cpu"] / seconds,
        "core_share_per_call": told["cpu"] / seconds / calls,
        "waiting_for_processor": told["waiting"] / seconds,
        "counters": told["counters"],
        **seen,
    }


def show(result: dict[str, Any]) -> bool:
    calls, sent, returned = result["calls"], result["sent"], result["returned"]
    print(f"calls            {calls} for {result['seconds']:g} s, load {result['load_cpu']:.0%}")
    print(f"media            {result['core_share']:.1%} of a core,", end=" ")
    print(f"{result['core_share_per_call']:.3%} a call")
    print(f"packets          {sent} sent, {returned} returned")
    for name, title in (("inward", "to the agent"), ("outward", "to the phone"), ("gaps", "gaps")):
        times = result[name]
        points = ", ".join(f"{point} {times[point]:.2f}" for point in ("p50", "p99", "p999"))
        print(f"{title:16} {points}, longest {times['longest']:.1f} ms")
    long_gaps = result["gaps"]["above_25"]
    print(f"gaps > 25 ms     {long_gaps:.3%}")
    return bool(sent == returned and long_gaps <= ALLOWED_LONG_GAPS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--record", action="store_true", help="record every call to a file")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options.calls, options.seconds, folder if options.record else None)
    good = show(result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print("every packet returned, gaps within bounds" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
