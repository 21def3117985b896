#!/bin/sh
# Rewrite every generated page: make docs. The tests fail when one is not what the source says.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python tools/settings_table.py
.venv/bin/python tools/diagrams.py
.venv/bin/python tools/openapi.py
.venv/bin/python tools/requirements.py
