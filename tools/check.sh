#!/bin/sh
# Everything that must hold before a change lands. Stops at the first thing that does not.
set -eu
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$1"; }

step "lint"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
step "types"
.venv/bin/mypy src tests fuzz
step "import contracts"
.venv/bin/lint-imports --no-cache
step "tests"
exec .venv/bin/pytest "$@"
