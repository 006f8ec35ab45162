#!/bin/bash
# Make each of the deliberate mistakes in core/ (core/mutant.h), and see which
# test notices: those in LANES, in turn, until one fails. A mistake that none
# notices is a hole in the tests.
#
#   BUILD=build/mutants tests/mutants/run.sh [mutant…]
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD LANES JOBS="${JOBS:-2}"
LANES="${LANES:-test_record test_manifest test_manifest_file test_index test_segment test_low test_log test_log_scan
    test_cleanup test_create test_failover test_recover test_seal test_compact test_lock test_io_posix test_kv
    test_kv_recover test_unindexed test_overflow test_rewrite power test_process_deaths test_processes test_damage schedules faults test_store_sweep test_store_model}"

# lane <name>: run one, with the mutant that KV_MUTANT names. Having no time left is not having noticed.
lane() {
    local status
    case $1 in
    power) timeout 300 "$BUILD/power" --states 5000 --jobs 1 ;;
    schedules) timeout 300 "$BUILD/schedules" --jobs 1 ;;
    *) timeout 300 "$BUILD/$1" ;;
    esac >/dev/null 2>&1 </dev/null
    status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 124 ]
}

# Try one mutant, and print who noticed.
try() {
    export KV_MUTANT=$1
    for lane in $LANES; do
        lane "$lane" || { printf '%-32s killed by %s\n' "$1" "$lane"; return; }
    done
    printf '%-32s SURVIVES\n' "$1"
}
export -f lane try

mutants=("$@")
[ ${#mutants[@]} -gt 0 ] ||
    mapfile -t mutants < <(cat core/*.c | tr '\n' ' ' | grep -oE 'KV_(UNLESS_)?MUTANT\( *[a-z_]+' |
        grep -oE '[a-z_]+$' | sort -u)
for lane in $LANES; do
    KV_MUTANT='' lane "$lane" || { echo "$lane fails without a mutant"; exit 1; }
done
results=$BUILD/log/mutants
mkdir -p "$BUILD/log"
printf '%s\n' "${mutants[@]}" | xargs -P "$JOBS" -I{} bash -c 'try {}' | tee "$results"
survivors=$(grep -c SURVIVES "$results")
echo "$((${#mutants[@]} - survivors)) of ${#mutants[@]} mutants killed"
[ "$survivors" -eq 0 ]
