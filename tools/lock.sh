#!/bin/sh
# Rewrite the locks in requirements/ from pyproject.toml: `make lock`, or `make lock ARGS=--upgrade`.
# Exact versions and hashes for Python 3.11 and later, and no index address: the locks work with
# any mirror.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-annotate pyproject.toml --extra local-voice --extra postgresql --group build "$@"
}
compile --output-file requirements/run.lock "$@"
compile --group dev --constraint requirements/run.lock --output-file requirements/dev.lock "$@"
"$uv" --version | sed 's/uv \([^ ]*\).*/uv==\1/' |
    "$uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
        --output-file requirements/bootstrap.lock - "$@"
