#!/bin/bash
# Write the instructions that valgrind counts for each operation to the file given.
# BUILD is where bench_instructions is.
set -eu
out=$1
if ! command -v valgrind >/dev/null; then
    echo "counting instructions needs valgrind, which is not installed" >&2
    exit 1
fi
directory=$(mktemp -d "${TMPDIR:-/tmp}/kv-instructions.XXXXXX")
trap 'rm -rf "$directory"' EXIT
export BENCH_DIR=$directory

# count <workload's number>: instructions an operation.
count() {
    local operations
    operations=$(valgrind --tool=callgrind --toggle-collect=measured --collect-jumps=no \
        --callgrind-out-file=/dev/null --log-file="$directory/log" "$BUILD/bench_instructions" "$1") ||
        { cat "$directory/log" >&2 && return 1; }
    awk -v operations="$operations" '/Collected *:/ { printf "%.1f\n", $NF / operations }' "$directory/log"
}

{
    echo "# Instructions an operation: rows of 16 + 100 bytes, 20,000 of them. Made by \`make bench-instructions\`."
    echo "# They repeat exactly with the same compiler, libraries and kind of processor; these were counted with"
    echo "# $(${CC:-gcc} --version | head -1), $(ldd --version | head -1), SQLite $("$BUILD/bench_instructions" version)."
    number=0
    "$BUILD/bench_instructions" list | while read -r name; do
        number=$((number + 1))
        instructions=$(count "$number")
        printf '%-36s %10s\n' "$name" "$instructions"
    done
} >"$directory/counts"
cp "$directory/counts" "$out"
cat "$out"
