#!/bin/bash
# Make each of the deliberate mistakes in core/ (core/mutant.h), and see which
# test notices: first the one that tests/mutants/killers says did so before, then
# those in LANES, in turn, until one fails. A mistake that none notices is a hole
# in the tests.
#
#   BUILD=build/mutants tests/mutants/run.sh [mutant…]
#
# Leaves the list of killers in $BUILD/log/killers; after a whole run it may take
# the old one's place.
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD LANES JOBS="${JOBS:-2}"
scenes=$(sed -n 's/^ *{\.name = "\([a-z-]*\)".*/schedules:\1/p' tests/schedules/scenes.c)
# The fast ones first.
LANES="${LANES:-test_record test_lineup test_survey test_manifest test_manifest_file test_manifest_merge
    test_index test_segment test_low test_log test_flood test_log_scan test_cleanup test_create test_failover
    test_recover test_seal
    test_open_merge test_lock test_io_posix test_kv_open test_kv_recover test_unindexed test_quarantine
    test_repair_large test_backup test_compact test_kv test_rewrite test_repair test_backup_ends test_overflow
    test_process_deaths power test_store_sweep test_store_model test_processes test_damage $scenes}"

# lane <name>: run one, with the mutant that KV_MUTANT names. Having no time left is not having noticed.
lane() {
    local status
    case $1 in
    power) timeout 300 "$BUILD/power" --states 20000 --jobs 1 ;;
    schedules:*) timeout 300 "$BUILD/schedules" --scene "${1#*:}" --seed 1 --jobs 1 ;;
    *) timeout 300 "$BUILD/$1" ;;
    esac >/dev/null 2>&1 </dev/null
    status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 124 ]
}

# Where there is nothing to notice, nobody does.
try_without() {
    KV_MUTANT='' lane "$1" || { echo "$1 fails without a mutant"; return 1; }
}

# Try one mutant, and print who noticed.
try() {
    export KV_MUTANT=$1
    local likely
    likely=$(awk -v mutant="$1" '$1 == mutant { print $2 }' tests/mutants/killers)
    for lane in $likely $LANES; do
        lane "$lane" || { printf '%-32s killed by %s\n' "$1" "$lane"; return; }
    done
    printf '%-32s SURVIVES\n' "$1"
}
export -f lane try try_without

mutants=("$@")
[ ${#mutants[@]} -gt 0 ] ||
    mapfile -t mutants < <(cat core/*.c | tr '\n' ' ' | grep -oE 'KV_(UNLESS_)?MUTANT\( *[a-z_]+' |
        grep -oE '[a-z_]+$' | sort -u)
results=$BUILD/log/mutants
mkdir -p "$BUILD/log"
printf '%s\n' "${mutants[@]}" | xargs -P "$JOBS" -I{} bash -c 'try {}' | tee "$results"
awk '$2 == "killed" { print $1, $4 }' "$results" | sort >"$BUILD/log/killers"
cut -d' ' -f2 "$BUILD/log/killers" | sort -u | xargs -P "$JOBS" -I{} bash -c 'try_without {}' || exit 1
survivors=$(grep -c SURVIVES "$results")
echo "$((${#mutants[@]} - survivors)) of ${#mutants[@]} mutants killed"
[ "$survivors" -eq 0 ]
