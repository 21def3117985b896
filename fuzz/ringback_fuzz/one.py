"""Fuzz one target in this process: ``python -m ringback_fuzz.one TARGET --runs N``.

With atheris the inputs follow the coverage; without it (it has no wheel for every Python) they are
the seeded mutations of the corpus. Both call the same ``run``. The exit status is 0 when nothing
was found; a finding is written to ``fuzz/found/`` and its traceback shown.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ringback_fuzz import corpus
from ringback_fuzz.memory import WARM_UP, MemoryWatch
from ringback_fuzz.mutate import MAX_BYTES, Mutator
from ringback_fuzz.targets import NAMES, Target, load

GROWTH_MB = 48.0
"""What a process may grow after its warm-up; the fuzzer's own corpus is in it."""
SLOW_SECONDS = 2.0
"""An input that takes as long is a finding: work must be bounded."""


@dataclass(frozen=True, slots=True)
class Budget:
    """``seconds`` 0: no limit but ``runs``."""

    runs: int
    seconds: int
    seed: int


class TooSlow(Exception):
    pass


class Harness:
    """Runs the target and keeps what it finds."""

    def __init__(self, name: str, target: Target, watch: MemoryWatch) -> None:
        self.watch = watch
        self._name = name
        self._target = target

    def __call__(self, data: bytes) -> None:
        begun = time.process_time()
        try:
            self._target(data)
            took = time.process_time() - begun
            if took > SLOW_SECONDS:
                raise TooSlow(f"{took:.1f} s for {len(data)} bytes")
        except Exception:
            self._keep(data)
            raise
        self.watch.tick()

    def _keep(self, data: bytes) -> None:
        folder = corpus.FOUND / self._name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha256(data).hexdigest()[:16]
        path.write_bytes(data)
        sys.stderr.write(f"\nFOUND in {self._name}: {path}\n")


def by_mutation(harness: Harness, name: str, budget: Budget) -> None:
    """Every seed as it is, then mutations until the budget is used up."""
    seeds = corpus.seeds(name)
    mutator = Mutator(seeds, Random(f"{name} {budget.seed}"))
    until = time.monotonic() + budget.seconds if budget.seconds else float("inf")
    for seed in seeds:
        harness(seed)
    while harness.watch.runs < budget.runs and time.monotonic() < until:
        harness(mutator.next())
    harness.watch.check()


def by_coverage(name: str, budget: Budget, watch: MemoryWatch) -> None:
    """Let atheris choose the inputs. It ends the process."""
    import atheris

    with atheris.instrument_imports(include=["ringback"]):
        harness = Harness(name, load(name), watch)
    seeds = corpus.seeds(name)
    scratch = Path(tempfile.mkdtemp(prefix=f"ringback-fuzz-{name}-"))
    for number, seed in enumerate(seeds):
        (scratch / f"seed-{number}").write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            changed = atheris.Mutate(data, most)
            return bytes(changed)
        return Mutator(seeds, random).change(data, most)

    options = [
        f"-runs={budget.runs}",
        f"-max_total_time={budget.seconds}",
        f"-seed={budget.seed or 1}",
        f"-max_len={MAX_BYTES}",
        "-timeout=60",
        "-verbosity=0",
        "-print_final_stats=1",
        f"-artifact_prefix={scratch}/",
    ]
    atheris.Setup(["fuzz", *options, str(scratch)], harness, custom_mutator=mutate)
    atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ringback_fuzz.one", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    given = parser.parse_args(arguments)
    budget = Budget(given.runs, given.seconds, given.seed)
    watch = MemoryWatch(max(1, int(budget.runs * WARM_UP)), GROWTH_MB)
    if not given.plain and importlib.util.find_spec("atheris") is not None:
        by_coverage(given.target, budget, watch)
        return 0
    try:
        by_mutation(Harness(given.target, load(given.target), watch), given.target, budget)
    except Exception:
        traceback.print_exc()
        return 1
    sys.stdout.write(f"{given.target}: {watch.runs} inputs, {watch}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
