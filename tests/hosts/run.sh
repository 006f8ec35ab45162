#!/bin/bash
# Speak suite.txt, then in another process reopen.txt, through every host on this machine that
# carries SQLite: a transcript must equal its suite. A host that is missing is skipped, not failed.
#
#   KV_SO=build/kv.so BUILD=build tests/hosts/run.sh [host…]
#
# Node's packages are installed into $BUILD/hosts/node. The sources of the newest SQLite come with
# better-sqlite3: host `current` is a C program linked with them, and so are the tests in C; the
# scripts of sql/ run in the system's shell on a library made of them. Without arguments, all of it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
KV_SO=$(realpath -e "${KV_SO:-$root/build/kv.so}") || exit 1
build=$(mkdir -p "${BUILD:-build}/hosts" && cd "${BUILD:-build}/hosts" && pwd) || exit 1
CC=${CC:-gcc}
work=$(mktemp -d "${TMPDIR:-/tmp}/kv-hosts.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
failures=

# report <name> <what is wrong; empty: nothing>: one more check.
report() {
    if [ -z "$2" ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    failures+="FAILED $1"$'\n'
    printf '%s\n' "$2" | head -60 | sed 's/^/    | /'
}

# attempt <name> <command…>: the same, of a command that says why it fails, or nothing.
attempt() {
    local output code
    output=$("${@:2}" 2>&1)
    code=$?
    [ "$code" -ne 0 ] || output=
    [ "$code" -eq 0 ] || output+=$'\n'"exit code $code"
    report "$1" "$output"
}

skip() { printf '%-15s skipped: %s\n' "$1" "$2"; }

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
    current) command=("$newest/host" "$KV_SO") probe=(test -x "$newest/host") ;;
    sanitized) command=("$newest/host" "$newest/kv.so") probe=(test -x "$newest/kv.so") ;;
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

sources=$modules/better-sqlite3/deps/sqlite3
newest=$build/current
sanitize='-fsanitize=address,undefined -fno-sanitize-recover=all'

# Is <target> older than SQLite's sources? They change with the package only.
is_old() { ! [ "$1" -nt "$sources/sqlite3.c" ]; }

# shellcheck disable=SC2086 # flags are words
build_host() {
    mkdir -p "$newest"
    if is_old "$newest/sqlite3.o"; then
        $CC -O1 -g $sanitize -w -c -o "$newest/sqlite3.o" "$sources/sqlite3.c" || return
    fi
    $CC -O1 -g $sanitize -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$sources" -o "$newest/host" "$here/host.c" \
        "$newest/sqlite3.o" -pthread -ldl -lm
}

# The tests in C that speak to SQLite, and the extension, compiled with its newest headers.
run_c_tests() {
    local tests log=$build/c_tests.log good bad
    tests=$(cd "$root" && grep -l sqlite3 tests/test_*.c | tr '\n' ' ')
    # shellcheck disable=SC2016 # for make to expand
    make --no-print-directory -j2 -C "$root" BUILD="$newest" TEST_C="$tests" SANITIZE="$sanitize" \
        CFLAGS="-O1 -g -Wno-error -fno-omit-frame-pointer -I$sources" \
        SQLITE_LINK='$(EXT_A) $(CORE_A) '"$newest/sqlite3.o -lm -ldl" "$newest/kv.so" unit >"$log" 2>&1
    read -r good bad < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log" | tail -1)
    if [ -z "$bad" ]; then
        report 'tests in C' "$(tail -20 "$log")"
        return
    fi
    grep -vE '^  (CC|LD) |passed, |is up to date' "$log"
    passed=$((passed + good))
    failed=$((failed + bad))
    [ "$bad" -eq 0 ] || failures+=$(grep '^FAILED ' "$log")$'\n'
}

# The shell refuses a library other than the one that it was made for: so this one says that it is that.
build_library() {
    local id options='' option
    is_old "$newest/libsqlite3.so.0" || return 0
    id=$(sqlite3 --version | cut -d' ' -f2-4)
    for option in SESSION PREUPDATE_HOOK COLUMN_METADATA UPDATE_DELETE_LIMIT DBSTAT_VTAB FTS5 MATH_FUNCTIONS; do
        options+=" -DSQLITE_ENABLE_$option"
    done
    # shellcheck disable=SC2086 # flags are words
    sed "s|^#define SQLITE_SOURCE_ID .*|#define SQLITE_SOURCE_ID \"$id\"|" "$sources/sqlite3.c" |
        $CC -O1 -g -w -fPIC -shared -Wl,-soname,libsqlite3.so.0 $options -x c -o "$newest/libsqlite3.so.0" - -lm
}

run_sql_scripts() {
    local version log=$build/sql.log good bad
    version=$(sed -n 's/^#define SQLITE_VERSION  *"\(.*\)"$/\1/p' "$sources/sqlite3.h")
    if [ "$(LD_PRELOAD=$newest/libsqlite3.so.0 sqlite3 --version 2>&1 | cut -d' ' -f1)" != "$version" ]; then
        skip sql "the shell does not take the library of SQLite $version"
        return
    fi
    SHELL_PRELOAD=$newest/libsqlite3.so.0 "$root/tests/run_sql.sh" >"$log" 2>&1
    printf '%-15s sqlite3 shell, SQLite %s: %s\n' sql "$version" "$(tail -1 "$log")"
    read -r good bad < <(tail -1 "$log" | tr -cs '0-9\n' ' ' | awk '{ print $2 - $3, $3 }')
    if [ "${good:-0}" -gt 0 ] && [ "$bad" -eq 0 ]; then
        passed=$((passed + good))
    else
        report 'scripts of sql/' "$(cat "$log")"
    fi
}

run_with_newest() {
    if [ ! -f "$sources/sqlite3.c" ]; then
        skip newest "the package better-sqlite3 is not there; see $build/node.log"
        return
    fi
    attempt 'building a host' build_host
    run_c_tests
    attempt 'building a library' build_library
    run_sql_scripts
}

# ---- Running

# speak <host> <suite>: what differs between the host's transcript and the suite.
speak() {
    local got=$work/$1/$2.txt
    (cd "$work/$1/data" && timeout 120 "${command[@]}" "$here/$2.txt" 2>"$work/$1/version" || echo "exit code $?") |
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
        skip "$1" "$(printf '%s\n' "${why:-not there}" | grep . | tail -1 | sed "s|^$0: line [0-9]*: ||" | cut -c1-100)"
        return
    fi
    mkdir -p "$work/$1/data"
    found=$(speak "$1" suite && speak "$1" reopen && check_files "$1")
    printf '%-15s %s\n' "$1" "$(tail -1 "$work/$1/version")"
    report "$1" "$found${found:+$'\n'$(head -5 "$work/$1/version")}"
}

install_node_packages >"$build/node.log" 2>&1
[ $# -gt 0 ] || run_with_newest
[ $# -gt 0 ] || set -- "${hosts[@]}"
for host in "$@"; do
    run_host "$host"
done
printf '%s' "$failures"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
