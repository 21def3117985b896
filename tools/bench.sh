#!/bin/sh
# The short set of `make bench`: about three minutes, one table per claim. docs/benchmarks.md says
# which, and what else there is. With ARGS=FOLDER each also writes its figures there as JSON.
set -u
here="$(cd "$(dirname "$0")/.." && pwd)"
folder="${1:-}"
if [ -n "$folder" ]; then
    mkdir -p "$folder" && folder="$(cd "$folder" && pwd)"
fi
cd "$here" || exit 1
failed=""
run() {
    name="$1"
    shift
    printf '\n== bench/%s.py %s\n' "$name" "$*"
    .venv/bin/python "bench/$name.py" "$@" || failed="$failed $name"
}
told() {
    if [ -n "$folder" ]; then
        run "$@" --json "$folder/$1.json"
    else
        run "$@"
    fi
}
told density --calls 200 --seconds 8
told whole_node --calls 100,200 --seconds 5
told barge_in --clears 100
told memory --live 50,100,150 --sequence 0
told api_beside --seconds 5
if command -v sipp >/dev/null; then
    run sipp_calls --rate 50 --seconds 10
else
    printf '\nbench/sipp_calls.py needs sipp: make peers installs it\n'
fi
run scanner_flood --calls 50 --seconds 4
if [ -n "$failed" ]; then
    printf '\nNot good enough:%s\n' "$failed"
    exit 1
fi
