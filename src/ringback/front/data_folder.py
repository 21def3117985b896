"""The data folder of a node: made, locked against a second node, and checked for room."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from ringback.core.errors import StartupError
from ringback.core.ids import is_id, new_id

MIN_FREE_BYTES = 16 * 1024 * 1024
"""Below this the database could not even be opened safely."""


PRIVATE = 0o700
"""Recordings and transcripts are nobody else's business on this machine."""


class DataFolder:
    """``open`` takes the folder, ``close`` gives it up."""

    def __init__(self, path: Path, recordings: Path) -> None:
        self.path = path
        self._recordings = recordings
        self._lock: int | None = None
        self.node_id = ""
        """Which node's records are in here; made at the first start."""

    def open(self) -> None:
        """Raises ``StartupError``: no permission, no room, or another node at work in it."""
        try:
            for folder in (self.path, self._recordings):
                folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            self._take_lock()
            self.node_id = self._read_or_make_id()
        except OSError as error:
            self.close()
            raise StartupError(
                f"The data folder {self.path.absolute()} (RINGBACK_DATA_DIR) cannot be used: "
                f"{error.strerror or error}.",
                hint="Give this user write permission on it, or choose another folder.",
            ) from error
        free = shutil.disk_usage(self.path).free
        if free < MIN_FREE_BYTES:
            self.close()
            raise StartupError(
                f"The disk of the data folder {self.path.absolute()} (RINGBACK_DATA_DIR) is full: "
                f"{free // 1024} KiB are left.",
                hint="Free some space, or choose a folder on another disk.",
            )

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StartupError(
                f"Another Ringback runs on the data folder {self.path.absolute()} "
                f"(RINGBACK_DATA_DIR).",
                hint="Stop it, or give this one a folder of its own.",
            ) from None

    def _read_or_make_id(self) -> str:
        file = self.path / "node_id"
        known = file.read_text().strip() if file.exists() else ""
        if is_id(known, "node"):
            return known
        made = new_id("node")
        draft = file.with_suffix(".draft")
        draft.write_text(made + "\n")
        draft.replace(file)
        return made
