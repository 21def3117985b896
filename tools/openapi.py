"""Write docs/openapi.json from the routes themselves; ``--check`` only says whether it is true."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ringback.front.openapi import document

FILE = Path(__file__).parent.parent / "docs" / "openapi.json"


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != text():
            print(f"{FILE} is out of date: run python {Path(__file__).name}", file=sys.stderr)
            return 1
        return 0
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
