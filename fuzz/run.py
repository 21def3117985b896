"""Run the fuzz targets one after another, each in a process of its own: see README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from ringback_fuzz.targets import NAMES  # noqa: E402  (the path comes first)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help="all, if none is named")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=0, help="at most, for each target")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--plain", action="store_true", help="without atheris")
    given = parser.parse_args()
    unknown = set(given.targets) - set(NAMES)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    failed = [name for name in given.targets or NAMES if not fuzz(name, given)]
    print(f"\nFindings in: {', '.join(failed)} (fuzz/found/)" if failed else "\nNothing was found.")
    return 1 if failed else 0


def fuzz(name: str, given: argparse.Namespace) -> bool:
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", "ringback_fuzz.one", name]
    command += ["--runs", str(given.runs), "--seconds", str(given.seconds)]
    command += ["--seed", str(given.seed), *(["--plain"] if given.plain else [])]
    begun = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = ended.stdout.splitlines()
    shown = lines[-60:] if ended.returncode else [line for line in lines if _tells(line)]
    print("\n".join(f"   {line}" for line in shown))
    print(f"   seed {given.seed}, {time.monotonic() - begun:.0f} s", flush=True)
    return ended.returncode == 0


def _tells(line: str) -> bool:
    figures = ("stat::number_of_executed_units", "stat::average_exec", "stat::peak_rss")
    return line.startswith(figures) or " inputs, " in line


if __name__ == "__main__":
    sys.exit(main())
