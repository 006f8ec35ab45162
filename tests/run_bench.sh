#!/bin/bash
# Run the benchmarks on few rows, for their answers: no figure is judged.
set -u
directory=$(mktemp -d "${TMPDIR:-/tmp}/kv-bench.XXXXXX")
trap 'rm -rf "$directory"' EXIT
export BENCH_DIR=$directory BENCH_ROWS=${BENCH_ROWS:-2000} BENCH_RUNS=${BENCH_RUNS:-1}
failed=0
count=0
for program in "$BUILD"/bench_engine "$BUILD"/bench_open "$BUILD"/bench_sql; do
    count=$((count + 1))
    # The JSON must be JSON, too: SQLite says so.
    if ! "$program" || [ "$(sqlite3 :memory: \
        "SELECT json_valid(readfile('$directory/$(basename "$program").json'))")" != 1 ]; then
        failed=$((failed + 1))
    fi
done
echo "$((100 * (count - failed) / count))%: Checks: $count, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ]
