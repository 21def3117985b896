"""sipp runs: its built-in scenarios, or a scenario file, on free ports of 127.0.0.1."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Self

from interop.peers.process import PeerFailed, Process, free_port, is_bound, program, wait_until


class Sipp:
    """One run. ``arguments`` are sipp's own (``-sn uac``, ``-r 50``, …)."""

    def __init__(self, folder: Path, *arguments: str, remote: str = "") -> None:
        binary = program("sipp", "sip-tester")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.statistics = folder / "statistics.csv"
        argv = [
            binary, *([remote] if remote else []), *arguments,
            "-i", "127.0.0.1", "-p", str(self.port), "-mi", "127.0.0.1",
            "-mp", str(free_port() & ~1), "-nostdin", "-trace_err", "-error_file",
            str(folder / "errors.log"), "-trace_stat", "-stf", str(self.statistics), "-fd", "1",
        ]  # fmt: skip
        self.errors = folder / "errors.log"
        self.process = Process(argv, cwd=folder)
        if not remote:
            self._until_it_may_be_called()

    def figures(self) -> dict[str, str]:
        """The last row of sipp's statistics, by column name."""
        with self.statistics.open(newline="") as file:
            return list(csv.DictReader(file, delimiter=";"))[-1]

    def error_text(self) -> str:
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""

    def _until_it_may_be_called(self) -> None:
        try:
            wait_until(lambda: is_bound(self.port) or self.process.ended, "sipp binds its port")
        except PeerFailed:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
