"""What a call costs the whole product, and how long its audio is under way.

    python bench/whole_node.py --calls 100,200,400,500 --seconds 8

`ringback serve` as a user starts it: each call comes in over SIP, its agent opens the call's
WebSocket and says back what it hears, the phone sends 50 packets a second. A fresh node for each
row. Times in ms, of the gateway's own path: *in* from the phone's packet to the agent's frame,
*out* from the agent's frame to the phone's packet; *gaps* is the share of those between a phone's
packets that are shorter than 25 ms, *waited* how long the node wanted a processor that others had,
*load* what the load took of its core. Exit code 1 when a packet is missing or more than 1 % of the
gaps are longer.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from density import ALLOWED_LONG_GAPS
from live_calls import HEAD, Figures, load_core, measured, row, whole_node
from media_calls import pin
from node import bounded

RUN_SECONDS = 90
"""The most that a row takes beside what is measured."""


def counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.lower(), value


def good(figures: Figures) -> bool:
    return not figures.lost and figures.seen["gaps"]["above_25"] <= ALLOWED_LONG_GAPS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=counts, default=[100, 200, 400, 500])
    parser.add_argument("--seconds", type=float, default=8.0, help="measured in each row")
    parser.add_argument("--cores", type=int, default=1, help="of the node")
    parser.add_argument(
        "--setting", type=setting, action="append", default=[], metavar="NAME=VALUE"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    options = parser.parse_args()
    pin(load_core(options.cores))
    runs = []
    print(HEAD, flush=True)
    for calls in options.calls:
        with (
            bounded(RUN_SECONDS + options.seconds),
            whole_node(options.cores, **dict(options.setting)) as node,
        ):
            runs.append(measured(node, calls, options.seconds, load_core(options.cores)))
        print(row(runs[-1]), flush=True)
    if options.json is not None:
        rows = {"cores": options.cores, "runs": [run.as_json() for run in runs]}
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    fine = all(good(run) for run in runs)
    print("every packet returned, gaps within bounds" if fine else "NOT good enough")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
