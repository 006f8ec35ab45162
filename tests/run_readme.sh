#!/bin/bash
# Hold README.md to its word: its shell session prints what it shows, and its
# C program compiles against kv.h and libkv.a and prints what it says.
#
#   KV_SO=build/kv.so KV_A=build/libkv.a tests/run_readme.sh [--accept]
#
# --accept puts what the session printed into README.md.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/kv-readme.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0

# block <language>: the first fenced block in that language.
block() {
    awk -v fence='```'"$1" '$0 == "```" { inside = 0 } inside { print } $0 == fence && !seen { inside = seen = 1 }' \
        "$root/README.md"
}

# The session, as the shell prints it with statements echoed behind a prompt.
session() {
    cp "$KV_SO" "$work/kv.so"
    block console | sed -n 's/^sqlite> //p' >"$work/session.sql"
    (
        cd "$work" && export LD_PRELOAD="${SHELL_PRELOAD:-}" ASAN_OPTIONS=detect_leaks=0
        stdbuf -oL sqlite3 -batch -init /dev/null -cmd '.echo on' test.db <session.sql 2>&1
    ) | grep -v '^-- Loading resources' | awk '
        NR == FNR { statement[NR] = $0; next }
        $0 == statement[next_one + 1] { next_one++; print "sqlite> " $0; next }
        { print }' "$work/session.sql" -
}

session >"$work/printed"
if [ "${1:-}" = --accept ]; then
    awk -v file="$work/printed" '
        $0 == "```" && inside { inside = 0 }
        !inside { print }
        $0 == "```console" { inside = 1; while ((getline line < file) > 0) print line }' \
        "$root/README.md" >"$work/README.md" && cp "$work/README.md" "$root/README.md"
fi
block console >"$work/shown"
diff -u --label README.md --label "what it printed" "$work/shown" "$work/printed" || failed=$((failed + 1))

block c >"$work/example.c"
block text >"$work/shown"
# shellcheck disable=SC2086 # flags are words
if ! ${CC:-gcc} -std=c11 -Wall -Wextra -Werror ${SANITIZE:-} -I"$root/core" -o "$work/example" "$work/example.c" \
    "$KV_A" -pthread -lm || ! (cd "$work" && ./example) >"$work/printed" ||
    ! diff -u --label README.md --label "what it printed" "$work/shown" "$work/printed"; then
    failed=$((failed + 1))
fi
echo "$((100 * (2 - failed) / 2))%: Checks: 2, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ]
