"""coturn as a STUN server on 127.0.0.1."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from interop.peers.process import Process, free_port, program


class Coturn:
    """``options`` are more of turnserver's own, such as ``--secure-stun``."""

    def __init__(self, folder: Path, *options: str) -> None:
        binary = program("turnserver", "coturn")
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = Process(
            [
                binary,
                "-n",  # no configuration file
                "--listening-ip=127.0.0.1",
                "--relay-ip=127.0.0.1",
                f"--listening-port={self.port}",
                "--no-tls",
                "--no-dtls",
                "--no-cli",
                "--log-file=stdout",
                f"--pidfile={folder / 'turnserver.pid'}",
                f"--userdb={folder / 'turndb'}",
                *options,
            ],
            cwd=folder,
        )
        self.process.wait_for(r"IO method \(admin thread\)", 20)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """For as long as this lasts it answers nothing; its port stays open."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.stop()
