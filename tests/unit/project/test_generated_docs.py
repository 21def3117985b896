"""Pages that are drawn from the source are what the source says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("tool", ["diagrams.py", "settings_table.py", "openapi.py"])
def test_a_generated_page_is_current(tool: str) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / tool, "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = [t for t in LINK.findall(page.read_text()) if "://" not in t]
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert not missing


def test_the_locks_are_those_of_pyproject() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    names = set(re.findall(r'^\s+"([a-z0-9-]+)(?:\[[a-z]+\])?>=', declared, re.MULTILINE))
    locked = (ROOT / "requirements" / "dev.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))
    assert names - {"sounddevice"} <= pinned
