"""The spill file: rows that the database did not take before the node had to stop.

JSON lines, one row each, times as ISO 8601. It is written whole and put in place at once, and it
is removed when there is nothing to keep. A line that cannot be read is left out and logged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from ringback.calls.rows import Batch

TIMES = ("created_at", "ringing_at", "answered_at", "ended_at")

log = structlog.stdlib.get_logger(__name__)


def save(path: Path, batch: Batch) -> None:
    """Replace the file by ``batch``; an empty one leaves no file."""
    if not len(batch):
        path.unlink(missing_ok=True)
        return
    draft = path.with_suffix(".draft")
    draft.write_text("".join(f"{line}\n" for line in _lines(batch)), encoding="utf-8")
    draft.replace(path)


def load(path: Path) -> Batch:
    """What the file holds; nothing where there is none."""
    batch = Batch()
    if not path.exists():
        return batch
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            item = json.loads(text)
            if item["table"] == "call":
                row = _with_times(item["row"])
                batch.calls[row["id"]] = row
            else:
                row = item["row"]
                batch.lines[row["call_id"], row["line"]] = row
        except (ValueError, KeyError, TypeError) as error:
            log.error("spill_line_unreadable", file=str(path), line=number, error=str(error))
    return batch


def _lines(batch: Batch) -> Iterator[str]:
    for row in batch.calls.values():
        yield json.dumps({"table": "call", "row": row}, default=_written)
    for row in batch.lines.values():
        yield json.dumps({"table": "line", "row": row})


def _written(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a row")


def _with_times(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: datetime.fromisoformat(row[name]) for name in TIMES if row[name]}
