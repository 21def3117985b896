"""What a live call takes of memory, and what calls that are over leave behind.

    python bench/memory.py --live 50,100,200,300 --sequence 10000

First calls pile up on one node, echoed by ``load.c``: the slope of resident memory over them is
what a call takes. Then, on a fresh node, calls come and go in rounds. After each the node is left
alone until SIP's timers have forgotten its calls (RFC 3261 keeps a transaction for 32 s); the slope
over the second half is what a call leaves. Exit code 1 when a live call takes more than 100 kB or
one that is over leaves more than 500 bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from live_calls import callers_of, live_load, whole_node
from node import LOCALHOST, Node, bounded
from raw_sip import udp
from whole_node import counts

ALLOWED_LIVE_BYTES = 100_000
ALLOWED_LEFT_BYTES = 500
TALK_SECONDS = 3.0
"""After the load has begun to measure, until memory is read."""
LOAD_SECONDS = 600.0
"""More than a run lasts: the calls talk until they are hung up."""
BATCH = 50
ROUNDS = 5
FORGOTTEN_SECONDS = 36.0
"""After timers H and J, and what waits for them."""
SETTLE_SECONDS = 2.0

Points = list[tuple[int, int]]
"""How many calls, and how many bytes."""


def slope(points: Points) -> float:
    """Bytes a call, by least squares."""
    calls, held = zip(*points, strict=True)
    return statistics.linear_regression(calls, held).slope


def live(node: Node, totals: Sequence[int]) -> Points:
    """Memory with each of ``totals`` calls talking at once."""
    points = []
    with ExitStack() as stack:
        callers = stack.enter_context(callers_of(node))
        up = 0
        for total in totals:
            load = live_load(node, callers, total - up, LOAD_SECONDS)
            stack.enter_context(load).start()
            up = total
            time.sleep(TALK_SECONDS)
            points.append((total, node.memory_bytes()))
            print(f"{total:6} live calls   {points[-1][1] / 1e6:8.1f} MB", flush=True)
    return points


def sequence(node: Node, total: int) -> Points:
    """Memory after rounds of calls that came and went, ``BATCH`` at a time."""
    phones = [udp(LOCALHOST) for _ in range(BATCH)]
    ports = [phone.getsockname()[1] for phone in phones]
    points = []
    batches = max(1, total // BATCH // ROUNDS)
    with callers_of(node) as callers:
        for number in range(1, ROUNDS + 1):
            for _ in range(batches):
                callers.ring_through(ports)
                callers.hang_up()
            busy = node.memory_bytes()
            time.sleep(FORGOTTEN_SECONDS)
            points.append((number * batches * BATCH, node.memory_bytes()))
            done, left = points[-1]
            print(f"{done:6} calls over   {left / 1e6:8.1f} MB, {busy / 1e6:.1f} MB right after")
            sys.stdout.flush()
    for phone in phones:
        phone.close()
    return points


def over(total: int) -> tuple[Points, float]:
    with bounded(ROUNDS * FORGOTTEN_SECONDS + total), whole_node() as node:
        points = sequence(node, total)
    left = slope(points[ROUNDS // 2 :])
    print(f"a call that is over leaves {left:.0f} bytes")
    return points, left


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--live", type=counts, default=[50, 100, 200, 300])
    parser.add_argument(
        "--sequence", type=int, default=10_000, help="calls that come and go; 0: none"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    with bounded(LOAD_SECONDS), whole_node() as node:
        idle = node.memory_bytes()
        print(f"     0 live calls   {idle / 1e6:8.1f} MB", flush=True)
        held = live(node, options.live)
        time.sleep(SETTLE_SECONDS)
        after = node.memory_bytes()
        print(f"all of them over    {after / 1e6:8.1f} MB")
    taken = slope(held)
    print(f"a live call takes {taken / 1e3:.0f} kB")
    came, left = over(options.sequence) if options.sequence else ([], 0.0)
    if options.json is not None:
        figures = {"idle": idle, "live": held, "after": after, "sequence": came}
        figures |= {"live_call_bytes": round(taken), "left_bytes": round(left)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    good = taken <= ALLOWED_LIVE_BYTES and left <= ALLOWED_LEFT_BYTES
    print("within bounds" if good else "NOT good enough")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
