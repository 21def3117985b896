"""What else one could run: the same load on Ringback and on programs that bring RTP to a WebSocket.

    python bench/compare.py --calls 50,100,200 --seconds 6

The rivals of ``bench/rivals`` run in an environment of their own, made with pip in a temporary
folder (or kept: ``--environment DIR``). Each has the first core, ``load.c`` the second. `media` is
Ringback's media without SIP, as the rivals are; `ringback serve` is all of it, recordings too.
A rival that cannot be installed or does not do it is named with its reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from density import Child, running
from live_calls import load_argv, measured, whole_node
from node import bounded
from whole_node import counts

HERE = Path(__file__).parent
INSTALL_SECONDS = 240
RUN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Rival:
    """``program`` is a file of ``bench/rivals`` with its options, ``packages`` what it needs."""

    name: str
    program: tuple[str, ...]
    packages: tuple[str, ...]


RIVALS = (
    Rival("asyncio + websockets", ("plain.py",), ("numpy", "websockets")),
    Rival("uvloop + websockets", ("plain.py", "--uvloop"), ("numpy", "uvloop", "websockets")),
    Rival("uvloop + picows, no care", ("sketch.py",), ("numpy", "picows", "uvloop")),
    Rival("aiortp (of aiosipua)", ("aiortp_bridge.py",), ("aiosipua", "aiortp", "numpy")),
    Rival("sippy.Rtp", ("sippy_bridge.py",), ("sippy", "numpy", "websockets")),
)
DOES_NOT = {
    "rtp.io": "an RTP proxy: it relays packets and hands no audio to a program",
    "aiosipua": "SIP without audio of its own; with aiortp it is the row above",
}


class Environment:
    """A virtual environment for rivals, and nothing of the project's."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)

    def install(self, packages: tuple[str, ...]) -> str:
        """Why it failed; empty: it did not."""
        try:
            done = subprocess.run(
                [self.python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:",
                 "--disable-pip-version-check", *packages],
                capture_output=True, text=True, timeout=INSTALL_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "pip took too long"
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return "" if done.returncode == 0 else (lines or ["pip failed"])[-1]

    def versions(self, packages: tuple[str, ...]) -> str:
        program = (
            "import sys, importlib.metadata as m;"
            "print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
        )
        return subprocess.check_output([self.python, "-c", program, *packages], text=True).strip()


def measure(plane: Child, ends: Child, calls: int, seconds: float) -> dict[str, Any]:
    """A run of ``calls`` calls on a program that obeys as ``media_calls.py --gateway`` does."""
    http = json.loads(plane.hear())["http"]
    for number, phone in enumerate(ends.hear().split()):
        opened = plane.ask({"open": f"call{number}", "phone": int(phone)})
        ends.say(f"{opened['rtp']} {http} /api/call/call{number}/stream")
    ends.hear()
    plane.ask({"measure": True})
    ends.hear()
    told = plane.ask({"result": True})
    return {"core_share_per_call": told["cpu"] / seconds / calls, **json.loads(ends.hear())}


def run(argv: list[str | Path], calls: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, running(argv, 0) as plane:
        with running(load_argv(Path(folder), calls, seconds), 1) as ends:
            return measure(plane, ends, calls, seconds)


def whole(calls: int, seconds: float) -> dict[str, Any]:
    with whole_node() as node:
        figures = measured(node, calls, seconds)
    return {"core_share_per_call": figures.core_share_per_call, **figures.seen}


HEAD = (
    f"{'':28}{'calls':>6}{'% a call':>10}{'in p50':>9}{'p99':>9}{'out p50':>9}{'p99':>9}"
    f"{'gaps<25':>10}{'lost':>8}{'load':>6}"
)


def row(name: str, calls: int, seen: dict[str, Any]) -> str:
    inward, outward = seen["inward"], seen["outward"]
    return (
        f"{name:28}{calls:6}{seen['core_share_per_call']:10.3%}{inward['p50']:9.2f}"
        f"{inward['p99']:9.2f}{outward['p50']:9.2f}{outward['p99']:9.2f}"
        f"{1 - seen['gaps']['above_25']:10.3%}{seen['sent'] - seen['returned']:8}"
        f"{seen['load_cpu']:6.0%}"
    )


class Table:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.rows: list[dict[str, Any]] = []
        self.reasons: dict[str, str] = {}

    def add(self, name: str, calls: int, argv: list[str | Path] | None) -> None:
        """``None``: the whole of Ringback."""
        try:
            with bounded(RUN_SECONDS + self._seconds):
                seen = run(argv, calls, self._seconds) if argv else whole(calls, self._seconds)
        except (SystemExit, OSError, ValueError, RuntimeError) as error:
            self.reasons[f"{name}, {calls} calls"] = str(error)
            return
        self.rows.append({"name": name, "calls": calls, **seen})
        print(row(name, calls, seen), flush=True)


def compare(options: argparse.Namespace, environment: Environment) -> Table:
    table = Table(options.seconds)
    able: dict[Rival, str] = {}
    for rival in RIVALS:
        if why := environment.install(rival.packages):
            table.reasons[rival.name] = why
        else:
            able[rival] = environment.versions(rival.packages)
            print(f"{rival.name}: {able[rival]}")
    print(HEAD, flush=True)
    for calls in options.calls:
        table.add("ringback serve", calls, None)
        table.add("ringback, media", calls, [sys.executable, HERE / "media_calls.py", "--gateway"])
        for rival in able:
            program, *more = rival.program
            table.add(rival.name, calls, [environment.python, HERE / "rivals" / program, *more])
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=counts, default=[50, 100, 200])
    parser.add_argument("--seconds", type=float, default=6.0, help="measured in each row")
    parser.add_argument("--environment", type=Path, help="keep the rivals' environment here")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    kept = options.environment
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory() as folder:
        table = compare(options, Environment(Path(folder)))
    for name, why in (DOES_NOT | table.reasons).items():
        print(f"not measured: {name}: {why}")
    if options.json is not None:
        told = {"rows": table.rows, "not_measured": DOES_NOT | table.reasons}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
