#!/bin/sh
# The short set of `make bench`: one table per claim. Each script tells its options with --help.
set -eu
cd "$(dirname "$0")/.."
run() {
    printf '\n== %s\n' "$*"
    .venv/bin/python "$@"
}
run bench/audio_path.py
run bench/srtp_path.py
run bench/gateway_calls.py --calls 100 --seconds 15
run bench/sipp_calls.py --rate 50 --seconds 20
run bench/scanner_flood.py --calls 100 --seconds 10
run bench/local_stt.py
