#!/bin/bash
# Run test programs one after the other: a line of figures for each, the whole
# output of those that fail, and the sum as the last line. Fails if one fails.
#
#   BUILD=build tests/run.sh build/test_record tests/run_sql.sh …
#
# A program ends with check's summary ("100%: Checks: 7, Failures: 0, Errors: 0");
# one that does not counts as a single check, judged by its exit code.
set -u
export CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT:-60}"
logs=$BUILD/log
mkdir -p "$logs"
passed=0
failed=0
failures=()

# add <log> <exit code> <seconds>: count what the program said of itself, and print it.
add() {
    local summary checks bad
    summary=$(grep -E '^[0-9]+%: Checks: ' "$1" | tail -1)
    if [ -n "$summary" ]; then
        read -r checks bad < <(echo "$summary" | tr -cs '0-9\n' ' ' | awk '{print $2, $3 + $4}')
    else
        checks=1 bad=0
        summary='no summary'
    fi
    [ "$2" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + checks - bad))
    failed=$((failed + bad))
    printf '%-24s %s (%d s)\n' "$(basename "$1" .log)" "$summary" "$3"
    # A closing line of figures (states, faults, kills) is worth seeing.
    tail -1 "$1" | grep -vE '^[0-9]+%: Checks: |^(OK|ok)$' | sed 's/^/    /'
    if [ "$bad" -gt 0 ]; then
        echo "    exit code $2; $1:"
        tail -60 "$1" | sed 's/^/    | /'
        failures+=("$(basename "$1" .log): exit code $2: $(grep -aE ':[FE]:|FAIL|rror' "$1" | head -5)")
    fi
}

# Programs on a file system in memory (tests/memfs.h) say here how many calls they made fail.
export KV_FAULT_LOG=$logs/faults
rm -f "$KV_FAULT_LOG"

for program in "$@"; do
    log=$logs/$(basename "$program" .sh).log
    started=$SECONDS
    timeout "${PROGRAM_TIMEOUT:-900}" "$program" >"$log" 2>&1 </dev/null
    add "$log" $? $((SECONDS - started))
done
# Last of all, so that the end of a long output says what to look at.
[ ${#failures[@]} -eq 0 ] || printf 'FAILED %s\n' "${failures[@]}"
[ ! -s "$KV_FAULT_LOG" ] || awk '{ sum += $1 } END { print sum " faults injected into calls" }' "$KV_FAULT_LOG"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
