"""Text from the network, made fit for records, JSON and one line of a page."""

from __future__ import annotations

from datetime import datetime

MAX_IDENTITY = 256
"""Characters kept of a name or number."""
MAX_TARGET = 512
"""Characters of what a call is dialled with."""
MAX_HEADER = 1024


def one_line(text: str, limit: int) -> str:
    """``text`` without control characters and lone surrogates, at most ``limit`` characters."""
    if len(text) <= limit and text.isprintable():
        return text.strip()
    kept = sound(text[: 2 * limit])
    return "".join(c if c.isprintable() else " " for c in kept).strip()[:limit]


def sound(text: str) -> str:
    """``text`` with a ``?`` for each lone surrogate, which no encoding can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def recording_name(call_id: str, at: datetime) -> str:
    """Where a call's recording lies within the recordings folder: one folder per day."""
    return f"{at.date().isoformat()}/{call_id}.wav"
