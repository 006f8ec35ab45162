#!/bin/bash
# Run the scripts sql/NN_name.sql in the sqlite3 shell and compare what they
# print with sql/NN_name.out.
#
#   KV_SO=build/kv.so tests/run_sql.sh [--accept] [sql/01_open.sql …]
#
# Each runs in an empty directory of its own, with the extension loaded and
# statements echoed, so that an .out file reads as a session. A script finds
# two programs: `kvsql <file> [<sql>…]`, another such shell, and `bytes`, which
# reads and damages files (tests/bytes.sh). `.read ../settle.sql` waits until the
# background has nothing left to merge in table kv, `.read ../indexed.sql` until all
# sealed logs of it have their index. `.load kv` loads the extension
# again after an .open. --accept writes the .out files.
#
# SHELL_PRELOAD names a library that the shell must load first (a sanitizer's),
# SHELL_WRAPPER a program to run the shell under (valgrind).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
KV_SO=$(realpath -e "${KV_SO:-$root/build/kv.so}") || exit 1
accept=
[ "${1:-}" = --accept ] && accept=yes && shift
[ $# -gt 0 ] || set -- "$root"/sql/[0-9]*.sql
work=$(mktemp -d "${TMPDIR:-/tmp}/kv-sql.XXXXXX")
trap 'rm -rf "$work"' EXIT
count=0
failed=0

# The programs for scripts. The shell is line-buffered, so that errors and
# results keep their order.
write_programs() {
    mkdir "$1"
    cat >"$1/kvsql" <<END
#!/bin/sh
export LD_PRELOAD="${SHELL_PRELOAD:-}"
export ASAN_OPTIONS="detect_leaks=${SHELL_LEAKS:-0}" LD_LIBRARY_PATH="$(dirname "$KV_SO")"
exec stdbuf -oL ${SHELL_WRAPPER:-} sqlite3 -batch -init /dev/null -cmd '.load kv' -cmd '.timeout 10000' "\$@"
END
    cp "$root/tests/bytes.sh" "$1/bytes"
    chmod +x "$1"/*
}

# Poll, since nothing in SQL waits.
write_settle() {
    cat >"$1" <<'END'
WITH RECURSIVE wait(polls) AS (VALUES(1) UNION ALL SELECT polls + 1 FROM wait WHERE polls < 1000000
        AND EXISTS (SELECT 1 FROM kv_segments('kv') WHERE polls AND (state = 'merging' OR reason NOT GLOB 't*')))
    SELECT max(polls) < 1000000 AS settled FROM wait;
END
}

# run_script <script>: its output, without what differs between runs and machines.
run_script() {
    local dir
    dir=$work/$(basename "$1" .sql)
    mkdir "$dir"
    (
        cd "$dir" || exit
        timeout "${SQL_TIMEOUT:-120}" kvsql -cmd '.echo on' test.db <"$1" 2>&1
        echo "exit code $?"
    ) 2>/dev/null | sed -E -e "s|$dir|<directory>|g" -e '/^-- Loading resources from/d' \
        -e 's/^(Runtime|Parse) error near line [0-9]+: /Error: /' >"$dir.got"
}

write_indexed() {
    cat >"$1" <<'END'
WITH RECURSIVE wait(polls) AS (VALUES(1) UNION ALL SELECT polls + 1 FROM wait WHERE polls < 1000000
        AND EXISTS (SELECT 1 FROM kv_segments('kv') WHERE polls AND reason GLOB 'sealed*'))
    SELECT max(polls) < 1000000 AS indexed FROM wait;
END
}

write_programs "$work/bin"
write_settle "$work/settle.sql"
write_indexed "$work/indexed.sql"
PATH=$work/bin:$PATH
for script in "$@"; do
    [ "${script##*.}" = sql ] || continue
    script=$(realpath "$script")
    got=$work/$(basename "$script" .sql).got
    expected=${script%.sql}.out
    run_script "$script"
    count=$((count + 1))
    if [ -n "$accept" ]; then
        cp "$got" "$expected"
    elif ! diff -u --label "$expected" --label "what it printed" "$expected" "$got"; then
        failed=$((failed + 1))
    fi
done
echo "$((count ? 100 * (count - failed) / count : 0))%: Checks: $count, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
