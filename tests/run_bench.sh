#!/bin/bash
# Run the benchmarks on few rows, for their answers: no figure is judged. All at
# once, each in a directory of its own: they mostly wait for the disk.
set -u
directory=$(mktemp -d "${TMPDIR:-/tmp}/kv-bench.XXXXXX")
trap 'rm -rf "$directory"' EXIT
export BENCH_ROWS=${BENCH_ROWS:-2000} BENCH_RUNS=${BENCH_RUNS:-1} BENCH_SECONDS=${BENCH_SECONDS:-2}
failed=0
programs=(engine open cold latency growth steady ycsb sql flooding)
pids=()
for program in "${programs[@]}"; do
    BENCH_DIR=$directory/$program "$BUILD/bench_$program" >"$directory/$program.log" 2>&1 &
    pids+=($!)
done
for i in "${!programs[@]}"; do
    program=${programs[i]}
    json=$directory/$program/bench_$program.json
    # The JSON must be JSON, too: SQLite says so.
    if ! wait "${pids[i]}" || [ "$(sqlite3 :memory: "SELECT json_valid(readfile('$json'))")" != 1 ]; then
        cat "$directory/$program.log"
        echo "bench_$program failed"
        failed=$((failed + 1))
    fi
done
mkdir "$directory/instructions"
if ! BENCH_DIR=$directory/instructions "$BUILD/bench_instructions" >"$directory/instructions.log" 2>&1; then
    cat "$directory/instructions.log"
    echo "bench_instructions failed"
    failed=$((failed + 1))
fi

# Figures that reach every goal pass; one that falls short by more than 20 % does not, nor do
# figures of fewer rows than the goals are meant for.
goals=$(dirname "$0")/bench/goals.txt
passes() { # rows, p99 beside writes
    printf '  "rows": %s,\n  "read beside writes, p99 [us]": %s,\n  "read alone, p99 [us]": 1\n' "$@" \
        >"$directory/bench_latency.json"
    awk -f "${goals%/*}/check.awk" "$goals" "$directory/bench_latency.json" >"$directory/check.log"
}
passes 1000000 3.5 || { failed=$((failed + 1)) && cat "$directory/check.log"; }
if passes 1000000 3.7; then
    echo "bench-check lets a figure pass that falls short"
    failed=$((failed + 1))
fi
if passes 2000 3.5; then
    echo "bench-check lets figures of few rows pass"
    failed=$((failed + 1))
fi
count=$((${#programs[@]} + 4))
echo "$((100 * (count - failed) / count))%: Checks: $count, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ]
