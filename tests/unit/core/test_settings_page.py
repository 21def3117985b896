"""docs/settings.md says what the settings are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_settings_page_is_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "settings_table.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
