"""Make .venv ready: `python3 tools/setup.py [run|dev]` (the Makefile calls it).

Needs nothing but a Python 3.11+ with its standard library: not pip, not the `venv` package's
ensurepip, no root and no compiler. The pip that lies in tools/bootstrap installs the locked uv,
and uv installs the locked dependencies, from wheels only and checked by hash.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
OLDEST = (3, 11)


class SetupFailed(Exception):
    """A step went wrong; the message is for the person at the terminal."""


def run(step: str, *command: str | Path, remedy: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment.update(PYTHONDONTWRITEBYTECODE="1", UV_PYTHON_DOWNLOADS="never")
    result = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, check=False)
    if result.returncode:
        raise SetupFailed(f"{step} failed (see above). {remedy}")


def check_python() -> None:
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:3]))
        raise SetupFailed(
            f"Ringback needs Python 3.11 or later, and {sys.executable} is {have}. "
            "Name another one: make PYTHON=python3.11 run"
        )


def fingerprint(lock: Path) -> str:
    """What an up-to-date environment was made from: change any of it and setup runs again."""
    digest = hashlib.sha256(f"{sys.version}\n{sys.executable}\n{ROOT}\n".encode())
    for source in (lock, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def make_environment() -> None:
    run(
        "Making .venv",
        sys.executable, "-m", "venv", "--clear", "--without-pip", VENV,
        remedy="Is the folder writable, and is there space on the disk?",
    )  # fmt: skip
    pip = next((ROOT / "tools" / "bootstrap").glob("pip-*.whl")) / "pip"
    run(
        "Installing uv",
        sys.executable, pip, "--python", PYTHON, "install", "--quiet", "--only-binary", ":all:",
        "--no-warn-script-location", "--disable-pip-version-check", "--root-user-action", "ignore",
        "--require-hashes", "--requirement", ROOT / "requirements" / "bootstrap.lock",
        remedy="Can this machine reach the Python package index (or the mirror in pip's settings)?",
    )  # fmt: skip


def install(lock: Path) -> None:
    run(
        "Installing the locked dependencies",
        UV, "pip", "install", "--quiet", "--python", PYTHON, "--only-binary", ":all:",
        "--require-hashes", "--compile-bytecode", "--requirement", lock,
        remedy="Can this machine reach the Python package index? Then run the command again.",
    )  # fmt: skip
    run(
        "Installing ringback",
        UV, "pip", "install", "--quiet", "--python", PYTHON, "--no-deps", "--no-build-isolation",
        "--editable", ROOT,
        remedy="This is a fault of the project: please report it with the output above.",
    )  # fmt: skip
    # A start is twice as fast with bytecode, which Python may have been told not to write.
    run(
        "Compiling ringback",
        PYTHON, "-m", "compileall", "-q", ROOT / "src",
        remedy="Is the folder writable, and is there space on the disk?",
    )  # fmt: skip


def main(profile: str) -> None:
    check_python()
    lock = ROOT / "requirements" / f"{profile}.lock"
    stamp = VENV / f".{profile}-ready"
    wanted = fingerprint(lock)
    if stamp.exists() and stamp.read_text() == wanted and PYTHON.exists():
        return
    print(f"Setting up .venv ({profile}) ...", flush=True)
    base = VENV / ".python"
    if not (UV.exists() and base.exists() and base.read_text() == sys.version + sys.executable):
        make_environment()
        base.write_text(sys.version + sys.executable)
    install(lock)
    stamp.write_text(wanted)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "run")
    except SetupFailed as failure:
        sys.exit(f"setup: {failure}")
    except KeyboardInterrupt:
        sys.exit("setup: interrupted")
