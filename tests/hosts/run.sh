#!/bin/bash
# Speak suite.txt, then in another process reopen.txt, through every host on this machine that
# carries SQLite: a transcript must equal its suite. A host that is missing is skipped, not failed.
#
#   KV_SO=build/kv.so BUILD=build tests/hosts/run.sh [host…]
#
# Node's packages are installed into $BUILD/hosts/node. The sources of the newest SQLite come with
# better-sqlite3: host `current` is a C program linked with them, and so are the tests in C.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
KV_SO=$(realpath -e "${KV_SO:-$root/build/kv.so}") || exit 1
build=$(mkdir -p "${BUILD:-build}/hosts" && cd "${BUILD:-build}/hosts" && pwd) || exit 1
CC=${CC:-gcc}
work=$(mktemp -d "${TMPDIR:-/tmp}/kv-hosts.XXXXXX")
trap 'rm -rf "$work"' EXIT
count=0
failed=0

# ---- Hosts

hosts=(shell python apsw perl tcl ruby php better_sqlite3 node_sqlite current sanitized)

# describe <host>: how to run it, the suite's name to be added, and how to see whether it is there.
describe() {
    case $1 in
    shell) command=("$here/host.sh" "$KV_SO") probe=(sqlite3 --version) ;;
    # As the distribution builds it: other Pythons often lack enable_load_extension().
    python)
        command=(/usr/bin/python3 "$here/host.py" sqlite3 "$KV_SO")
        probe=(/usr/bin/python3 -c 'import sqlite3; sqlite3.Connection.enable_load_extension')
        ;;
    apsw) command=(/usr/bin/python3 "$here/host.py" apsw "$KV_SO") probe=(/usr/bin/python3 -c 'import apsw') ;;
    perl) command=(perl "$here/host.pl" "$KV_SO") probe=(perl -MDBD::SQLite -e 1) ;;
    tcl) command=(tclsh "$here/host.tcl" "$KV_SO") probe=(sh -c 'echo package require sqlite3 | tclsh') ;;
    ruby) command=(ruby "$here/host.rb" "$KV_SO") probe=(ruby -rsqlite3 -e 1) ;;
    php)
        command=(php -d sqlite3.extension_dir="${KV_SO%/*}" "$here/host.php" "${KV_SO##*/}")
        probe=(php -r 'new SQLite3(":memory:");')
        ;;
    better_sqlite3)
        command=(env NODE_PATH="$modules" node "$here/host.js" better-sqlite3 "$KV_SO")
        probe=(env NODE_PATH="$modules" node -e 'new (require("better-sqlite3"))(":memory:")')
        ;;
    # The node on the machine may be too old for it; a package carries a newer one.
    node_sqlite)
        command=("$newer_node" "$here/host.js" node:sqlite "$KV_SO")
        probe=("$newer_node" -e 'new (require("node:sqlite").DatabaseSync)(":memory:")')
        ;;
    current) command=("$build/current/host" "$KV_SO") probe=(test -x "$build/current/host") ;;
    sanitized) command=("$build/current/host" "$build/current/kv.so") probe=(test -x "$build/current/kv.so") ;;
    esac
}

# ---- Node's packages and the newest SQLite

modules=$build/node/node_modules
newer_node=$modules/node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/bin/node

# Nothing of a package runs at installation, so the one with C++ is compiled by hand.
install_node_packages() {
    local gyp package
    command -v npm >/dev/null || return
    mkdir -p "$build/node"
    for package in better-sqlite3 "$(basename "$(dirname "$(dirname "$newer_node")")")"; do
        [ -d "$modules/$package" ] || (cd "$build/node" && npm install --no-audit --no-fund --ignore-scripts "$package")
    done
    [ -d "$modules/better-sqlite3/build" ] && return
    gyp=$(npm root -g 2>/dev/null)/npm/node_modules/node-gyp/bin/node-gyp.js
    (cd "$modules/better-sqlite3" && node "$gyp" rebuild --release --nodedir="$(dirname "$(dirname "$(command -v node)")")")
}

# SQLite's sources change with the package only; they are compiled once.
sources=$modules/better-sqlite3/deps/sqlite3
sanitize='-fsanitize=address,undefined -fno-sanitize-recover=all'
# shellcheck disable=SC2086 # flags are words
build_current() {
    [ -f "$sources/sqlite3.c" ] || return 0
    mkdir -p "$build/current"
    [ "$build/current/sqlite3.o" -nt "$sources/sqlite3.c" ] ||
        $CC -O1 -g $sanitize -w -c -o "$build/current/sqlite3.o" "$sources/sqlite3.c" || return 1
    $CC -O1 -g $sanitize -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$sources" -o "$build/current/host" "$here/host.c" \
        "$build/current/sqlite3.o" -pthread -ldl -lm
}

# The tests in C that speak to SQLite, and the extension, compiled with its newest headers.
build_and_run_c_tests() {
    local tests
    [ -f "$build/current/sqlite3.o" ] || return 0
    tests=$(cd "$root" && grep -l sqlite3 tests/test_*.c | tr '\n' ' ')
    # shellcheck disable=SC2016 # for make to expand
    make --no-print-directory -C "$root" BUILD="$build/current" TEST_C="$tests" SANITIZE="$sanitize" \
        CFLAGS="-O1 -g -Wno-error -fno-omit-frame-pointer -I$sources" \
        SQLITE_LINK='$(EXT_A) $(CORE_A) '"$build/current/sqlite3.o -lm -ldl" "$build/current/kv.so" unit | grep -vE '^  (CC|LD) '
    [ "${PIPESTATUS[0]}" -eq 0 ]
}

# ---- Running

# speak <host> <suite>: what differs between the host's transcript and the suite.
speak() {
    local got=$work/$1/$2.txt
    (cd "$work/$1/data" && timeout 120 "${command[@]}" "$here/$2.txt" 2>"$work/$1/version") |
        sed "s|$work/$1/data|<directory>|g" >"$got"
    diff -u --label "$2.txt" --label "$1" "$here/$2.txt" "$got"
}

# What is wrong with the files that a host left, in the eyes of another one.
check_files() {
    sqlite3 -batch -init /dev/null -cmd ".load $KV_SO" "$work/$1/data/suite.db" 'SELECT * FROM kv_check' 2>&1
}

run_host() {
    local found why command probe
    describe "$1"
    if ! why=$("${probe[@]}" 2>&1 >/dev/null); then
        printf '%-15s skipped: %s\n' "$1" "$(printf '%s\n' "${why:-not there}" | grep . | tail -1 | cut -c1-100)"
        return
    fi
    mkdir -p "$work/$1/data"
    count=$((count + 1))
    found=$(speak "$1" suite && speak "$1" reopen && check_files "$1")
    printf '%-15s %s\n' "$1" "$(tail -1 "$work/$1/version")"
    [ -n "$found" ] || return
    failed=$((failed + 1))
    { printf '%s\n' "$found" | head -60 && head -5 "$work/$1/version"; } | sed 's/^/    | /'
}

install_node_packages >"$build/node.log" 2>&1
build_current || failed=$((failed + 1))
build_and_run_c_tests || failed=$((failed + 1))
[ $# -gt 0 ] || set -- "${hosts[@]}"
for host in "$@"; do
    run_host "$host"
done
echo "$((count ? 100 * (count - failed) / count : 0))%: Checks: $count, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
