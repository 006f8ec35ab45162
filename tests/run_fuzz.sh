#!/bin/bash
# Hostile bytes for everything that parses (tests/fuzz). Without more it replays
# tests/corpus, and MUTATIONS changes (default 100) of each input.
#
# With FUZZERS=<dir>, where programs linked with libFuzzer are, each runs for
# FUZZ_SECONDS (default 60), starting from the corpus; what it finds goes to
# <dir>/found, inputs that break something to <dir>/crashes.
set -u
cd "$(dirname "$0")/.." || exit 1
targets='manifest index segment log store arguments'
checks=0
failed=0
execs=0
crashes=0

# count <log> <exit code> <pattern>: add up a program's figures. The pattern's number are its execs.
count() {
    local did
    did=$(grep -aoE "$3" "$1" | tail -1 | tr -cd '0-9')
    execs=$((execs + ${did:-0}))
    checks=$((checks + 1))
    if [ "$2" -ne 0 ]; then
        failed=$((failed + 1))
        crashes=$((crashes + 1))
        echo "FAIL: $(tail -40 "$1")"
    fi
}

replay() {
    local log=$BUILD/log/fuzz_$1.replay
    "$BUILD/fuzz_$1" "-mutations=${MUTATIONS:-100}" "-seed=${SEED:-1}" "tests/corpus/$1" >"$log" 2>&1
    count "$log" $? '[0-9]+ execs'
    tail -1 "$log"
}

fuzz() {
    local log=$BUILD/log/fuzz_$1.log code before=$crashes
    mkdir -p "$FUZZERS/found/$1" "$FUZZERS/crashes/$1"
    # Half a minute for one input is a hang, 128 MB at once are a bomb.
    "$FUZZERS/fuzz_$1" "$FUZZERS/found/$1" "tests/corpus/$1" "-max_total_time=${FUZZ_SECONDS:-60}" \
        -timeout=30 -malloc_limit_mb=128 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$FUZZERS/crashes/$1/" >"$log" 2>&1
    code=$?
    count "$log" $code 'number_of_executed_units: [0-9]+'
    echo "fuzz_$1: $(grep -aoE 'number_of_executed_units: [0-9]+' "$log" | tr -cd '0-9') execs, $((crashes - before)) crashes"
}

mkdir -p "$BUILD/log"
for target in $targets; do
    if [ -n "${FUZZERS:-}" ]; then fuzz "$target"; else replay "$target"; fi
done
echo "$((100 * (checks - failed) / checks))%: Checks: $checks, Failures: $failed, Errors: 0"
echo "6 targets, $execs execs, $crashes crashes"
[ "$failed" -eq 0 ] && [ "$execs" -gt 0 ]
